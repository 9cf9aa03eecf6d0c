"""Addresses by DHCP: the client on an interface, and what it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class DhcpClient:
    """That an interface asks for an IPv4 address; VPP puts it there itself, and a default route with it.

    Attributes:
        hostname: as the server is told; "" says nothing.
        broadcast: whether the server is to answer to everybody.
    """

    prefix: ClassVar[str] = "vpp/dhcp-client/"

    interface: str
    hostname: str = ""
    broadcast: bool = False

    @property
    def key(self) -> str:
        """By interface."""
        return self.prefix + self.interface


@dataclass(frozen=True, slots=True)
class DhcpLease:
    """What a client was given; never asked for.

    Attributes:
        interface: the logical name.
        address: with prefix length.
        router: "" when the server named none.
    """

    prefix: ClassVar[str] = "vpp/dhcp-lease/"

    interface: str
    address: str
    router: str = ""

    @property
    def key(self) -> str:
        """By interface."""
        return self.prefix + self.interface
