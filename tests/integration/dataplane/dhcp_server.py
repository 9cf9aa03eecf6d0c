"""A DHCP server that gives addresses one after the other: enough of RFC 2131 for clients that ask for one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct

_COOKIE = bytes((99, 130, 83, 99))
_DISCOVER, _OFFER, _REQUEST, _ACK = 1, 2, 3, 5
_HEADER = struct.Struct("!BBBBIHHIIII16s64s128s")


class DhcpServer:
    """Answers on a UDP socket that is bound to port 67.

    Attributes:
        offered: the address with prefix length that the first client is given; others get those after it.
        hostnames: what clients said that they are called.
    """

    def __init__(self, udp: socket.socket, offered: str, router: str) -> None:
        self._udp = udp
        self._router = ipaddress.ip_address(router)
        self.offered = ipaddress.ip_interface(offered)
        self.hostnames: list[str] = []
        self._clients: list[bytes] = []

    async def run(self) -> None:
        """Serves until it is cancelled."""
        loop = asyncio.get_running_loop()
        self._udp.setblocking(False)
        while True:
            request = await loop.sock_recv(self._udp, 2048)
            options = _options(request[240:])
            kind = options.get(53, b"\0")[0]
            if 12 in options:
                self.hostnames.append(options[12].decode())
            if kind in (_DISCOVER, _REQUEST):
                answer = self._answer(request, _OFFER if kind == _DISCOVER else _ACK)
                await loop.sock_sendto(self._udp, answer, ("255.255.255.255", 68))

    def _answer(self, request: bytes, kind: int) -> bytes:
        fields = list(_HEADER.unpack_from(request))
        fields[0] = 2  # a reply
        client = fields[11][:6]
        if client not in self._clients:
            self._clients.append(client)
        fields[8] = int(self.offered.ip) + self._clients.index(client)
        fields[9] = int(self._router)
        options = [
            (53, bytes((kind,))),
            (54, self._router.packed),
            (51, struct.pack("!I", 3600)),
            (1, self.offered.network.netmask.packed),
            (3, self._router.packed),
        ]
        encoded = b"".join(bytes((code, len(value))) + value for code, value in options)
        return _HEADER.pack(*fields) + _COOKIE + encoded + b"\xff" + bytes(64)


def _options(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        length = data[at + 1]
        found[data[at]] = data[at + 2 : at + 2 + length]
        at += 2 + length
    return found
