"""Interfaces of every kind, their tags, flags and sizes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

from tests.standin.handlers import Refused, handles, uses
from tests.standin.state import LINK_UP, NOWHERE, UP, Interface, State

_IP_MODE = 2


def interface(state: State, number: int, error: str = "INVALID_SW_IF_INDEX") -> Interface:
    """The interface with a number, or VPP's complaint."""
    if number not in state.interfaces:
        raise Refused(error)
    return state.interfaces[number]


@handles("sw_interface_dump")
def list_interfaces(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        yield {
            "sw_if_index": one.number,
            "interface_name": one.name,
            "l2_address": one.mac,
            "flags": one.flags,
            "mtu": one.mtu,
            "tag": one.tag,
        }


@handles("sw_interface_set_flags")
def set_flags(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    up = int(request.flags) & UP
    before, one.flags = one.flags, (UP | LINK_UP) if up else 0
    if one.flags != before:
        state.emit("sw_interface_event", sw_if_index=one.number, flags=one.flags, deleted=False)


@handles("sw_interface_set_mtu")
def set_mtu(state: State, request: Any) -> None:
    interface(state, request.sw_if_index).mtu = list(request.mtu)


@handles("sw_interface_tag_add_del")
def set_tag(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if request.is_add and not request.tag:
        raise Refused("INVALID_VALUE")
    one.tag = request.tag if request.is_add else ""


@handles("create_loopback_instance")
def add_loopback(state: State, request: Any) -> dict[str, Any]:
    taken = {one.about for one in state.interfaces.values() if one.kind == "loopback"}
    instance = next(number for number in itertools.count() if number not in taken)
    made = state.add_interface("loopback", f"loop{instance}", mac=str(request.mac_address), about=instance)
    return {"sw_if_index": made.number}


@handles("delete_loopback")
def remove_loopback(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if one.kind != "loopback":
        raise Refused("INVALID_SW_IF_INDEX")
    state.remove_interface(one)


# ---- links of the kernel


def _link(state: State, name: str) -> Interface | None:
    return next((one for one in state.interfaces.values() if one.kind == "link" and one.about == name), None)


@handles("af_packet_create_v3")
def attach_link(state: State, request: Any) -> dict[str, Any]:
    if _link(state, request.host_if_name):
        raise Refused("IF_ALREADY_EXISTS")
    if request.host_if_name in state.no_links:
        raise Refused("INVALID_INTERFACE")
    mac = "00:00:00:00:00:00" if request.mode == _IP_MODE else str(request.hw_addr)
    made = state.add_interface("link", f"host-{request.host_if_name}", mac=mac, about=request.host_if_name)
    return {"sw_if_index": made.number}


@handles("af_packet_delete")
def detach_link(state: State, request: Any) -> None:
    one = _link(state, request.host_if_name)
    if one is None:
        raise Refused("SYSCALL_ERROR_1")
    state.remove_interface(one)


@handles("af_packet_dump")
def list_links(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.kind == "link":
            yield {"sw_if_index": one.number, "host_if_name": one.about}


# ---- tunnels


def _made_up() -> str:
    return "02:fe:" + ":".join(f"{byte:02x}" for byte in random.randbytes(4))


@handles("vxlan_add_del_tunnel_v3")
def change_tunnel(state: State, request: Any) -> dict[str, Any]:
    if (request.src_address.version, request.encap_vrf_id) not in state.tables:
        raise Refused("NO_SUCH_FIB")
    if request.src_address.version != request.dst_address.version:
        raise Refused("INVALID_VALUE")
    if request.src_address == request.dst_address:
        raise Refused("SAME_SRC_DST")
    about = (request.src_address, request.dst_address, request.encap_vrf_id, request.vni)
    found = next((one for one in state.interfaces.values() if one.kind == "tunnel" and one.about == about), None)
    if not request.is_add:
        if found is None:
            raise Refused("NO_SUCH_ENTRY")
        state.remove_interface(found)
        return {"sw_if_index": NOWHERE}
    if found is not None:
        raise Refused("TUNNEL_EXIST")
    made = state.add_interface("tunnel", "vxlan_tunnel{}", about=about, mac=_made_up(), flags=UP | LINK_UP)
    return {"sw_if_index": made.number}


@uses
def tables_of_tunnels(state: State) -> Iterable[tuple[int, int]]:
    for one in state.interfaces.values():
        if one.kind == "tunnel":
            source, _, table, _ = one.about
            yield source.version, table


@handles("vxlan_tunnel_v2_dump")
def list_tunnels(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.kind == "tunnel" and request.sw_if_index in (NOWHERE, one.number):
            source, destination, table, number = one.about
            yield {
                "sw_if_index": one.number,
                "src_address": source,
                "dst_address": destination,
                "encap_vrf_id": table,
                "vni": number,
            }
