"""Bridge domains, their members, and the MACs behind these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, handles
from tests.standin.state import NOWHERE, Interface, State

_BVI = 1
_LARGEST = (1 << 24) - 1


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
        domains[request.bd_id] = (request.bd_tag, request.flood, request.learn)
        return
    if request.bd_id not in domains:
        raise Refused("NO_SUCH_ENTRY")
    if _members(state, request.bd_id):
        raise Refused("BD_IN_USE")
    del domains[request.bd_id]
    entries = state.things("fdb")
    for place in [place for place in entries if place[0] == request.bd_id]:
        del entries[place]


@handles("bridge_domain_dump")
def list_domains(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for number, (tag, flood, learn) in state.things("domain").items():
        members = _members(state, number)
        yield {
            "bd_id": number,
            "bd_tag": tag,
            "flood": flood,
            "learn": learn,
            "bvi_sw_if_index": next((one.number for one in members if one.routed), NOWHERE),
            "n_sw_ifs": len(members),
            "sw_if_details": [{"sw_if_index": one.number, "shg": one.group} for one in members],
        }


@handles("sw_interface_set_l2_bridge")
def set_domain(state: State, request: Any) -> None:
    """A domain that is not there is made, without a tag."""
    one = interface(state, request.rx_sw_if_index)
    if not request.enable:
        one.domain, one.routed, one.group = None, False, 0
        return
    routed = request.port_type == _BVI
    if routed and any(other.routed for other in _members(state, request.bd_id) if other is not one):
        raise Refused("BD_ALREADY_HAS_BVI")
    state.things("domain").setdefault(request.bd_id, ("", False, False))
    one.domain, one.routed, one.group = request.bd_id, routed, request.shg


@handles("l2fib_add_del")
def change_entry(state: State, request: Any) -> None:
    if request.bd_id not in state.things("domain"):
        raise Refused("NO_SUCH_ENTRY")
    place, entries = (request.bd_id, str(request.mac)), state.things("fdb")
    if request.is_add:
        if interface(state, request.sw_if_index).domain is None:
            raise Refused("INVALID_SW_IF_INDEX")
        entries[place] = (request.sw_if_index, request.static_mac)
    elif entries.get(place, (NOWHERE,))[0] != request.sw_if_index:
        raise Refused("NO_SUCH_ENTRY")
    else:
        del entries[place]


@handles("l2_fib_table_dump")
def list_entries(state: State, request: Any) -> Iterable[dict[str, Any]]:
    """Those that were put, and the one that every routed end has."""
    for (number, mac), (member, static) in state.things("fdb").items():
        if request.bd_id in (NOWHERE, number):
            yield {"mac": mac, "sw_if_index": member, "static_mac": static, "bvi_mac": False}
    for one in _members(state, request.bd_id):
        if one.routed:
            yield {"mac": one.mac, "sw_if_index": one.number, "static_mac": True, "bvi_mac": True}
