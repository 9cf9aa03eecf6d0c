"""The rtnetlink messages that this project sends. Numbers are the kernel's, from its uapi headers."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

PROTOCOL: Final = 77
"""The routing protocol number of what we make: the kernel keeps it, and so we know it again."""

CREATE: Final = 0x400
EXCLUSIVE: Final = 0x200
REPLACE: Final = 0x100
UP: Final = 0x1
PERMANENT: Final = 0x80
NOARP: Final = 0x40
SELF: Final = 0x02
ONLINK: Final = 0x4
_NO_ADDRESS: Final = 1  # IN6_ADDR_GEN_MODE_NONE
SCOPES: Final = {"": 0, "link": 253}
KINDS: Final = {"unicast": 1, "blackhole": 6, "unreachable": 7}
_LINK: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, length of prefix, flags, scope, index
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # family, lengths, TOS, table, protocol, scope, type, flags
_RULE: Final = struct.Struct("=BBBBBxxBI")  # family, lengths, TOS, table, action, flags
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_ATTRIBUTE: Final = struct.Struct("=HH")
Attribute = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the type and the flags of the netlink header, and what follows it."""

    type: int
    flags: int
    body: bytes


def packed(attributes: Iterable[Attribute]) -> bytes:
    """Attributes by number, as they follow each other."""
    data = bytearray()
    for number, value in attributes:
        data += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), number) + value + bytes(-len(value) % 4)
    return bytes(data)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _number(number: int) -> bytes:
    return struct.pack("=I", number)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


# ---- links

_NEW_LINK: Final = 16
_DELETE_LINK: Final = 17
_GET_LINK: Final = 18
_LINK_ADDRESS: Final = 1
_LINK_NAME: Final = 3
_LINK_MTU: Final = 4
_LINK_INFO: Final = 18
_LINK_ALIAS: Final = 20
_LINK_FAMILIES: Final = 26
_LINK_NAMESPACE_FILE: Final = 28
_INFO_KIND: Final = 1
_INFO_DATA: Final = 2
_VETH_PEER: Final = 1
_VXLAN_ID: Final = 1
_VXLAN_LINK: Final = 3
_VXLAN_LOCAL: Final = {4: 4, 6: 17}
_VXLAN_LEARNING: Final = 7
_VXLAN_PORT: Final = 15
_ADDRESS_GENERATION: Final = 8


def _link(type_: int, *attributes: Attribute, header: int = 0, index: int = 0, flags: int = 0) -> Message:
    return Message(type_, header, _LINK.pack(0, 0, index, flags, flags) + packed(attributes))


def _new_link(name: str, mac: str, mtu: int, *more: Attribute) -> list[Attribute]:
    size = [(_LINK_MTU, _number(mtu))] if mtu else []
    return [(_LINK_NAME, _text(name)), (_LINK_ADDRESS, _mac(mac)), *size, *more]


def _info(kind: str, data: Iterable[Attribute]) -> Attribute:
    return _LINK_INFO, packed([(_INFO_KIND, _text(kind)), (_INFO_DATA, packed(data))])


def get_link(name: str) -> Message:
    """One link by its name."""
    return _link(_GET_LINK, (_LINK_NAME, _text(name)))


def new_veth(host_name: str, mac: str, peer_name: str, peer_mac: str, mtu: int, netns: int) -> Message:
    """A pair, born with its peer in the namespace of the open file `netns`."""
    peer = _new_link(peer_name, peer_mac, mtu, (_LINK_NAMESPACE_FILE, _number(netns)))
    info = _info("veth", [(_VETH_PEER, bytes(_LINK.size) + packed(peer))])
    return _link(_NEW_LINK, *_new_link(host_name, mac, mtu, info), header=CREATE | EXCLUSIVE)


def new_vxlan(name: str, vni: int, local: str, port: int, mac: str, mtu: int, parent: int) -> Message:
    """A VXLAN device that learns nothing."""
    address = ipaddress.ip_address(local)
    data = [
        (_VXLAN_ID, _number(vni)),
        (_VXLAN_LOCAL[address.version], address.packed),
        (_VXLAN_PORT, port.to_bytes(2, "big")),
        (_VXLAN_LEARNING, b"\0"),
        *([(_VXLAN_LINK, _number(parent))] if parent else []),
    ]
    return _link(_NEW_LINK, *_new_link(name, mac, mtu, _info("vxlan", data)), header=CREATE | EXCLUSIVE)


def silence_link(name: str) -> Message:
    """Lets a link that is not up yet make no IPv6 address of its own, and so announce none."""
    family = (int(socket.AF_INET6), packed([(_ADDRESS_GENERATION, bytes((_NO_ADDRESS,)))]))
    return _link(_NEW_LINK, (_LINK_NAME, _text(name)), (_LINK_FAMILIES, packed([family])))


def set_link(name: str, *, alias: str = "", mtu: int = 0, up: bool = True) -> Message:
    """Changes a link by its name."""
    attributes: list[Attribute] = [(_LINK_NAME, _text(name))]
    if alias:
        attributes.append((_LINK_ALIAS, _text(alias)))
    if mtu:
        attributes.append((_LINK_MTU, _number(mtu)))
    return _link(_NEW_LINK, *attributes, flags=UP if up else 0)


def delete_link(index: int) -> Message:
    """Removes a link, and with it its peer and all that is on it."""
    return _link(_DELETE_LINK, index=index)


# ---- addresses

_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_IFA_PROTOCOL: Final = 11
_NO_DETECTION: Final = 0x02  # of duplicate addresses: we know


def address(index: int, text: str, *, delete: bool = False) -> Message:
    """Puts or removes an address, given with prefix length."""
    interface = ipaddress.ip_interface(text)
    attributes = [(_IFA_ADDRESS, interface.ip.packed), (_IFA_LOCAL, interface.ip.packed)]
    if not delete:
        attributes.append((_IFA_PROTOCOL, bytes((PROTOCOL,))))
        if interface.version == 6:
            attributes.append((_IFA_FLAGS, _number(_NO_DETECTION)))
    return Message(
        _DELETE_ADDRESS if delete else _NEW_ADDRESS,
        0 if delete else CREATE | REPLACE,
        _ADDRESS.pack(_family(interface), interface.network.prefixlen, 0, 0, index) + packed(attributes),
    )


# ---- routes and rules

_NEW_ROUTE: Final = 24
_DELETE_ROUTE: Final = 25
_ROUTE_TO: Final = 1
_ROUTE_LINK: Final = 4
_ROUTE_VIA: Final = 5
_ROUTE_METRIC: Final = 6
_ROUTE_SOURCE: Final = 7
_ROUTE_TABLE: Final = 15
_NEW_RULE: Final = 32
_DELETE_RULE: Final = 33
_RULE_TO: Final = 1
_RULE_FROM: Final = 2
_RULE_PRIORITY: Final = 6
_RULE_TABLE: Final = 15
_RULE_PROTOCOL: Final = 21
_LOOK_UP: Final = 1


def route(
    to: str, *, via: str, index: int, table: int, scope: str, source: str, kind: str, metric: int, delete: bool = False
) -> Message:
    """Puts (replacing what is there) or removes a route; a gateway is always taken to be on the link."""
    subnet = ipaddress.ip_network(to)
    attributes = [(_ROUTE_TO, subnet.network_address.packed), (_ROUTE_TABLE, _number(table))]
    if via:
        attributes.append((_ROUTE_VIA, _ip(via)))
    if index:
        attributes.append((_ROUTE_LINK, _number(index)))
    if source:
        attributes.append((_ROUTE_SOURCE, _ip(source)))
    if metric:
        attributes.append((_ROUTE_METRIC, _number(metric)))
    flags = ONLINK if via and index and not delete else 0
    header = (_family(subnet), subnet.prefixlen, 0, 0, _short(table), PROTOCOL, SCOPES[scope], KINDS[kind], flags)
    return Message(
        _DELETE_ROUTE if delete else _NEW_ROUTE,
        0 if delete else CREATE | REPLACE,
        _ROUTE.pack(*header) + packed(attributes),
    )


def rule(priority: int, source: str, destination: str, table: int, *, family: int, delete: bool = False) -> Message:
    """Puts or removes a rule."""
    attributes = [
        (_RULE_PRIORITY, _number(priority)),
        (_RULE_TABLE, _number(table)),
        (_RULE_PROTOCOL, bytes((PROTOCOL,))),
    ]
    lengths = {_RULE_TO: 0, _RULE_FROM: 0}
    for number, text in ((_RULE_FROM, source), (_RULE_TO, destination)):
        if text:
            subnet = ipaddress.ip_network(text)
            attributes.append((number, subnet.network_address.packed))
            lengths[number] = subnet.prefixlen
    header = (family, lengths[_RULE_TO], lengths[_RULE_FROM], 0, _short(table), _LOOK_UP, 0)
    return Message(
        _DELETE_RULE if delete else _NEW_RULE,
        0 if delete else CREATE | EXCLUSIVE,
        _RULE.pack(*header) + packed(attributes),
    )


def _short(table: int) -> int:
    """The table's number in a header, which has one byte for it; the attribute counts."""
    return table if table < 256 else 0


# ---- neighbours and forwarding entries

_NEW_NEIGHBOUR: Final = 28
_DELETE_NEIGHBOUR: Final = 29
_NEIGHBOUR_IP: Final = 1
_NEIGHBOUR_MAC: Final = 2
_NEIGHBOUR_PROTOCOL: Final = 12


def neighbour(index: int, text: str, mac: str, *, delete: bool = False) -> Message:
    """Puts or removes a permanent neighbour."""
    ip = ipaddress.ip_address(text)
    attributes = [(_NEIGHBOUR_IP, ip.packed)]
    if not delete:
        attributes += [(_NEIGHBOUR_MAC, _mac(mac)), (_NEIGHBOUR_PROTOCOL, bytes((PROTOCOL,)))]
    return _neighbour(_family(ip), index, PERMANENT, 0, attributes, delete=delete)


def forwarding_entry(index: int, mac: str, destination: str, *, delete: bool = False) -> Message:
    """Puts or removes the far end behind which a MAC is."""
    attributes = [(_NEIGHBOUR_MAC, _mac(mac)), (_NEIGHBOUR_IP, _ip(destination))]
    return _neighbour(int(socket.AF_BRIDGE), index, PERMANENT | NOARP, SELF, attributes, delete=delete)


def _neighbour(
    family: int, index: int, state: int, flags: int, attributes: Iterable[Attribute], *, delete: bool
) -> Message:
    return Message(
        _DELETE_NEIGHBOUR if delete else _NEW_NEIGHBOUR,
        0 if delete else CREATE | REPLACE,
        _NEIGHBOUR.pack(family, index, state, flags, 0) + packed(attributes),
    )


def _family(thing: Any) -> int:
    return int(socket.AF_INET if thing.version == 4 else socket.AF_INET6)
