"""Packets through what the driver makes of VPP's interfaces: VLANs, memif, cross-connects, proxy ARP, punts, DHCP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.arp import ProxyArp, ProxyArpRange
from contivpp.dataplane.vpp.values.crossing import L2CrossConnect, L3CrossConnect
from contivpp.dataplane.vpp.values.dhcp import DhcpClient, DhcpLease
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.dataplane.vpp.values.memif import Memif, MemifSocket
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface, TagRewrite
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState
from tests.integration.cluster import ip
from tests.integration.dataplane.dhcp_server import DhcpServer
from tests.integration.dataplane.pods import Pod, pod_of
from tests.integration.dataplane.vpp import RealVpp, connected, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]
_VLAN = 0x8100
_AUXDATA = 8  # PACKET_AUXDATA: the kernel takes the tag out of a frame, and says it here
_SOL_PACKET = 263


@pytest.fixture
def pods(netns: str, vpp: RealVpp) -> Iterator[tuple[Pod, Pod]]:
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(pod_of(netns, 1)), stack.enter_context(pod_of(netns, 2))


def attached(pod: Pod, number: int) -> HostInterface:
    return HostInterface(pod.link, pod.link, f"02:fe:00:00:02:{number:02x}", 1500)


async def made(plane: VppDataplane, *values: Any) -> Scheduler:
    scheduler = Scheduler(plane.descriptors())
    result = await scheduler.commit(keyed([*values]))
    assert dict(result.errors) == {}
    return scheduler


async def until(check: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(check):
            await asyncio.sleep(0.05)


# ---- frames with tags


def arp_request(pod: Pod, sender: str, wanted: str, tags: list[int]) -> bytes:
    """An ARP request, with VLAN tags, the outer one first."""
    mac = bytes.fromhex(pod.mac.replace(":", ""))
    frame = b"\xff" * 6 + mac + b"".join(struct.pack("!HH", _VLAN, tag) for tag in tags) + struct.pack("!H", 0x0806)
    frame += struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(sender)
    return (frame + bytes(6) + socket.inet_aton(wanted)).ljust(64, b"\0")


def arp_answer(pod: Pod, sender: str, wanted: str, tags: list[int]) -> list[int] | None:
    """The tags of the answer to an ARP request; None without an answer within a second."""
    with pod.raw() as raw:
        raw.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        raw.settimeout(1)
        raw.send(arp_request(pod, sender, wanted, tags))
        with contextlib.suppress(TimeoutError):
            while True:
                frame, auxiliary, _, _ = raw.recvmsg(2048, 256)
                found = [struct.unpack_from("HH", data, 16)[0] & 0xFFF for _, _, data in auxiliary if data[0] & 0x10]
                at = 12
                while struct.unpack_from("!H", frame, at)[0] == _VLAN:
                    found.append(struct.unpack_from("!H", frame, at + 2)[0] & 0xFFF)
                    at += 4
                kind, operation = struct.unpack_from("!H", frame, at)[0], struct.unpack_from("!H", frame, at + 8)[0]
                if (kind, operation) == (0x0806, 2):
                    return found
    return None


async def test_a_vlan_is_an_interface_of_its_own(plane: VppDataplane, pods: tuple[Pod, Pod]) -> None:
    one, _ = pods
    await made(
        plane,
        *(attached(one, 1), SubInterface("vlan", one.link, 100), SubInterface("inner", one.link, 200, 300)),
        *(InterfaceAddress("vlan", "10.7.0.1/24"), InterfaceAddress("inner", "10.8.0.1/24")),
    )
    assert arp_answer(one, "10.7.0.2", "10.7.0.1", [100]) == [100]
    assert arp_answer(one, "10.8.0.2", "10.8.0.1", [200, 300]) == [200, 300]
    for tags in ([], [101], [200], [100, 300]):
        assert arp_answer(one, "10.7.0.2", "10.7.0.1", tags) is None, "other tags are another interface's"


async def test_tags_are_taken_off_and_put_on_between_a_vlan_and_a_pod(
    plane: VppDataplane, pods: tuple[Pod, Pod]
) -> None:
    one, two = pods
    two.has("10.7.0.2/24")
    await made(
        plane,
        *(attached(one, 1), attached(two, 2), SubInterface("vlan", one.link, 100), TagRewrite("vlan", "pop-1")),
        *(L2CrossConnect("vlan", two.link), L2CrossConnect(two.link, "vlan")),
    )
    assert arp_answer(one, "10.7.0.1", "10.7.0.2", [100]) == [100], "the pod knows nothing of tags"


# ---- memif


@pytest.mark.parametrize("mode", ["ethernet", "ip"])
async def test_two_vpps_reach_each_other_through_shared_memory(
    plane: VppDataplane, vpp: RealVpp, tmp_path: Path, mode: Any
) -> None:
    other_netns = f"contiv-vpp-{os.getpid()}-b"
    ip("netns", "add", other_netns)
    other = RealVpp(tmp_path / "other", netns=other_netns)
    sock = MemifSocket(1, str(tmp_path / "memif.sock"))
    macs = ("02:fe:00:00:00:21", "02:fe:00:00:00:22") if mode == "ethernet" else ("", "")
    master = Memif("memory", 1, 7, "master", macs[0], mode=mode, secret="geheim", mtu=1500)
    slave = Memif("memory", 1, 7, "slave", macs[1], mode=mode, secret="geheim", queues=2, ring=512, mtu=1500)
    try:
        other.start()
        here = await made(plane, sock, master, InterfaceAddress("memory", "10.6.0.1/24"))
        async with connected(other) as far:
            values = [sock, slave, InterfaceAddress("memory", "10.6.0.2/24")]
            there = await made(far, *values)
            await until(lambda: " 0% packet loss" in vpp.cli("ping", "10.6.0.2", "repeat", "3", "interval", "0.1"))
            assert await found(far) == keyed(values), "VPP's own numbers change when both ends agree; values do not"
            restarted = Scheduler(VppDataplane.descriptors(far))
            assert dict((await restarted.resync(keyed(values))).errors) == {}
            wrong = dataclasses.replace(slave, secret="falsch")
            await there.commit({wrong.key: wrong})
            answered = await asyncio.to_thread(vpp.cli, "ping", "10.6.0.2", "repeat", "2", "interval", "0.1")
            assert " 0% packet loss" not in answered
            await there.commit({slave.key: slave})
            await until(lambda: " 0% packet loss" in vpp.cli("ping", "10.6.0.2", "repeat", "3", "interval", "0.1"))
        await here.commit({master.key: None})
    finally:
        other.end()
        ip("netns", "del", other_netns)


# ---- cross-connects


async def test_cross_connected_frames_reach_the_other_end(plane: VppDataplane, pods: tuple[Pod, Pod]) -> None:
    one, two = pods
    one.has("10.7.0.1/24")
    two.has("10.7.0.2/24")
    there, back = L2CrossConnect(one.link, two.link), L2CrossConnect(two.link, one.link)
    scheduler = await made(plane, attached(one, 1), attached(two, 2), there, back)
    assert await asyncio.to_thread(one.ping, "10.7.0.2")
    await scheduler.commit({back.key: None})
    one.ip("neigh", "flush", "all")
    assert not await asyncio.to_thread(one.ping, "10.7.0.2", 1)


async def test_cross_connected_packets_reach_what_vpp_has_no_route_to(
    plane: VppDataplane, vpp: RealVpp, pods: tuple[Pod, Pod]
) -> None:
    one, two = pods
    one.has("10.7.0.2/24", gateway="10.7.0.1")
    two.has("10.8.0.2/24", gateway="10.8.0.1")
    two.ip("addr", "add", "10.99.0.1/32", "dev", "lo")
    wrong = L3CrossConnect(one.link, 4, two.link, "10.8.0.77")
    scheduler = await made(
        plane,
        *(attached(one, 1), attached(two, 2)),
        *(InterfaceAddress(one.link, "10.7.0.1/24"), InterfaceAddress(two.link, "10.8.0.1/24"), wrong),
    )
    assert not await asyncio.to_thread(one.ping, "10.99.0.1", 1)
    vpp.cli("ping", "10.8.0.2", "repeat", "2", "interval", "0.1")  # VPP knows its MAC: nothing else renews the path
    right = dataclasses.replace(wrong, via="10.8.0.2")
    await scheduler.commit({right.key: right})
    assert await asyncio.to_thread(one.ping, "10.99.0.1")
    await scheduler.commit({right.key: None})
    assert not await asyncio.to_thread(one.ping, "10.99.0.1", 1)


# ---- for the addresses of others, and for VPP's own


async def test_vpp_answers_for_the_addresses_of_a_range(plane: VppDataplane, pods: tuple[Pod, Pod]) -> None:
    one, _ = pods
    proxy, addresses = ProxyArp(one.link), ProxyArpRange("10.7.0.10", "10.7.0.20")
    nic = InterfaceAddress(one.link, "10.7.0.1/24")
    scheduler = await made(plane, attached(one, 1), nic, addresses)
    assert arp_answer(one, "10.7.0.2", "10.7.0.15", []) is None
    assert dict((await scheduler.commit(keyed([proxy]))).errors) == {}
    assert arp_answer(one, "10.7.0.2", "10.7.0.15", []) == []
    assert arp_answer(one, "10.7.0.2", "10.7.0.21", []) is None
    await scheduler.commit({addresses.key: None})
    assert arp_answer(one, "10.7.0.2", "10.7.0.15", []) is None


@pytest.mark.parametrize("anywhere", [True, False])
async def test_what_nobody_in_vpp_takes_is_sent_on(plane: VppDataplane, pods: tuple[Pod, Pod], anywhere: bool) -> None:
    one, two = pods
    one.has("10.7.0.2/24")
    two.has("10.8.0.2/24", gateway="10.8.0.1")
    two.ip("addr", "add", "10.7.0.1/32", "dev", "lo")
    redirect = PuntRedirect(4, two.link, "10.8.0.2", "" if anywhere else one.link)
    scheduler = await made(
        plane,
        *(attached(one, 1), attached(two, 2)),
        *(InterfaceAddress(one.link, "10.7.0.1/24"), InterfaceAddress(two.link, "10.8.0.1/24"), redirect),
    )
    with one.udp(0) as client, two.udp(7777) as server:
        server.settimeout(1)
        for _ in range(3):  # VPP asks for the MAC of the next hop first, and drops what asked
            client.sendto(b"hello", ("10.7.0.1", 7777))
            with contextlib.suppress(TimeoutError):
                received, _ = server.recvfrom(100)
                break
        assert received == b"hello"
        await scheduler.commit({redirect.key: None})
        client.sendto(b"again", ("10.7.0.1", 7777))
        with pytest.raises(TimeoutError):
            server.recvfrom(100)


# ---- DHCP


async def test_a_dhcp_client_gets_an_address_and_says_so(
    plane: VppDataplane, vpp: RealVpp, pods: tuple[Pod, Pod]
) -> None:
    one, _ = pods
    one.has("10.5.0.1/24")
    leases: list[tuple[DhcpLease, ...]] = []

    async def listen() -> None:
        async for some in plane.watch_leases():
            leases.append(some)

    async def tell(scheduler: Scheduler) -> None:
        async for news in plane.watch_interfaces():
            await scheduler.notify(news)

    client = DhcpClient(one.link, "node1", broadcast=True)
    lease = DhcpLease(one.link, "10.5.0.50/24", "10.5.0.1")
    address = InterfaceAddress(one.link, "10.5.0.50/24")
    with one.udp(67) as udp:
        server = DhcpServer(udp, "10.5.0.50/24", "10.5.0.1")
        scheduler = Scheduler(plane.descriptors())
        tasks = [asyncio.create_task(work) for work in (server.run(), listen(), tell(scheduler))]
        wanted = keyed([attached(one, 1), client])
        assert dict((await scheduler.commit(wanted)).errors) == {}
        await until(lambda: leases == [(lease,)])
        await until(lambda: scheduler.state_of(address.key) is ValueState.OBTAINED)
        assert scheduler.state_of(lease.key) is ValueState.OBTAINED
        assert server.hostnames[0] == "node1"
        assert await asyncio.to_thread(one.ping, "10.5.0.50")
        # What VPP put on the interface is not ours to take away.
        assert await found(plane) == wanted
        assert ((await scheduler.resync(wanted)).executed, await found(plane)) == (0, wanted)
        assert await asyncio.to_thread(one.ping, "10.5.0.50")
        # An agent that was started since knows the lease, too.
        async with connected(vpp) as another:
            async with asyncio.timeout(5):
                assert await anext(another.watch_leases()) == (lease,)
        assert dict((await scheduler.commit({client.key: None})).errors) == {}
        await until(lambda: leases[-1] == (), seconds=15)
        await until(lambda: scheduler.state_of(address.key) is ValueState.NONEXISTENT)
        assert "10.5.0.50" not in vpp.cli("show", "interface", "address")
        for task in tasks:
            task.cancel()
