"""The first two packets of SCTP, by hand: a kernel without SCTP lets raw sockets have them."""

from __future__ import annotations

import struct
from typing import NamedTuple

INIT = 1
INIT_ACK = 2
ABORT = 6
_COOKIE = 7
_COMMON = struct.Struct(">HHII")
_CHUNK = struct.Struct(">BBH")
_INIT = struct.Struct(">IIHHI")
_WINDOW = 65536


def _table() -> list[int]:
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _table()


class Packet(NamedTuple):
    """Ports, verification tag, the kind of the first chunk, its initiate tag, and the cookie in it."""

    source: int
    to: int
    tag: int
    kind: int
    initiate: int
    cookie: bytes


def checksum(data: bytes) -> int:
    """CRC32c as SCTP writes it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _CRC32C[(value ^ byte) & 0xFF]
    return int.from_bytes((value ^ 0xFFFFFFFF).to_bytes(4, "little"), "big")


def without_header(packet: bytes) -> bytes:
    """What an IPv4 packet carries."""
    return packet[(packet[0] & 15) * 4 :]


def _packet(source: int, to: int, tag: int, chunk: bytes) -> bytes:
    bare = _COMMON.pack(source, to, tag, 0) + chunk
    return _COMMON.pack(source, to, tag, checksum(bare)) + chunk


def init(source: int, to: int, tag: int) -> bytes:
    """The packet that opens an association."""
    return _packet(source, to, 0, _CHUNK.pack(INIT, 0, 20) + _INIT.pack(tag, _WINDOW, 1, 1, 1))


def answer(asked: Packet, cookie: bytes | None) -> bytes:
    """INIT ACK with a cookie; ABORT without."""
    if cookie is None:
        return _packet(asked.to, asked.source, asked.initiate, _CHUNK.pack(ABORT, 0, 4))
    parameter = struct.pack(">HH", _COOKIE, 4 + len(cookie)) + cookie
    length = 20 + len(parameter)
    padding = bytes(-length % 4)
    chunk = _CHUNK.pack(INIT_ACK, 0, length) + _INIT.pack(1, _WINDOW, 1, 1, 1) + parameter + padding
    return _packet(asked.to, asked.source, asked.initiate, chunk)


def read(data: bytes) -> Packet | None:
    """A packet of SCTP; None for what is none, or is damaged."""
    if len(data) < _COMMON.size + _CHUNK.size:
        return None
    source, to, tag, found = _COMMON.unpack_from(data)
    if checksum(data[:8] + bytes(4) + data[12:]) != found:
        return None
    kind, _, length = _CHUNK.unpack_from(data, 12)
    initiate, cookie = 0, b""
    if kind in (INIT, INIT_ACK) and length >= 20:
        initiate = _INIT.unpack_from(data, 16)[0]
        if length > 24:
            cookie = data[36 : 12 + length]
    return Packet(source, to, tag, kind, initiate, cookie)
