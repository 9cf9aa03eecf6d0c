"""Routes and neighbours; addresses and subnets are text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class VppRoute:
    """One way to a subnet; several values for one subnet share the traffic.

    Attributes:
        via: the next hop; "" is the interface itself, or with `via_vrf` another look-up there.
        via_vrf: the table in which to look up again; None: not in another one.
        kind: "drop" and "unreachable" have neither hop nor interface; the latter tells the sender so, by ICMP.
        waits_for: the key of what must be there first, such as the interface's access lists; VPP knows nothing of it.
    """

    prefix: ClassVar[str] = "vpp/route/"

    to: str
    vrf: int = 0
    via: str = ""
    interface: str = ""
    via_vrf: int | None = None
    kind: Literal["unicast", "drop", "unreachable"] = "unicast"
    weight: int = 1
    waits_for: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """By table, subnet, next hop and interface."""
        return f"{self.prefix}{self.vrf}/{self.to}/{self.via or '-'}/{self.interface or '-'}"

    @property
    def version(self) -> int:
        """The IP version of the subnet."""
        return 6 if ":" in self.to else 4


@dataclass(frozen=True, slots=True)
class VppNeighbour:
    """The MAC of an address on an interface, for good."""

    prefix: ClassVar[str] = "vpp/neighbour/"

    interface: str
    address: str
    mac: str

    @property
    def key(self) -> str:
        """By interface and address."""
        return f"{self.prefix}{self.interface}/{self.address}"
