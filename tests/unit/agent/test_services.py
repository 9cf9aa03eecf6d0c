"""What services mean on a node: kube-proxy's rules as a table, and who owns a frontend."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.agent.refusals import Refusals
from contivpp.agent.services.claims import Claims
from contivpp.agent.services.model import Empty, Kind, Meaning, Place
from contivpp.agent.services.processor import meaning
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.service import Service, ServicePort

HERE = Place("node1", "zone1", ("192.168.0.1", "fd00:192::1"))
A, B, C = "10.1.1.1", "10.1.2.1", "10.1.3.1"
NODES = {A: "node1", B: "node2", C: "node3"}


def service(**changes: Any) -> Service:
    port = changes.pop("port", (ServicePort(protocol="TCP", port=80),))
    given: dict[str, Any] = {
        "name": "web",
        "namespace": "default",
        "cluster_ip": "10.96.0.1",
        "service_type": "ClusterIP",
    }
    return Service(port=port, **(given | changes))


def address(ip: str, **changes: Any) -> EndpointAddress:
    return EndpointAddress(ip=ip, node_name=NODES.get(ip, ""), **changes)


def ending(ip: str) -> EndpointAddress:
    return address(ip, serving=True, terminating=True)


def endpoints(*ready: Any, other: tuple[Any, ...] = (), port: int = 8080, **named: Any) -> Endpoints:
    def taken(items: tuple[Any, ...]) -> tuple[EndpointAddress, ...]:
        return tuple(address(one) if isinstance(one, str) else one for one in items)

    ports = (EndpointPort(port=port, protocol=named.get("protocol", "TCP"), name=named.get("name", "")),)
    subset = EndpointSubset(addresses=taken(ready), not_ready_addresses=taken(other), ports=ports)
    return Endpoints(name="web", namespace="default", endpoint_subsets=(subset,))


def seen(found: Meaning) -> dict[str, tuple[Any, Any]]:
    """By frontend where connections from inside and outside go: addresses, or what becomes of them."""

    def said(destination: Any) -> Any:
        if destination is None:
            return "same"
        return [one.address for one in destination.backends] or str(destination.empty)

    return {
        f"{one.frontend.kind} {one.frontend.address} {one.frontend.protocol}/{one.frontend.port}": (
            said(one.inside),
            said(one.outside),
        )
        for one in found.translations
    }


CLUSTER = "cluster-ip 10.96.0.1 tcp/80"
EXTERNAL = "external-ip 203.0.113.1 tcp/80"
LOCAL_OUT = {"external_ips": ("203.0.113.1",), "external_traffic_policy": "Local"}
LOCAL_IN = {"internal_traffic_policy": "Local"}

TABLE: dict[str, Any] = {
    "all ready endpoints": ({}, endpoints(A, B), {CLUSTER: ([A, B], "same")}),
    "no endpoints record": ({}, None, {CLUSTER: ("reject", "same")}),
    "endpoints that are not ready do not count": ({}, endpoints(A, other=(B,)), {CLUSTER: ([A], "same")}),
    "nothing ready is a rejection": ({}, endpoints(other=(A,)), {CLUSTER: ("reject", "same")}),
    "ending ones serve when none is ready": ({}, endpoints(other=(ending(A), B)), {CLUSTER: ([A], "same")}),
    "ending ones do not serve while one is ready": ({}, endpoints(B, other=(ending(A),)), {CLUSTER: ([B], "same")}),
    "internal Local keeps to the node": (LOCAL_IN, endpoints(A, B), {CLUSTER: ([A], "same")}),
    "internal Local without a local one drops": (LOCAL_IN, endpoints(B), {CLUSTER: ("drop", "same")}),
    "internal Local without any rejects": (LOCAL_IN, endpoints(), {CLUSTER: ("reject", "same")}),
    "internal Local uses the node's ending ones": (
        LOCAL_IN,
        endpoints(B, other=(ending(A),)),
        {CLUSTER: ([A], "same")},
    ),
    "external Local binds only those from elsewhere": (
        LOCAL_OUT,
        endpoints(A, B),
        {CLUSTER: ([A, B], "same"), EXTERNAL: ([A, B], [A])},
    ),
    "external Local without a local one drops those from elsewhere": (
        LOCAL_OUT,
        endpoints(B),
        {CLUSTER: ([B], "same"), EXTERNAL: ([B], "drop")},
    ),
    "external Local without any rejects everybody": (
        LOCAL_OUT,
        endpoints(),
        {CLUSTER: ("reject", "same"), EXTERNAL: ("reject", "same")},
    ),
    "internal Local does not bind external addresses": (
        {**LOCAL_IN, "external_ips": ("203.0.113.1",)},
        endpoints(A, B),
        {CLUSTER: ([A], "same"), EXTERNAL: ([A, B], "same")},
    ),
    "hints for the zone": (
        {},
        endpoints(address(A, hint_zones=("zone2",)), address(B, hint_zones=("zone1", "zone2"))),
        {CLUSTER: ([B], "same")},
    ),
    "hints are ignored when one lacks them": (
        {},
        endpoints(A, address(B, hint_zones=("zone1",))),
        {CLUSTER: ([A, B], "same")},
    ),
    "hints are ignored when none is for the zone": (
        {},
        endpoints(address(A, hint_zones=("zone2",)), address(B, hint_zones=("zone3",))),
        {CLUSTER: ([A, B], "same")},
    ),
    "hints for the node before those for the zone": (
        {},
        endpoints(
            address(A, hint_zones=("zone1",), hint_nodes=("node1",)),
            address(B, hint_zones=("zone1",), hint_nodes=("node2",)),
        ),
        {CLUSTER: ([A], "same")},
    ),
    "hints do not count among ending ones": (
        {},
        endpoints(other=(ending(A), EndpointAddress(ip=B, serving=True, terminating=True, hint_zones=("zone2",)))),
        {CLUSTER: ([A, B], "same")},
    ),
    "an endpoint without a node is nobody's own": (LOCAL_IN, endpoints("10.9.9.9"), {CLUSTER: ("drop", "same")}),
    "headless": ({"cluster_ip": "None"}, endpoints(A), {}),
    "one that another proxy has": ({"other_proxy": True, "external_ips": ("203.0.113.1",)}, endpoints(A), {}),
    "a name": ({"cluster_ip": "", "service_type": "ExternalName"}, endpoints(A), {}),
    "a node port is at every address of the node": (
        {"service_type": "NodePort", "port": (ServicePort(protocol="UDP", port=53, node_port=30053),)},
        endpoints(A, protocol="UDP"),
        {"cluster-ip 10.96.0.1 udp/53": ([A], "same"), "node-port 192.168.0.1 udp/30053": ([A], "same")},
    ),
    "a node port that was left behind is none": (
        {"port": (ServicePort(protocol="TCP", port=80, node_port=30080),)},
        endpoints(A),
        {CLUSTER: ([A], "same")},
    ),
    "the load balancer's addresses, but not those it answers itself": (
        {"service_type": "LoadBalancer", "lb_ingress_ips": ("203.0.113.9",), "lb_proxy_ips": ("203.0.113.8",)},
        endpoints(A),
        {CLUSTER: ([A], "same"), "load-balancer 203.0.113.9 tcp/80": ([A], "same")},
    ),
    "both families, each with its own endpoints": (
        {
            "cluster_ips": ("10.96.0.1", "fd00:96::1"),
            "external_ips": ("203.0.113.1", "2001:db8::1"),
            "service_type": "NodePort",
            "port": (ServicePort(protocol="TCP", port=80, node_port=30080),),
        },
        endpoints(A, "fd00:1::1"),
        {
            CLUSTER: ([A], "same"),
            EXTERNAL: ([A], "same"),
            "node-port 192.168.0.1 tcp/30080": ([A], "same"),
            "cluster-ip fd00:96::1 tcp/80": (["fd00:1::1"], "same"),
            "external-ip 2001:db8::1 tcp/80": (["fd00:1::1"], "same"),
            "node-port fd00:192::1 tcp/30080": (["fd00:1::1"], "same"),
        },
    ),
    "addresses of a family that the service has not": (
        {"external_ips": ("2001:db8::1",)},
        endpoints(A, "fd00:1::1"),
        {CLUSTER: ([A], "same")},
    ),
    "ports are matched by name and protocol": (
        {
            "port": (
                ServicePort(name="a", protocol="TCP", port=80),
                ServicePort(name="a-udp", protocol="UDP", port=80),
                ServicePort(name="b", protocol="SCTP", port=81),
            )
        },
        endpoints(A, name="a"),
        {
            CLUSTER: ([A], "same"),
            "cluster-ip 10.96.0.1 udp/80": ("reject", "same"),
            "cluster-ip 10.96.0.1 sctp/81": ("reject", "same"),
        },
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_service_means_what_kube_proxy_makes_of_it(case: str) -> None:
    changes, record, expected = TABLE[case]
    found = meaning(service(**changes), record, HERE)
    assert seen(found) == expected
    assert not found.problems


@pytest.mark.parametrize(
    ("policy", "expected"), [({}, []), (LOCAL_IN, [Kind.CLUSTER_IP]), (LOCAL_OUT, [Kind.EXTERNAL_IP])]
)
def test_what_a_policy_keeps_to_the_node_is_said_to_be_local_whatever_endpoints_there_are(
    policy: dict[str, Any], expected: list[Kind]
) -> None:
    for record in (endpoints(A, B), endpoints(A), endpoints()):
        found = meaning(service(**{"external_ips": ("203.0.113.1",), **policy}), record, HERE)
        assert [one.frontend.kind for one in found.translations if one.local] == expected


def test_an_endpoint_in_two_subsets_is_one_and_ready_when_either_says_so() -> None:
    port = (EndpointPort(port=8080, protocol="TCP"),)
    subsets = (
        EndpointSubset(not_ready_addresses=(address(A),), ports=port),
        EndpointSubset(addresses=(address(A),), ports=port),
        EndpointSubset(not_ready_addresses=(address(A),), ports=port),
    )
    assert seen(meaning(service(), Endpoints(endpoint_subsets=subsets), HERE)) == {CLUSTER: ([A], "same")}


def test_an_endpoint_that_only_one_subset_says_the_node_of_is_one_and_the_nodes_own() -> None:
    ports = (EndpointPort(port=8080, protocol="TCP"), EndpointPort(name="more", port=9090, protocol="TCP"))
    subsets = (
        EndpointSubset(addresses=(EndpointAddress(ip=A),), ports=ports[:1]),
        EndpointSubset(addresses=(address(A), address(B)), ports=ports),
        EndpointSubset(addresses=(EndpointAddress(ip=A),), not_ready_addresses=(ending(B),), ports=ports[:1]),
    )
    _, found = meaning(service(**LOCAL_OUT), Endpoints(endpoint_subsets=subsets), HERE).translations
    assert [(one.address, one.local) for one in found.inside.backends] == [(A, True), (B, False)]
    assert found.outside is not None
    assert [one.address for one in found.outside.backends] == [A]


def test_affinity_has_its_seconds_and_only_when_it_is_wanted() -> None:
    wanted = meaning(service(session_affinity="ClientIP", session_affinity_timeout=600), endpoints(A), HERE)
    assert [one.affinity for one in wanted.translations] == [600]
    unwanted = meaning(service(session_affinity="None", session_affinity_timeout=600), endpoints(A), HERE)
    assert [one.affinity for one in unwanted.translations] == [0]


def balanced(*ranges: str) -> Meaning:
    return meaning(
        service(service_type="LoadBalancer", lb_ingress_ips=("203.0.113.9",), loadbalancer_source_ranges=ranges),
        endpoints(A),
        HERE,
    )


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ((), ()),
        (("198.51.100.7/24", "198.51.100.128/25"), ("198.51.100.0/24",)),
        (("198.51.100.7/32",), ("198.51.100.7",)),
        (("198.51.100.7/32", "0.0.0.0/0"), ()),
        (("2001:db8::/32",), ()),
        (("nonsense", "198.51.100.7"), ("198.51.100.7",)),
    ],
)
def test_source_ranges_guard_the_load_balancers_address_alone(
    ranges: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    sources = {one.frontend.kind: one.sources for one in balanced(*ranges).translations}
    assert sources == {Kind.CLUSTER_IP: (), Kind.LOAD_BALANCER: expected}


def test_source_ranges_guard_an_address_that_is_an_external_one_as_well() -> None:
    wanted = service(
        service_type="LoadBalancer",
        external_ips=("203.0.113.9", "203.0.113.1"),
        lb_ingress_ips=("203.0.113.9",),
        loadbalancer_source_ranges=("198.51.100.0/24",),
    )
    sources = {one.frontend.address: one.sources for one in meaning(wanted, endpoints(A), HERE).translations}
    assert sources == {"10.96.0.1": (), "203.0.113.9": ("198.51.100.0/24",), "203.0.113.1": ()}


def test_source_ranges_that_are_all_wrong_open_nothing() -> None:
    found = balanced("nonsense")
    assert [one.frontend.kind for one in found.translations] == [Kind.CLUSTER_IP]
    assert found.problems == ("loadBalancerSourceRanges: 'nonsense' is not a subnet",)


def test_the_health_port_counts_ready_endpoints_of_the_node() -> None:
    local = {"health_check_node_port": 32000, "external_traffic_policy": "Local", "service_type": "LoadBalancer"}
    found = meaning(service(**local), endpoints(A, B), HERE).health
    assert found is not None
    assert (found.port, found.local_backends) == (32000, 1)
    found = meaning(service(**local), endpoints(B, other=(ending(A),)), HERE).health
    assert found is not None
    assert found.local_backends == 0
    assert meaning(service(health_check_node_port=32000), endpoints(A), HERE).health is None
    assert meaning(service(**local, other_proxy=True), endpoints(A), HERE).health is None


@pytest.mark.parametrize(
    ("changes", "record", "problem", "left"),
    [
        ({"port": ()}, endpoints(A), "it has no ports", {}),
        ({"cluster_ip": "10.96.0"}, endpoints(A), "clusterIP: '10.96.0' cannot be the address of a service", {}),
        (
            {"external_ips": ("x", "203.0.113.1")},
            endpoints(A),
            "externalIPs: 'x' cannot be the address of a service",
            {CLUSTER: ([A], "same"), EXTERNAL: ([A], "same")},
        ),
        (
            {"external_ips": ("127.0.0.1",)},
            endpoints(A),
            "externalIPs: '127.0.0.1' cannot be the address of a service",
            {CLUSTER: ([A], "same")},
        ),
        *(
            (
                {"external_ips": (special,)},
                endpoints(A),
                f"externalIPs: {special!r} cannot be the address of a service",
                {CLUSTER: ([A], "same")},
            )
            for special in ("0.0.0.0", "169.254.1.1", "224.0.0.1", "fe80::1%eth0", "::ffff:10.0.0.1")
        ),
        (
            {"port": (ServicePort(name="z", protocol="TCP"), ServicePort(protocol="TCP", port=80))},
            endpoints(A),
            "port z has the number 0, which is not between 1 and 65535",
            {CLUSTER: ([A], "same")},
        ),
        (
            {"port": (ServicePort(protocol="ICMP", port=80),)},
            endpoints(A),
            "the port has the unknown protocol 'ICMP'",
            {},
        ),
        ({}, endpoints(A, "10.1"), "'10.1' cannot be the address of an endpoint", {CLUSTER: ([A], "same")}),
        (
            {},
            endpoints(A, port=0),
            "an endpoint has the port 0, which is not between 1 and 65535",
            {CLUSTER: ("reject", "same")},
        ),
        (
            {"port": (ServicePort(name="a", protocol="TCP", port=80), ServicePort(name="b", protocol="TCP", port=80))},
            endpoints(A, name="a"),
            "10.96.0.1 tcp/80 is taken by another port of it",
            {CLUSTER: ([A], "same")},
        ),
    ],
)
def test_what_is_wrong_is_left_out_by_name(
    changes: dict[str, Any], record: Endpoints, problem: str, left: dict[str, Any]
) -> None:
    found = meaning(service(**changes), record, HERE)
    assert found.problems == (problem,)
    assert seen(found) == left


def test_a_frontend_belongs_to_the_first_by_name_and_to_an_address_before_a_node_port() -> None:
    claims = Claims()
    node_port = service(service_type="NodePort", port=(ServicePort(protocol="TCP", port=80, node_port=30080),))
    assert claims.put("b/late", service(external_ips=("203.0.113.1",)), tuple)[0] == ()
    external = service(cluster_ip="10.96.0.2", external_ips=("203.0.113.1",))
    assert claims.put("a/early", external, tuple)[0] == ("b/late",)
    assert claims.owner_of(("203.0.113.1", "tcp", 80), is_node_port=False) == "a/early"
    assert claims.put("c/port", node_port, lambda: HERE.addresses)[0] == ("b/late",)
    assert claims.owner_of(("192.168.0.1", "tcp", 30080), is_node_port=True) == "c/port"
    there = service(
        cluster_ip="10.96.0.3", external_ips=("192.168.0.1",), port=(ServicePort(protocol="TCP", port=30080),)
    )
    assert claims.put("d/address", there, lambda: HERE.addresses)[0] == ("c/port",)
    assert claims.owner_of(("192.168.0.1", "tcp", 30080), is_node_port=True) == "d/address"
    assert claims.put("a/early", None, tuple)[0] == ("b/late",)
    assert claims.owner_of(("203.0.113.1", "tcp", 80), is_node_port=False) == "b/late"
    assert claims.put("d/address", there, lambda: HERE.addresses)[0] == ()


def test_a_cluster_ip_is_its_services_own_whoever_names_it_as_an_external_one() -> None:
    claims = Claims()
    own, port = service(cluster_ip="10.96.0.10"), ("10.96.0.10", "tcp", 80)
    claims.put("kube-system/dns", own, tuple)
    thief = service(cluster_ip="10.96.0.2", external_ips=("10.96.0.10",))
    assert claims.put("a/thief", thief, tuple)[0] == ("kube-system/dns",)
    assert claims.owner_of(port, is_node_port=False) == "kube-system/dns"
    assert claims.put("kube-system/dns", service(external_ips=("10.96.0.10",)), tuple)[0] == ("a/thief",)
    assert claims.owner_of(port, is_node_port=False) == "a/thief"
    assert claims.put("kube-system/dns", own, tuple)[0] == ("a/thief",)
    assert claims.owner_of(port, is_node_port=False) == "kube-system/dns"
    claims.put("kube-system/dns", None, tuple)
    assert claims.owner_of(port, is_node_port=False) == "a/thief"


def test_an_empty_destination_says_what_becomes_of_connections() -> None:
    [translation] = meaning(service(), None, HERE).translations
    assert translation.inside.empty is Empty.REJECT


def test_refusals_are_told_once_and_forgotten_when_all_is_right(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for _ in range(2):
        refusals.note("service", "default/web", ["it has no ports"])
    assert caplog.text.count("it has no ports") == 1
    assert refusals.as_json() == [{"kind": "service", "id": "default/web", "reasons": ["it has no ports"]}]
    refusals.note("service", "default/web", [])
    assert refusals.as_json() == []
    assert refusals.of("service", "default/web") == ()
