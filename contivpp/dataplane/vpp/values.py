"""What VPP can be asked for, as values.

`interface` is a logical name: that of an interface value, kept in VPP as the interface's tag. Addresses and subnets are
text. `vrf` is the number of a table; table 0 is there without being asked for.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import ClassVar, Literal

DEFAULT_MTU = 9000
_INTERFACES = "vpp/interface/"


def interface_key(name: str) -> str:
    """The key of the interface with a logical name."""
    return _INTERFACES + name


@dataclass(frozen=True, slots=True)
class Loopback:
    """A software interface; as a member of a bridge domain it can be its routed end (BVI).

    Attributes:
        mtu: of packets without their Ethernet header, in bytes.
    """

    prefix: ClassVar[str] = _INTERFACES

    name: str
    mac: str
    mtu: int = DEFAULT_MTU

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class HostInterface:
    """A link of the kernel, attached with AF_PACKET.

    Attributes:
        host_name: the kernel's name of the link, in the namespace that VPP runs in.
        mac: of VPP's end; "" in mode "ip".
        mode: "ip" carries packets without Ethernet headers, "ethernet" frames.
    """

    prefix: ClassVar[str] = _INTERFACES

    name: str
    host_name: str
    mac: str = ""
    mtu: int = DEFAULT_MTU
    mode: Literal["ethernet", "ip"] = "ethernet"

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class VxlanTunnel:
    """A tunnel to one other node, to be a member of a bridge domain.

    Attributes:
        vrf: the table in which the outer packets are routed.
    """

    prefix: ClassVar[str] = _INTERFACES

    name: str
    source: str
    destination: str
    vni: int
    vrf: int = 0

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


Interface = Loopback | HostInterface | VxlanTunnel


@dataclass(frozen=True, slots=True)
class Table:
    """A routing table of one IP version."""

    prefix: ClassVar[str] = "vpp/table/"

    vrf: int
    version: Literal[4, 6]
    name: str = ""

    @property
    def key(self) -> str:
        """By number and IP version."""
        return table_key(self.vrf, self.version)


def table_key(vrf: int, version: int) -> str:
    """The key of a table."""
    return f"{Table.prefix}{vrf}/ip{version}"


@dataclass(frozen=True, slots=True)
class InterfaceTable:
    """In which table an interface's packets are looked up; an interface without one is in table 0."""

    prefix: ClassVar[str] = "vpp/interface-table/"

    interface: str
    vrf: int
    version: Literal[4, 6]

    @property
    def key(self) -> str:
        """By interface and IP version."""
        return f"{self.prefix}{self.interface}/ip{self.version}"


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """`address` with prefix length on an interface that is in table `vrf`."""

    prefix: ClassVar[str] = "vpp/address/"

    interface: str
    address: str
    vrf: int = 0

    @property
    def key(self) -> str:
        """By interface and address."""
        return f"{self.prefix}{self.interface}/{self.address}"


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """That an interface has no address of its own, and uses those of another one in table `vrf`."""

    prefix: ClassVar[str] = "vpp/unnumbered/"

    interface: str
    addresses_of: str
    vrf: int = 0

    @property
    def key(self) -> str:
        """By interface."""
        return f"{self.prefix}{self.interface}"


@dataclass(frozen=True, slots=True)
class VppRoute:
    """One way to a subnet; several values for one subnet share the traffic.

    Attributes:
        via: the next hop; "" is the interface itself, or with `via_vrf` another look-up there.
        via_vrf: the table in which to look up again; None: not in another one.
        kind: "drop" has neither hop nor interface.
    """

    prefix: ClassVar[str] = "vpp/route/"

    to: str
    vrf: int = 0
    via: str = ""
    interface: str = ""
    via_vrf: int | None = None
    kind: Literal["unicast", "drop"] = "unicast"
    weight: int = 1

    @property
    def key(self) -> str:
        """By table, subnet, next hop and interface."""
        return f"{self.prefix}{self.vrf}/{self.to}/{self.via or '-'}/{self.interface or '-'}"

    @property
    def version(self) -> int:
        """The IP version of the subnet."""
        return ipaddress.ip_network(self.to).version


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
