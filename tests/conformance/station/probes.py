"""Single questions: does this address answer on this port, and as whom does it see me."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import Any

import sctp
from icmp import echoes
from sockets import TIMEOUT, family_of, from_another_port, in_words, of_own

AT_ONCE = 64
_LARGEST = 65536
_PING_BYTES = 84


async def probes(
    *, questions: list[list[Any]], timeout: float, stop: asyncio.Event, at_once: int = AT_ONCE
) -> list[dict[str, Any]]:
    """Asks all questions, each an address, a port and a protocol; answers are in the order of the questions."""
    gate = asyncio.Semaphore(at_once)

    async def one(address: str, port: int, protocol: str) -> dict[str, Any]:
        async with gate:
            start = time.monotonic()
            try:
                found = await asyncio.wait_for(_ASK[protocol](address, port, timeout), timeout)
                answer = {"reached": True, "error": "", **found}
            except OSError as error:
                answer = {"reached": False, "error": in_words(error)}
            except _Refused as error:
                answer = {"reached": False, "error": str(error)}
            return {"name": "", "seen": "", "ttl": 0, **answer, "seconds": time.monotonic() - start}

    return await asyncio.gather(*(one(*question) for question in questions))


async def ping(
    *,
    address: str,
    stop: asyncio.Event,
    size: int = _PING_BYTES,
    whole: bool = False,
    ttl: int = 0,
    timeout: float = 1.0,
    cookie: str = "",
) -> dict[str, Any]:
    """One echo request.

    Args:
        address: who is asked.
        stop: ends nothing here.
        size: bytes of the IP packet.
        whole: whether it must not be fragmented.
        ttl: hops that it may take; 0 leaves it to the kernel.
        timeout: seconds.
        cookie: what it carries, as far as there is room.

    Returns:
        `answer` (reply, exceeded, too big, unreachable, or "" for none), `by` (who said so), `mtu` (of "too big"),
        `error` (why nothing was sent or came), `seconds`.
    """
    return await echoes(family_of(address)).ask(
        address, size=size, whole=whole, ttl=ttl, timeout=timeout, cookie=cookie.encode()
    )


class _Refused(Exception):
    """The other end said no."""


def _greeted(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        raise _Refused(f"answered with {line[:80]!r}") from None
    return {"name": said["name"], "seen": said["seen"][0], "ttl": said["ttl"]}


async def _tcp(address: str, port: int, timeout: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    with socket.socket(family_of(address), socket.SOCK_STREAM) as client:
        client.setblocking(False)
        from_another_port(client)
        await loop.sock_connect(client, (address, port))
        line = b""
        while not line.endswith(b"\n"):
            data = await loop.sock_recv(client, _LARGEST)
            if not data:
                raise _Refused("closed without a word")
            line += data
        return _greeted(line)


async def _udp(address: str, port: int, timeout: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        from_another_port(client)
        client.connect((address, port))
        client.send(b"who")
        return _greeted(await loop.sock_recv(client, _LARGEST))


async def _icmp(address: str, port: int, timeout: float) -> dict[str, Any]:
    asked = echoes(family_of(address)).ask(address, size=_PING_BYTES, whole=False, ttl=0, timeout=timeout, cookie=b"")
    found = await asked
    if found["answer"] != "reply":
        raise _Refused(found["answer"] or found["error"] or TIMEOUT)
    return {"name": "", "seen": ""}


async def _sctp(address: str, port: int, timeout: float) -> dict[str, Any]:
    with of_own(socket.SOCK_RAW, family_of(address), socket.IPPROTO_SCTP) as client:
        tag, own = int.from_bytes(os.urandom(4), "big") | 1, 32768 + int.from_bytes(os.urandom(2), "big") % 28000
        client.connect((address, 0))
        client.send(sctp.init(own, port, tag))
        while True:
            packet = await asyncio.get_running_loop().sock_recv(client, _LARGEST)
            found = sctp.read(packet if client.family == socket.AF_INET6 else sctp.without_header(packet))
            if found is None or (found.to, found.tag) != (own, tag):
                continue
            if found.kind == sctp.INIT_ACK:
                return _greeted(found.cookie)
            if found.kind == sctp.ABORT:
                raise _Refused("refused")


_ASK = {"TCP": _tcp, "UDP": _udp, "ICMP": _icmp, "SCTP": _sctp}
