"""What VPP does beside forwarding: proxy ARP, limits of neighbours, punts, DHCP clients, shared memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, forgets, handles, listed
from tests.standin.state import State

_LIMITS = (50_000, 0, False)
_MASTER = 0


def _has_table(state: State, request: Any) -> None:
    if (4, request.proxy.table_id) not in state.tables:
        raise Refused("NO_SUCH_FIB")


listed(
    "proxy_arp_add_del",
    "proxy_arp_dump",
    key=lambda request: request.proxy,
    details=lambda request: {"proxy": request.proxy},
    valid=_has_table,
)


@handles("proxy_arp_intfc_enable_disable")
def set_proxy(state: State, request: Any) -> None:
    number = interface(state, request.sw_if_index).number
    if request.enable:
        state.things("proxy")[number] = True
    else:
        state.things("proxy").pop(number, None)


@handles("proxy_arp_intfc_dump")
def list_proxies(state: State, request: Any) -> Iterable[dict[str, Any]]:
    return [{"sw_if_index": number} for number in state.things("proxy")]


@handles("ip_neighbor_config")
def set_limits(state: State, request: Any) -> None:
    state.things("limits")[int(request.af)] = (request.max_number, request.max_age, request.recycle)


@handles("ip_neighbor_config_get")
def get_limits(state: State, request: Any) -> dict[str, Any]:
    most, age, recycle = state.things("limits").get(int(request.af), _LIMITS)
    return {"max_number": most, "max_age": age, "recycle": recycle}


listed(
    "add_del_ip_punt_redirect_v2",
    "ip_punt_redirect_v2_dump",
    key=lambda request: (int(request.punt.af), request.punt.rx_sw_if_index),
    details=lambda request: {"punt": request.punt},
    wanted=lambda request, thing: request.af == thing.punt.af,
)


@handles("set_punt")
def set_punt(state: State, request: Any) -> None:
    rule = request.punt.punt.l4
    (state.things("punt").__setitem__ if request.is_add else state.things("punt").pop)(rule, True)


listed(
    "dhcp_client_config",
    "dhcp_client_dump",
    key=lambda request: request.client.sw_if_index,
    details=lambda request: {"client": request.client},
    absent="INVALID_VALUE",
    present="INVALID_VALUE",
    valid=lambda state, request: interface(state, request.client.sw_if_index) and None,
)


@forgets
def forget_services(state: State, number: int) -> None:
    state.things("proxy").pop(number, None)
    state.things("dhcp_client_config").pop(number, None)


# ---- shared memory


@handles("memif_socket_filename_add_del_v2")
def change_socket(state: State, request: Any) -> None:
    sockets = state.things("memif socket")
    if request.is_add:
        if sockets.get(request.socket_id, request.socket_filename) != request.socket_filename:
            raise Refused("ENTRY_ALREADY_EXISTS")
        sockets[request.socket_id] = request.socket_filename
    elif request.socket_id not in sockets:
        raise Refused("NO_SUCH_ENTRY")
    elif any(one.kind == "memif" and one.about.socket_id == request.socket_id for one in state.interfaces.values()):
        raise Refused("UNEXPECTED_INTF_STATE")
    else:
        del sockets[request.socket_id]


@handles("memif_socket_filename_dump")
def list_sockets(state: State, request: Any) -> Iterable[dict[str, Any]]:
    yield {"socket_id": 0, "socket_filename": "/run/vpp/memif.sock"}
    for number, path in state.things("memif socket").items():
        yield {"socket_id": number, "socket_filename": path}


@handles("memif_create_v2")
def add_memif(state: State, request: Any) -> dict[str, Any]:
    if request.socket_id and request.socket_id not in state.things("memif socket"):
        raise Refused("INVALID_ARGUMENT")
    if request.ring_size & (request.ring_size - 1):
        raise Refused("INVALID_ARGUMENT")
    path = state.things("memif socket").get(request.socket_id, "")
    if request.role == _MASTER and path.startswith("/no/such/folder"):
        raise Refused("SYSCALL_ERROR_4")
    name = f"memif{request.socket_id}/{request.id}"
    if any(one.name == name for one in state.interfaces.values()):
        raise Refused("SUBIF_ALREADY_EXISTS")
    mac = "00:00:00:00:00:00" if request.mode else str(request.hw_addr)
    return {"sw_if_index": state.add_interface("memif", name, mac=mac, device="memif", about=request).number}


@handles("memif_delete")
def remove_memif(state: State, request: Any) -> None:
    one = interface(state, request.sw_if_index)
    if one.kind != "memif":
        raise Refused("INVALID_SW_IF_INDEX")
    state.remove_interface(one)


@handles("memif_dump")
def list_memifs(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.kind == "memif":
            yield {**one.about._asdict(), "sw_if_index": one.number}
