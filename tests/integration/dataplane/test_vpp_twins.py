"""The stand-in does what a real VPP does: both get the same random requests, and answer and hold the same."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppRefused
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    address_of,
    interface_prefix_of,
    prefix_of,
    union_of,
)
from tests.integration.dataplane.vpp import RealVpp
from tests.standin.state import State
from tests.standin.vpp import StandIn

pytestmark = [pytest.mark.vpp, pytest.mark.root]
Request = tuple[str, dict[str, Any]]
MACS = ["02:fe:00:00:00:01", "02:fe:00:00:00:02"]
ADDRESSES = [ipaddress.ip_interface(one) for one in ("10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/24", "fd01::1/64")]
SUBNETS = [ipaddress.ip_network(one) for one in ("10.8.0.0/16", "10.9.0.0/24", "fd08::/64")]
HOPS = [ipaddress.ip_address(one) for one in ("10.1.0.9", "10.2.0.9", "fd01::9")]


class Pair:
    """Both, and the numbers that each gave to what is the same interface."""

    def __init__(self, real: Connection, other: Connection, state: Callable[[], State]) -> None:
        self.both = (real, other)
        self._state = state
        self.numbers: list[tuple[int, int]] = [(9999, 9999)]
        self.log: list[str] = []

    async def do(self, name: str, fields: dict[str, Any]) -> bool:
        """The same request to both; whether they took it."""
        answers: list[Any] = []
        for side, connection in enumerate(self.both):
            try:
                answers.append(
                    await connection.call(name, **{key: self._own(value, side) for key, value in fields.items()})
                )
            except VppRefused as error:
                answers.append(error)
            except VppDown as error:
                raise AssertionError("\n".join([*self.log[-40:], f"{name} {fields}: {error}"])) from error
        said = [one.name if isinstance(one, VppRefused) else "done" for one in answers]
        self.log.append(f"{name} {fields}: {said[0]}")
        assert said[0] == said[1], "\n".join([*self.log[-40:], f"but the stand-in: {said[1]}"])
        numbers = tuple(getattr(one, "sw_if_index", NO_INTERFACE) for one in answers)
        if NO_INTERFACE not in numbers:
            self.numbers.append(numbers)
        return said[0] == "done"

    def _own(self, value: Any, side: int) -> Any:
        if isinstance(value, Ref):
            return self.numbers[value.at][side]
        if isinstance(value, dict):
            return {key: self._own(one, side) for key, one in value.items()}
        if isinstance(value, list):
            return [self._own(one, side) for one in value]
        return value

    def places(self) -> list[int]:
        """Places of interfaces that are there or were, each number once."""
        return sorted({numbers: at for at, numbers in enumerate(self.numbers)}.values())

    def forbidden(self, name: str, fields: dict[str, Any]) -> bool:
        """Whether VPP must not be asked for this, nor ever is by the driver.

        The routes of a table that is deleted are in the next one that is made; VPP ends when a route gets another
        path while an interface that one of its paths names is gone; and who uses the addresses of an interface that
        is deleted has whatever comes in their place.
        """
        state = self._state()
        routes = state.things("route")
        if name == "ip_table_add_del_v2" and not fields["is_add"]:
            place = (6 if fields["table"]["is_ip6"] else 4, fields["table"]["table_id"])
            return any(one[:2] == place for one in routes)
        if name == "delete_loopback":
            number = self._own(fields["sw_if_index"], 1)
            lent = any(one.lender == number for one in state.interfaces.values())
            return lent or any(path.interface == number for paths in routes.values() for path in paths)
        if name in ("ip_route_add_del_v2", "sw_interface_set_unnumbered"):
            named = fields["route"]["paths"][0] if "route" in fields else fields
            number = self._own(named["sw_if_index"], 1)
            return number in state.interfaces and state.interfaces[number].kind == "tunnel"
        return False

    async def held(self, side: int) -> dict[str, Any]:
        """What one of them holds, with the interfaces by their places in `numbers`."""
        connection = self.both[side]
        place = {numbers[side]: at for at, numbers in enumerate(self.numbers)}
        place[NO_INTERFACE] = -1
        dump = connection.dump
        interfaces = [one for one in await dump("sw_interface_dump") if one.sw_if_index]
        found: dict[str, Any] = {
            "interfaces": {
                place[one.sw_if_index]: (one.tag, int(one.flags), list(one.mtu), _mac(one.l2_address))
                for one in interfaces
            },
            "tables": {(one.table.table_id, one.table.is_ip6, one.table.name) for one in await dump("ip_table_dump")},
            "unnumbered": {
                (place[one.sw_if_index], place[one.ip_sw_if_index])
                for one in await dump("ip_unnumbered_dump", sw_if_index=NO_INTERFACE)
            },
            "neighbours": {
                (place[one.neighbor.sw_if_index], str(one.neighbor.ip_address), str(one.neighbor.mac_address))
                for family in (0, 1)
                for one in await dump("ip_neighbor_dump", sw_if_index=NO_INTERFACE, af=family)
                if one.neighbor.flags & 1
            },
            "addresses": set(),
            "bound": {},
            "routes": {},
            "domains": {},
            "entries": set(),
        }
        for one in interfaces:
            for six in (False, True):
                table = await connection.call("sw_interface_get_table", sw_if_index=one.sw_if_index, is_ipv6=six)
                found["bound"][place[one.sw_if_index], six] = table.vrf_id
                for item in await dump("ip_address_dump", sw_if_index=one.sw_if_index, is_ipv6=six):
                    found["addresses"].add((place[one.sw_if_index], str(item.prefix)))
        [source] = [one.src.id for one in await dump("fib_source_dump") if one.src.name == "API"]
        for table in await dump("ip_table_dump"):
            for item in await dump("ip_route_v2_dump", src=source, table=table.table._asdict()):
                paths = {
                    (place.get(path.sw_if_index, "gone"), path.type, str(path.nh.address.ip6), path.weight)
                    for path in item.route.paths
                }
                found["routes"][item.route.table_id, str(item.route.prefix)] = paths
        for domain in await dump("bridge_domain_dump"):
            if domain.bd_id:
                members = {(place[one.sw_if_index], one.shg) for one in domain.sw_if_details}
                routed = place[domain.bvi_sw_if_index]
                found["domains"][domain.bd_id] = (
                    domain.bd_tag,
                    bool(domain.flood),
                    bool(domain.learn),
                    routed,
                    members,
                )
                found["entries"] |= {
                    (domain.bd_id, _mac(one.mac), place.get(one.sw_if_index, "gone"), one.static_mac, one.bvi_mac)
                    for one in await dump("l2_fib_table_dump", bd_id=domain.bd_id)
                    if one.static_mac  # the others were learnt from packets
                }
        return found


def _mac(mac: Any) -> str:
    """The MAC; those that VPP makes up are all alike."""
    return "made up" if str(mac).startswith("02:fe") and str(mac)[6:14] != "00:00:00" else str(mac)


class Ref:
    """An interface by its place."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __repr__(self) -> str:
        return f"#{self.at}"


def request(dice: random.Random, places: list[int]) -> Request:
    """Anything that the driver might say, right or wrong; but no interface both has an address and uses another's."""
    some = Ref(dice.choice(places))
    owner = Ref(dice.choice([at for at in places if at % 2 == 0]))
    borrower = Ref(dice.choice([at for at in places if at % 2 or at == 0]))
    table, add, six = dice.choice([0, 0, 7, 8]), dice.random() < 0.7, dice.random() < 0.3
    hop, subnet = dice.choice(HOPS), dice.choice(SUBNETS)
    path: dict[str, Any] = {
        "proto": int(subnet.version == 6),
        "weight": 1,
        "table_id": dice.choice([0, 7]),
        "sw_if_index": NO_INTERFACE,
    }
    way = dice.randrange(3)
    if way == 0:
        path |= {"sw_if_index": some, "nh": {"address": union_of(hop)} if hop.version == subnet.version else {}}
    elif way == 1:
        path |= {"type": 2}
    route = {"table_id": table, "prefix": prefix_of(subnet), "n_paths": 1, "paths": [path]}
    neighbour = {"sw_if_index": some, "flags": 1, "mac_address": dice.choice(MACS), "ip_address": address_of(hop)}
    ends = dice.sample(["192.168.1.1", "192.168.1.2", "192.168.1.3"], 2)
    if dice.random() < 0.1:
        ends[1] = ends[0]
    tunnel = {
        "is_add": add,
        "instance": NO_INTERFACE,
        "src_address": address_of(ipaddress.ip_address(ends[0])),
        "dst_address": address_of(ipaddress.ip_address(ends[1])),
        "mcast_sw_if_index": NO_INTERFACE,
        "encap_vrf_id": dice.choice([0, 0, 7]),
        "decap_next_index": NO_INTERFACE,
        "vni": 10,
    }
    return dice.choice(
        [
            ("create_loopback_instance", {"mac_address": dice.choice(MACS)}),
            ("delete_loopback", {"sw_if_index": some}),
            ("vxlan_add_del_tunnel_v3", tunnel),
            ("sw_interface_set_flags", {"sw_if_index": some, "flags": int(add)}),
            ("sw_interface_set_mtu", {"sw_if_index": some, "mtu": [dice.choice([1400, 1500]), 0, 0, 0]}),
            ("sw_interface_tag_add_del", {"sw_if_index": some, "tag": dice.choice(["a", "b"]), "is_add": add}),
            ("ip_table_add_del_v2", {"is_add": add, "create_mfib": True, "table": {"table_id": table, "is_ip6": six, "name": dice.choice(["", "x"])}}),
            ("sw_interface_set_table", {"sw_if_index": some, "is_ipv6": six, "vrf_id": table}),
            ("sw_interface_add_del_address", {"sw_if_index": owner, "is_add": add, "prefix": interface_prefix_of(dice.choice(ADDRESSES))}),
            ("sw_interface_set_unnumbered", {"sw_if_index": owner, "unnumbered_sw_if_index": borrower, "is_add": add}),
            ("ip_route_add_del_v2", {"is_add": add, "is_multipath": way != 1, "route": route}),
            ("ip_neighbor_add_del", {"is_add": add, "neighbor": neighbour}),
            ("bridge_domain_add_del_v2", {"bd_id": dice.choice([1, 2]), "bd_tag": "t", "is_add": add, "flood": six, "uu_flood": six, "forward": True, "learn": False}),
            ("sw_interface_set_l2_bridge", {"rx_sw_if_index": some, "bd_id": dice.choice([1, 2]), "port_type": dice.choice([0, 0, 1]), "shg": dice.choice([0, 1]), "enable": add}),
            ("l2fib_add_del", {"mac": dice.choice(MACS)[:-2] + "77", "bd_id": dice.choice([1, 2]), "sw_if_index": some, "is_add": add, "static_mac": True}),
        ]
    )  # fmt: skip


@pytest.fixture
async def twins(vpp: RealVpp, tmp_path: Path) -> AsyncIterator[Pair]:
    other = StandIn(tmp_path / "other")
    other.start()
    one, two = await Connection.open(vpp.socket, "test"), await Connection.open(other.socket, "test")
    yield Pair(one, two, lambda: other.state)
    await one.close()
    await two.close()
    other.close()


@pytest.mark.parametrize("seed", range(40, 52))
async def test_both_answer_and_hold_the_same(twins: Pair, seed: int) -> None:
    dice = random.Random(seed)
    for step in range(400):
        name, fields = request(dice, twins.places())
        if not twins.forbidden(name, fields):
            await twins.do(name, fields)
        if step % 10 == 9:
            real, other = await twins.held(0), await twins.held(1)
            wrong = {kind: (other[kind], real[kind]) for kind in real if other[kind] != real[kind]}
            assert not wrong, "\n".join([*twins.log[-40:], f"the stand-in and VPP hold: {wrong}"])
