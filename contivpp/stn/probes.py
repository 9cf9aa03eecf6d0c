"""What contiv-stn looks at: VPP's socket, the agent's probes, and whether the gateway answers.

The gateway is asked in a way that it answered before the NIC was taken: an echo request, else a TCP connection, which
counts as answered when it is refused as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

_WITHIN: Final = 1.0
_AGENT_WITHIN: Final = 5.0
"""Seconds for the agent, which may be in the middle of a large transaction."""
_PORTS: Final = (53, 22, 443, 80, 179)
_ECHO: Final = {4: (8, 0), 6: (128, 129)}  # of ICMP: request, reply


class Probes(Protocol):
    """All that is asked; every answer comes within a few seconds."""

    async def vpp(self) -> bool:
        """Whether somebody listens on VPP's socket."""
        ...

    async def agent(self) -> tuple[bool, bool]:
        """Whether the agent answers, and whether it is ready."""
        ...

    async def choose(self, addresses: Sequence[str]) -> str:
        """A way in which one of the addresses answers now, as `Journal.probe` has it; "" for none."""
        ...

    async def reached(self, probe: str) -> bool:
        """Whether that is still answered."""
        ...


class NodeProbes:
    """The probes of a real node."""

    def __init__(self, vpp_socket: Path, agent_url: str) -> None:
        """Takes where VPP listens, and the address of the agent's probes such as http://127.0.0.1:9999."""
        self._vpp_socket = vpp_socket
        parts = urlsplit(agent_url)
        self._agent = (parts.hostname or "127.0.0.1", parts.port or 80)

    async def vpp(self) -> bool:
        """See `Probes.vpp`."""
        return await _connects(asyncio.open_unix_connection(str(self._vpp_socket)))

    async def agent(self) -> tuple[bool, bool]:
        """See `Probes.agent`. Whoever answers is the agent, also one that wants TLS or a password."""
        host, port = self._agent
        try:
            async with asyncio.timeout(_AGENT_WITHIN):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(f"GET /readiness HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False, False
        return bool(line), b" 200 " in line

    async def choose(self, addresses: Sequence[str]) -> str:
        """See `Probes.choose`."""
        for address in addresses:
            for probe in (f"icmp {address}", *(f"tcp {address} {port}" for port in _PORTS)):
                if await self.reached(probe):
                    return probe
        return ""

    async def reached(self, probe: str) -> bool:
        """See `Probes.reached`."""
        kind, address, *port = probe.split()
        if kind == "icmp":
            return await echoes(address) or await echoes(address)
        return await _connects(asyncio.open_connection(address, int(port[0])), refused=True)


async def _connects(connection: object, *, refused: bool = False) -> bool:
    try:
        async with asyncio.timeout(_WITHIN):
            _, writer = await connection  # type: ignore[misc]
    except ConnectionRefusedError:
        return refused
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def echoes(address: str) -> bool:
    """Whether an echo request is answered within a second."""
    version = ipaddress.ip_address(address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    request, reply = _ECHO[version]
    mark = os.urandom(4)
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol) as raw:
            await loop.sock_sendto(raw, _echo(request, mark), (address, 0))
            async with asyncio.timeout(_WITHIN):
                while True:
                    data = await loop.sock_recv(raw, 2048)
                    body = data[(data[0] & 15) * 4 :] if version == 4 else data
                    if body[:1] == bytes([reply]) and body[4:8] == mark:
                        return True
    except (OSError, TimeoutError):
        return False


def _echo(kind: int, mark: bytes) -> bytes:
    """A request; the kernel computes the checksum of ICMPv6 itself."""
    head = struct.pack("!BBH", kind, 0, 0) + mark + b"contiv-stn"
    words = struct.unpack(f"!{len(head) // 2}H", head)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:]


def boot_id(root: Path = Path("/")) -> str:
    """Which run of the machine this is; "" when the kernel does not say."""
    with contextlib.suppress(OSError):
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
