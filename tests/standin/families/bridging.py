"""Bridge domains, their members, and the MACs behind these."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, handles
from tests.standin.state import NOWHERE, Interface, State

_BVI = 1
_LARGEST = (1 << 24) - 1


@dataclass(frozen=True)
class Domain:
    """A bridge domain; static entries belong to its index, and stay when it goes."""

    index: int
    tag: str = ""
    flood: bool = True
    learn: bool = True


def _free(state: State) -> int:
    taken = {domain.index for domain in state.things("domain").values()}
    return next(index for index in itertools.count(1) if index not in taken)


def _members(state: State, number: int) -> list[Interface]:
    return [one for one in state.interfaces.values() if one.domain == number]


@handles("bridge_domain_add_del_v2")
def change_domain(state: State, request: Any) -> None:
    domains = state.things("domain")
    if request.is_add:
        if request.bd_id in domains:
            raise Refused("BD_ALREADY_EXISTS")
        if request.bd_id > _LARGEST:
            raise Refused("BD_ID_EXCEED_MAX")
        domains[request.bd_id] = Domain(_free(state), request.bd_tag, request.flood, request.learn)
        return
    if request.bd_id not in domains:
        raise Refused("NO_SUCH_ENTRY")
    if _members(state, request.bd_id):
        raise Refused("BD_IN_USE")
    del domains[request.bd_id]


@handles("bridge_domain_dump")
def list_domains(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for number, domain in state.things("domain").items():
        members = _members(state, number)
        yield {
            "bd_id": number,
            "bd_tag": domain.tag,
            "flood": domain.flood,
            "learn": domain.learn,
            "bvi_sw_if_index": next((one.number for one in members if one.routed), NOWHERE),
            "n_sw_ifs": len(members),
            "sw_if_details": [{"sw_if_index": one.number, "shg": one.group} for one in members],
        }


@handles("sw_interface_set_l2_bridge")
def set_domain(state: State, request: Any) -> None:
    """A domain that is not there is made, without a tag; it floods and learns. Who is refused is in none then."""
    one = interface(state, request.rx_sw_if_index)
    if not request.enable:
        one.route()
        return
    one.bridged, one.crossed = True, None
    routed = request.port_type == _BVI
    if routed and any(other.routed for other in _members(state, request.bd_id) if other is not one):
        one.domain, one.routed, one.group = None, False, 0
        raise Refused("BD_ALREADY_HAS_BVI")
    state.things("domain").setdefault(request.bd_id, Domain(_free(state)))
    one.domain, one.routed, one.group = request.bd_id, routed, request.shg


@handles("l2fib_add_del")
def change_entry(state: State, request: Any) -> None:
    domain, entries = state.things("domain").get(request.bd_id), state.things("fdb")
    if domain is None:
        raise Refused("NO_SUCH_ENTRY")
    place = (domain.index, str(request.mac))
    if request.is_add:
        if not interface(state, request.sw_if_index).bridged:
            raise Refused("INVALID_SW_IF_INDEX")
        entries[place] = (request.sw_if_index, request.static_mac)
    elif entries.get(place, (NOWHERE,))[0] != request.sw_if_index:
        raise Refused("NO_SUCH_ENTRY")
    else:
        del entries[place]


@handles("l2_fib_table_dump")
def list_entries(state: State, request: Any) -> Iterable[dict[str, Any]]:
    """Those that were put, and the one that every routed end has."""
    domain = state.things("domain").get(request.bd_id)
    for (index, mac), (member, static) in state.things("fdb").items():
        if domain is not None and domain.index == index:
            yield {"mac": mac, "sw_if_index": member, "static_mac": static, "bvi_mac": False}
    for one in _members(state, request.bd_id):
        if one.routed:
            yield {"mac": one.mac, "sw_if_index": one.number, "static_mac": True, "bvi_mac": True}
