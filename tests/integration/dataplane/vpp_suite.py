"""What holds for every VPP, the real one and the one that stands in for it: the client, and each kind of value alone.

A module of tests imports all of this, and says with the fixture `vpp` which VPP it is about.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.vpp import AnyVpp, found, keyed

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


async def test_every_waiting_call_fails_at_once_when_vpp_dies(vpp: AnyVpp, connection: Connection) -> None:
    vpp.freeze()
    calls = [asyncio.ensure_future(connection.call("show_version")) for _ in range(20)]
    await asyncio.sleep(0.1)
    vpp.end()
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {VppDown}
    with pytest.raises(VppDown, match="went away"):
        await connection.call("show_version")


async def test_a_vpp_that_hangs_is_said_to(vpp: AnyVpp, connection: Connection) -> None:
    vpp.freeze()
    with pytest.raises(VppDown, match="hangs: no answer for 2 s to show_version"):
        await connection.call("show_version")


async def test_nobody_listening_is_said(tmp_path: Path) -> None:
    with pytest.raises(VppDown, match="is it running"):
        await Connection.open(tmp_path / "none", "test")


async def test_the_client_returns_after_a_death_and_a_hang(vpp: AnyVpp) -> None:
    appeared = asyncio.Queue[None]()

    async def note() -> None:
        appeared.put_nowait(None)

    client = Vpp(vpp.socket, contract=load("core"), appeared=note, timeout=1)
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


async def test_everything_is_programmed_again_after_a_crash(plane: VppDataplane, vpp: AnyVpp) -> None:
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


async def test_a_route_leads_somewhere_again_after_somebody_deleted_its_interface(
    plane: VppDataplane, vpp: AnyVpp, connection: Connection
) -> None:
    other = Loopback("other", "02:fe:00:00:00:02")
    values = [*VALUES["routes"], other, VppRoute("10.11.0.0/16", via="10.9.0.4", interface="other")]
    scheduler = Scheduler(plane.descriptors())
    await scheduler.commit(keyed(values))
    listed = await connection.dump("sw_interface_dump")
    [number] = [item.sw_if_index for item in listed if str(item.l2_address) == other.mac]
    await connection.call("delete_loopback", sw_if_index=number)
    assert vpp.dead_ends() == 1
    result = await scheduler.downstream_resync()
    assert (dict(result.errors), vpp.dead_ends()) == ({}, 0)
    assert await found(plane) == keyed(values)
    await connection.call("delete_loopback", sw_if_index=number)
    assert dict((await scheduler.resync({})).errors) == {}
    assert (await found(plane), vpp.dead_ends()) == ({}, 0)


async def test_what_was_begun_and_never_named_is_not_in_the_way(plane: VppDataplane, connection: Connection) -> None:
    wanted = keyed(VALUES["tunnels in a bridge domain"])
    ends = {"src_address": "192.168.16.1", "dst_address": "192.168.16.2", "vni": 10, "decap_next_index": 0xFFFFFFFF}
    nothing = {"instance": 0xFFFFFFFF, "mcast_sw_if_index": 0xFFFFFFFF, "encap_vrf_id": 0}
    await connection.call("vxlan_add_del_tunnel_v3", is_add=True, **ends, **nothing)
    for mac in ("02:fe:00:00:00:01", "02:fe:00:00:00:77"):
        await connection.call("create_loopback_instance", mac_address=mac)
    result = await Scheduler(plane.descriptors()).resync(wanted)
    assert dict(result.errors) == {}
    assert await found(plane) == wanted
    macs = sorted(str(item.l2_address) for item in await connection.dump("sw_interface_dump") if not item.tag)
    assert macs == ["00:00:00:00:00:00", "02:fe:00:00:00:77"], "what nobody wants is nobody's, and stays"
