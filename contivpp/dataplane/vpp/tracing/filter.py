"""Which packets are traced: those of one flow, both ways, translated or not, plain or inside a VXLAN tunnel.

VPP compares bytes of a frame with values under a mask, in vectors of 16 bytes, of which it takes five at the most. A
table has a mask, and a value for each way; a packet is traced when any of the tables has a value for it. IP headers
with options are not found: there the ports are elsewhere.
"""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contivpp.model.trace import PROTOCOLS, Flow

VECTOR: Final = 16
MOST_VECTORS: Final = 5
VXLAN_PORT: Final = 4789
_ETHERNET: Final = 14
_TYPES: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}
_HEADERS: Final = {4: 20, 6: 40}
_UDP_AND_VXLAN: Final = 16
_PROTOCOL_AT: Final = {4: 9, 6: 6}
_ADDRESSES_AT: Final = {4: 12, 6: 8}
_UDP_DESTINATION_AT: Final = 2
_ECHO_IDENTIFIER_AT: Final = 4


@dataclass(frozen=True, slots=True)
class FilterTable:
    """A mask, and the values under it.

    Attributes:
        skip: vectors of the frame that are not looked at.
        mask: of those behind them.
        matches: values for the whole frame, from its first byte.
    """

    skip: int
    mask: bytes
    matches: tuple[bytes, ...]


def tables(flows: Sequence[Flow]) -> tuple[FilterTable, ...]:
    """What is to be traced for flows of one protocol and IP version: as they are, and in tunnels over IPv4 and IPv6."""
    return tuple(_table(flows, outer) for outer in (0, 4, 6))


def _table(flows: Sequence[Flow], outer: int) -> FilterTable:
    mask: dict[int, bytes] = {}
    matches: list[dict[int, bytes]] = []
    start = 0
    outside: dict[int, bytes] = {}
    if outer:
        port_at = _ETHERNET + _HEADERS[outer] + _UDP_DESTINATION_AT
        outside = {port_at: struct.pack(">H", VXLAN_PORT)}
        start = _ETHERNET + _HEADERS[outer] + _UDP_AND_VXLAN
    for flow, forward in itertools.product(flows, (True, False)):
        fields = {**outside, **dict(_fields(flow, start, forward=forward))}
        matches.append(fields)
        mask = {at: b"\xff" * len(value) for at, value in fields.items()}
    end = max(at + len(value) for at, value in mask.items())
    last = -(-end // VECTOR)
    skip = max(min(mask) // VECTOR, last - MOST_VECTORS)
    size = last * VECTOR
    return FilterTable(skip, _frame(mask, size)[skip * VECTOR :], tuple(_frame(one, size) for one in matches))


def _fields(flow: Flow, start: int, *, forward: bool) -> Iterator[tuple[int, bytes]]:
    """The bytes of a frame that starts at `start` which make it one of the flow, by position."""
    version = flow.version
    ip = start + _ETHERNET
    ends = [ipaddress.ip_address(flow.source).packed, ipaddress.ip_address(flow.destination).packed]
    ports = [flow.source_port, flow.destination_port]
    if not forward:
        ends.reverse()
        ports.reverse()
    transport = ip + _HEADERS[version]
    yield ip - 2, _TYPES[version]
    yield ip + _PROTOCOL_AT[version], bytes([PROTOCOLS[flow.protocol][version]])
    yield ip + _ADDRESSES_AT[version], b"".join(ends)
    if flow.protocol == "icmp":
        yield transport + _ECHO_IDENTIFIER_AT, struct.pack(">H", flow.source_port)
    else:
        yield transport, struct.pack(">HH", *ports)


def _frame(fields: dict[int, bytes], size: int) -> bytes:
    frame = bytearray(size)
    for at, value in fields.items():
        frame[at : at + len(value)] = value
    return bytes(frame)
