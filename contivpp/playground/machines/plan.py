"""What a playground is to be: a bridge, a subnet, machines with addresses in it, and a second bridge for VPP.

The subnet is checked before anything is created: a playground on a network that the machine itself uses
would cut the machine off.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_STATE = Path("/var/lib/contiv-playground")
# What CI machines are reached through, in use or not.
RESERVED = (ipaddress.IPv4Network("192.0.2.0/24"),)
_MINIMUM_SIZE = 8
# The kernel's limit; the host's end of a machine's second NIC is named by the machine.
_LONGEST_LINK = 15
UPLINK = "eth1"
"""The second NIC, inside a machine."""


class MachinesError(Exception):
    """A playground that cannot be built as asked; the message says why and what to change."""


@dataclass(frozen=True)
class Settings:
    """What a reader of an error has to set, by the names that he knows it by."""

    subnet: str = "playground_subnet"
    bridge: str = "playground_bridge"
    uplink_bridge: str = "playground_uplink_bridge"


@dataclass(frozen=True)
class Network:
    """The bridge that joins the machines; the controller's own address on it is the first of the subnet.

    `uplink_bridge` joins their second NICs, and nothing else is on it; "" when they have none.
    """

    bridge: str
    subnet: ipaddress.IPv4Network
    uplink_bridge: str = ""
    settings: Settings = Settings()

    @classmethod
    def parse(cls, bridge: str, subnet: str, uplink_bridge: str = "", *, settings: Settings = Settings()) -> Network:
        """Reads a subnet such as 10.210.0.0/24.

        Raises:
            MachinesError: It is no IPv4 subnet, or one too small for a playground; both bridges are one.
        """
        if bridge == uplink_bridge:
            raise MachinesError(f"{bridge} cannot join both NICs of the machines: set {settings.uplink_bridge}")
        try:
            network = ipaddress.IPv4Network(subnet)
        except ValueError as error:
            raise MachinesError(f"{settings.subnet} is not an IPv4 subnet: {error}") from error
        if network.num_addresses < _MINIMUM_SIZE:
            raise MachinesError(f"{settings.subnet} {network} is too small for a playground: choose a /24")
        return cls(bridge, network, uplink_bridge, settings)

    @property
    def gateway(self) -> ipaddress.IPv4Interface:
        """The controller's address on the bridge."""
        return ipaddress.IPv4Interface(f"{self.subnet[1]}/{self.subnet.prefixlen}")


@dataclass(frozen=True)
class Machine:
    """One machine: its name and its static address."""

    name: str
    address: ipaddress.IPv4Interface

    @classmethod
    def parse(cls, name: str, address: str, network: Network) -> Machine:
        """Reads a machine's address and checks that it lies in the playground's subnet.

        Raises:
            MachinesError: The address is none, is not in the subnet, or is the controller's own.
        """
        try:
            parsed = ipaddress.IPv4Address(address)
        except ValueError as error:
            raise MachinesError(f"the address of {name} is not an IPv4 address: {error}") from error
        edges = (network.subnet[0], network.subnet[-1], network.gateway.ip)
        if parsed not in network.subnet or parsed in edges:
            raise MachinesError(
                f"{name} cannot have the address {parsed}: it must be a host of {network.settings.subnet}"
                f" {network.subnet} other than {network.gateway.ip}, which is the controller's"
            )
        if network.uplink_bridge and len(uplink_of(name)) > _LONGEST_LINK:
            raise MachinesError(
                f"the name of machine {name} is too long for a second NIC: {uplink_of(name)} is its name"
            )
        return cls(name, ipaddress.IPv4Interface(f"{parsed}/{network.subnet.prefixlen}"))


def uplink_of(machine: str) -> str:
    """The name of the host's end of a machine's second NIC."""
    return f"vu-{machine}"


@dataclass(frozen=True)
class Used:
    """A subnet that the machine already uses, and the device that it uses it on."""

    device: str
    subnet: ipaddress.IPv4Network


def check(network: Network, used: Iterable[Used]) -> None:
    """Refuses a subnet that the machine uses for anything but this playground.

    Raises:
        MachinesError: The subnet overlaps one in use, or one that is reserved.
    """
    advice = f"set {network.settings.subnet} to a free private /24, such as 10.213.0.0/24"
    for other in used:
        if other.device != network.bridge and other.subnet.overlaps(network.subnet):
            raise MachinesError(
                f"The playground's subnet {network.subnet} overlaps {other.subnet}, which this machine uses"
                f" on {other.device}: {advice}."
            )
    for reserved in RESERVED:
        if reserved.overlaps(network.subnet):
            raise MachinesError(f"The playground's subnet {network.subnet} is reserved on this machine: {advice}.")


def subnets_in_use() -> list[Used]:
    """Lists the IPv4 subnets that the machine has addresses in or routes to, the default route left out."""
    used = []
    for link in _ip("address", "show"):
        for address in link.get("addr_info", ()):
            interface = ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}")
            used.append(Used(link["ifname"], interface.network))
    for route in _ip("route", "show", "table", "main"):
        if route["dst"] != "default" and "dev" in route:
            used.append(Used(route["dev"], ipaddress.IPv4Network(route["dst"])))
    return used


def _ip(*arguments: str) -> list[dict[str, Any]]:
    command = ["ip", "-4", "-json", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found
