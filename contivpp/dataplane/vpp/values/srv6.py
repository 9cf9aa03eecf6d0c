"""Segment routing over IPv6: local segments, policies, and what is steered into them. Addresses are text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Behaviour = Literal["End", "End.X", "End.T", "End.DX2", "End.DX4", "End.DX6", "End.DT4", "End.DT6"]


def policy_key(binding: str) -> str:
    """The key of the policy with a binding segment."""
    return SrPolicy.prefix + binding


@dataclass(frozen=True, slots=True)
class LocalSegment:
    """What this node does with packets for one of its segments.

    Attributes:
        segment: an IPv6 address.
        behaviour: "End" goes on to the next segment; "T" looks up in another table; "DT" takes the packet out and looks
            it up there; "X" and "DX" hand it to a neighbour.
        interface: of the neighbour, for "X" and "DX".
        next_hop: the neighbour, for "X", "DX4" and "DX6".
        lookup_vrf: the table to look up in, for "T" and "DT".
        vrf: the table in which the segment itself is.
        pop: whether the second last node takes the segment header off.
    """

    prefix: ClassVar[str] = "vpp/srv6/segment/"

    segment: str
    behaviour: Behaviour
    interface: str = ""
    next_hop: str = ""
    lookup_vrf: int = 0
    vrf: int = 0
    pop: bool = False

    @property
    def key(self) -> str:
        """By segment."""
        return self.prefix + self.segment


@dataclass(frozen=True, slots=True, order=True)
class SegmentList:
    """The segments that a packet visits, in order; `weight` is its share among those of the policy."""

    segments: tuple[str, ...]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class SrPolicy:
    """Where to packets for a binding segment go.

    Attributes:
        binding: an IPv6 address of nobody else.
        lists: at least one, of 16 segments at the most; kept sorted, for their order means nothing.
        source: of the outer header; "" without one.
        encapsulate: a packet gets an outer header; else the segments are inserted into its own.
        spray: every list gets a copy.
        vrf: the table of the binding segment.
    """

    prefix: ClassVar[str] = "vpp/srv6/policy/"

    binding: str
    lists: tuple[SegmentList, ...]
    source: str = ""
    encapsulate: bool = True
    spray: bool = False
    vrf: int = 0

    def __post_init__(self) -> None:
        """Sorts the lists."""
        object.__setattr__(self, "lists", tuple(sorted(self.lists)))

    @property
    def key(self) -> str:
        """By binding segment."""
        return policy_key(self.binding)


@dataclass(frozen=True, slots=True)
class Steering:
    """What goes into a policy: either a subnet in a table, or all that comes in at an interface."""

    prefix: ClassVar[str] = "vpp/srv6/steering/"

    binding: str
    subnet: str = ""
    vrf: int = 0
    interface: str = ""

    @property
    def key(self) -> str:
        """By what is steered."""
        what = f"interface/{self.interface}" if self.interface else f"subnet/{self.vrf}/{self.subnet}"
        return self.prefix + what


@dataclass(frozen=True, slots=True)
class SrSource:
    """The source of the outer headers of policies that name none."""

    prefix: ClassVar[str] = "vpp/srv6/source/"

    address: str

    @property
    def key(self) -> str:
        """One for the whole VPP."""
        return f"{self.prefix}address"
