"""Scheduling and endpoints, as pure functions."""

from __future__ import annotations

from typing import Any

from contivpp.playground.controller import endpoints, scheduler


def node(name: str, *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": name, "labels": {"zone": name}}, "spec": spec, "status": {"conditions": conditions}}


def pod(name: str, address: str = "", *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}
    metadata = {"name": name, "namespace": "d", "uid": f"uid-{name}", "labels": {"app": "x"}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c"}], "nodeName": "n1", **spec}, "status": status}


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    found = {"selector": {"app": "x"}, "ports": ports, "clusterIP": "10.96.0.9", **spec}
    return {"metadata": {"name": "s", "namespace": "d", "uid": "u"}, "spec": found}


def test_a_pod_goes_where_the_fewest_are_and_by_name_when_even() -> None:
    nodes = [node("a"), node("b"), node("c")]
    assert scheduler.choose(pod("p"), nodes, {"a": 1})[0] == "b"
    assert scheduler.choose(pod("p"), nodes, {"a": 1, "b": 1, "c": 1})[0] == "a"


def test_a_node_that_cannot_take_the_pod_is_passed_over_with_the_reason() -> None:
    nodes = [
        node("a", ready=False),
        node("b", unschedulable=True),
        node("c", taints=[{"key": "k", "effect": "NoSchedule"}]),
        node("d"),
    ]
    assert scheduler.choose(pod("p"), nodes, {"d": 99})[0] == "d"
    chosen, why = scheduler.choose(pod("p", nodeSelector={"zone": "nowhere"}), nodes, {})
    assert chosen == ""
    assert why.startswith("0/4 nodes are available:") and "1 not ready" in why and "node selector" in why
    tolerant = pod("p", tolerations=[{"key": "k", "operator": "Exists"}], nodeSelector={"zone": "c"})
    assert scheduler.choose(tolerant, nodes, {})[0] == "c"


def test_a_service_has_its_ready_pods() -> None:
    ending = pod("ending", "10.1.0.3")
    ending["metadata"]["deletionTimestamp"] = "now"
    pods = [pod("b", "10.1.0.2"), pod("a", "10.1.0.1", ready=False), ending, pod("no-address")]
    (made,) = endpoints.slices(service(), pods)
    assert [(e["addresses"], e["conditions"]["ready"]) for e in made["endpoints"]] == [
        (["10.1.0.1"], False),
        (["10.1.0.2"], True),
        (["10.1.0.3"], False),
    ]
    assert made["endpoints"][2]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert made["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert made["metadata"]["labels"]["kubernetes.io/service-name"] == "s"
    (subset,) = endpoints.endpoints(service(), pods)["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.1.0.2"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.1.0.1"]


def test_names_of_slices_do_not_depend_on_the_pods() -> None:
    (before,) = endpoints.slices(service(), [pod("a", "10.1.0.1")])
    (after,) = endpoints.slices(service(), [pod("a", "10.1.0.1"), pod("b", "10.1.0.2")])
    assert before["metadata"]["name"] == after["metadata"]["name"]


def test_pods_with_different_port_numbers_or_too_many_get_slices_of_their_own() -> None:
    def named(name: str, address: str, port: int) -> dict[str, Any]:
        return pod(name, address, containers=[{"name": "c", "ports": [{"name": "web", "containerPort": port}]}])

    by_name = service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])
    made = endpoints.slices(by_name, [named("a", "10.1.0.1", 8080), named("b", "10.1.0.2", 9090)])
    assert sorted(s["ports"][0]["port"] for s in made) == [8080, 9090]
    many = endpoints.slices(service(), [pod(f"p{n:03}", f"10.1.1.{n}") for n in range(150)])
    assert [len(s["endpoints"]) for s in many] == [100, 50]
    assert len({s["metadata"]["name"] for s in many}) == 2


def test_both_families_have_slices_of_their_own() -> None:
    both = pod("a", "10.1.0.1")
    both["status"]["podIPs"] = [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]
    made = endpoints.slices(service(ipFamilies=["IPv4", "IPv6"]), [both])
    assert {s["addressType"]: s["endpoints"][0]["addresses"] for s in made} == {
        "IPv4": ["10.1.0.1"],
        "IPv6": ["fd00::1"],
    }
