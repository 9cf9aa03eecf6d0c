"""What a station serves: TCP, UDP and SCTP on any port, in every family, to whoever asks.

TCP: the server speaks first, one line of JSON with its name and the address it sees; then the client says in one line
what it wants: `echo`, `sink` (the digest of all it sent, when it has closed its half), `late` (what was sent comes back
when the half is closed), `reset`. UDP: `who` is answered with the same JSON, anything else with itself. SCTP: an INIT
is answered with an INIT ACK whose cookie is the JSON, or with an ABORT where nothing listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
from collections import deque
from typing import Any

import sctp
from sockets import back, families, of_own, plain

BACKLOG = 1024
LARGEST = 65536


class Servers:
    """All servers of a station."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._served: set[tuple[int, str]] = set()
        self._endings: deque[list[Any]] = deque(maxlen=1000)
        self._keep: list[object] = []

    async def serve(self, ports: list[list[Any]]) -> int:
        """Listens on further ports, each a number and a protocol; returns how many there are in all."""
        for number, protocol in ports:
            if (number, protocol) in self._served:
                continue
            if protocol == "SCTP" and not any(one == "SCTP" for _, one in self._served):
                self._serve_sctp()
            self._served.add((number, protocol))
            for family in families():
                if protocol == "TCP":
                    await self._serve_tcp(family, number)
                elif protocol == "UDP":
                    self._serve_udp(family, number)
        return len(self._served)

    def endings(self) -> list[list[Any]]:
        """How connections to this station ended, oldest first: the peer's port, and "eof" or "reset"."""
        return list(self._endings)

    def _greeting(self, peer: Any, ttl: int = 0) -> bytes:
        return json.dumps({"name": self._name, "seen": plain(peer), "ttl": ttl}).encode()

    # ---- TCP

    async def _serve_tcp(self, family: socket.AddressFamily, port: int) -> None:
        server = socket.socket(family, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("", port))
        self._keep.append(await asyncio.start_server(self._connection, sock=server, backlog=BACKLOG))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        ending = "eof"
        try:
            writer.write(self._greeting(peer) + b"\n")
            await _DUTIES.get(await reader.readline(), _nothing)(reader, writer)
        except OSError:
            ending = "reset"
        self._endings.append([peer[1], ending])
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    # ---- UDP

    def _serve_udp(self, family: socket.AddressFamily, port: int) -> None:
        server = of_own(socket.SOCK_DGRAM, family)
        server.bind(("", port))
        asyncio.get_running_loop().add_reader(server, self._datagrams, server)

    def _datagrams(self, server: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data, ancillary, _, peer = server.recvmsg(LARGEST, 256)
                    source, ttl = back(ancillary)
                    server.sendmsg([self._greeting(peer, ttl) if data == b"who" else data], source, 0, peer)
                except BlockingIOError:
                    raise
                except OSError:
                    continue  # an ICMP error about an earlier answer; the peer will ask again

    # ---- SCTP

    def _serve_sctp(self) -> None:
        for family in families():
            server = of_own(socket.SOCK_RAW, family, socket.IPPROTO_SCTP)
            asyncio.get_running_loop().add_reader(server, self._sctp, server)

    def _sctp(self, server: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, ancillary, _, peer = server.recvmsg(LARGEST, 256)
                source, ttl = back(ancillary)
                asked = sctp.read(packet if server.family == socket.AF_INET6 else sctp.without_header(packet))
                if asked is None or asked.kind != sctp.INIT:
                    continue
                served = (asked.to, "SCTP") in self._served
                cookie = self._greeting((peer[0], asked.source), ttl) if served else None
                with contextlib.suppress(OSError):
                    server.sendmsg([sctp.answer(asked, cookie)], source, 0, peer)


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(LARGEST):
        pass


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(LARGEST):
        writer.write(data)
        await writer.drain()


async def _sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    digest, size = hashlib.sha256(), 0
    while data := await reader.read(LARGEST):
        digest.update(data)
        size += len(data)
    writer.write(f"{size} {digest.hexdigest()}\n".encode())
    await writer.drain()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read()
    await asyncio.sleep(0.1)
    writer.write(data)
    await writer.drain()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


_DUTIES = {b"echo\n": _echo, b"sink\n": _sink, b"late\n": _late, b"reset\n": _reset}
