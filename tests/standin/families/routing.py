"""Routes with their paths, and neighbours."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, forgets, handles, uses
from tests.standin.state import NOWHERE, State

_SOURCES = {2: "special", 8: "API", 9: "CLI"}
_API = 8
_IP6 = 1
_DROP = 2


@dataclass(frozen=True)
class Path:
    """One way of a route; the weight does not tell two ways apart.

    Attributes:
        lost: whether its interface is gone; another one with its number, and the same path again, change nothing.
    """

    kind: int
    interface: int
    hop: bytes
    table: int
    version: int
    weight: int = field(compare=False, default=1)
    lost: bool = field(compare=False, default=False)


def _path(state: State, version: int, path: Any) -> Path:
    if path.type == _DROP:
        return Path(_DROP, NOWHERE, b"", 0, version, path.weight)
    if path.sw_if_index != NOWHERE:
        if path.sw_if_index not in state.interfaces:
            raise Refused("NO_MATCHING_INTERFACE")
    elif (6 if path.proto == _IP6 else 4, path.table_id) not in state.tables:
        raise Refused("NO_SUCH_FIB")
    hop = path.nh.address.ip6.packed if path.proto == _IP6 else path.nh.address.ip4.packed
    table = path.table_id if path.sw_if_index == NOWHERE else 0
    return Path(int(path.type), path.sw_if_index, hop, table, version, path.weight)


@handles("ip_route_add_del_v2")
def change_route(state: State, request: Any) -> None:
    route = request.route
    version = route.prefix.version
    if (version, route.table_id) not in state.tables:
        raise Refused("NO_SUCH_FIB")
    paths = [_path(state, version, path) for path in route.paths]
    if not paths and (request.is_multipath or request.is_add):
        raise Refused("NO_PATHS_IN_ROUTE")
    place = (version, route.table_id, route.prefix)
    routes = state.things("route")
    for gone in [one for one in routes if one[:2] not in state.tables]:
        del routes[gone]
    there: list[Path] = routes.get(place, []) if request.is_multipath else []
    lost = [path for path in there if path.lost and request.is_add]
    there = [path for path in there if path not in paths or path in lost]
    if request.is_add:
        there += [path for path in paths if path not in lost]
    if there:
        routes[place] = there
    else:
        routes.pop(place, None)
    state.tidy()


@handles("ip_route_v2_dump")
def list_routes(state: State, request: Any) -> Iterable[dict[str, Any]]:
    """Every route of a table that came through the API."""
    if request.src not in (0, _API):
        return
    table = (6 if request.table.is_ip6 else 4, request.table.table_id)
    for (version, number, prefix), paths in state.things("route").items():
        if (version, number) == table and table in state.tables:
            described = [_described(path) for path in paths]
            route = {"table_id": number, "prefix": prefix, "n_paths": len(paths), "paths": described}
            yield {"route": route}


def _described(path: Path) -> dict[str, Any]:
    return {
        "sw_if_index": path.interface,
        "table_id": path.table,
        "weight": path.weight,
        "type": path.kind,
        "proto": 0 if path.version == 4 else _IP6,
        "nh": {"address": {"ip4" if len(path.hop) == 4 else "ip6": path.hop}} if path.hop else {},
    }


@handles("fib_source_dump")
def list_sources(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for number, name in _SOURCES.items():
        yield {"src": {"id": number, "name": name}}


@handles("ip_neighbor_add_del")
def change_neighbour(state: State, request: Any) -> None:
    entry = request.neighbor
    interface(state, entry.sw_if_index)
    place, neighbours = (entry.sw_if_index, entry.ip_address), state.things("neighbour")
    if request.is_add:
        neighbours[place] = (entry.flags, entry.mac_address)
    elif neighbours.pop(place, None) is None:
        raise Refused("NO_SUCH_ENTRY")


@handles("ip_neighbor_dump")
def list_neighbours(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for (number, address), (flags, mac) in state.things("neighbour").items():
        if request.sw_if_index in (NOWHERE, number) and address.version == (6 if request.af else 4):
            fields = {"sw_if_index": number, "flags": flags, "mac_address": mac, "ip_address": address}
            yield {"neighbor": fields}


@forgets
def forget_neighbours(state: State, number: int) -> None:
    neighbours = state.things("neighbour")
    for place in [place for place in neighbours if place[0] == number]:
        del neighbours[place]


@forgets
def lose_paths(state: State, number: int) -> None:
    routes = state.things("route")
    for place, paths in routes.items():
        routes[place] = [dataclasses.replace(path, lost=True) if path.interface == number else path for path in paths]


@uses
def tables_of_routes(state: State) -> Iterable[tuple[int, int]]:
    """Those that another look-up leads to; its own routes do not keep a table."""
    for (version, number, _), paths in state.things("route").items():
        for path in paths if (version, number) in state.tables else ():
            if path.kind != _DROP and path.interface == NOWHERE:
                yield version, path.table
