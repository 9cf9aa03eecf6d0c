"""Answers for the addresses of others (proxy ARP), and how many neighbours VPP remembers, and how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

DEFAULT_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class ProxyArpRange:
    """IPv4 addresses that VPP answers for, on interfaces with `ProxyArp` in table `vrf`."""

    prefix: ClassVar[str] = "vpp/proxy-arp-range/"

    first: str
    last: str
    vrf: int = 0

    @property
    def key(self) -> str:
        """By all that it says."""
        return f"{self.prefix}{self.vrf}/{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class ProxyArp:
    """That VPP answers for others on an interface."""

    prefix: ClassVar[str] = "vpp/proxy-arp/"

    interface: str

    @property
    def key(self) -> str:
        """By interface."""
        return self.prefix + self.interface


@dataclass(frozen=True, slots=True)
class NeighbourLimits:
    """What VPP remembers of neighbours that it learned.

    Attributes:
        most: how many; 0 is without end.
        age: seconds after which one that is silent is asked, and forgotten without an answer; 0 is never.
        recycle: whether a new one replaces the oldest when there are too many.
    """

    prefix: ClassVar[str] = "vpp/neighbour-limits/"

    version: Literal[4, 6]
    most: int = DEFAULT_LIMIT
    age: int = 0
    recycle: bool = False

    @property
    def key(self) -> str:
        """By IP version."""
        return f"{self.prefix}ip{self.version}"
