"""The driver against a real VPP: all of the suite, and what only a real one can show."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vpp_papi.vpp_serializer import VPPSerializerValueError

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, Unnumbered
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.cluster import ip
from tests.integration.dataplane.vpp import RealVpp, found, keyed
from tests.integration.dataplane.vpp_suite import *  # noqa: F403 - its tests are collected here

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


async def test_messages_are_packed_as_vpp_papi_packs_them(connection: Connection) -> None:
    compared = 0
    for message in connection.definitions.by_name.values():
        fields = {"_vl_msg_id": message.number, "client_index": 1, "context": 7}
        try:
            with connection.definitions.registered():
                expected = message.definition.pack(fields)
        except VPPSerializerValueError:  # it cannot pack a fixed list that is left out
            continue
        assert message.pack(fields) == expected, message.name
        compared += 1
    assert compared > 500
    for name, fields in PACKED:
        message = connection.definitions.by_name[name]
        with connection.definitions.registered():
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
