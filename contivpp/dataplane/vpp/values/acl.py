"""Access lists, and which of them filter the packets of which interface.

One list is one value, however many rules it has: VPP replaces a list in place and at once, in every interface that
uses it. So what several interfaces share is a list of its own, and a change of one list costs that list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Range = tuple[int, int]
ALL_PORTS: Range = (0, 65535)


def acl_key(name: str) -> str:
    """The key of the list with a name."""
    return Acl.prefix + name


def acl_list_key(interface: str) -> str:
    """The key of the lists of an interface."""
    return AclList.prefix + interface


@dataclass(frozen=True, slots=True)
class AclRule:
    """What happens to the packets that match; the first rule that does decides.

    Attributes:
        action: "reflect" lets pass, and with it from then on the whole connection, in both directions.
        source: a subnet; `destination` is one of the same IP version ("0.0.0.0/0" and "::/0" are everybody).
        protocol: the number in the IP header; 0 is any.
        source_ports: first and last port; of ICMP the types.
        destination_ports: first and last port; of ICMP the codes.
        tcp_flags: mask and value: matches segments whose flags, masked, are the value.
    """

    action: Literal["deny", "permit", "reflect"]
    source: str
    destination: str
    protocol: int = 0
    source_ports: Range = ALL_PORTS
    destination_ports: Range = ALL_PORTS
    tcp_flags: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Acl:
    """Rules in order. What no rule matches is dropped when this is the last list of the interface's direction."""

    prefix: ClassVar[str] = "vpp/acl/"

    name: str
    rules: tuple[AclRule, ...] = ()

    @property
    def key(self) -> str:
        """By name."""
        return acl_key(self.name)


@dataclass(frozen=True, slots=True)
class AclList:
    """The lists of an interface by their names, in order.

    Attributes:
        inbound: for what VPP receives there; without any list everything passes.
        outbound: for what VPP sends there.
    """

    prefix: ClassVar[str] = "vpp/acl-list/"

    interface: str
    inbound: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """By interface."""
        return acl_list_key(self.interface)
