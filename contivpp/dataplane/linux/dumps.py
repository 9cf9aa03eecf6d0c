"""Dumps of the kernel's tables: the requests, and of the answers what is used here, decoded when it is asked for.

A node with 110 pods gives thousands of answers, of which a few attributes count: pyroute2, which decodes them all,
takes most of a restart for it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

_ATTRIBUTE: Final = struct.Struct("=HH")
_NESTED: Final = 0x3FFF  # without the flags that say how an attribute is encoded
_NUMBER: Final = struct.Struct("=I")
_SKIP_STATISTICS: Final = struct.pack("=HHI", 8, 29, 8)  # IFLA_EXT_MASK: they are most of a link

Read = Callable[[bytes], Any]
Attributes = Mapping[str, tuple[int, Read]]
"""By name: the kernel's number of an attribute, and what makes its value of the bytes."""


class Answer:
    """One entry of a table: fields of its header by `[]`, attributes by `get_attr`."""

    __slots__ = ("_data", "_fields", "_found", "_known")

    def __init__(self, data: bytes, known: Attributes, fields: Mapping[str, int] | None = None) -> None:
        """Takes the attributes as they are encoded, which of them are known, and the fields before them."""
        self._data = data
        self._known = known
        self._fields = fields or {}
        self._found: dict[int, bytes] | None = None

    def __getitem__(self, field: str) -> int:
        """A field of the header."""
        return self._fields[field]

    def get_attr(self, name: str) -> Any:
        """An attribute; None when it is not there."""
        if self._found is None:
            self._found = dict(attributes(self._data))
        number, read = self._known[name]
        raw = self._found.get(number)
        return None if raw is None else read(raw)


@dataclass(frozen=True, slots=True)
class Dump:
    """A table of the kernel.

    Attributes:
        type: of the request's message.
        request: what follows the netlink header.
        header: of an answer; `fields` are its names.
        known: the attributes that can be asked for.
    """

    type: int
    request: bytes
    header: struct.Struct
    fields: tuple[str, ...]
    known: Attributes

    def answer(self, payload: bytes) -> Answer:
        """Takes what follows the netlink header."""
        fields = dict(zip(self.fields, self.header.unpack_from(payload), strict=True))
        return Answer(payload[self.header.size :], self.known, fields)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kernel's number and the bytes of every attribute."""
    offset, end = 0, len(data)
    while offset + _ATTRIBUTE.size <= end:
        length, number = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield number & _NESTED, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _number(raw: bytes) -> int:
    return int(_NUMBER.unpack(raw)[0])


def _byte(raw: bytes) -> int:
    return raw[0]


def _port(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _mac(raw: bytes) -> str:
    return raw.hex(":")


def _address(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _within(known: Attributes) -> Read:
    return lambda raw: Answer(raw, known)


# ---- tables

_VXLAN: Final[Attributes] = {
    "IFLA_VXLAN_ID": (1, _number),
    "IFLA_VXLAN_LOCAL": (4, _address),
    "IFLA_VXLAN_PORT": (15, _port),
    "IFLA_VXLAN_LOCAL6": (17, _address),
}
LINKS: Final = Dump(
    18,
    bytes(16) + _SKIP_STATISTICS,
    struct.Struct("=BxHiII"),
    ("family", "type", "index", "flags", "change"),
    {
        "IFLA_ADDRESS": (1, _mac),
        "IFLA_IFNAME": (3, _text),
        "IFLA_MTU": (4, _number),
        "IFLA_LINKINFO": (18, _within({"IFLA_INFO_KIND": (1, _text), "IFLA_INFO_DATA": (2, _within(_VXLAN))})),
        "IFLA_IFALIAS": (20, _text),
    },
)
ADDRESSES: Final = Dump(
    22,
    bytes(8),
    struct.Struct("=BBBBI"),
    ("family", "prefixlen", "flags", "scope", "index"),
    {"IFA_ADDRESS": (1, _address), "IFA_LOCAL": (2, _address), "IFA_PROTO": (11, _byte)},
)


def routes(family: int, protocol: int) -> Dump:
    """All routes of a family and a protocol; a kernel from before 4.20 gives those of others as well."""
    return Dump(
        26,
        struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, protocol, 0, 0, 0),
        struct.Struct("=BBBBBBBBI"),
        ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type", "flags"),
        {
            "RTA_DST": (1, _address),
            "RTA_OIF": (4, _number),
            "RTA_GATEWAY": (5, _address),
            "RTA_PRIORITY": (6, _number),
            "RTA_PREFSRC": (7, _address),
            "RTA_METRICS": (8, _within({"RTAX_MTU": (2, _number)})),
            "RTA_TABLE": (15, _number),
        },
    )


def way(source: str, destination: str, came_by: int = 0) -> Dump:
    """The route that a packet takes; with `came_by` it is one that came by the link of that index."""
    raw = [ipaddress.ip_address(address).packed for address in (destination, source)]
    family = socket.AF_INET if len(raw[0]) == 4 else socket.AF_INET6
    bits = len(raw[0]) * 8
    wanted = [(1, raw[0]), (2, raw[1])]
    if came_by:
        wanted.append((3, _NUMBER.pack(came_by)))
    packed = b"".join(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), number) + value for number, value in wanted)
    request = struct.pack("=BBBBBBBBI", family, bits, bits, 0, 0, 0, 0, 0, 0) + packed
    return replace(routes(family, 0), request=request)


def neighbours(family: int) -> Dump:
    """All neighbours of a family; AF_BRIDGE gives forwarding entries."""
    return Dump(
        30,
        struct.pack("=B11x", family),
        struct.Struct("=B3xiHBB"),
        ("family", "ifindex", "state", "flags", "ndm_type"),
        {"NDA_DST": (1, _address), "NDA_LLADDR": (2, _mac)},
    )


def rules(family: int) -> Dump:
    """All rules of a family."""
    return Dump(
        34,
        struct.pack("=B11x", family),
        struct.Struct("=BBBBB3xI"),
        ("family", "dst_len", "src_len", "tos", "table", "flags"),
        {
            "FRA_DST": (1, _address),
            "FRA_SRC": (2, _address),
            "FRA_PRIORITY": (6, _number),
            "FRA_TABLE": (15, _number),
            "FRA_PROTOCOL": (21, _byte),
        },
    )
