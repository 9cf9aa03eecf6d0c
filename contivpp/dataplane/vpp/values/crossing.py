"""Cross-connects: what comes in by one interface goes out by another one, wherever it wants to go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class L2CrossConnect:
    """Frames of `interface` leave by `to`; the other direction is a value of its own."""

    prefix: ClassVar[str] = "vpp/l2-cross-connect/"

    interface: str
    to: str

    @property
    def key(self) -> str:
        """By the interface that they come from."""
        return self.prefix + self.interface


@dataclass(frozen=True, slots=True)
class L3CrossConnect:
    """Packets of `interface` and one IP version leave by `to`.

    Attributes:
        via: the next hop there; "" is whoever is at the other end, on an interface without Ethernet.
    """

    prefix: ClassVar[str] = "vpp/l3-cross-connect/"

    interface: str
    version: Literal[4, 6]
    to: str
    via: str = ""

    @property
    def key(self) -> str:
        """By the interface that they come from, and IP version."""
        return f"{self.prefix}{self.interface}/ip{self.version}"
