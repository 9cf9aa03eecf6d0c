"""The driver against a real VPP: what is made is read back, changed, taken away; VPP dies, hangs and lacks things."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vpp_papi.vpp_serializer import VPPSerializerValueError

from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.cluster import ip
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]
PACKED: list[tuple[str, dict[str, Any]]] = [
    ("sw_interface_dump", {"name_filter_valid": True, "name_filter": "loop"}),
    ("create_loopback_instance", {"mac_address": "02:fe:00:00:00:01", "is_specified": True, "user_instance": 3}),
    ("sw_interface_set_mtu", {"sw_if_index": 2, "mtu": [1400, 0, 0, 1]}),
    ("sw_interface_add_del_address", {"prefix": ipaddress.ip_interface("fd00::1/64"), "is_add": True}),
    ("ip_neighbor_dump", {"af": 1}),
    (
        "ip_neighbor_add_del",
        {"neighbor": {"flags": 1, "mac_address": "02:fe:00:00:00:01", "ip_address": ipaddress.ip_address("10.0.0.1")}},
    ),
    (
        "ip_route_add_del_v2",
        {
            "is_add": True,
            "route": {
                "table_id": 7,
                "prefix": ipaddress.ip_network("10.0.0.0/8"),
                "n_paths": 1,
                "paths": [
                    {
                        "sw_if_index": 1,
                        "weight": 2,
                        "type": 2,
                        "nh": {"address": {"ip4": b"\x0a\0\0\1"}},
                        "label_stack": [{"label": number} for number in range(16)],
                    }
                ],
            },
        },
    ),
]


# ---- the client


async def test_a_request_a_dump_and_an_error_by_its_name(connection: Connection) -> None:
    assert (await connection.call("show_version")).program == "vpe"
    assert [item.interface_name for item in await connection.dump("sw_interface_dump")] == ["local0"]
    with pytest.raises(VppRefused, match="NO_SUCH_FIB|NO_SUCH_TABLE|INVALID"):
        await connection.call("sw_interface_set_table", sw_if_index=77, is_ipv6=False, vrf_id=99)
    with pytest.raises(VppError, match="has no message made_up"):
        await connection.call("made_up")
    with pytest.raises(VppError, match="show_version has no field nothing"):
        await connection.call("show_version", nothing=1)


async def test_a_pipeline_answers_in_order_and_each_for_itself(connection: Connection) -> None:
    requests: list[tuple[str, dict[str, Any]]] = []
    for number in range(1000):
        table = {"table_id": number % 20 + 1, "is_ip6": False, "name": ""}
        requests.append(("sw_interface_get_table", {"sw_if_index": number % 2, "is_ipv6": False}))
        requests.append(("ip_table_add_del_v2", {"is_add": True, "table": table}))
    replies = await connection.batch(requests)
    assert [isinstance(reply, VppRefused) for reply in replies] == [False, False, True, False] * 500
    assert len([item for item in await connection.dump("ip_table_dump") if item.table.table_id]) == 20


async def test_messages_are_packed_as_vpp_papi_packs_them(connection: Connection) -> None:
    compared = 0
    for message in connection.definitions.by_name.values():
        fields = {"_vl_msg_id": message.number, "client_index": 1, "context": 7}
        try:
            expected = message.definition.pack(fields)
        except VPPSerializerValueError:  # it cannot pack a fixed list that is left out
            continue
        assert message.pack(fields) == expected, message.name
        compared += 1
    assert compared > 500
    for name, fields in PACKED:
        message = connection.definitions.by_name[name]
        assert message.pack(fields) == message.definition.pack(fields), name


async def test_messages_are_unpacked_as_vpp_papi_unpacks_them(connection: Connection) -> None:
    """Of arbitrary bytes many make no message: then both have to say so."""
    dice, read = random.Random(5), 0
    for message in connection.definitions.by_name.values():
        zero = message.pack({"_vl_msg_id": message.number, "context": 7})
        noise = [dice.randbytes(len(zero) + dice.randrange(3)) for _ in range(3)]
        sparse = [bytes(dice.choice((0, 0, 0, 0, 1, 2, 65)) for _ in range(len(zero) + 400)) for _ in range(5)]
        for frame in (zero, zero + bytes(4), *noise, *sparse):
            assert unpacked(message.unpack, frame) == unpacked(message.definition.unpack, frame), message.name
            read += unpacked(message.unpack, frame) != "nothing"
    assert read > 4000


def unpacked(unpack: Any, frame: bytes) -> str:
    """What an unpacker makes of some bytes, in a form in which all values can be compared."""
    try:
        found = unpack(frame)
    except Exception:
        return "nothing"
    return repr(found[0] if type(found) is tuple else found)


async def test_a_value_that_does_not_fit_is_named(connection: Connection) -> None:
    with pytest.raises(VppError, match=r"ip_table_add_del_v2.table: .* does not fit"):
        await connection.call("ip_table_add_del_v2", table={"table_id": -1})
    assert (await connection.call("show_version")).program == "vpe"


async def test_events_come_beside_answers(connection: Connection) -> None:
    await connection.call("want_interface_events", enable_disable=1, pid=1)
    made = await connection.call("create_loopback_instance", mac_address="02:00:00:00:00:01")
    await connection.call("sw_interface_set_flags", sw_if_index=made.sw_if_index, flags=1)
    async with asyncio.timeout(5):
        event = await connection.events.get()
    assert event.sw_if_index == made.sw_if_index


async def test_every_waiting_call_fails_at_once_when_vpp_dies(vpp: RealVpp, connection: Connection) -> None:
    vpp.freeze()
    calls = [asyncio.ensure_future(connection.call("show_version")) for _ in range(20)]
    await asyncio.sleep(0.1)
    vpp.end()
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {VppDown}
    with pytest.raises(VppDown, match="went away"):
        await connection.call("show_version")


async def test_a_vpp_that_hangs_is_said_to(vpp: RealVpp, connection: Connection) -> None:
    vpp.freeze()
    with pytest.raises(VppDown, match="hangs: no answer for 2 s to show_version"):
        await connection.call("show_version")


async def test_nobody_listening_is_said(tmp_path: Path) -> None:
    with pytest.raises(VppDown, match="is it running"):
        await Connection.open(tmp_path / "none", "test")


async def test_the_client_returns_after_a_death_and_a_hang(vpp: RealVpp) -> None:
    appeared = asyncio.Queue[None]()

    async def note() -> None:
        appeared.put_nowait(None)

    client = Vpp(vpp.socket, needs={"show_version": ()}, appeared=note, timeout=1)
    running = asyncio.create_task(client.run())
    async with asyncio.timeout(30):
        await appeared.get()
        vpp.end()
        while not client.problem:
            await asyncio.sleep(0.01)
        with pytest.raises(VppDown):
            _ = client.connection
        vpp.start()
        await appeared.get()
        vpp.freeze()
        while "hangs" not in client.problem:
            await asyncio.sleep(0.01)
        vpp.thaw()
        await appeared.get()
        assert client.problem == ""
    running.cancel()
    await asyncio.wait([running])


async def test_a_vpp_without_a_plugin_is_refused_by_name(tmp_path: Path, netns: str) -> None:
    made = RealVpp(tmp_path / "vpp", netns=netns, without=("vxlan",))
    made.start()
    plane = VppDataplane(made.socket, timeout=2)
    running = asyncio.create_task(plane.run())
    try:
        async with asyncio.timeout(20):
            while "lacks" not in plane.problem:
                await asyncio.sleep(0.05)
        assert "message vxlan_add_del_tunnel_v3" in plane.problem
        assert "load the plugin" in plane.problem
    finally:
        running.cancel()
        await asyncio.wait([running])
        made.end()


# ---- the descriptors

VALUES: dict[str, list[Any]] = {
    "loopback": [Loopback("loop", "02:fe:00:00:00:01", 1400)],
    "table": [Table(7, 4, "pods"), Table(7, 6, "pods6")],
    "address": [Loopback("loop", "02:fe:00:00:00:01"), InterfaceAddress("loop", "10.9.0.1/24")],
    "address in a table": [
        Table(7, 4, "pods"),
        Table(7, 6, "pods"),
        Loopback("loop", "02:fe:00:00:00:01"),
        InterfaceTable("loop", 7, 4),
        InterfaceTable("loop", 7, 6),
        InterfaceAddress("loop", "10.9.0.1/24", 7),
        InterfaceAddress("loop", "fd09::1/64", 7),
    ],
    "unnumbered": [
        Loopback("gateway", "02:fe:00:00:00:01"),
        InterfaceAddress("gateway", "10.9.0.1/24"),
        Loopback("pod", "02:fe:00:00:00:02"),
        Unnumbered("pod", "gateway"),
    ],
    "routes": [
        Table(7, 4, "pods"),
        Loopback("loop", "02:fe:00:00:00:01"),
        InterfaceAddress("loop", "10.9.0.1/24"),
        VppRoute("10.10.0.0/16", via="10.9.0.2", interface="loop"),
        VppRoute("10.11.0.0/16", via="10.9.0.2", interface="loop"),
        VppRoute("10.11.0.0/16", via="10.9.0.3", interface="loop"),
        VppRoute("0.0.0.0/0", vrf=7, via_vrf=0),
        VppRoute("10.12.0.0/16", vrf=7, kind="drop"),
        VppRoute("fd10::/64", kind="drop"),
    ],
    "neighbours": [
        Loopback("loop", "02:fe:00:00:00:01"),
        InterfaceAddress("loop", "10.9.0.1/24"),
        InterfaceAddress("loop", "fd09::1/64"),
        VppNeighbour("loop", "10.9.0.2", "02:fe:00:00:00:09"),
        VppNeighbour("loop", "fd09::2", "02:fe:00:00:00:09"),
    ],
    "tunnels in a bridge domain": [
        Loopback("nic", "02:fe:00:00:00:01"),
        InterfaceAddress("nic", "192.168.16.1/24"),
        Loopback("bvi", "12:2b:00:00:00:01"),
        VxlanTunnel("to-2", "192.168.16.1", "192.168.16.2", 10),
        BridgeDomain("vxlanBD", 1),
        BridgeMember("vxlanBD", 1, "bvi", routed=True, group=1),
        BridgeMember("vxlanBD", 1, "to-2", group=1),
        VppForwardingEntry(1, "12:2b:00:00:00:02", "to-2"),
    ],
}


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_made_is_read_back_and_taken_away_again(plane: VppDataplane, name: str) -> None:
    before = await found(plane)
    wanted = keyed(VALUES[name])
    scheduler = Scheduler(plane.descriptors())
    result = await scheduler.commit(wanted)
    assert (dict(result.errors), scheduler.summary()) == ({}, {"CONFIGURED": len(wanted)})
    assert await found(plane) == before | wanted
    again = await Scheduler(plane.descriptors()).resync(wanted)
    assert (dict(again.errors), again.executed) == ({}, 0), "a restart has nothing to do"
    result = await scheduler.commit(dict.fromkeys(wanted))
    assert dict(result.errors) == {}
    assert await found(plane) == before


CHANGES: list[tuple[str, Any, Any]] = [
    ("loopback", Loopback("loop", "02:fe:00:00:00:01", 1400), Loopback("loop", "02:fe:00:00:00:01", 1300)),
    ("loopback", Loopback("loop", "02:fe:00:00:00:01", 1400), Loopback("loop", "02:fe:00:00:00:05", 1400)),
    ("table", Table(7, 4, "pods"), Table(7, 4, "other")),
    (
        "tunnels in a bridge domain",
        VxlanTunnel("to-2", "192.168.16.1", "192.168.16.2", 10),
        VxlanTunnel("to-2", "192.168.16.1", "192.168.16.3", 10),
    ),
    (
        "neighbours",
        VppNeighbour("loop", "10.9.0.2", "02:fe:00:00:00:09"),
        VppNeighbour("loop", "10.9.0.2", "02:fe:00:00:00:0a"),
    ),
    (
        "routes",
        VppRoute("10.10.0.0/16", via="10.9.0.2", interface="loop"),
        VppRoute("10.10.0.0/16", via="10.9.0.2", interface="loop", weight=3),
    ),
]


@pytest.mark.parametrize(("name", "old", "new"), CHANGES)
async def test_a_changed_value_is_what_is_there_then(plane: VppDataplane, name: str, old: Any, new: Any) -> None:
    wanted = keyed(VALUES[name])
    assert wanted[old.key] == old
    scheduler = Scheduler(plane.descriptors())
    await scheduler.commit(wanted)
    result = await scheduler.commit({new.key: new})
    assert (dict(result.errors), scheduler.summary()) == ({}, {"CONFIGURED": len(wanted)})
    assert await found(plane) == wanted | {new.key: new}


async def test_what_vpp_refuses_is_said_with_its_own_name_and_hurts_nothing_else(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    wrong = HostInterface("afpacket", "no-such-link")
    result = await scheduler.commit(keyed([wrong, Loopback("loop", "02:fe:00:00:00:01")]))
    assert set(result.errors) == {wrong.key}
    assert "afpacket: af_packet_create_v3" in result.errors[wrong.key]
    assert set(await found(plane)) == {"vpp/interface/loop"}


async def test_everything_is_programmed_again_after_a_crash(plane: VppDataplane, vpp: RealVpp) -> None:
    scheduler = Scheduler(plane.descriptors())
    wanted = keyed(VALUES["tunnels in a bridge domain"])
    await scheduler.commit(wanted)
    vpp.end(signal.SIGKILL)
    while not plane.problem:
        await asyncio.sleep(0.01)
    result = await scheduler.downstream_resync()
    assert result.errors, "nothing can be read while VPP is away"
    assert scheduler.summary() == {"CONFIGURED": len(wanted)}
    plane.ready.clear()
    vpp.start()
    async with asyncio.timeout(20):
        await plane.ready.wait()
    assert dict((await scheduler.downstream_resync()).errors) == {}
    assert await found(plane) == wanted


async def test_two_namespaces_reach_each_other_through_vpp(plane: VppDataplane, netns: str) -> None:
    scheduler = Scheduler(plane.descriptors())
    values: list[Any] = []
    with contextlib.ExitStack() as stack:
        for number in (1, 2):
            pod = f"{netns}-pod{number}"
            ip("netns", "add", pod)
            stack.callback(ip, "netns", "del", pod)
            mac, gateway = f"02:fe:00:00:01:0{number}", f"02:fe:00:00:00:0{number}"
            ip("link", "add", f"pod{number}", "netns", netns, "type", "veth", "peer", "name", "eth0", "netns", pod)
            ip("link", "set", f"pod{number}", "up", netns=netns)
            ip("link", "set", "eth0", "address", mac, "up", netns=pod)
            ip("addr", "add", f"10.9.{number}.2/32", "dev", "eth0", netns=pod)
            ip("route", "add", "10.9.0.1", "dev", "eth0", netns=pod)
            ip("neigh", "add", "10.9.0.1", "lladdr", gateway, "dev", "eth0", netns=pod)
            ip("route", "add", "default", "via", "10.9.0.1", netns=pod)
            values += [
                HostInterface(f"pod{number}", f"pod{number}", gateway),
                Unnumbered(f"pod{number}", "gateway"),
                VppNeighbour(f"pod{number}", f"10.9.{number}.2", mac),
                VppRoute(f"10.9.{number}.2/32", via=f"10.9.{number}.2", interface=f"pod{number}"),
            ]
        gateway_loop = Loopback("gateway", "02:fe:00:00:00:ff")
        values += [gateway_loop, InterfaceAddress("gateway", "10.9.0.1/24")]
        result = await scheduler.commit(keyed(values))
        assert dict(result.errors) == {}
        assert await found(plane) == keyed(values)
        command = ["ip", "netns", "exec", f"{netns}-pod1", "ping", "-n", "-q", "-c", "5", "-i", "0.1", "10.9.2.2"]
        said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert " 0% packet loss" in said.stdout, said.stdout
        again = await Scheduler(plane.descriptors()).resync(keyed(values))
        assert again.executed == 0
        smaller = dataclasses.replace(gateway_loop, mtu=1200)
        assert dict((await scheduler.commit({smaller.key: smaller})).errors) == {}
