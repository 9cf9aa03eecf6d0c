"""Routes and neighbours."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    address_of,
    is_add,
    prefix_of,
    replacing,
    union_of,
)
from contivpp.dataplane.vpp.values.addressing import table_key
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("routing")
"""What is used of VPP here."""
_TYPES: Final = {"unicast": 0, "drop": 2, "unreachable": 5}  # FIB_API_PATH_TYPE_NORMAL, _DROP, _ICMP_UNREACH
_STATIC: Final = 1  # IP_API_NEIGHBOR_FLAG_STATIC
_LEFT: Final = 0  # a weight that no route has that anybody asks for
_API_SOURCE: Final = "API"  # what VPP calls the source of routes that came through the API


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (RouteDescriptor(driver), NeighbourDescriptor(driver))


class RouteDescriptor(DriverDescriptor):
    """Routes, one path each; VPP joins the paths to one subnet.

    An interface that somebody else deletes leaves its paths behind: they lead nowhere, also when another interface gets
    the number, and VPP takes none of them away alone. Such a route is read as one that drops, and nothing else, so
    it goes whole, which VPP does, before its other paths are made again.
    """

    name = "vpp-route"
    prefix = VppRoute.prefix

    def dependencies(self, key: str, value: VppRoute) -> Iterable[Dependency]:
        """The table, the one to look up again in, the interface, and what the value waits for."""
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, value.version))
        if value.via_vrf:
            yield Dependency("next table", table_key(value.via_vrf, value.version))
        if value.interface:
            yield Dependency("interface", interface_key(value.interface))
        if value.waits_for:
            yield Dependency("guard", value.waits_for)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update takes the old path away first."""
        requests = functools.partial(replacing, request_of=self._request)
        return await self._driver.apply(operations, requests, gone=("NO_SUCH_FIB", "NO_SUCH_ENTRY"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every path of every route that came through the API.

        Raises:
            VppError: VPP does not say which routes came through the API.
        """
        connection = self._driver.connection
        await self._driver.read_interfaces()
        there = {NO_INTERFACE, *(item.sw_if_index for item in self._driver.interfaces.details)}
        source = await self._source()
        found: dict[str, Observed] = {}
        for table in await connection.dump("ip_table_dump"):
            for item in await connection.dump("ip_route_v2_dump", src=source, table=table.table._asdict()):
                for value in self._values(item.route, there):
                    found[value.key] = Observed(value)
        return found

    async def _source(self) -> int:
        """VPP's number for routes that came through the API."""
        for item in await self._driver.connection.dump("fib_source_dump"):
            if item.src.name == _API_SOURCE:
                return int(item.src.id)
        raise VppError(f"VPP lists no source of routes with the name {_API_SOURCE}")

    def _values(self, route: Any, there: Container[int]) -> Iterator[VppRoute]:
        """What one route of VPP is, which has these interfaces."""
        if any(path.sw_if_index not in there for path in route.paths):
            yield VppRoute(str(route.prefix), route.table_id, kind="drop", weight=_LEFT)
            return
        for path in route.paths:
            if (value := self._value(route, path)) is not None:
                yield value

    def _request(self, value: VppRoute, *, add: bool) -> Request:
        subnet = ipaddress.ip_network(value.to)
        path: dict[str, Any] = {
            "sw_if_index": self._driver.interfaces.number(value.interface) if value.interface else NO_INTERFACE,
            "table_id": value.vrf if value.via_vrf is None else value.via_vrf,
            "weight": value.weight,
            "type": _TYPES[value.kind],
            "proto": 0 if subnet.version == 4 else 1,
        }
        if value.via:
            path["nh"] = {"address": union_of(ipaddress.ip_address(value.via))}
        route = {"table_id": value.vrf, "prefix": prefix_of(subnet), "n_paths": 1, "paths": [path]}
        return "ip_route_add_del_v2", {"is_add": add, "is_multipath": value.kind == "unicast", "route": route}

    def _value(self, route: Any, path: Any) -> VppRoute | None:
        subnet, vrf = route.prefix, route.table_id
        if path.type == _TYPES["drop"]:
            return VppRoute(str(subnet), vrf, kind="drop")
        if path.type == _TYPES["unreachable"]:
            return VppRoute(str(subnet), vrf, kind="unreachable")
        union = path.nh.address
        hop = union.ip4 if subnet.version == 4 else union.ip6
        interface = "" if path.sw_if_index == NO_INTERFACE else self._driver.interfaces.name(path.sw_if_index)
        if path.sw_if_index != NO_INTERFACE and not interface:
            return None  # not an interface of ours
        via = "" if hop.is_unspecified else str(hop)
        through = path.table_id if not via and not interface else None
        return VppRoute(str(subnet), vrf, via, interface, through, weight=path.weight)


class NeighbourDescriptor(DriverDescriptor):
    """Static ARP and ND entries."""

    name = "vpp-neighbour"
    prefix = VppNeighbour.prefix

    def dependencies(self, key: str, value: VppNeighbour) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; a new MAC replaces the old one."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            neighbour = {
                "sw_if_index": self._driver.interfaces.number(value.interface),
                "flags": _STATIC,
                "mac_address": value.mac,
                "ip_address": address_of(ipaddress.ip_address(value.address)),
            }
            return [("ip_neighbor_add_del", {"is_add": is_add(operation), "neighbor": neighbour})]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX", "NO_SUCH_ENTRY"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every static entry on an interface of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for family in (0, 1):
            for item in await self._driver.connection.dump("ip_neighbor_dump", sw_if_index=NO_INTERFACE, af=family):
                entry = item.neighbor
                name = self._driver.interfaces.name(entry.sw_if_index)
                if name and entry.flags & _STATIC:
                    value = VppNeighbour(name, str(entry.ip_address), str(entry.mac_address))
                    found[value.key] = Observed(value)
        return found
