"""The packets that a trace follows: sent from inside a pod, from a port that nothing else uses.

Only the socket is made in the pod's network namespace; it stays there, and is waited for like any other. A TCP
connection is broken off with a reset as soon as it stands, so that its port can be used again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

from contivpp.dataplane.linux.netlink import entered
from contivpp.model.trace import PROTOCOLS, Flow, ProbeResult

_ECHO_REQUEST: Final = {4: 8, 6: 128}
_ECHO_REPLY: Final = {4: 0, 6: 129}
_ECHO: Final = struct.Struct(">BBHHH")
_PAYLOAD: Final = b"contiv-netctl trace"
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}
_SPOT: Final = 2048


async def probe(netns: str, flow: Flow, *, number: int, timeout: float) -> ProbeResult:
    """Sends one packet of a flow, and for TCP what follows from it; waits `timeout` seconds for an answer.

    Raises:
        NamespaceGoneError: there is no such namespace.
        OSError: nothing can be sent from there.
    """
    version = flow.version
    protocol = PROTOCOLS["icmp"][version] if flow.protocol == "icmp" else 0
    with entered(netns):
        one = socket.socket(_FAMILIES[version], _KINDS[flow.protocol], protocol)
    with one:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((flow.source, 0 if flow.protocol == "icmp" else flow.source_port))
        try:
            async with asyncio.timeout(timeout):
                match flow.protocol:
                    case "tcp":
                        return await _connect(one, flow)
                    case "udp":
                        return await _datagram(one, flow)
                    case _:
                        return await _echo(one, flow, number)
        except TimeoutError:
            return ProbeResult(False, "no answer")
        except ConnectionRefusedError:
            return ProbeResult(True, "refused: nobody listens on the port")
        except OSError as error:
            return ProbeResult(False, (error.strerror or str(error)).lower())


async def _connect(one: socket.socket, flow: Flow) -> ProbeResult:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    await asyncio.get_running_loop().sock_connect(one, (flow.destination, flow.destination_port))
    return ProbeResult(True, "connected")


async def _datagram(one: socket.socket, flow: Flow) -> ProbeResult:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(one, (flow.destination, flow.destination_port))
    await loop.sock_sendall(one, _PAYLOAD)
    await loop.sock_recv(one, _SPOT)
    return ProbeResult(True, "answered")


async def _echo(one: socket.socket, flow: Flow, number: int) -> ProbeResult:
    loop = asyncio.get_running_loop()
    one.connect((flow.destination, 0))  # at once; the loop would look for a service of that number first
    await loop.sock_sendall(one, _echo_request(flow, number))
    while True:
        answer = await loop.sock_recv(one, _SPOT)
        start = (answer[0] & 0xF) * 4 if flow.version == 4 else 0  # IPv4 gives the IP header, too
        with contextlib.suppress(struct.error):
            kind, _, _, identifier, sequence = _ECHO.unpack_from(answer, start)
            if (kind, identifier, sequence) == (_ECHO_REPLY[flow.version], flow.source_port, number):
                return ProbeResult(True, "answered")


def _echo_request(flow: Flow, number: int) -> bytes:
    """An echo request; of IPv6 the kernel makes the checksum."""
    kind = _ECHO_REQUEST[flow.version]
    packet = _ECHO.pack(kind, 0, 0, flow.source_port, number) + _PAYLOAD
    checksum = _checksum(packet) if flow.version == 4 else 0
    return _ECHO.pack(kind, 0, checksum, flow.source_port, number) + _PAYLOAD


def _checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
