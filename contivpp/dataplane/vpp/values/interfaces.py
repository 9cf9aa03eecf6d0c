"""Interfaces of VPP. `name` is the logical one, kept in VPP as the interface's tag; addresses are text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

DEFAULT_MTU = 9000
INTERFACES = "vpp/interface/"


def interface_key(name: str) -> str:
    """The key of the interface with a logical name."""
    return INTERFACES + name


@dataclass(frozen=True, slots=True)
class Loopback:
    """A software interface; as a member of a bridge domain it can be its routed end (BVI).

    Attributes:
        mtu: of packets without their Ethernet header, in bytes.
    """

    prefix: ClassVar[str] = INTERFACES

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

    prefix: ClassVar[str] = INTERFACES

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
    """A tunnel to one other node, over IPv4 or IPv6, to be a member of a bridge domain: it has no addresses.

    Attributes:
        vrf: the table in which the outer packets are routed.
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    source: str
    destination: str
    vni: int
    vrf: int = 0

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Two ends, each an interface of its own (`PipeEnd`): what goes out by one comes in by the other one."""

    prefix: ClassVar[str] = INTERFACES

    name: str

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class PipeEnd:
    """One end of a pipe, to be put in a table."""

    prefix: ClassVar[str] = INTERFACES

    name: str
    pipe: str
    end: Literal[0, 1]
    mtu: int = DEFAULT_MTU

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)
