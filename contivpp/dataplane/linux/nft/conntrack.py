"""The flows that the kernel tracks: read, and forgotten one by one.

A flow that is forgotten while its packets still come begins anew: it is translated and judged as a new one. Spoken
directly over netlink, because only two messages are needed and a busy node has very many flows.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from contivpp.dataplane.linux.netlink import entered

_NETLINK_NETFILTER: Final = 12
_CONNTRACK: Final = 1 << 8
_GET: Final = _CONNTRACK | 1
_DELETE: Final = _CONNTRACK | 2
_REQUEST: Final = 0x1
_ACK: Final = 0x4
_DUMP: Final = 0x300
_ERROR: Final = 2
_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_FAMILY: Final = struct.Struct(">BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ORIGINAL, _REPLY, _IDENTITY = 1, 2, 12
_ADDRESSES, _TRANSPORT = 1, 2
_NESTED: Final = 0x3FFF
_RECEIVE: Final = 1 << 18
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked flow, as its first packet was and as replies are: addresses as text, ports as numbers.

    Attributes:
        protocol: the IP protocol's number.
        reply_source: who really answers; it differs from `destination` when the flow is translated.
    """

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    reply_source: str
    reply_source_port: int
    reply_destination: str
    reply_destination_port: int
    message: bytes = field(repr=False, compare=False, default=b"")


class Conntrack:
    """The flows of one network namespace."""

    def __init__(self, netns: str = "") -> None:
        """Takes the path of the namespace; "" is that of this process."""
        self._netns = netns

    def flows(self, protocol: int = 0) -> list[Flow]:
        """Every flow of an IP protocol; 0 is all of them.

        Raises:
            OSError: the kernel does not say.
        """
        with self._socket() as netlink:
            return [
                flow
                for family in (socket.AF_INET, socket.AF_INET6)
                for payload in _dump(netlink, family)
                if (flow := _flow(family, payload)) is not None and protocol in (0, flow.protocol)
            ]

    def delete(self, flows: Iterable[Flow]) -> int:
        """Forgets flows; returns how many there were.

        Raises:
            OSError: the kernel refused one that is there.
        """
        count = 0
        with self._socket() as netlink:
            for flow in flows:
                netlink.send(_message(_DELETE, _REQUEST | _ACK, flow.message))
                code = _acknowledged(netlink)
                if code not in (0, errno.ENOENT):
                    raise OSError(code, os.strerror(code))
                count += not code
        return count

    def _socket(self) -> socket.socket:
        with entered(self._netns):
            netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        netlink.settimeout(_TIMEOUT)
        netlink.bind((0, 0))
        return netlink


def _message(kind: int, flags: int, payload: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(payload), kind, flags, 1, 0) + payload


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _dump(netlink: socket.socket, family: int) -> Iterator[bytes]:
    netlink.send(_message(_GET, _REQUEST | _DUMP, _FAMILY.pack(family, 0, 0)))
    while True:
        for kind, payload in _parts(netlink.recv(_RECEIVE)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", payload)[0]
                raise OSError(code, os.strerror(code))
            yield payload


def _acknowledged(netlink: socket.socket) -> int:
    while True:
        for kind, payload in _parts(netlink.recv(_RECEIVE)):
            if kind == _ERROR:
                return int(-struct.unpack_from("=i", payload)[0])


def _attributes(data: bytes) -> dict[int, bytes]:
    found, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NESTED] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _flow(family: int, payload: bytes) -> Flow | None:
    found = _attributes(payload[_FAMILY.size :])
    if _ORIGINAL not in found or _REPLY not in found:
        return None
    protocol, source, destination = _tuple(family, found[_ORIGINAL])
    _, reply_source, reply_destination = _tuple(family, found[_REPLY])
    identity = _packed(_ORIGINAL | 0x8000, found[_ORIGINAL])
    if _IDENTITY in found:  # not a newer flow with the same addresses and ports
        identity += _packed(_IDENTITY, found[_IDENTITY])
    message = _FAMILY.pack(family, 0, 0) + identity
    return Flow(protocol, *source, *destination, *reply_source, *reply_destination, message=message)


def _tuple(family: int, data: bytes) -> tuple[int, tuple[str, int], tuple[str, int]]:
    """The protocol, the source with its port, and the destination with its port."""
    found = _attributes(data)
    addresses, transport = _attributes(found[_ADDRESSES]), _attributes(found[_TRANSPORT])
    source, destination = (1, 2) if family == socket.AF_INET else (3, 4)
    return (
        transport[1][0],
        (socket.inet_ntop(family, addresses[source]), _port(transport.get(2))),
        (socket.inet_ntop(family, addresses[destination]), _port(transport.get(3))),
    )


def _port(data: bytes | None) -> int:
    return int.from_bytes(data[:2], "big") if data else 0


def _packed(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)
