"""What services will rely on of VPP's cnat, shown with packets; what else was found: docs/vpp-services.md."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.values.interfaces import Loopback
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation
from tests.integration.dataplane.lab import BVI, GATEWAY, HOST, NIC, OUTSIDE, Lab, LabNode, Talk, ping
from tests.integration.dataplane.vpp import OF_PLUGINS

pytestmark = [pytest.mark.vpp, pytest.mark.root]
SERVICE, SERVICE6 = "10.96.0.1", "fd00:96::1"
PODS = ("pod1", "pod2", "pod3")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, pods=len(PODS)).running() as made:
        await _translate(made.nodes[0])
        yield made


@pytest.fixture
async def two_nodes(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, nodes=2, pods=len(PODS)).running() as made:
        for node in made.nodes:
            await _translate(node)
        yield made


async def _translate(node: LabNode) -> None:
    await node.put(*(TranslatedInterface(name) for name in (*PODS, NIC, HOST)), TranslatedInterface(BVI, passing=True))


def _service(*addresses: str, port: int = 8080) -> Translation:
    return Translation("tcp", SERVICE, 80, tuple(Backend(address, port) for address in addresses))


async def test_a_service_is_reached_from_everywhere_and_sees_who_asks(two_nodes: Lab) -> None:
    near, far = two_nodes.nodes
    server = two_nodes.serve(near.pod(2), 8080)
    for node in two_nodes.nodes:
        await node.put(_service(near.pod_address(2)))
        await node.put(_node_port(node.address, near.pod_address(2)))

    def seen(netns: str, address: str, port: int) -> str:
        return two_nodes.seen_as(netns, server, address, port)

    assert seen(near.pod(1), SERVICE, 80) == near.pod_address(1)
    assert seen(far.pod(1), SERVICE, 80) == far.pod_address(1), "through the tunnel and back"
    assert seen(near.netns, SERVICE, 80) == near.host
    assert seen(far.netns, SERVICE, 80) == far.host
    assert seen(near.pod(1), near.address, 30080) == near.pod_address(1)
    assert seen(two_nodes.outside, near.address, 30080) == OUTSIDE


async def test_a_pipe_before_the_tunnel_takes_clients_from_outside_to_pods_of_another_node(two_nodes: Lab) -> None:
    """As a tunnel's end must not translate, what needs another source gets it in a pipe between both tables."""
    near, far = two_nodes.nodes
    for node, other in ((near, far), (far, near)):
        await node.take(VppRoute("10.1.0.0/16", 0, via_vrf=1))
        await node.put(VppRoute(f"10.1.{node.number}.0/24", 0, via_vrf=1), SourceNat(GATEWAY, node.address))
        await node.put(*(SourceNatInterface(name, "pod") for name in (*PODS, BVI)))
        await node.put(VppRoute(f"{other.address}/32", 1, f"192.168.30.{other.number}", BVI))
        await node.put(*(_node_port(one.address, far.pod_address(1)) for one in two_nodes.nodes))
        for line in (
            "pipe create instance 0",
            "set interface ip table pipe0.1 1",
            "set interface ip6 table pipe0.1 1",
            *(f"set interface state {name} up" for name in ("pipe0", "pipe0.0", "pipe0.1")),
            "set interface unnumbered pipe0.0 use host-nic",
            "set interface unnumbered pipe0.1 use loop0",
            f"ip route add {node.address}/32 table 1 via pipe0.1",
            "ip route add 10.1.0.0/16 via pipe0.0",
            "set cnat feature pipe0.0 enable",
            "set interface feature pipe0.1 cnat-lookup-ip4 arc ip4-unicast",
            "set interface feature pipe0.1 cnat-writeback-ip4 arc ip4-output",
        ):
            assert "rror" not in (said := node.vpp.cli(line)), said
    server = two_nodes.serve(far.pod(1), 8080)
    assert two_nodes.seen_as(two_nodes.outside, server, near.address, 30080) == near.address
    assert two_nodes.seen_as(two_nodes.outside, server, far.address, 30080) == OUTSIDE
    assert two_nodes.seen_as(near.pod(1), server, near.address, 30080) == near.pod_address(1)
    assert two_nodes.seen_as(near.pod(1), server, far.address, 30080) == near.pod_address(1)


def _node_port(address: str, pod: str) -> Translation:
    return Translation("tcp", address, 30080, (Backend(pod, 8080),))


async def test_a_table_that_was_there_before_the_first_translation_is_translated_in(lab: Lab) -> None:
    """The lab's tables are, and VPP would send the packets of pods on without a look at them."""
    [node] = lab.nodes
    server6 = lab.serve(node.pod(2), 8080, family=socket.AF_INET6)
    await node.put(Translation("tcp", SERVICE6, 80, (Backend(node.pod_address6(2), 8080),)))
    assert lab.seen_as(node.pod(1), server6, SERVICE6, 80) == node.pod_address6(1)


async def test_pods_leave_the_cluster_and_reach_themselves_with_the_source_of_the_node(lab: Lab) -> None:
    [node] = lab.nodes
    await node.put(
        SourceNat(GATEWAY, node.address),
        SparedSubnet("10.1.0.0/16"),
        SparedSubnet("172.30.0.0/16"),
        *(SourceNatInterface(name, role) for name in PODS for role in ("inside4", "pod")),
        SourceNatInterface(HOST, "pod"),
        _service(node.pod_address(1)),
    )
    outside, itself = lab.serve(lab.outside, 7000), lab.serve(node.pod(1), 8080)
    other, host = lab.serve(node.pod(2), 8080), lab.serve(node.netns, 9000)
    assert lab.seen_as(node.pod(1), outside, OUTSIDE, 7000) == node.address
    assert ping(node.pod(1), OUTSIDE)
    assert ping(lab.outside, node.address), "the node itself still answers"
    assert lab.seen_as(node.pod(1), itself, SERVICE, 80) == node.address
    assert lab.seen_as(node.pod(1), other, node.pod_address(2), 8080) == node.pod_address(1)
    assert lab.seen_as(node.pod(1), host, node.host, 9000) == node.pod_address(1)


async def test_connections_stay_when_other_backends_come_and_go_and_end_with_their_own(lab: Lab) -> None:
    [node] = lab.nodes
    service = _service(node.pod_address(2))
    await node.put(service)
    second, third = lab.serve(node.pod(2), 8080), lab.serve(node.pod(3), 8080)
    with lab.connect(node.pod(1), second, SERVICE, 80) as talk:
        await node.put(_service(node.pod_address(2), node.pod_address(3)))
        assert talk.goes_on()
        await node.put(_service(node.pod_address(3)))
        assert await _ends(talk)
    assert lab.seen_as(node.pod(1), third, SERVICE, 80)


async def _ends(talk: Talk) -> bool:
    """Whether a connection is cut within five seconds."""
    talk.server.settimeout(0.2)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not talk.goes_on():
            return True
        await asyncio.sleep(0.05)
    return False


async def test_datagrams_go_to_the_new_backend_soon_after_the_old_one_went(lab: Lab) -> None:
    [node] = lab.nodes
    servers = {number: lab.open(node.pod(number), socket.SOCK_DGRAM) for number in (2, 3)}
    for server in servers.values():
        server.bind(("", 5353))
        server.settimeout(0.05)
    client = lab.open(node.pod(1), socket.SOCK_DGRAM)
    client.bind(("", 5000))
    service = Translation("udp", SERVICE, 53, (Backend(node.pod_address(2), 5353),))
    await node.put(service)

    def arrives_at(number: int) -> bool:
        client.sendto(b"question", (SERVICE, 53))
        try:
            return servers[number].recv(100) == b"question"
        except TimeoutError:
            return False

    assert arrives_at(2)
    await node.put(dataclasses.replace(service, backends=(Backend(node.pod_address(3), 5353),)))
    deadline = time.monotonic() + 5
    while not arrives_at(3):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_where_nothing_is_translated_a_route_refuses_at_once(lab: Lab) -> None:
    [node] = lab.nodes
    await node.put(VppRoute("10.96.0.0/12", 1, kind="unreachable"), _service(node.pod_address(2)))
    server = lab.serve(node.pod(2), 8080)
    assert lab.seen_as(node.pod(1), server, SERVICE, 80), "what is translated is never looked up"
    client = lab.open(node.pod(1))
    with pytest.raises(OSError, match="No route to host"):
        client.connect(("10.96.0.77", 80))


async def test_sessions_whose_way_back_others_took_are_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = OF_PLUGINS["cnat"].replace(" }", " session-max-age 2 }")
    monkeypatch.setitem(OF_PLUGINS, "cnat", short)
    async with Lab(tmp_path, pods=2).running() as lab:
        [node] = lab.nodes
        await node.put(TranslatedInterface("pod1"), TranslatedInterface("pod2"))
        services = ("10.96.0.1", "10.96.0.2")
        backends = (Backend(node.pod_address(2), 8080),)
        await node.put(*(Translation("udp", address, 80, backends) for address in services))

        def sessions() -> int:
            return int(node.vpp.cli("show", "cnat", "timestamp").split()[-1])

        for port in range(20_000, 20_050):
            for address in services:
                with lab.open(node.pod(1), socket.SOCK_DGRAM) as client:
                    client.bind(("", port))
                    client.sendto(b"x", (address, 80))
        assert sessions() >= 100
        async with asyncio.timeout(20):
            while sessions() > 5:
                await asyncio.sleep(0.5)


async def test_affinity_takes_a_client_to_one_backend(lab: Lab) -> None:
    [node] = lab.nodes
    addresses = [node.pod_address(2), node.pod_address(3)]
    await node.put(dataclasses.replace(_service(*addresses), affinity=True))
    servers = [lab.serve(node.pod(2), 8080), lab.serve(node.pod(3), 8080)]
    for server in servers:
        server.setblocking(False)
    reached = set()
    for _ in range(20):
        with lab.open(node.pod(1)) as client:
            client.connect((SERVICE, 80))
            for at, server in enumerate(servers):
                try:
                    server.accept()[0].close()
                    reached.add(at)
                except BlockingIOError:
                    continue
    assert len(reached) == 1


async def test_sctp_is_translated_there_and_back(lab: Lab) -> None:
    """The kernel here has no SCTP, so the test sends the first chunk of an association itself."""
    [node] = lab.nodes
    await node.put(Translation("sctp", SERVICE, 7, (Backend(node.pod_address(2), 77),)))
    server = lab.open(node.pod(2), socket.SOCK_RAW, protocol=socket.IPPROTO_SCTP)
    client = lab.open(node.pod(1), socket.SOCK_RAW, protocol=socket.IPPROTO_SCTP)
    client.sendto(_sctp_init(1000, 7), (SERVICE, 0))
    packet, _ = server.recvfrom(200)
    assert struct.unpack_from("!HH", packet, 20) == (1000, 77)
    server.sendto(_sctp_init(77, 1000), (node.pod_address(1), 0))
    packet, (sender, _) = client.recvfrom(200)
    assert (sender, struct.unpack_from("!HH", packet, 20)) == (SERVICE, (7, 1000))


def _sctp_init(source: int, destination: int) -> bytes:
    return struct.pack("!HHIIBBHIIHHI", source, destination, 0, 0, 1, 0, 20, 1, 65535, 1, 1, 1)


async def test_an_idle_interface_keeps_the_policy_without_being_translated(lab: Lab) -> None:
    [node] = lab.nodes
    await node.put(
        Loopback("idle", "02:fe:00:00:00:77"), SourceNat("idle", node.address), SourceNatInterface("pod1", "inside4")
    )
    outside = lab.serve(lab.outside, 7000)
    assert lab.seen_as(node.pod(1), outside, OUTSIDE, 7000) == node.address
    await node.take(SourceNat("idle", node.address), SourceNatInterface("pod1", "inside4"))
    assert lab.seen_as(node.pod(1), outside, OUTSIDE, 7000) == "", (
        "the source is the pod's again, and nobody answers it"
    )
