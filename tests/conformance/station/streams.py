"""Connections that carry something: bulk, paced, held open, closed by halves, and cut."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from sockets import family_of, from_port, in_words

_LARGEST = 65536
_CHUNK = 65536


async def _open(
    address: str, port: int, duty: bytes, *, timeout: float = 5.0, mss: int = 0, source: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    client = socket.socket(family_of(address), socket.SOCK_STREAM)
    try:
        client.setblocking(False)
        if mss:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        if source:
            from_port(client, source)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(client, (address, port)), timeout)
        reader, writer = await asyncio.open_connection(sock=client)
    except BaseException:
        client.close()
        raise
    await asyncio.wait_for(reader.readline(), timeout)
    writer.write(duty + b"\n")
    return reader, writer


async def stream(
    *,
    address: str,
    port: int,
    stop: asyncio.Event,
    begun: Callable[[], None],
    rate: int = 4_000_000,
    patience: float = 30.0,
) -> dict[str, Any]:
    """Sends random bytes at a rate and has them echoed until it is stopped; both directions carry all of them.

    Args:
        address: the other station.
        port: of it.
        stop: ends the sending; what is under way still comes back.
        begun: is called when the first bytes have come back.
        rate: bytes a second.
        patience: seconds without progress after which it fails.

    Returns:
        `bytes` sent, `same`: whether what came back is what was sent, `gap`: the longest time in seconds in which
        nothing came back, `error`.
    """
    sent, came = hashlib.sha256(), hashlib.sha256()
    size, size_back, gap, error = 0, 0, 0.0, ""
    last = time.monotonic()

    async def send() -> None:
        nonlocal size
        due = time.monotonic()
        while not stop.is_set():
            data = os.urandom(min(_CHUNK, rate))
            writer.write(data)
            sent.update(data)
            size += len(data)
            await writer.drain()
            due = max(due + len(data) / rate, time.monotonic() - 1)
            await asyncio.sleep(max(due - time.monotonic(), 0))
        writer.write_eof()

    async def receive() -> None:
        nonlocal size_back, gap, last
        while data := await asyncio.wait_for(reader.read(_LARGEST), patience):
            if not size_back:
                begun()
            came.update(data)
            size_back += len(data)
            now = time.monotonic()
            last, gap = now, max(gap, now - last)

    sending = None
    try:
        reader, writer = await _open(address, port, b"echo")
        sending = asyncio.create_task(send())
        await receive()
        await sending
        writer.close()
    except OSError as problem:
        error = in_words(problem)
    finally:
        if sending is not None:
            sending.cancel()
    same = size == size_back and sent.digest() == came.digest()
    return {"bytes": size, "back": size_back, "same": same, "gap": gap, "error": error}


async def send(
    *, address: str, port: int, size: int, stop: asyncio.Event, mss: int = 0, timeout: float = 60.0
) -> dict[str, Any]:
    """Sends `size` random bytes as fast as it goes; returns `same` (both ends' digests), `seconds`, `error`."""
    digest = hashlib.sha256()
    start = time.monotonic()

    async def transfer() -> bool:
        reader, writer = await _open(address, port, b"sink", mss=mss)
        left = size
        while left > 0:
            data = os.urandom(min(_CHUNK, left))
            digest.update(data)
            writer.write(data)
            left -= len(data)
            await writer.drain()
        writer.write_eof()
        answer = await reader.readline()
        writer.close()
        return answer.decode() == f"{size} {digest.hexdigest()}\n"

    try:
        same, error = await asyncio.wait_for(transfer(), timeout), ""
    except OSError as problem:
        same, error = False, in_words(problem)
    return {"same": same, "seconds": time.monotonic() - start, "error": error}


async def half_close(*, address: str, port: int, size: int, stop: asyncio.Event) -> dict[str, Any]:
    """Sends bytes and closes its half; returns whether the other half still brought all of them: `same`, `error`."""
    data = os.urandom(size)
    try:
        reader, writer = await _open(address, port, b"late")
        writer.write(data)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    except OSError as problem:
        return {"same": False, "error": in_words(problem)}
    return {"same": answer == data, "error": ""}


async def abort(*, address: str, port: int, stop: asyncio.Event) -> int:
    """Opens a connection and cuts it with a reset; returns its own port."""
    _, writer = await _open(address, port, b"echo")
    writer.write(b"x")
    await writer.drain()
    own = writer.get_extra_info("socket")
    number: int = own.getsockname()[1]
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return number


async def be_reset(*, address: str, port: int, stop: asyncio.Event) -> dict[str, Any]:
    """Has the other end cut a connection; returns how that was seen (`error`) and after how many `seconds`."""
    reader, _ = await _open(address, port, b"reset")
    start = time.monotonic()
    try:
        data = await asyncio.wait_for(reader.read(1), 5)
        error = "closed in order" if not data else "bytes"
    except OSError as problem:
        error = in_words(problem)
    return {"error": error, "seconds": time.monotonic() - start}


async def hold(
    *, address: str, port: int, stop: asyncio.Event, begun: Callable[[], None], source: int = 0
) -> dict[str, Any]:
    """Opens a connection, from a port of one's choice or any, exchanges a few bytes, is silent until it is stopped, and exchanges bytes again.

    Returns:
        `error`, "" when the second exchange worked like the first, and after how many `seconds` that was known.
    """
    reader, writer = await _open(address, port, b"echo", source=source)
    start = time.monotonic()
    try:
        for word in (b"before", b"after"):
            if word == b"after":
                begun()
                await stop.wait()
                start = time.monotonic()
            writer.write(word)
            answer = await asyncio.wait_for(reader.readexactly(len(word)), 5)
            if answer != word:
                return {"error": f"{answer!r} came for {word!r}", "seconds": time.monotonic() - start}
    except OSError as problem:
        return {"error": in_words(problem), "seconds": time.monotonic() - start}
    except asyncio.IncompleteReadError:
        return {"error": "closed", "seconds": time.monotonic() - start}
    finally:
        with contextlib.suppress(OSError):
            writer.close()
    return {"error": "", "seconds": time.monotonic() - start}
