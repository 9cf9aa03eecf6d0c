"""Tables, and what joins interfaces to addresses and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.standin.families.interfaces import interface
from tests.standin.handlers import Refused, handles
from tests.standin.state import NOWHERE, Interface, State, Table


def _version(is_ip6: Any) -> int:
    return 6 if is_ip6 else 4


@handles("ip_table_add_del_v2")
def change_table(state: State, request: Any) -> None:
    """Table 0 cannot be touched; what is used stays until it is not, whoever deletes it."""
    version, number = _version(request.table.is_ip6), request.table.table_id
    if number == 0:
        return
    if request.is_add:
        name = request.table.name or f"ipv{version}-VRF:{number}"
        state.tables.setdefault((version, number), Table(number, version, name)).asked_for = True
    elif (version, number) in state.tables:
        state.tables[version, number].asked_for = False
        state.tidy()


@handles("ip_table_dump")
def list_tables(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for table in state.tables.values():
        yield {"table": {"table_id": table.number, "is_ip6": table.version == 6, "name": table.name}}


def _addresses(state: State, one: Interface, version: int) -> list[Any]:
    owner = state.interfaces.get(one.lender) if one.lender is not None else one
    return [address for address in owner.addresses if address.version == version] if owner else []


@handles("sw_interface_set_table")
def set_table(state: State, request: Any) -> None:
    one, version = interface(state, request.sw_if_index), _version(request.is_ipv6)
    if (version, request.vrf_id) not in state.tables:
        raise Refused("NO_SUCH_FIB")
    if _addresses(state, one, version):
        raise Refused("ADDRESS_FOUND_FOR_INTERFACE")
    one.tables[version] = request.vrf_id
    state.tidy()


@handles("sw_interface_get_table")
def get_table(state: State, request: Any) -> dict[str, Any]:
    return {"vrf_id": interface(state, request.sw_if_index).tables[_version(request.is_ipv6)]}


@handles("sw_interface_add_del_address")
def change_address(state: State, request: Any) -> None:
    one, address = interface(state, request.sw_if_index), request.prefix
    version = address.version
    if not request.is_add:
        if address not in one.addresses:
            raise Refused("ADDRESS_NOT_FOUND_FOR_INTERFACE")
        one.addresses.remove(address)
        return
    for number, other in state.own_addresses(version, one.tables[version]):
        if number == one.number and other.network == address.network and other != address:
            continue
        if other.network.overlaps(address.network):
            raise Refused("ADDRESS_IN_USE" if version == 4 else "DUPLICATE_IF_ADDRESS")
    one.addresses.append(address)


@handles("ip_address_dump")
def list_addresses(state: State, request: Any) -> Iterable[dict[str, Any]]:
    """A dump has no error: for an interface that is not there it is empty."""
    one, version = state.interfaces.get(request.sw_if_index), _version(request.is_ipv6)
    return [{"prefix": address} for address in one.addresses if address.version == version] if one else []


@handles("sw_interface_set_unnumbered")
def change_unnumbered(state: State, request: Any) -> None:
    one = interface(state, request.unnumbered_sw_if_index)
    if request.is_add:
        lender = interface(state, request.sw_if_index, "INVALID_SW_IF_INDEX_2")
        if one.tables != lender.tables:
            raise Refused("UNEXPECTED_INTF_STATE")
        one.lender = lender.number
    else:
        one.lender = None


@handles("ip_unnumbered_dump")
def list_unnumbered(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for one in state.interfaces.values():
        if one.lender is not None and request.sw_if_index in (NOWHERE, one.number):
            yield {"sw_if_index": one.number, "ip_sw_if_index": one.lender}
