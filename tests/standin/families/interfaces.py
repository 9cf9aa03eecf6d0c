"""Interfaces of every kind, their tags, flags and sizes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

from tests.standin.handlers import Refused, handles, uses
from tests.standin.state import LINK_UP, NOWHERE, UP, Interface, State

_IP_MODE = 2
_HARDWARE, _SUB, _PIPE_END = 0, 1, 3
POLLING, INTERRUPT, ADAPTIVE = 1, 2, 3


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
            "type": _type(one),
            "sup_sw_if_index": one.number if one.parent is None else one.parent,
            "sub_outer_vlan_id": one.vlan[0],
            "sub_inner_vlan_id": one.vlan[1],
            "sub_if_flags": one.vlan[2],
            "interface_dev_type": one.device,
            "vtr_op": one.rewriting[0],
            "vtr_push_dot1q": one.rewriting[1],
            "vtr_tag1": one.rewriting[2],
            "vtr_tag2": one.rewriting[3],
        }


def _type(one: Interface) -> int:
    if one.parent is None:
        return _HARDWARE
    return _PIPE_END if one.kind == "pipe end" else _SUB


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


@handles("sw_interface_set_mac_address")
def set_mac(state: State, request: Any) -> None:
    interface(state, request.sw_if_index).mac = str(request.mac_address)


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
    made = state.add_interface(
        "loopback", f"loop{instance}", mac=str(request.mac_address), device="Loopback", about=instance
    )
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
    about = {"device": "af-packet", "queues": {0: (0, INTERRUPT)}, "about": request.host_if_name}
    made = state.add_interface("link", f"host-{request.host_if_name}", mac=mac, **about)
    return {"sw_if_index": made.number}


@handles("collect_detailed_interface_stats")
def count_more(state: State, request: Any) -> None:
    interface(state, request.sw_if_index)


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


# ---- TAPs


@handles("tap_create_v3")
def add_tap(state: State, request: Any) -> dict[str, Any]:
    if not state.vhost:
        raise Refused("SYSCALL_ERROR_1")
    ends = {
        (one.about.host_namespace, one.about.host_if_name) for one in state.interfaces.values() if one.kind == "tap"
    }
    if (request.host_namespace, request.host_if_name) in ends:
        raise Refused("SYSCALL_ERROR_3")
    made = state.add_interface("tap", "tap{}", mac=str(request.mac_address), device="virtio", about=request)
    made.queues[0] = (0, INTERRUPT)
    return {"sw_if_index": made.number}


@handles("tap_delete_v2")
def remove_tap(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if one.kind != "tap":
        raise Refused("INVALID_SW_IF_INDEX")
    state.remove_interface(one)


@handles("sw_interface_tap_v2_dump")
def list_taps(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.kind == "tap":
            yield {**one.about._asdict(), "sw_if_index": one.number}


# ---- VLANs


@handles("create_subif")
def add_vlan(state: State, request: Any) -> dict[str, Any]:
    parent = interface(state, request.sw_if_index)
    vlan = (request.outer_vlan_id, request.inner_vlan_id, int(request.sub_if_flags))
    for one in state.interfaces.values():
        if one.parent == parent.number and request.sub_id == one.about:
            raise Refused("VLAN_ALREADY_EXISTS")
    name = f"{parent.name}.{request.sub_id}"
    made = state.add_interface("vlan", name, mac=parent.mac, parent=parent.number, vlan=vlan, about=request.sub_id)
    return {"sw_if_index": made.number}


@handles("delete_subif")
def remove_vlan(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if one.parent is None:
        raise Refused("INVALID_SUB_SW_IF_INDEX")
    state.remove_interface(one)


# ---- pipes


@handles("pipe_create")
def add_pipe(state: State, request: Any) -> dict[str, Any]:
    taken = {one.about for one in state.interfaces.values() if one.kind == "pipe"}
    instance = next(number for number in itertools.count() if number not in taken)
    made = state.add_interface("pipe", f"pipe{instance}", about=instance)
    for end in (0, 1):
        state.add_interface("pipe end", f"{made.name}.{end}", parent=made.number, mtu=[0, 0, 0, 0])
    return {"sw_if_index": made.number}


@handles("pipe_delete")
def remove_pipe(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if one.kind != "pipe":
        raise Refused("INVALID_SW_IF_INDEX")
    state.remove_interface(one)


@handles("pipe_dump")
def list_pipes(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.kind == "pipe":
            yield {"sw_if_index": one.number}


# ---- how interfaces receive


@handles("sw_interface_set_rx_mode")
def set_mode(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if not one.queues:
        raise Refused("UNSUPPORTED")
    if request.queue_id_valid and request.queue_id not in one.queues:
        raise Refused("INVALID_QUEUE")
    if request.mode == ADAPTIVE and one.kind == "link":
        raise Refused("UNIMPLEMENTED")
    for number, (thread, _) in one.queues.items():
        if not request.queue_id_valid or number == request.queue_id:
            one.queues[number] = (thread, int(request.mode))


@handles("sw_interface_set_rx_placement")
def set_thread(state: State, request: Any) -> None:
    """There are no workers."""
    one = interface(state, request.sw_if_index)
    if request.queue_id not in one.queues:
        raise Refused("INVALID_QUEUE")
    if not request.is_main:
        raise Refused("UNIMPLEMENTED")
    one.queues[request.queue_id] = (0, one.queues[request.queue_id][1])


@handles("sw_interface_rx_placement_dump")
def list_queues(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if request.sw_if_index in (NOWHERE, one.number):
            for number, (thread, mode) in one.queues.items():
                yield {"sw_if_index": one.number, "queue_id": number, "worker_id": thread, "mode": mode}


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
    made = state.add_interface(
        "tunnel", "vxlan_tunnel{}", about=about, mac=_made_up(), flags=UP | LINK_UP, device="VXLAN"
    )
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
