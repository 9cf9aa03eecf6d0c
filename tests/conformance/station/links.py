"""What the network looks like from this namespace: path MTU, own addresses, and what passes on its links."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from typing import Any

from sockets import IP_MTU, IPV6_MTU, RECEIVE_BYTES, SO_RCVBUFFORCE, family_of

_ALL = 3  # ETH_P_ALL
_OUTGOING = 4
_ETHERNET = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_LARGEST = 65536
_NEIGHBOURS = range(133, 138)
_QUESTIONS = (
    re.compile(rb"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01.{16}(.{4})", re.DOTALL),
    re.compile(rb"\x87\x00..\x00{4}(.{16})", re.DOTALL),
)
"""A request of ARP, and a neighbour solicitation; the group is the address that is asked for."""


async def mtu(*, address: str, stop: asyncio.Event) -> int:
    """The MTU of the way to an address in bytes, as far as this kernel knows it."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as one:
        one.connect((address, 9))
        if one.family == socket.AF_INET6:
            return one.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
        return one.getsockopt(socket.IPPROTO_IP, IP_MTU)


async def owns(*, addresses: list[str], stop: asyncio.Event) -> list[bool]:
    """Whether each is an address of this namespace."""

    def here(address: str) -> bool:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
            one.bind((address, 0))
            return True
        return False

    return [here(address) for address in addresses]


async def watch(
    *, stop: asyncio.Event, skip: list[str], cookie: str = "", to: str = "", who_has: list[str] | None = None
) -> dict[str, Any]:
    """Counts frames that come in until it is stopped.

    Args:
        stop: ends it.
        cookie: text that a frame carries, wherever it is in it.
        to: address that an IP packet is for; ICMPv6 for neighbours does not count.
        who_has: addresses that ARP or ICMPv6 asks the MAC of, in a tunnel or not.
        skip: links that are not looked at.

    Returns:
        `frames`, and `first`: the beginning of the first one, in hexadecimal.
    """
    found: dict[str, Any] = {"frames": 0, "first": ""}
    wanted = ipaddress.ip_address(to).packed if to else b""
    asked = {ipaddress.ip_address(address).packed for address in who_has or ()}

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as wire:
        wire.setblocking(False)
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)

        def look() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame, (link, _, kind, *_) = wire.recvfrom(_LARGEST)
                    if kind == _OUTGOING or link in skip:
                        continue
                    if (
                        (cookie and cookie.encode() in frame)
                        or (wanted and _is_for(frame, wanted))
                        or (asked and _asks_for(frame, asked))
                    ):
                        found["frames"] += 1
                        found["first"] = found["first"] or frame[:80].hex()

        loop = asyncio.get_running_loop()
        loop.add_reader(wire, look)
        await stop.wait()
        look()
        loop.remove_reader(wire)
    return found


def _asks_for(frame: bytes, addresses: set[bytes]) -> bool:
    return any(found[1] in addresses for question in _QUESTIONS for found in question.finditer(frame))


def _is_for(frame: bytes, address: bytes) -> bool:
    kind, packet = int.from_bytes(frame[12:14], "big"), frame[_ETHERNET:]
    if kind == _IPV4:
        return packet[16:20] == address
    return kind == _IPV6 and packet[24:40] == address and not (packet[6] == 58 and packet[40] in _NEIGHBOURS)
