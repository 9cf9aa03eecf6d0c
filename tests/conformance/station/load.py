"""Many questions: datagrams of all sizes, short connections, source ports, and a pulse that counts what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections import Counter
from typing import Any

from sockets import RECEIVE_BYTES, SO_RCVBUFFORCE, discover, family_of, in_words

_LARGEST = 65536
_SIZE_OF_NUMBER = 8
_RETRANSMISSION = 0.95
"""Seconds; a second after a packet of the handshake was lost TCP sends it again."""


async def datagrams(
    *, address: str, port: int, sizes: list[int], stop: asyncio.Event, how: str = "want", timeout: float = 3.0
) -> dict[str, str]:
    """Has datagrams echoed, one after the other; returns what went wrong by size in bytes, "" for nothing.

    `how` is what becomes of one that is too large for a link: see `sockets.discover`.
    """
    loop = asyncio.get_running_loop()
    found = {}
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        discover(client, how)
        client.connect((address, port))
        for size in sizes:
            data = os.urandom(size)
            try:
                client.send(data)
                answer = await asyncio.wait_for(loop.sock_recv(client, _LARGEST), timeout)
                found[str(size)] = "" if answer == data else f"{len(answer)} bytes came back, or other ones"
            except OSError as error:
                found[str(size)] = in_words(error)
    return found


async def connections(
    *, address: str, port: int, count: int, at_once: int, stop: asyncio.Event, timeout: float = 10.0
) -> dict[str, Any]:
    """Opens, is greeted on, and closes connections.

    Returns:
        `good`, `errors` by text, `seconds`, and `late`: how many took so long that a packet must have been lost.
    """
    loop = asyncio.get_running_loop()
    left = count
    errors: Counter[str] = Counter()
    late = 0
    start = time.monotonic()

    async def one() -> None:
        with socket.socket(family_of(address), socket.SOCK_STREAM) as client:
            client.setblocking(False)
            await loop.sock_connect(client, (address, port))
            if not await loop.sock_recv(client, _LARGEST):
                raise ConnectionResetError("closed without a word")

    async def some() -> None:
        nonlocal left, late
        while left > 0:
            left -= 1
            begun = time.monotonic()
            try:
                await asyncio.wait_for(one(), timeout)
            except OSError as error:
                errors[in_words(error)] += 1
            late += time.monotonic() - begun > _RETRANSMISSION

    await asyncio.gather(*(some() for _ in range(at_once)))
    return {
        "good": count - errors.total(),
        "errors": dict(errors),
        "seconds": time.monotonic() - start,
        "late": late,
    }


async def many_ports(
    *, address: str, port: int, count: int, stop: asyncio.Event, kept: bool = True, timeout: float = 5.0
) -> dict[str, Any]:
    """Asks from `count` source ports at once who this is, and with `kept` whether it was the port that was seen.

    Returns:
        How many were `good`, and `errors` by text.
    """
    loop = asyncio.get_running_loop()
    errors: Counter[str] = Counter()
    gate = asyncio.Semaphore(100)

    async def one() -> None:
        async with gate:
            with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                try:
                    client.connect((address, port))
                    client.send(b"who")
                    seen = json.loads(await asyncio.wait_for(loop.sock_recv(client, _LARGEST), timeout))["seen"]
                    if kept and seen[1] != client.getsockname()[1]:
                        errors["another port was seen"] += 1
                except OSError as error:
                    errors[in_words(error)] += 1

    await asyncio.gather(*(one() for _ in range(count)))
    return {"good": count - errors.total(), "errors": dict(errors)}


async def pulse(
    *, address: str, port: int, every: float, stop: asyncio.Event, linger: float = 2.0, size: int = 64
) -> dict[str, Any]:
    """Sends a datagram every so many seconds until it is stopped, and counts the echoes.

    Returns:
        `sent`, `answered`, `errors` by text, `silence`: the longest time in seconds without an answer.
    """
    sent, errors = 0, Counter[str]()
    missing: set[int] = set()
    last, silence = time.monotonic(), 0.0
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        client.connect((address, port))

        def take() -> None:
            nonlocal last, silence
            with contextlib.suppress(BlockingIOError):
                while True:
                    try:
                        number = int.from_bytes(client.recv(_LARGEST)[:_SIZE_OF_NUMBER], "big")
                    except BlockingIOError:
                        raise
                    except OSError as error:
                        errors[in_words(error)] += 1
                        continue
                    missing.discard(number)
                    now = time.monotonic()
                    last, silence = now, max(silence, now - last)

        loop = asyncio.get_running_loop()
        loop.add_reader(client, take)
        due = time.monotonic()
        while not stop.is_set():
            missing.add(sent)
            try:
                client.send(sent.to_bytes(_SIZE_OF_NUMBER, "big").ljust(size, b"."))
            except OSError as error:
                errors[in_words(error)] += 1
            sent += 1
            due = max(due + every, time.monotonic() - every)
            await asyncio.sleep(max(due - time.monotonic(), 0))
        silence = max(silence, time.monotonic() - last)
        end = time.monotonic() + linger
        while missing and time.monotonic() < end:
            await asyncio.sleep(0.02)
        loop.remove_reader(client)
    return {"sent": sent, "answered": sent - len(missing), "errors": dict(errors), "silence": silence}
