"""ICMP and ICMPv6 echo over raw sockets, and the errors that routers send about it.

One socket per family receives for everybody; requests leave by two others, one for packets that may be fragmented
and one for those that may not.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
import time
from typing import Any

from sockets import RECEIVE_BYTES, SO_RCVBUFFORCE, discover, in_words

_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_ERRORS = {
    socket.AF_INET: {3: "unreachable", 11: "exceeded"},
    socket.AF_INET6: {1: "unreachable", 2: "too big", 3: "exceeded"},
}
_TTL = {socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL), socket.AF_INET6: (socket.IPPROTO_IPV6, 52)}
_HEADER = {socket.AF_INET: 20, socket.AF_INET6: 40}
_ECHO = struct.Struct(">BBHHH")
_FRAGMENTATION_NEEDED = 4
_LARGEST = 65536
_by_family: dict[socket.AddressFamily, Echoes] = {}


class Echoes:
    """Sends echo requests of one family, and hands out what comes for them."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
        self._receiver = socket.socket(family, socket.SOCK_RAW, protocol)
        self._receiver.setblocking(False)
        self._receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        self._senders = {how: socket.socket(family, socket.SOCK_RAW, protocol) for how in ("dont", "do")}
        for how, sender in self._senders.items():
            sender.setblocking(False)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # it is never read
            discover(sender, how)
        self._identity = int.from_bytes(os.urandom(2), "big")
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        asyncio.get_running_loop().add_reader(self._receiver, self._receive)

    async def ask(
        self, address: str, *, size: int, whole: bool, ttl: int, timeout: float, cookie: bytes
    ) -> dict[str, Any]:
        """Sends one request of `size` bytes, IP header included, and returns what came: see `probes.ping`."""
        number = next(self._numbers) & 0xFFFF
        room = max(size - _HEADER[self._family] - _ECHO.size, 0)
        packet = _request(self._family, self._identity, number, cookie[:room].ljust(room, b"."))
        level, kind = _TTL[self._family]
        ancillary = [(level, kind, struct.pack("=i", ttl))] if ttl else []
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        start = time.monotonic()
        try:
            self._senders["do" if whole else "dont"].sendmsg([packet], ancillary, 0, (address, 0))
            answer = await asyncio.wait_for(waiting, timeout)
        except OSError as error:  # TimeoutError is one of them
            answer = {"answer": "", "error": in_words(error)}
        finally:
            del self._waiting[number]
        return {"by": "", "mtu": 0, "error": "", **answer, "seconds": time.monotonic() - start}

    def _receive(self) -> None:
        while True:
            try:
                packet, peer = self._receiver.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue
            body = _inside(packet) if self._family == socket.AF_INET else packet
            if len(body) < _ECHO.size:
                continue
            self._hand_out(body, peer[0].partition("%")[0])

    def _hand_out(self, body: bytes, by: str) -> None:
        kind, code, _, identity, number = _ECHO.unpack_from(body)
        answer: dict[str, Any] = {"answer": "reply", "by": by}
        if word := _ERRORS[self._family].get(kind):
            about = body[_ECHO.size :]
            about = _inside(about) if self._family == socket.AF_INET else about[_HEADER[self._family] :]
            if len(about) < _ECHO.size:
                return
            mtu = number if self._family == socket.AF_INET else (identity << 16) + number
            if self._family == socket.AF_INET and (kind, code) == (3, _FRAGMENTATION_NEEDED):
                word = "too big"
            answer = {"answer": word, "by": by, "mtu": mtu if word == "too big" else 0}
            kind, code, _, identity, number = _ECHO.unpack_from(about)
            if kind != _REQUEST[self._family]:
                return
        elif kind != _REPLY[self._family]:
            return
        waiting = self._waiting.get(number)
        if identity == self._identity and waiting is not None and not waiting.done():
            waiting.set_result(answer)


def echoes(family: socket.AddressFamily) -> Echoes:
    """The one of a family, made when it is needed first."""
    if family not in _by_family:
        _by_family[family] = Echoes(family)
    return _by_family[family]


def _inside(packet: bytes) -> bytes:
    return packet[(packet[0] & 15) * 4 :] if packet else b""


def _request(family: socket.AddressFamily, identity: int, number: int, data: bytes) -> bytes:
    bare = _ECHO.pack(_REQUEST[family], 0, 0, identity, number) + data
    if family == socket.AF_INET6:
        return bare  # the kernel adds the checksum
    return _ECHO.pack(_REQUEST[family], 0, _checksum(bare), identity, number) + data


def _checksum(data: bytes) -> int:
    even = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
