"""Tables, and what joins interfaces to addresses and tables. Table 0 is there without being asked for."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import ClassVar, Literal


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
        """By interface, IP version and address."""
        return f"{addresses_prefix(self.interface, ipaddress.ip_interface(self.address).version)}{self.address}"


def addresses_prefix(interface: str, version: int) -> str:
    """What the keys of an interface's addresses of one IP version start with."""
    return f"{InterfaceAddress.prefix}{interface}/ip{version}/"


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """That an interface has no address of its own, and uses those of another one in table `vrf`.

    Attributes:
        versions: the IP versions in which the other one has addresses: VPP looks only once which they are.
        waits_for: the key of what must be there first, such as the interface's access lists; VPP knows nothing of it.
    """

    prefix: ClassVar[str] = "vpp/unnumbered/"

    interface: str
    addresses_of: str
    vrf: int = 0
    versions: tuple[int, ...] = (4,)
    waits_for: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """By interface."""
        return f"{self.prefix}{self.interface}"
