"""Addresses and routes of a link, kept in the words of the kernel and said to it again, on the link in its place.

Nothing is translated: metrics, scopes, tables, preferred sources, weights of multipath routes and lifetimes come back
because they are the very bytes that the kernel gave. Only what names the link is changed, and what the kernel says but
does not take is left out. What the kernel makes by itself (the routes of addresses, link-local addresses, what routers
announce) is noted, and not said again.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from contivpp.stn.journal import SavedAddress, SavedHop, SavedRoute

_HEADER: Final = struct.Struct("=IHHII")
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_HOP: Final = struct.Struct("=HBBi")  # length, flags, weight - 1, index
_NEW_ADDRESS, _DEL_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DEL_ROUTE, _GET_ROUTE = 24, 25, 26
_REQUEST, _ACK, _DUMP, _CREATE, _REPLACE = 0x1, 0x4, 0x300, 0x400, 0x100
_ERROR, _DONE = 2, 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS, _IFA_PROTO = 1, 2, 6, 8, 11
_BY_KERNEL: Final = (1, 2, 3)  # values of IFA_PROTO: loopback, router announcement, link-local
_TEMPORARY, _PERMANENT, _MANAGES_TEMPORARY, _NO_ROUTE = 0x01, 0x80, 0x100, 0x200
_STATE: Final = 0x08 | 0x20 | 0x40 | 0x80  # of an address: failed, deprecated, tentative, permanent
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH = 1, 4, 5, 6, 9
_RTA_CACHEINFO, _RTA_TABLE, _RTA_VIA, _RTA_NH_ID = 12, 15, 18, 30
_LOCAL: Final = 255
_ONLINK: Final = 0x4
_CLONED: Final = 0x200
_PROTO_KERNEL, _PROTO_RA = 2, 9
_FOREVER: Final = 0xFFFFFFFF
_LONG_ENOUGH: Final = 300
"""Seconds that an address with a lifetime is good for when it comes back: its client renews it meanwhile."""
_RECEIVE: Final = 1 << 20


class RefusedError(Exception):
    """The kernel refused a message; `code` is the errno."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{os.strerror(code)} ({errno.errorcode.get(code, code)})")
        self.code = code


def addresses_of(index: int) -> tuple[SavedAddress, ...]:
    """The addresses of a link, in the kernel's order."""
    found = []
    for payload in _dump(_GET_ADDRESS, _ADDRESS.pack(0, 0, 0, 0, 0)):
        family, length, flags, _, owner = _ADDRESS.unpack_from(payload)
        if owner != index:
            continue
        attributes = dict(_attributes(payload, _ADDRESS.size))
        if _IFA_FLAGS in attributes:
            flags = struct.unpack("=I", attributes[_IFA_FLAGS])[0]
        value = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
        preferred, valid = _lifetimes(attributes.get(_IFA_CACHEINFO))
        ip = ipaddress.ip_address(value)
        made = attributes.get(_IFA_PROTO, b"\0")[0] in _BY_KERNEL
        announced = family == socket.AF_INET6 and bool(flags & (_TEMPORARY | _MANAGES_TEMPORARY))
        found.append(
            SavedAddress(
                text=f"{ip}/{length}",
                message=payload.hex(),
                valid=valid,
                preferred=preferred,
                automatic=made or announced or (ip.is_link_local and family == socket.AF_INET6),
            )
        )
    return tuple(found)


def routes_of(index: int) -> tuple[SavedRoute, ...]:
    """The routes by a link, of all tables, those first that need no other."""
    found = []
    own = _without_a_route(index)
    for family in (socket.AF_INET, socket.AF_INET6):
        for payload in _dump(_GET_ROUTE, _ROUTE.pack(family, *[0] * 8)):
            _, length, _, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(payload)
            attributes = dict(_attributes(payload, _ROUTE.size))
            hops = tuple(_hops(attributes, index, family))
            if _RTA_TABLE in attributes:
                table = struct.unpack("=I", attributes[_RTA_TABLE])[0]
            if not hops or flags & _CLONED or kind != 1 or table == _LOCAL:
                continue
            destination = attributes.get(_RTA_DST)
            to = f"{ipaddress.ip_address(destination)}/{length}" if destination else ""
            found.append(
                SavedRoute(
                    to=to,
                    hops=hops,
                    metric=struct.unpack("=I", attributes[_RTA_PRIORITY])[0] if _RTA_PRIORITY in attributes else 0,
                    message=payload.hex(),
                    table=table,
                    automatic=protocol == _PROTO_RA or (protocol == _PROTO_KERNEL and to not in own),
                )
            )
    return tuple(sorted(found, key=lambda route: any(hop.via for hop in route.hops)))


def _without_a_route(index: int) -> set[str]:
    """The subnets of addresses that the kernel was told to make no route of: NetworkManager adds it in its name."""
    found = set()
    for address in addresses_of(index):
        attributes = dict(_attributes(bytes.fromhex(address.message), _ADDRESS.size))
        flags = struct.unpack("=I", attributes[_IFA_FLAGS])[0] if _IFA_FLAGS in attributes else 0
        if flags & _NO_ROUTE and not address.automatic:
            found.add(str(ipaddress.ip_network(address.text, strict=False)))
    return found


def put_address(saved: SavedAddress, index: int, *, elapsed: float = 0.0) -> None:
    """Gives a link an address that was saved `elapsed` seconds ago; one that is there stays.

    Raises:
        RefusedError: the kernel does not take it.
    """
    payload = bytes.fromhex(saved.message)
    family, length, flags, scope, _ = _ADDRESS.unpack_from(payload)
    body = b""
    for kind, value in _attributes(payload, _ADDRESS.size):
        if kind == _IFA_FLAGS:
            body += _attribute(kind, struct.pack("=I", struct.unpack("=I", value)[0] & ~_STATE))
        elif kind != _IFA_CACHEINFO:
            body += _attribute(kind, value)
    if saved.valid:
        valid = max(int(saved.valid - elapsed), _LONG_ENOUGH)
        preferred = min(max(int(saved.preferred - elapsed), _LONG_ENOUGH), valid) if saved.preferred else _FOREVER
        body += _attribute(_IFA_CACHEINFO, struct.pack("=IIII", preferred, valid, 0, 0))
    head = _ADDRESS.pack(family, length, flags & ~_STATE & 0xFF, scope, index)
    _tell(_NEW_ADDRESS, _CREATE | _REPLACE, head + body)


def remove_address(saved: SavedAddress, index: int) -> None:
    """Takes an address off a link; one that is not there is no error.

    Raises:
        RefusedError: the kernel does not.
    """
    payload = bytes.fromhex(saved.message)
    family, length, _, scope, _ = _ADDRESS.unpack_from(payload)
    body = b"".join(
        _attribute(kind, value)
        for kind, value in _attributes(payload, _ADDRESS.size)
        if kind in (_IFA_ADDRESS, _IFA_LOCAL)
    )
    _tell(_DEL_ADDRESS, 0, _ADDRESS.pack(family, length, 0, scope, index) + body, missing=(errno.EADDRNOTAVAIL,))


def put_route(saved: SavedRoute, before: int, index: int) -> None:
    """Puts back a route that led over a link with the index `before`; what is in its place is replaced.

    Raises:
        RefusedError: the kernel does not take it.
    """
    _tell(_NEW_ROUTE, _CREATE | _REPLACE, _said_again(bytes.fromhex(saved.message), before, index))


def remove_route(saved: SavedRoute, index: int) -> None:
    """Takes away a route; one that is not there is no error.

    Raises:
        RefusedError: the kernel does not.
    """
    payload = _said_again(bytes.fromhex(saved.message), index, index)
    _tell(_DEL_ROUTE, 0, payload, missing=(errno.ESRCH, errno.ENOENT, errno.ENODEV))


def same_address(one: SavedAddress, other: SavedAddress) -> bool:
    """Whether two are the same but for their link and lifetimes."""
    return _essence_of_address(one) == _essence_of_address(other)


def same_route(one: SavedRoute, index: int, other: SavedRoute, other_index: int) -> bool:
    """Whether two are the same but for the link with the index that goes with each."""
    return _said_again(bytes.fromhex(one.message), index, 0) == _said_again(
        bytes.fromhex(other.message), other_index, 0
    )


# ---- parts of messages


def _essence_of_address(saved: SavedAddress) -> object:
    payload = bytes.fromhex(saved.message)
    family, length, flags, scope, _ = _ADDRESS.unpack_from(payload)
    kept = []
    for kind, value in _attributes(payload, _ADDRESS.size):
        if kind == _IFA_FLAGS:
            flags = struct.unpack("=I", value)[0]
        elif kind != _IFA_CACHEINFO:
            kept.append((kind, value))
    return family, length, flags & ~_STATE, scope, sorted(kept)


def _said_again(payload: bytes, before: int, index: int) -> bytes:
    """A route as the kernel takes it, by another link."""
    *head, _ = _ROUTE.unpack_from(payload)
    flags = _ROUTE.unpack_from(payload)[-1] & _ONLINK
    attributes = list(_attributes(payload, _ROUTE.size))
    kinds = {kind for kind, _ in attributes}
    body = b""
    for kind, value in sorted(attributes):
        if kind == _RTA_CACHEINFO or (kind == _RTA_NH_ID and kinds & {_RTA_OIF, _RTA_MULTIPATH}):
            continue
        if kind == _RTA_OIF and struct.unpack("=i", value)[0] == before:
            value = struct.pack("=i", index)  # noqa: PLW2901
        elif kind == _RTA_MULTIPATH:
            value = b"".join(_hops_again(value, before, index))  # noqa: PLW2901
        body += _attribute(kind, value)
    return _ROUTE.pack(*head, flags) + body


def _hops_again(value: bytes, before: int, index: int) -> Iterator[bytes]:
    for length, flags, weight, owner, body in _multipath(value):
        hop = _HOP.pack(length, flags & _ONLINK, weight, index if owner == before else owner) + body
        yield hop + bytes(-len(hop) % 4)


def _hops(attributes: dict[int, bytes], index: int, family: int) -> Iterator[SavedHop]:
    if _RTA_MULTIPATH in attributes:
        for _, _, weight, owner, body in _multipath(attributes[_RTA_MULTIPATH]):
            if owner == index:
                yield SavedHop(_via(dict(_attributes(body, 0))), weight + 1)
    elif _RTA_OIF in attributes and struct.unpack("=i", attributes[_RTA_OIF])[0] == index:
        yield SavedHop(_via(attributes))


def _via(attributes: dict[int, bytes]) -> str:
    if _RTA_GATEWAY in attributes:
        return str(ipaddress.ip_address(attributes[_RTA_GATEWAY]))
    if _RTA_VIA in attributes:  # of another family: two bytes say which
        return str(ipaddress.ip_address(attributes[_RTA_VIA][2:]))
    return ""


def _multipath(value: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    offset = 0
    while offset + _HOP.size <= len(value):
        length, flags, weight, owner = _HOP.unpack_from(value, offset)
        yield length, flags, weight, owner, value[offset + _HOP.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(payload: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, payload[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _lifetimes(cache: bytes | None) -> tuple[int, int]:
    if cache is None:
        return 0, 0
    preferred, valid = struct.unpack_from("=II", cache)
    return (0 if preferred == _FOREVER else preferred), (0 if valid == _FOREVER else valid)


# ---- the socket


def _dump(kind: int, payload: bytes) -> Iterable[bytes]:
    with _open() as connection:
        connection.send(_HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST | _DUMP, 1, 0) + payload)
        found: list[bytes] = []
        while True:
            for answer, body in _parts(connection.recv(_RECEIVE)):
                if answer == _DONE:
                    return found
                if answer == _ERROR:
                    raise RefusedError(-struct.unpack_from("=i", body)[0])
                found.append(body)


def _tell(kind: int, flags: int, payload: bytes, *, missing: tuple[int, ...] = ()) -> None:
    with _open() as connection:
        connection.send(_HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST | _ACK | flags, 1, 0) + payload)
        for answer, body in _parts(connection.recv(_RECEIVE)):
            code = -struct.unpack_from("=i", body)[0] if answer == _ERROR else 0
            if code and code not in missing:
                raise RefusedError(code)


def _open() -> socket.socket:
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    connection.settimeout(10)
    connection.bind((0, 0))
    return connection


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3
