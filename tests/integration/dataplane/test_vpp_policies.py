"""What policies will rely on of VPP's access lists, shown with packets; what else was found: docs/vpp-policies.md."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation
from tests.integration.dataplane.lab import HOST, Lab, ping

pytestmark = [pytest.mark.vpp, pytest.mark.root]
SERVICE, ANY, ANY6 = "10.96.0.1", "0.0.0.0/0", "::/0"
ICMP, TCP, UDP, SCTP = 1, 6, 17, 132
_RECEIVE_BUFFER_OF_ANY_SIZE = 33  # SO_RCVBUFFORCE
DENY = Acl("deny", (AclRule("deny", ANY, ANY), AclRule("deny", ANY6, ANY6)))


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, pods=3).running() as made:
        [node] = made.nodes
        await node.put(
            *(TranslatedInterface(name) for name in ("pod1", "pod2", "pod3", HOST)),
            Translation("tcp", SERVICE, 80, (Backend(node.pod_address(2), 8080),)),
            DENY,
        )
        yield made


def _from(address: str, protocol: int = TCP, ports: tuple[int, int] = (8080, 8080)) -> AclRule:
    """Connections from an address, and their replies."""
    subnet = f"{address}/{128 if ':' in address else 32}"
    return AclRule("reflect", subnet, ANY6 if ":" in address else ANY, protocol, destination_ports=ports)


async def test_egress_sees_the_backend_not_the_service(lab: Lab) -> None:
    [node] = lab.nodes
    server = lab.serve(node.pod(2), 8080)
    to_service = Acl("out", (AclRule("reflect", ANY, f"{SERVICE}/32"),))
    await node.put(to_service, AclList("pod1", ("out", "deny"), ("deny",)))
    assert lab.seen_as(node.pod(1), server, SERVICE, 80) == ""
    await node.put(Acl("out", (AclRule("reflect", ANY, f"{node.pod_address(2)}/32"),)))
    assert lab.seen_as(node.pod(1), server, SERVICE, 80) == node.pod_address(1)
    assert lab.seen_as(node.pod(1), lab.serve(node.pod(3), 8080), node.pod_address(3), 8080) == ""


async def test_ingress_sees_the_client_and_replies_pass_whatever_egress_says(lab: Lab) -> None:
    [node] = lab.nodes
    server, host_side = lab.serve(node.pod(2), 8080), node.netns
    await node.put(Acl("in", (_from(node.pod_address(1)),)), AclList("pod2", ("deny",), ("in", "deny")))
    assert lab.seen_as(node.pod(1), server, SERVICE, 80) == node.pod_address(1)
    assert lab.seen_as(node.pod(3), server, SERVICE, 80) == ""
    assert lab.seen_as(host_side, server, node.pod_address(2), 8080) == "", "a probe needs a rule"
    await node.put(Acl("in", (_from(node.pod_address(1)), _from(node.host))))
    assert lab.seen_as(host_side, server, node.pod_address(2), 8080) == node.host


async def test_ipv6_is_filtered_alike(lab: Lab) -> None:
    [node] = lab.nodes
    server = lab.serve(node.pod(2), 8080, family=socket.AF_INET6)
    await node.put(Acl("in", (_from(node.pod_address6(1)),)), AclList("pod2", ("deny",), ("in", "deny")))
    assert lab.seen_as(node.pod(1), server, node.pod_address6(2), 8080) == node.pod_address6(1)
    assert lab.seen_as(node.pod(3), server, node.pod_address6(2), 8080) == ""


async def test_a_connection_that_a_new_list_forbids_is_cut_and_no_other_one(lab: Lab) -> None:
    [node] = lab.nodes
    server = lab.serve(node.pod(2), 8080)
    both = (_from(node.pod_address(1)), _from(node.pod_address(3)))
    await node.put(Acl("in", both), AclList("pod2", ("deny",), ("in", "deny")))
    with (
        lab.connect(node.pod(1), server, SERVICE, 80) as forbidden,
        lab.connect(node.pod(3), server, SERVICE, 80) as allowed,
    ):
        assert forbidden.goes_on()
        assert allowed.goes_on()
        await node.put(Acl("in", both[1:]))
        assert not forbidden.goes_on()
        assert allowed.goes_on()


async def test_a_list_is_replaced_between_two_packets(lab: Lab) -> None:
    [node] = lab.nodes
    server = lab.open(node.pod(2), socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_OF_ANY_SIZE, 8 << 20)
    server.bind(("", 53))
    server.setblocking(False)
    allowed, forbidden = lab.open(node.pod(1), socket.SOCK_DGRAM), lab.open(node.pod(3), socket.SOCK_DGRAM)
    rule = AclRule("permit", f"{node.pod_address(1)}/32", ANY, UDP)
    await node.put(Acl("in", (rule,)), AclList("pod2", ("deny",), ("in", "deny")))
    sent, stop = [0], threading.Event()

    def send() -> None:
        while not stop.wait(0.001):
            allowed.sendto(b"allowed", (node.pod_address(2), 53))
            forbidden.sendto(b"forbidden", (node.pod_address(2), 53))
            sent[0] += 1

    sending = threading.Thread(target=send)
    sending.start()
    replaced, arrived, deadline = 0, list[bytes](), time.monotonic() + 2
    while time.monotonic() < deadline:
        others = tuple(AclRule("permit", f"10.9.{replaced % 250}.{at}/32", ANY, TCP) for at in range(replaced % 50))
        await node.put(Acl("in", (*others, rule)))
        arrived += _everything(server)
        replaced += 1
    stop.set()
    await asyncio.to_thread(sending.join)
    await asyncio.sleep(0.2)
    arrived += _everything(server)
    assert replaced > 100
    assert set(arrived) == {b"allowed"}
    assert sent[0] - len(arrived) < replaced / 10, "a busy machine may lose some, but not one each time"


def _everything(server: socket.socket) -> list[bytes]:
    """What has arrived at a socket that does not wait."""
    arrived = []
    while True:
        try:
            arrived.append(server.recv(100))
        except BlockingIOError:
            return arrived


async def test_fragments_pass_where_their_first_one_does(lab: Lab) -> None:
    [node] = lab.nodes
    server, client = lab.open(node.pod(2), socket.SOCK_DGRAM), lab.open(node.pod(1), socket.SOCK_DGRAM)
    server.bind(("", 53))
    await node.put(Acl("in", (_from(node.pod_address(1), UDP, (53, 53)),)), AclList("pod2", ("deny",), ("in", "deny")))
    client.sendto(bytes(4000), (node.pod_address(2), 53))
    assert len(server.recv(9000)) == 4000


async def test_pings_and_their_replies(lab: Lab) -> None:
    [node] = lab.nodes
    echo = AclRule("reflect", ANY, ANY, ICMP, (8, 8), (0, 0))
    await node.put(Acl("in", (echo,)), AclList("pod2", ("deny",), ("in", "deny")))
    assert ping(node.pod(1), node.pod_address(2))
    assert not ping(node.pod(2), node.pod_address(1), count=1)


async def test_the_ports_of_sctp_are_not_seen(lab: Lab) -> None:
    """A rule with ports matches no SCTP at all: the day that this fails, rules for SCTP can have ports."""
    [node] = lab.nodes
    server = lab.open(node.pod(2), socket.SOCK_RAW, protocol=socket.IPPROTO_SCTP)
    client = lab.open(node.pod(1), socket.SOCK_RAW, protocol=socket.IPPROTO_SCTP)
    server.settimeout(0.5)

    def arrives(port: int) -> bool:
        packet = struct.pack("!HHIIBBHIIHHI", 1000, port, 0, 0, 1, 0, 20, 1, 65535, 1, 1, 1)
        client.sendto(packet, (node.pod_address(2), 0))
        try:
            return bool(server.recv(200))
        except TimeoutError:
            return False

    await node.put(Acl("in", (_from(node.pod_address(1), SCTP, (80, 81)),)), AclList("pod2", ("deny",), ("in", "deny")))
    assert not arrives(80)
    await node.put(Acl("in", (_from(node.pod_address(1), SCTP, (0, 65535)),)))
    assert arrives(80)
    assert arrives(90)
