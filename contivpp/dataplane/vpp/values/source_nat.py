"""Which connections get another source, and which one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

POLICY: Final = "vpp/source-nat/policy"
"""The key of the policy; its parts depend on it."""
Role = Literal["inside4", "inside6", "pod", "host"]


@dataclass(frozen=True, slots=True)
class SourceNat:
    """The address behind which everything goes that leaves the cluster, or that could not find back otherwise.

    What exactly that is say the roles of the interfaces and the subnets to spare.

    Attributes:
        idle: an interface where nothing ever comes in or goes out, such as the pods' gateway; keeps the policy alive.
        ipv4: an address of this VPP; without one nothing must come up that would need it.
        ipv6: the same for IPv6.
    """

    prefix: ClassVar[str] = "vpp/source-nat/"

    idle: str
    ipv4: str = ""
    ipv6: str = ""

    @property
    def key(self) -> str:
        """One for the whole VPP."""
        return POLICY


@dataclass(frozen=True, slots=True)
class SparedSubnet:
    """A destination to which nothing changes its source."""

    prefix: ClassVar[str] = "vpp/source-nat-spare/"

    subnet: str

    @property
    def key(self) -> str:
        """By subnet."""
        return self.prefix + self.subnet


@dataclass(frozen=True, slots=True)
class SourceNatInterface:
    """What an interface is for the translation of sources.

    Attributes:
        role: "inside4" and "inside6": what comes from there, and goes to no spared subnet, gets another source;
            "pod": connections from and to there keep theirs, unless they go back to where they came from;
            "host": what goes there keeps its source.
    """

    prefix: ClassVar[str] = "vpp/source-nat-interface/"

    interface: str
    role: Role

    @property
    def key(self) -> str:
        """By interface and role."""
        return f"{self.prefix}{self.interface}/{self.role}"
