"""Cross-connects, of frames and of packets, and the tags of frames that are passed on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, forgets, handles, listed
from tests.standin.state import State


@handles("sw_interface_set_l2_xconnect")
def cross(state: State, request: Any) -> None:
    one = interface(state, request.rx_sw_if_index)
    if not request.enable:
        one.route()
        return
    to = interface(state, request.tx_sw_if_index, "INVALID_SW_IF_INDEX_2")
    one.domain, one.bridged, one.routed, one.group, one.crossed = None, False, False, 0, to.number


@handles("l2_xconnect_dump")
def list_crossed(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.crossed is not None:
            yield {"rx_sw_if_index": one.number, "tx_sw_if_index": one.crossed}


@handles("l2_interface_vlan_tag_rewrite")
def rewrite(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    one.rewriting = (request.vtr_op, request.push_dot1q, request.tag1, request.tag2) if request.vtr_op else (0,) * 4


listed(
    "l3xc_update",
    "l3xc_dump",
    key=lambda request: (request.l3xc.sw_if_index, bool(request.l3xc.is_ip6)),
    details=lambda request: {"l3xc": request.l3xc},
    adds=lambda request: True,
    valid=lambda state, request: interface(state, request.l3xc.sw_if_index) and None,
)


@handles("l3xc_del")
def uncross(state: State, request: Any) -> None:
    interface(state, request.sw_if_index)
    if state.things("l3xc_update").pop((request.sw_if_index, bool(request.is_ip6)), None) is None:
        raise Refused("INVALID_VALUE")


@forgets
def forget_crossed(state: State, number: int) -> None:
    for place in [place for place in state.things("l3xc_update") if place[0] == number]:
        del state.things("l3xc_update")[place]
