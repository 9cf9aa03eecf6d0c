"""Shared memory between VPP and another process that speaks memif, and the sockets by which they meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from contivpp.dataplane.vpp.values.interfaces import DEFAULT_MTU, INTERFACES, interface_key

DEFAULT_MEMIF_RING = 1024
DEFAULT_BUFFER = 2048


@dataclass(frozen=True, slots=True)
class MemifSocket:
    """A unix socket by the number that interfaces name it by; 0 is VPP's own.

    Attributes:
        path: absolute, or "@" and a name for a socket without a file.
    """

    prefix: ClassVar[str] = "vpp/memif-socket/"

    number: int
    path: str

    @property
    def key(self) -> str:
        """By number."""
        return memif_socket_key(self.number)


def memif_socket_key(number: int) -> str:
    """The key of a socket."""
    return f"{MemifSocket.prefix}{number}"


@dataclass(frozen=True, slots=True)
class Memif:
    """One end of shared memory; it works once the other end, of the other role, has connected.

    Attributes:
        mac: of this end; "" in mode "ip".
        socket: the number of the socket; all interfaces of one have one role.
        id: tells the interfaces of one socket apart, and is the same at the other end.
        role: the master listens on the socket, the slave brings the memory.
        secret: at most 23 bytes, the same at both ends; "" is none.
        ring: entries of a ring, a power of two.
        buffer: bytes of an entry.
        queues: in each direction; the slave's count.
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    socket: int
    id: int
    role: Literal["master", "slave"]
    mac: str = ""
    mode: Literal["ethernet", "ip"] = "ethernet"
    secret: str = field(default="", repr=False)
    ring: int = DEFAULT_MEMIF_RING
    buffer: int = DEFAULT_BUFFER
    queues: int = 1
    mtu: int = DEFAULT_MTU

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)
