"""What interfaces do with packets: addresses, tables, routes, bridge domains, cross-connects and the rest."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final

from contivpp.dataplane import fields
from contivpp.dataplane.vpp.checks.interfaces import VLAN
from contivpp.dataplane.vpp.checks.names import DOMAIN_NUMBERS, hop, logical_name, other, printable, table
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.arp import NeighbourLimits, ProxyArp, ProxyArpRange
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.crossing import L2CrossConnect, L3CrossConnect
from contivpp.dataplane.vpp.values.dhcp import DhcpClient
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.receiving import RxMode, RxPlacement
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.dataplane.vpp.values.subinterfaces import TagRewrite

_BYTE: Final = 255
_QUEUES: Final = (0, 255)
_NAME: Final = 63
_VERSIONS: Final = ((4,), (6,), (4, 6))
_TAGS_PUT_ON: Final = {"push-1": 1, "push-2": 2, "pop-1": 0, "pop-2": 0} | {
    f"translate-{taken}-{put}": put for taken in (1, 2) for put in (1, 2)
}


# ---- tables and addresses


def _table(value: Table) -> Table:
    table("vrf", value.vrf, first=1)
    printable("name", value.name, _NAME)
    return value


def _interface_table(value: InterfaceTable) -> InterfaceTable:
    logical_name("interface", value.interface)
    table("vrf", value.vrf, first=1)
    return value


def _interface_address(value: InterfaceAddress) -> InterfaceAddress:
    logical_name("interface", value.interface)
    table("vrf", value.vrf)
    return dataclasses.replace(value, address=fields.address_with_prefix("address", value.address))


def _unnumbered(value: Unnumbered) -> Unnumbered:
    logical_name("interface", value.interface)
    other("addresses_of", value.addresses_of, value.interface)
    table("vrf", value.vrf)
    versions = tuple(sorted(set(value.versions)))
    if versions not in _VERSIONS:
        message = f"field versions: {list(value.versions)} are not IP versions: write 4, 6 or both"
        raise ValueError(message)
    return dataclasses.replace(value, versions=versions)


# ---- routes and neighbours


def _route(value: VppRoute) -> VppRoute:
    to = fields.subnet("to", value.to)
    version = ipaddress.ip_network(to).version
    table("vrf", value.vrf)
    fields.within("weight", value.weight, 1, _BYTE)
    leads = bool(value.via or value.interface or value.via_vrf is not None)
    if value.kind != "unicast":
        if leads or value.weight != 1:
            message = (
                f"field kind: a route of kind {value.kind} leads nowhere: leave out via, interface, via_vrf, weight"
            )
            raise ValueError(message)
        return dataclasses.replace(value, to=to)
    if not leads:
        message = f"field via is missing: say where packets to {to} go: via, interface or via_vrf"
        raise ValueError(message)
    if value.via_vrf is not None:
        table("via_vrf", value.via_vrf)
        if value.via or value.interface:
            message = "field via_vrf: another look-up has neither next hop nor interface: leave out via and interface"
            raise ValueError(message)
        if value.via_vrf == value.vrf:
            message = f"field via_vrf: table {value.vrf} would look up in itself: name another table"
            raise ValueError(message)
    if value.interface:
        logical_name("interface", value.interface)
    return dataclasses.replace(value, to=to, via=hop(value.via, version))


def _neighbour(value: VppNeighbour) -> VppNeighbour:
    logical_name("interface", value.interface)
    return dataclasses.replace(
        value, address=fields.address("address", value.address), mac=fields.mac("mac", value.mac)
    )


def _proxy_arp(value: ProxyArp) -> ProxyArp:
    logical_name("interface", value.interface)
    return value


def _proxy_arp_range(value: ProxyArpRange) -> ProxyArpRange:
    table("vrf", value.vrf)
    first, last = fields.address("first", value.first, 4), fields.address("last", value.last, 4)
    if ipaddress.ip_address(last).packed < ipaddress.ip_address(first).packed:
        message = f"field last: {last} comes before {first}: exchange them"
        raise ValueError(message)
    return dataclasses.replace(value, first=first, last=last)


def _neighbour_limits(value: NeighbourLimits) -> NeighbourLimits:
    fields.within("most", value.most, 0, fields.UINT32)
    fields.within("age", value.age, 0, fields.UINT32)
    if value == NeighbourLimits(value.version):
        message = "field most: these are the limits that VPP starts with: leave the item out, or choose others"
        raise ValueError(message)
    return value


# ---- bridge domains and cross-connects


def _bridge_domain(value: BridgeDomain) -> BridgeDomain:
    logical_name("name", value.name)
    fields.within("number", value.number, *DOMAIN_NUMBERS)
    return value


def _bridge_member(value: BridgeMember) -> BridgeMember:
    logical_name("domain", value.domain)
    logical_name("interface", value.interface)
    fields.within("number", value.number, *DOMAIN_NUMBERS)
    fields.within("group", value.group, 0, _BYTE)
    return value


def _forwarding_entry(value: VppForwardingEntry) -> VppForwardingEntry:
    logical_name("interface", value.interface)
    fields.within("number", value.number, *DOMAIN_NUMBERS)
    return dataclasses.replace(value, mac=fields.mac("mac", value.mac))


def _l2_cross_connect(value: L2CrossConnect) -> L2CrossConnect:
    logical_name("interface", value.interface)
    other("to", value.to, value.interface)
    return value


def _l3_cross_connect(value: L3CrossConnect) -> L3CrossConnect:
    logical_name("interface", value.interface)
    other("to", value.to, value.interface)
    return dataclasses.replace(value, via=hop(value.via, value.version))


def _tag_rewrite(value: TagRewrite) -> TagRewrite:
    logical_name("interface", value.interface)
    put = _TAGS_PUT_ON[value.operation]
    for needed, field in ((1, "tag"), (2, "inner_tag")):
        number = getattr(value, field)
        if put >= needed:
            fields.within(field, number, *VLAN)
        elif number:
            message = f"field {field}: {value.operation} puts on {put} tags: leave out {number}"
            raise ValueError(message)
    if value.service and not put:
        message = f"field service: {value.operation} puts on no tag: leave it out"
        raise ValueError(message)
    return value


# ---- the rest


def _rx_mode(value: RxMode) -> RxMode:
    logical_name("interface", value.interface)
    if value.queue is not None:
        fields.within("queue", value.queue, *_QUEUES)
    return value


def _rx_placement(value: RxPlacement) -> RxPlacement:
    logical_name("interface", value.interface)
    fields.within("queue", value.queue, *_QUEUES)
    if value.worker is not None:
        fields.within("worker", value.worker, *_QUEUES)
    return value


def _punt_redirect(value: PuntRedirect) -> PuntRedirect:
    logical_name("to", value.to)
    if value.interface:
        logical_name("interface", value.interface)
    return dataclasses.replace(value, via=hop(value.via, value.version))


def _dhcp_client(value: DhcpClient) -> DhcpClient:
    logical_name("interface", value.interface)
    printable("hostname", value.hostname, _NAME)
    return value


CHECKS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    Table: _table,
    InterfaceTable: _interface_table,
    InterfaceAddress: _interface_address,
    Unnumbered: _unnumbered,
    VppRoute: _route,
    VppNeighbour: _neighbour,
    ProxyArp: _proxy_arp,
    ProxyArpRange: _proxy_arp_range,
    NeighbourLimits: _neighbour_limits,
    BridgeDomain: _bridge_domain,
    BridgeMember: _bridge_member,
    VppForwardingEntry: _forwarding_entry,
    L2CrossConnect: _l2_cross_connect,
    L3CrossConnect: _l3_cross_connect,
    TagRewrite: _tag_rewrite,
    RxMode: _rx_mode,
    RxPlacement: _rx_placement,
    PuntRedirect: _punt_redirect,
    DhcpClient: _dhcp_client,
}
"""What makes a value of each type as VPP gives it back."""
