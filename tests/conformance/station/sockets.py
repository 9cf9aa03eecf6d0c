"""What the other parts share: families, errors in words, and datagrams that are answered from where they were sent."""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import socket
import struct
from typing import Any

IP_MTU_DISCOVER = 10
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IPV6_DONTFRAG = 62
IP_PMTUDISC = {"dont": 0, "want": 1, "do": 2}
IP_PKTINFO = 8
IP_RECVTTL = 12
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 4 << 20
TIMEOUT = "timeout"
_OWN_PORTS = range(10_000, 30_000)
_next_ports = itertools.islice(itertools.cycle(_OWN_PORTS), random.randrange(len(_OWN_PORTS)), None)
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "prohibited",
    errno.EMSGSIZE: "too big",
    errno.ENOPROTOOPT: "refused",
    errno.ETIMEDOUT: TIMEOUT,
}


def in_words(error: BaseException) -> str:
    """What went wrong; "timeout" when nothing came."""
    if isinstance(error, TimeoutError):
        return TIMEOUT
    if isinstance(error, OSError) and error.errno is not None:
        return _WORDS.get(error.errno, errno.errorcode.get(error.errno, str(error)))
    return f"{type(error).__name__}: {error}"


def family_of(address: str) -> socket.AddressFamily:
    """The family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def from_port(client: socket.socket, port: int) -> None:
    """Gives a socket its source port, also when another connection of the same port goes elsewhere."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("", port))


def from_another_port(client: socket.socket) -> None:
    """Gives a socket a source port that nobody here had lately.

    A kernel chooses for each destination by itself, so two connections at once to two frontends of one endpoint may well
    have the same port; what becomes of these has a case of its own.
    """
    for port in itertools.islice(_next_ports, len(_OWN_PORTS)):
        with contextlib.suppress(OSError):
            client.bind(("", port))
            return
    raise OSError(errno.EADDRINUSE, "all ports are taken")


def families() -> list[socket.AddressFamily]:
    """Those that this kernel has."""
    found = [socket.AF_INET]
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        found.append(socket.AF_INET6)
    except OSError:
        pass
    return found


def discover(one: socket.socket, how: str) -> None:
    """How a socket goes about packets that are too large: dont (fragment anywhere), want, do (never fragment)."""
    value = IP_PMTUDISC[how]
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, value)
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, int(how == "do"))
    else:
        one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, value)


def of_own(kind: int, family: int, protocol: int = 0) -> socket.socket:
    """A socket for datagrams that does not block, with room for many, and that says to which address they came."""
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
    if family == socket.AF_INET6:
        if kind == socket.SOCK_DGRAM:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        made.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    return made


def back(ancillary: list[tuple[int, int, bytes]]) -> tuple[list[tuple[int, int, bytes]], int]:
    """What makes an answer leave from the address that the question came to, and the question's TTL."""
    source: list[tuple[int, int, bytes]] = []
    ttl = 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            source = [(level, kind, struct.pack("=I4s4s", 0, data[4:8], bytes(4)))]
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            source = [(level, kind, data[:16] + struct.pack("=I", 0))]
        elif (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
            ttl = int.from_bytes(data[:4], "little")
    return source, ttl


def plain(address: Any) -> list[Any]:
    """Address and port of a peer."""
    return [address[0].partition("%")[0], address[1]]
