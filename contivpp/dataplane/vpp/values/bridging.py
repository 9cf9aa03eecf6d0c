"""Bridge domains, their members, and the MACs behind these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class BridgeDomain:
    """A switch inside VPP."""

    prefix: ClassVar[str] = "vpp/bridge-domain/"

    name: str
    number: int
    flood: bool = False
    learn: bool = False

    @property
    def key(self) -> str:
        """By name."""
        return self.prefix + self.name


@dataclass(frozen=True, slots=True)
class BridgeMember:
    """An interface in a bridge domain.

    Attributes:
        routed: the interface is the domain's routed end (BVI).
        group: of members that do not send to each other (split horizon); 0 is none.
    """

    prefix: ClassVar[str] = "vpp/bridge-member/"

    domain: str
    number: int
    interface: str
    routed: bool = False
    group: int = 0

    @property
    def key(self) -> str:
        """By interface: one can be in one domain only."""
        return f"{self.prefix}{self.interface}"


@dataclass(frozen=True, slots=True)
class VppForwardingEntry:
    """The member of a bridge domain behind which a MAC is."""

    prefix: ClassVar[str] = "vpp/fdb/"

    number: int
    mac: str
    interface: str

    @property
    def key(self) -> str:
        """By domain and MAC."""
        return f"{self.prefix}{self.number}/{self.mac}"
