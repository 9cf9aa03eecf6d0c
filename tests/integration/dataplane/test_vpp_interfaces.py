"""Every kind of interface, and what belongs to interfaces, alone against a real VPP: made, read back, changed, gone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table
from contivpp.dataplane.vpp.values.arp import NeighbourLimits, ProxyArp, ProxyArpRange
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember
from contivpp.dataplane.vpp.values.crossing import L2CrossConnect, L3CrossConnect
from contivpp.dataplane.vpp.values.dhcp import DhcpClient, DhcpLease
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, Pipe, PipeEnd, VxlanTunnel
from contivpp.dataplane.vpp.values.memif import Memif, MemifSocket
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.receiving import RxMode, RxPlacement
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface, TagRewrite
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.cluster import ip
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]

ONE = Loopback("one", "02:fe:00:00:00:01", 1500)
TWO = Loopback("two", "02:fe:00:00:00:02", 1500)
LINK = HostInterface("link", "vpp1", "02:fe:00:00:00:11", 1500)
OTHER_LINK = HostInterface("other", "vpp2", "02:fe:00:00:00:12", 1500)
ADDRESS = InterfaceAddress("one", "10.9.0.1/24")
ADDRESS_6 = InterfaceAddress("one", "fd09::1/64")
SOCKET = MemifSocket(1, "abstract:contiv-test")

VALUES: dict[str, list[Any]] = {
    "a tunnel over IPv6": [ONE, ADDRESS_6, VxlanTunnel("to-2", "fd09::1", "fd09::2", 10)],
    "a tunnel in a table": [Table(7, 4, "main"), VxlanTunnel("to-2", "10.9.0.1", "10.9.0.2", 10, 7)],
    "a link": [LINK],
    "a link without Ethernet": [HostInterface("link", "vpp1", mtu=1500, mode="ip")],
    "shared memory": [SOCKET, Memif("memory", 1, 5, "master", "02:fe:00:00:00:21", mtu=1500)],
    "shared memory, all different": [
        SOCKET,
        Memif("memory", 1, 5, "slave", secret="geheim", ring=512, buffer=4096, queues=2, mode="ip", mtu=1400),
    ],
    "VLANs": [
        LINK,
        SubInterface("vlan", "link", 100, mtu=1400),
        SubInterface("two-tags", "link", 200, 300, service=True),
    ],
    "tags that are changed": [
        LINK,
        SubInterface("vlan", "link", 100),
        BridgeDomain("domain", 5),
        BridgeMember("domain", 5, "vlan"),
        TagRewrite("vlan", "pop-1"),
    ],
    "a pipe between tables": [
        Table(7, 4, "main"),
        Pipe("pipe"),
        PipeEnd("near", "pipe", 0, 1450),
        PipeEnd("far", "pipe", 1, 1450),
        InterfaceTable("far", 7, 4),
        InterfaceAddress("far", "10.9.0.1/32", 7),
        InterfaceAddress("near", "10.9.0.1/32"),
        InterfaceAddress("near", "fd09::1/128"),
        VppRoute("10.1.0.0/16", interface="near"),
        VppRoute("fd10::/48", interface="near"),
        VppRoute("10.7.0.1/32", 7, "10.7.0.1", "far"),
        VppRoute("fd09::7/128", via="fd09::7", interface="near"),
    ],
    "modes of receiving": [LINK, RxMode("link", "polling")],
    "a mode of one queue": [LINK, RxMode("link", "polling", 0)],
    "cross-connected frames": [ONE, TWO, L2CrossConnect("one", "two"), L2CrossConnect("two", "one")],
    "cross-connected packets": [
        ONE,
        TWO,
        ADDRESS,
        ADDRESS_6,
        InterfaceAddress("two", "10.8.0.1/24"),
        InterfaceAddress("two", "fd08::1/64"),
        L3CrossConnect("one", 4, "two", "10.8.0.2"),
        L3CrossConnect("one", 6, "two", "fd08::2"),
    ],
    "proxy ARP": [
        ONE,
        ADDRESS,
        Table(7, 4, "pods"),
        ProxyArp("one"),
        ProxyArpRange("10.9.0.10", "10.9.0.20"),
        ProxyArpRange("10.9.0.10", "10.9.0.20", 7),
    ],
    "limits of neighbours": [NeighbourLimits(4, 1000, 240, recycle=True), NeighbourLimits(6, age=60)],
    "redirected punts": [
        ONE,
        TWO,
        ADDRESS,
        ADDRESS_6,
        PuntRedirect(4, "one", "10.9.0.2"),
        PuntRedirect(4, "one", "10.9.0.3", "two"),
        PuntRedirect(6, "one", "fd09::2"),
    ],
    "a DHCP client": [LINK, DhcpClient("link", "node1", broadcast=True)],
    "a DHCP client without a name": [LINK, DhcpClient("link")],
}


@pytest.fixture
def links(netns: str) -> None:
    """Two pairs of links in VPP's namespace."""
    for number in (1, 2):
        ip("link", "add", f"vpp{number}", "type", "veth", "peer", "name", f"far{number}", netns=netns)
        for name in (f"vpp{number}", f"far{number}"):
            ip("link", "set", name, "up", netns=netns)


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_made_is_read_back_and_taken_away_twice(links: None, plane: VppDataplane, name: str) -> None:
    before = await found(plane)
    wanted = keyed(VALUES[name])
    scheduler = Scheduler(plane.descriptors())
    for _ in range(2):
        result = await scheduler.commit(wanted)
        assert (dict(result.errors), scheduler.summary()) == ({}, {"CONFIGURED": len(wanted)})
        assert await found(plane) == before | wanted
        again = await Scheduler(plane.descriptors()).resync(wanted)
        assert (dict(again.errors), again.executed) == ({}, 0), "a restart has nothing to do"
        result = await scheduler.commit(dict.fromkeys(wanted))
        assert dict(result.errors) == {}
        assert await found(plane) == before


CHANGES: dict[str, tuple[list[Any], list[Any]]] = {
    "the MTU and MAC of a loopback": ([ONE], [Loopback("one", "02:fe:00:00:00:09", 1400)]),
    "the MTU of a link": ([LINK], [dataclasses.replace(LINK, mtu=1400)]),
    "the MTU of a link, with other rings": ([LINK], [dataclasses.replace(LINK, mtu=3000)]),
    "the MAC of a link": ([LINK], [dataclasses.replace(LINK, mac="02:fe:00:00:00:19")]),
    "the MTU of a pipe's end": (
        [Pipe("pipe"), PipeEnd("near", "pipe", 0, 1450)],
        [PipeEnd("near", "pipe", 0, 1400)],
    ),
    "the other end of a pipe": ([Pipe("pipe"), PipeEnd("near", "pipe", 0)], [PipeEnd("near", "pipe", 1)]),
    "another link": ([LINK], [dataclasses.replace(LINK, host_name="vpp2")]),
    "another kind": ([LINK], [Loopback("link", "02:fe:00:00:00:01")]),
    "the far end of a tunnel": (
        [VxlanTunnel("to-2", "fd09::1", "fd09::2", 10)],
        [VxlanTunnel("to-2", "fd09::1", "fd09::3", 11)],
    ),
    "the MTU and MAC of shared memory": (
        [SOCKET, Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21", secret="geheim")],
        [Memif("memory", 1, 5, "slave", "02:fe:00:00:00:22", secret="geheim", mtu=1400)],
    ),
    "the secret of shared memory": (
        [SOCKET, Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21", secret="geheim")],
        [Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21", secret="anders")],
    ),
    "the role of shared memory": (
        [SOCKET, Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21")],
        [Memif("memory", 1, 5, "master", "02:fe:00:00:00:21", ring=256)],
    ),
    "the path of a socket in use": (
        [SOCKET, Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21")],
        [MemifSocket(1, "abstract:contiv-other")],
    ),
    "the tag of a VLAN": (
        [LINK, SubInterface("vlan", "link", 100)],
        [SubInterface("vlan", "link", 101, 102, mtu=1300)],
    ),
    "the parent of a VLAN": (
        [LINK, OTHER_LINK, SubInterface("vlan", "link", 100)],
        [SubInterface("vlan", "other", 100)],
    ),
    "the link under a VLAN": (
        [LINK, SubInterface("vlan", "link", 100, mtu=1400)],
        [dataclasses.replace(LINK, mac="02:fe:00:00:00:19")],
    ),
    "what happens to tags": (
        [LINK, ONE, SubInterface("vlan", "link", 100), L2CrossConnect("vlan", "one"), TagRewrite("vlan", "pop-1")],
        [TagRewrite("vlan", "translate-1-2", 200, 300, service=True)],
    ),
    "a mode of receiving": ([LINK, RxMode("link", "polling")], [RxMode("link", "interrupt")]),
    "where frames go": ([LINK, OTHER_LINK, ONE, L2CrossConnect("link", "other")], [L2CrossConnect("link", "one")]),
    "where packets go": (
        [ONE, TWO, ADDRESS, LINK, L3CrossConnect("two", 4, "one", "10.9.0.2")],
        [L3CrossConnect("two", 4, "one", "10.9.0.3")],
    ),
    "limits of neighbours": ([NeighbourLimits(4, 1000)], [NeighbourLimits(4, 2000, 60)]),
    "where punts go": ([ONE, ADDRESS, PuntRedirect(4, "one", "10.9.0.2")], [PuntRedirect(4, "one", "10.9.0.3")]),
    "the name of a DHCP client": ([LINK, DhcpClient("link", "node1")], [DhcpClient("link", "node2")]),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_what_is_there_then_and_so_is_the_way_back(
    links: None, plane: VppDataplane, name: str
) -> None:
    first, second = (keyed(values) for values in CHANGES[name])
    assert set(second) <= set(first)
    scheduler = Scheduler(plane.descriptors())
    assert dict((await scheduler.commit(first)).errors) == {}
    for _ in range(2):
        for wanted in (second, {key: first[key] for key in second}):
            result = await scheduler.commit(wanted)
            assert (dict(result.errors), scheduler.summary()["CONFIGURED"]) == ({}, len(first))
            assert await found(plane) == first | wanted
            assert (await scheduler.resync(first | wanted)).executed == 0
    assert dict((await scheduler.commit(dict.fromkeys(first))).errors) == {}
    assert await found(plane) == {}


async def test_an_interface_whose_mtu_or_mac_changes_stays(links: None, plane: VppDataplane, vpp: RealVpp) -> None:
    scheduler = Scheduler(plane.descriptors())
    bridged = [ONE, BridgeDomain("domain", 5), BridgeMember("domain", 5, "one", routed=True), LINK]
    await scheduler.commit(keyed(bridged))
    changed = Loopback("one", "02:fe:00:00:00:09", 1400)
    result = await scheduler.commit(keyed([changed, dataclasses.replace(LINK, mtu=1400)]))
    assert (dict(result.errors), result.executed) == ({}, 2)
    forwarding = vpp.cli("show", "l2fib", "verbose")
    assert "02:fe:00:00:00:09" in forwarding, "the domain knows the new MAC of its routed end"
    assert "02:fe:00:00:00:01" not in forwarding


WRONG: dict[str, tuple[list[Any], str, str]] = {
    "a link that is not there": ([HostInterface("link", "nothing")], "vpp/interface/link", "af_packet_create_v3"),
    "a socket that cannot be": (
        [MemifSocket(1, "/no/such/folder/memif.sock"), Memif("memory", 1, 5, "master")],
        "vpp/interface/memory",
        "VPP cannot listen on socket 1: make the folder",
    ),
    "a memif whose number is taken": (
        [SOCKET, Memif("a", 1, 5, "slave", "02:fe:00:00:00:21"), Memif("b", 1, 5, "slave", "02:fe:00:00:00:22")],
        "vpp/interface/b",
        "socket 1 has an interface 5",
    ),
    "a ring that is no power of two": (
        [SOCKET, Memif("memory", 1, 5, "slave", ring=1000)],
        "vpp/interface/memory",
        "INVALID_ARGUMENT",
    ),
    "a VLAN that is taken": (
        [ONE, SubInterface("a", "one", 100), SubInterface("b", "one", 100)],
        "vpp/interface/b",
        "one has an interface for VLAN 100 already",
    ),
    "a tunnel twice": (
        [VxlanTunnel("a", "10.9.0.1", "10.9.0.2", 10), VxlanTunnel("b", "10.9.0.1", "10.9.0.2", 10)],
        "vpp/interface/b",
        "TUNNEL_EXIST",
    ),
    "a queue that is not there": ([LINK, RxMode("link", "polling", 7)], "vpp/rx-mode/link/7", "no receive queue 7"),
    "a mode that the driver lacks": ([LINK, RxMode("link", "adaptive")], "vpp/rx-mode/link/all", "UNIMPLEMENTED"),
    "a worker that is not there": ([LINK, RxPlacement("link", 0, 5)], "vpp/rx-placement/link/0", "UNIMPLEMENTED"),
    "a name that is too long": ([Loopback("x" * 60, "02:fe:00:00:00:01")], f"vpp/interface/{'x' * 60}", "too long"),
    "a name with a bar": ([Loopback("x|y", "02:fe:00:00:00:01")], "vpp/interface/x|y", "leave out |"),
    "limits as they are": ([NeighbourLimits(4)], "vpp/neighbour-limits/ip4", "leave them out"),
    "the memif socket of VPP": ([MemifSocket(0, "/run/x")], "vpp/memif-socket/0", "without being asked"),
    "a lease": ([DhcpLease("one", "10.9.0.1/24")], "vpp/dhcp-lease/one", "the DHCP server's to give"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_said_and_hurts_nothing_else(links: None, plane: VppDataplane, name: str) -> None:
    values, key, said = WRONG[name]
    scheduler = Scheduler(plane.descriptors())
    result = await scheduler.commit(keyed([*values, TWO]))
    trouble = dict(result.errors) or scheduler.troubles()
    assert set(trouble) == {key}
    assert said in trouble[key]
    wanted = keyed([*values, TWO])
    assert (await found(plane)).items() >= {one: wanted[one] for one in wanted if one != key}.items()
    await scheduler.commit(dict.fromkeys(wanted))
    assert await found(plane) == {}


async def test_what_an_agent_made_and_could_not_name_any_more_is_made_again(
    links: None, plane: VppDataplane, connection: Connection
) -> None:
    values = [LINK, VxlanTunnel("to-2", "10.9.0.1", "10.9.0.2", 10), SubInterface("vlan", "other", 100), SOCKET]
    memif = Memif("memory", 1, 5, "slave", "02:fe:00:00:00:21")
    scheduler = Scheduler(plane.descriptors())
    wanted = keyed([*values, memif, OTHER_LINK])
    assert dict((await scheduler.commit(wanted)).errors) == {}
    for item in await connection.dump("sw_interface_dump"):
        if item.tag and item.tag != "contiv:other":
            await connection.call("sw_interface_tag_add_del", sw_if_index=item.sw_if_index, is_add=False, tag="")
    assert set(await found(plane)) == {OTHER_LINK.key, SOCKET.key}
    before = len(await connection.dump("sw_interface_dump"))
    assert dict((await Scheduler(plane.descriptors()).resync(wanted)).errors) == {}
    assert await found(plane) == wanted
    assert len(await connection.dump("sw_interface_dump")) == before
