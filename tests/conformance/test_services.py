"""Services: every kind of frontend, from pods, hosts, other nodes and the outside, against the oracle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.conformance.services import PORT, Looks, cluster_ip, endpoints, entry, external_ip, replace, service
from tests.conformance.world import Endpoint, Probe, World, version_of

pytestmark = [pytest.mark.timeout(240)]

WEB = ("", "TCP", 80, PORT, 0)
NODE_PORT = 30080
MOST_SILENCE = 3.0


@pytest.fixture
def looks(world: World, pods: Mapping[str, Endpoint]) -> Iterator[Looks]:
    """The look at all frontends; what a case serves goes with it."""
    assert len(pods) == 6
    yield Looks(world)


def of(pods: Mapping[str, Endpoint], *names: str) -> list[Endpoint]:
    return [pods[name] for name in names]


@pytest.mark.representative
def test_a_cluster_ip_leads_to_every_endpoint_from_pods_and_hosts(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    world.apply(service("web", [cluster_ip(version, 1)], WEB))
    world.apply(endpoints("web", of(pods, "a1", "b1", "c1"), WEB, version=version))
    looks.become_right()


@pytest.mark.representative
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_every_kind_of_frontend_in_every_protocol(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int, protocol: str, needs: Callable[[str], None]
) -> None:
    if (protocol, version) == ("SCTP", 6):
        needs("sctp-ipv6")
    port = ("p", protocol, 80, PORT, NODE_PORT)
    world.apply(
        service(
            "all",
            [cluster_ip(version, 2)],
            port,
            type="LoadBalancer",
            externalIPs=[external_ip(world, version, 1)],
            ingress=[{"ip": external_ip(world, version, 2)}],
        )
    )
    if protocol == "SCTP" and "sctp-spread" in world.lacks:
        world.apply(endpoints("all", of(pods, "a1"), port, version=version))
        looks.become_right([one for one in world.everybody() if one is not pods["a1"] and one.kind != "outside"])
    else:
        world.apply(endpoints("all", of(pods, "a1", "b1"), port, version=version))
        looks.become_right()


def test_several_ports_lead_to_several_ports(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    ports = (("one", "TCP", 80, PORT, 0), ("two", "TCP", 81, 7081, 0), ("three", "UDP", 80, 7081, 0))
    for name in ("a2", "b2"):
        pods[name].station.ask("serve", ports=[[7081, "TCP"], [7081, "UDP"]])
    world.apply(service("ports", [cluster_ip(version, 3)], *ports))
    world.apply(endpoints("ports", of(pods, "a1", "b1"), ports[0], version=version, part="1"))
    world.apply(endpoints("ports", of(pods, "a2", "b2"), *ports[1:], version=version, part="2"))
    looks.become_right()


@pytest.mark.representative
def test_no_endpoint_refuses_at_once_and_one_that_comes_serves(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    port = ("t", "TCP", 80, PORT, NODE_PORT)
    world.apply(service("none", [cluster_ip(version, 4)], port, externalIPs=[external_ip(world, version, 3)]))
    looks.become_right()
    replace(world, endpoints("none", [pods["b1"]], port, version=version))
    looks.become_right()
    replace(world, endpoints("none", [], port, version=version))
    looks.become_right()


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_datagrams_without_an_endpoint_are_refused_at_once(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int, protocol: str, needs: Callable[[str], None]
) -> None:
    if protocol == "SCTP":
        needs("sctp-refusal")
    port = ("", protocol, 53, PORT, 0)  # one frontend: a kernel sends the same machine few ICMP errors a second
    world.apply(service("mute", [cluster_ip(version, 31)], port))
    looks.become_right()
    world.apply(endpoints("mute", [pods["b1"]], port, version=version))
    looks.become_right()


def test_endpoints_on_the_host_network_and_without_a_target(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    world.apply(service("hosts", [cluster_ip(version, 5)], WEB))
    plain = {"addresses": [pods["c1"].address(version)], "conditions": {}}
    members = [*(world.hosts[node] for node in world.nodes[:2]), plain]
    world.apply(endpoints("hosts", members, WEB, version=version))
    looks.become_right()


@pytest.mark.representative
def test_a_pod_reaches_itself_through_its_service(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    ports = (("t", "TCP", 80, PORT, NODE_PORT), ("u", "UDP", 80, PORT, NODE_PORT))
    world.apply(service("self", [cluster_ip(version, 6)], *ports))
    world.apply(endpoints("self", [pods["a1"]], *ports, version=version))
    looks.become_right([pods["a1"]])


@pytest.mark.representative
def test_the_local_policies_bind_whom_they_have_to(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    inside, outside = ("", "TCP", 80, PORT, 0), ("", "TCP", 80, PORT, NODE_PORT)
    world.apply(service("inner", [cluster_ip(version, 7)], inside, internalTrafficPolicy="Local"))
    world.apply(endpoints("inner", of(pods, "a1", "b1", "b2"), inside, version=version))
    external = {"externalTrafficPolicy": "Local", "externalIPs": [external_ip(world, version, 4)]}
    world.apply(service("outer", [cluster_ip(version, 8)], outside, **external))
    world.apply(endpoints("outer", of(pods, "b1", "c1"), outside, version=version))
    looks.become_right()


@pytest.mark.representative
def test_the_clients_address_is_kept_wherever_replies_find_back(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    near, far = ("", "TCP", 80, PORT, NODE_PORT), ("", "TCP", 80, PORT, NODE_PORT + 1)
    world.apply(service("near", [cluster_ip(version, 9)], near, externalTrafficPolicy="Local"))
    world.apply(endpoints("near", of(pods, "a2", "b1"), near, version=version))
    world.apply(service("far", [cluster_ip(version, 10)], far))
    world.apply(endpoints("far", of(pods, "b1"), far, version=version))
    looks.become_right()
    first = next(one for one in world.node_addresses(world.nodes[0], of=world.outside) if version_of(one) == version)
    probes = [
        Probe(pods["a1"], cluster_ip(version, 9), 80),
        Probe(pods["a1"], cluster_ip(version, 10), 80),
        Probe(pods["a1"], first, NODE_PORT),
        Probe(pods["a1"], first, NODE_PORT + 1),
        Probe(world.outside, first, NODE_PORT),
    ]
    for result in world.probe(probes):
        assert result.seen_source == result.probe.source.address(version), result
    [hidden] = world.probe([Probe(world.outside, first, NODE_PORT + 1)])
    assert hidden.seen_source in world.node_addresses(world.nodes[0]) or world.hosts[world.nodes[0]].station.ask(
        "owns", addresses=[hidden.seen_source]
    ) == [True]


def test_only_the_source_ranges_of_a_load_balancer_may_connect(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    port = ("", "TCP", 80, PORT, NODE_PORT)
    length = 32 if version == 4 else 128
    open_to = [f"{pods['a1'].address(version)}/{length}", f"{world.outside.address(version)}/{length}"]
    for number, ranges in ((5, open_to), (6, ["203.0.113.0/24"] if version == 4 else ["2001:db8::/32"])):
        name, ingress = f"lb{number}", [{"ip": external_ip(world, version, number)}]
        node_port = (*port[:4], NODE_PORT + number)
        world.apply(
            service(
                name,
                [cluster_ip(version, 10 + number)],
                node_port,
                type="LoadBalancer",
                ingress=ingress,
                loadBalancerSourceRanges=ranges,
            )
        )
        world.apply(endpoints(name, of(pods, "a2", "b1"), node_port, version=version))
    looks.become_right()


def test_hints_zones_and_endpoints_that_end_are_heeded(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    def hinted(name: str, node: str) -> Mapping[str, object]:
        return entry(pods[name], version, hints={"forNodes": [{"name": node}]})

    first, second, third = world.nodes
    world.apply(service("hints", [cluster_ip(version, 20)], WEB))
    world.apply(endpoints("hints", [hinted("a1", first), hinted("b1", second)], WEB, version=version))
    ending = {"ready": False, "serving": True, "terminating": True}
    world.apply(service("ends", [cluster_ip(version, 21)], WEB, internalTrafficPolicy="Local"))
    members = [entry(pods["a1"], version, conditions=ending), entry(pods["b1"], version, conditions=ending), pods["b2"]]
    world.apply(endpoints("ends", members, WEB, version=version))
    world.apply(service("over", [cluster_ip(version, 22)], WEB))
    gone = {"ready": False, "serving": False, "terminating": True}
    members = [entry(pods["a1"], version, conditions=ending), entry(pods["c1"], version, conditions=gone)]
    world.apply(endpoints("over", members, WEB, version=version))
    assert third
    looks.become_right()


def test_a_headless_service_and_one_that_is_a_name_are_nothing_here(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    headless = service("headless", ["None"], WEB)
    headless["spec"].pop("ipFamilies")
    headless["spec"]["clusterIPs"] = ["None"]
    named = service("named", [""], WEB, type="ExternalName", externalName="example.org")
    named["spec"].pop("ipFamilies")
    named["spec"]["clusterIPs"] = []
    world.apply(service("real", [cluster_ip(version, 23)], WEB))
    world.apply(endpoints("real", of(pods, "a1"), WEB, version=version))
    looks.become_right()
    for item in (headless, named):
        world.apply(item)
    time.sleep(0.5)
    world.objects[:] = [item for item in world.objects if item not in (headless, named)]
    looks.become_right()
    for item in (headless, named):
        world.delete(item)
    assert world.not_ready() == {}


def test_a_service_that_is_wrong_hurts_no_other(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int, needs: Callable[[str], None]
) -> None:
    needs("wrong-objects")
    world.apply(service("good", [cluster_ip(version, 24)], WEB))
    world.apply(endpoints("good", of(pods, "b1"), WEB, version=version))
    wrong = [
        service("portless", [cluster_ip(version, 25)]),
        service("portzero", [cluster_ip(version, 26)], ("", "TCP", 0, PORT, 0)),
    ]
    for item in wrong:
        world.apply(item)
    world.objects[:] = [item for item in world.objects if item not in wrong]
    looks.become_right()
    for item in wrong:
        world.delete(item)
    assert world.not_ready() == {}


def test_a_client_keeps_its_endpoint_for_as_long_as_it_comes_back(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    port = ("", "TCP", 80, PORT, NODE_PORT)
    spec = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 2}}}
    address = cluster_ip(version, 27)
    world.apply(service("sticky", [address], port, **spec))
    members = of(pods, "a1", "a2", "b1", "b2", "c2")
    world.apply(endpoints("sticky", members, port, version=version))
    source = pods["c1"]

    node = next(one for one in world.node_addresses(source.node, of=source) if version_of(one) == version)

    def ask(times: int, probe: Probe | None = None) -> set[str]:
        asked = world.probe([probe or Probe(source, address, 80)] * times)
        return {one.answered_by if one.reached else one.error for one in asked}

    world.until(lambda: ask(1) <= {pod.name for pod in members}, "the service answers")
    [kept] = first = ask(1)
    assert ask(20) == first
    assert ask(10, Probe(source, node, NODE_PORT)) == first, "it is the service's port that it keeps, at any address"
    if "affinity-timeout" in world.lacks:
        return
    others = [pod for pod in members if pod.name != kept]
    replace(world, endpoints("sticky", [*others[:3], pods[kept]], port, version=version))
    time.sleep(1.0)
    assert ask(10) == first, "another endpoint went, and the client lost its own"
    replace(world, endpoints("sticky", others, port, version=version))
    world.until(lambda: kept not in ask(1), "an endpoint that is gone is left")
    [now] = second = ask(1)
    assert now in {pod.name for pod in others}
    assert ask(10) == second
    seen = set(second)
    for _ in range(6):
        time.sleep(2.5)
        seen |= ask(1)
    assert len(seen) > 1, "the client kept its endpoint for ever"


@pytest.mark.representative
def test_two_connections_of_one_port_through_two_frontends_to_one_endpoint_do_not_mix(
    world: World, pods: Mapping[str, Endpoint], version: int, needs: Callable[[str], None]
) -> None:
    needs("port-clash")
    addresses = [cluster_ip(version, 33), cluster_ip(version, 34)]
    source = pods["a1"]
    for name, address in zip(("first", "second"), addresses, strict=True):
        world.apply(service(name, [address], WEB))
        world.apply(endpoints(name, [pods["b1"]], WEB, version=version))
        world.until(lambda: world.probe([Probe(source, address, 80)])[0].reached, "the service answers")  # noqa: B023
    held = [source.station.start("hold", address=one, port=80, source=9_000).begin() for one in addresses]
    assert [one.stop()["error"] for one in held] == ["", ""]


def test_established_connections_outlive_other_endpoints(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    address = cluster_ip(version, 28)
    world.apply(service("long", [address], WEB))
    world.apply(endpoints("long", of(pods, "b1"), WEB, version=version))
    source = pods["a1"]
    world.until(lambda: world.probe([Probe(source, address, 80)])[0].reached, "the service answers")
    streams = [source.station.start("stream", address=address, port=80).begin() for _ in range(3)]
    changes = [("b1", "c1"), ("a2", "b1", "c1"), ("b1",)]
    if "removed-endpoint" not in world.lacks:
        changes += [("c1",), ("a2", "c1")]
    for members in changes:
        replace(world, endpoints("long", of(pods, *members), WEB, version=version))
        time.sleep(0.7)
    for stream in streams:
        said = stream.stop()
        assert (said["same"], said["error"]) == (True, ""), said
        assert said["gap"] < MOST_SILENCE, said


def test_udp_leaves_an_endpoint_that_is_gone(world: World, pods: Mapping[str, Endpoint], version: int) -> None:
    port = ("", "UDP", 53, PORT, 0)
    address = cluster_ip(version, 29)
    gone = world.make_pod("gone", world.nodes[1])
    world.apply(service("names", [address], port))
    world.apply(endpoints("names", [gone], port, version=version))
    source = pods["a1"]
    world.until(lambda: world.probe([Probe(source, address, 53, "UDP")])[0].reached, "the service answers")
    flow = source.station.start("pulse", address=address, port=53, every=0.05)
    time.sleep(1.0)
    replace(world, endpoints("names", [pods["c1"]], port, version=version))
    time.sleep(0.5)
    world.delete_pod(gone, abruptly=True)
    time.sleep(1.5)
    said = flow.stop()
    assert said["silence"] < MOST_SILENCE, said


def test_a_forwarder_that_died_comes_back_with_all_services(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    if "forwarder" not in world.roles:
        pytest.skip("the kernel carries the packets, and does not die alone")
    port = ("", "TCP", 80, PORT, NODE_PORT)
    world.apply(service("back", [cluster_ip(version, 32)], port))
    world.apply(endpoints("back", of(pods, "a1", "b1"), port, version=version))
    looks.become_right()
    for node in world.nodes[:2]:
        world.kill("forwarder", node)
        world.start("forwarder", node)
    world.wait_until_ready()
    looks.become_right()


def test_an_agent_that_starts_again_finds_its_services_as_they_are(
    world: World, pods: Mapping[str, Endpoint], looks: Looks, version: int
) -> None:
    port = ("", "TCP", 80, PORT, NODE_PORT)
    world.apply(service("stay", [cluster_ip(version, 30)], port))
    world.apply(endpoints("stay", of(pods, "b1", "c1"), port, version=version))
    looks.become_right()
    stream = pods["a2"].station.start("stream", address=cluster_ip(version, 30), port=80).begin()
    node = world.nodes[0]
    world.kill("agent", node)
    looks.become_right([pods["a1"], world.outside])
    world.start("agent", node)
    world.wait_until_ready()
    looks.become_right()
    said = stream.stop()
    assert (said["same"], said["error"]) == (True, ""), said
    assert said["gap"] < MOST_SILENCE, said
