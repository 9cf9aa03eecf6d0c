from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.ksr import convert, endpoints
from contivpp.ksr import objects as k8s
from contivpp.ksr.convert import ConversionError
from contivpp.ksr.kubernetes import Changed, Listed
from contivpp.ksr.reflector import reflectors
from contivpp.model import codec


def converted(shape: type[Any], convert_one: Any, tree: dict[str, Any]) -> dict[str, Any]:
    record = convert_one(msgspec.convert(tree, shape))
    return json.loads(codec.encode(record))


def test_a_pod_keeps_ports_of_every_protocol_and_all_addresses() -> None:
    pod = converted(
        k8s.Pod,
        convert.pod,
        {
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "labels": {"b": "2", "a": "1"},
                "annotations": {"contivpp.io/x": "y", "other": "z"},
            },
            "spec": {
                "nodeName": "node1",
                "hostNetwork": True,
                "containers": [
                    {
                        "name": "c",
                        "ports": [
                            {"name": "http", "containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1"},
                            {"containerPort": 53, "protocol": "UDP"},
                            {"containerPort": 36412, "protocol": "SCTP"},
                        ],
                    }
                ],
            },
            "status": {"podIP": "10.1.1.2", "podIPs": [{"ip": "10.1.1.2"}, {"ip": "fd00::2"}], "hostIP": "10.0.0.1"},
        },
    )
    assert pod["label"] == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    assert pod["annotations"] == {"contivpp.io/x": "y"}
    assert pod["ip_addresses"] == ["10.1.1.2", "fd00::2"]
    assert pod["container"][0]["port"] == [
        {"name": "http", "host_port": 8080, "container_port": 80, "host_ip_address": "10.0.0.1"},
        {"container_port": 53, "protocol": "UDP"},
        {"container_port": 36412, "sctp": True},
    ]
    assert (pod["host_network"], pod["node_name"]) == (True, "node1")


def test_fields_beyond_the_original_are_left_out_when_they_say_nothing() -> None:
    pod = converted(
        k8s.Pod, convert.pod, {"metadata": {"name": "a", "namespace": "b"}, "status": {"podIPs": [{"ip": "10.1.1.2"}]}}
    )
    assert pod == {"name": "a", "namespace": "b"}


def test_a_policy_keeps_combined_selectors_ranges_blocks_and_expressions() -> None:
    policy = converted(
        k8s.NetworkPolicy,
        convert.policy,
        {
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a"]}]},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [
                            {"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {}},
                            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                        ],
                        "ports": [
                            {"port": 80, "endPort": 90},
                            {"port": "dns", "protocol": "UDP"},
                            {"protocol": "SCTP"},
                        ],
                    }
                ],
                "egress": [{}],
            },
        },
    )
    assert policy["policy_type"] == "INGRESS_AND_EGRESS"
    assert policy["pods"] == {"match_expression": [{"key": "tier", "operator": "NOT_IN", "value": ["a", "b"]}]}
    [rule] = policy["ingress_rule"]
    assert rule["from"] == [
        {"pods": {"match_label": [{"key": "a", "value": "b"}]}, "namespaces": {}},
        {"ip_block": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
    ]
    assert rule["port"] == [
        {"port": {"number": 80}, "end_port": 90},
        {"port": {"type": "NAME", "name": "dns"}, "protocol": "UDP"},
        {"sctp": True},
    ]
    assert policy["egress_rule"] == [{}]


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": ["Sideways"]},
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
        {"ingress": [{"ports": [{"protocol": "GRE"}]}]},
    ],
)
def test_what_has_no_meaning_is_refused_and_not_guessed(spec: dict[str, Any]) -> None:
    with pytest.raises(ConversionError):
        converted(k8s.NetworkPolicy, convert.policy, {"metadata": {"name": "p", "namespace": "n"}, "spec": spec})


def test_a_service_keeps_everything_a_load_balancer_needs() -> None:
    service = converted(
        k8s.Service,
        convert.service,
        {
            "metadata": {"name": "web", "namespace": "n"},
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.9",
                "clusterIPs": ["10.96.0.9", "fd00::9"],
                "ports": [
                    {"name": "a", "port": 80, "targetPort": "http", "nodePort": 30080},
                    {"name": "b", "port": 99, "protocol": "SCTP"},
                ],
                "sessionAffinity": "ClientIP",
                "externalIPs": ["1.2.3.4"],
                "externalTrafficPolicy": "Local",
                "internalTrafficPolicy": "Local",
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"ip": "5.6.7.9", "ipMode": "Proxy"}, {}]}},
        },
    )
    assert service["port"] == [
        {
            "name": "a",
            "protocol": "TCP",
            "port": 80,
            "target_port": {"type": "STRING", "string_val": "http"},
            "node_port": 30080,
        },
        {"name": "b", "protocol": "SCTP", "port": 99, "target_port": {"int_val": 99}},
    ]
    assert (service["lb_ingress_ips"], service["lb_proxy_ips"]) == (["5.6.7.8"], ["5.6.7.9"])
    assert service["session_affinity_timeout"] == 10800
    assert service["cluster_ips"] == ["10.96.0.9", "fd00::9"]


@pytest.mark.parametrize("label", ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"])
@pytest.mark.parametrize("value", ["", "mesh"])
def test_a_service_that_its_labels_leave_to_another_proxy_says_so(label: str, value: str) -> None:
    item = {"metadata": {"name": "web", "namespace": "n", "labels": {label: value}}, "spec": {"clusterIP": "10.96.0.9"}}
    assert converted(k8s.Service, convert.service, item)["other_proxy"] is True
    item["metadata"]["labels"] = {"app": "web"}
    assert "other_proxy" not in converted(k8s.Service, convert.service, item)


def test_a_node_keeps_the_addresses_of_known_types() -> None:
    node = converted(
        k8s.Node,
        convert.node,
        {
            "metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"podCIDR": "10.1.1.0/24"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Magic", "address": "x"}],
                "nodeInfo": {"machineID": "m", "kubeProxyVersion": "1"},
            },
        },
    )
    assert node["addresses"] == [{"type": "NodeInternalIP", "address": "10.0.0.1"}]
    assert node["node_info"] == {"machine_ID": "m", "KubeProxyVersion": "1"}
    assert (node["pod_CIDR"], node["labels"]) == ("10.1.1.0/24", {"zone": "a"})


def test_sidecars_have_ports_and_other_init_containers_have_none() -> None:
    port = [{"containerPort": 9090, "name": "metrics"}]
    pod = converted(
        k8s.Pod,
        convert.pod,
        {
            "metadata": {"name": "a", "namespace": "n"},
            "spec": {
                "containers": [{"name": "web"}],
                "initContainers": [
                    {"name": "proxy", "restartPolicy": "Always", "ports": port},
                    {"name": "setup", "ports": port},
                ],
            },
        },
    )
    assert [container["name"] for container in pod["container"]] == ["web", "proxy"]
    assert pod["container"][1]["port"][0]["name"] == "metrics"


def slice_of(name: str, *addresses: tuple[str, dict[str, Any]], port: int = 80) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "n", "labels": {endpoints.SERVICE_LABEL: "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [ip], "conditions": conditions} for ip, conditions in addresses],
    }


def test_slices_merge_into_one_record_whatever_their_order() -> None:
    one = slice_of("a", ("10.1.1.3", {"ready": True}), ("10.1.1.2", {}))
    two = slice_of(
        "b", ("10.1.1.3", {"ready": False}), ("10.1.1.4", {"ready": False, "serving": True, "terminating": True})
    )
    other = slice_of("c", ("10.1.1.9", {"ready": True}), port=81)
    slices = [msgspec.convert(item, k8s.EndpointSlice) for item in (one, two, other)]
    record = endpoints.from_slices("n/web", slices)
    assert record == endpoints.from_slices("n/web", reversed(slices))
    first, second = record.endpoint_subsets
    assert [address.ip for address in first.addresses] == ["10.1.1.2", "10.1.1.3"]
    [leaving] = first.not_ready_addresses
    assert (leaving.ip, leaving.serving, leaving.terminating) == ("10.1.1.4", True, True)
    assert [address.ip for address in second.addresses] == ["10.1.1.9"]


def test_an_ending_endpoint_serves_unless_its_slice_says_no() -> None:
    conditions = ({}, {"serving": True}, {"serving": False})
    slices = [
        slice_of(f"s{number}", (f"10.1.1.{number}", {"ready": False, "terminating": True, **more}))
        for number, more in enumerate(conditions)
    ]
    [subset] = endpoints.from_slices(
        "n/web", [msgspec.convert(item, k8s.EndpointSlice) for item in slices]
    ).endpoint_subsets
    assert [one.serving for one in subset.not_ready_addresses] == [True, True, False]
    waiting = msgspec.convert(slice_of("a", ("10.1.1.9", {"ready": False})), k8s.EndpointSlice)
    [subset] = endpoints.from_slices("n/web", [waiting]).endpoint_subsets
    assert not subset.not_ready_addresses[0].serving, "it does not end"


names = st.sampled_from(["a", "b", "c"])
events = st.lists(
    st.tuples(names, st.sampled_from(["svc1", "svc2", ""]), st.integers(0, 2), st.booleans()), max_size=12
)


@given(events)
def test_any_sequence_of_changes_ends_where_a_fresh_list_would(history: list[tuple[str, str, int, bool]]) -> None:
    [lived] = [one for one in reflectors() if one.kind == "endpoints"]
    [fresh] = [one for one in reflectors() if one.kind == "endpoints"]
    lived.take(Listed(()))
    there: dict[str, bytes] = {}
    for name, service, number, deleted in history:
        tree = slice_of(name, (f"10.1.1.{number + 2}", {"ready": True}))
        tree["metadata"]["labels"] = {endpoints.SERVICE_LABEL: service}
        raw = json.dumps(tree).encode()
        before = dict(lived.desired)
        touched = lived.take(Changed(raw, deleted))
        differing = {key for key in before.keys() | lived.desired.keys() if before.get(key) != lived.desired.get(key)}
        assert differing <= touched
        if deleted:
            there.pop(name, None)
        else:
            there[name] = raw
    fresh.take(Listed(tuple(there.values())))
    assert lived.desired == fresh.desired
