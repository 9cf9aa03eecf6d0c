"""What VPP says of its interfaces: values that are there to be seen and depended on, and never asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

PCI: Final = "pci "
_NUMBERS: Final = re.compile(r"Ethernet-?((?:[0-9a-f]+/){2,3}[0-9a-f])$")


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """Whether an interface of ours carries packets: it is switched on, and its link is up."""

    prefix: ClassVar[str] = "vpp/interface-state/"

    interface: str
    state: Literal["UP", "DOWN"]

    @property
    def key(self) -> str:
        """By logical name."""
        return self.prefix + self.interface


@dataclass(frozen=True, slots=True)
class DeviceName:
    """That VPP has an interface of its own with this name, which no value made: a NIC, most likely."""

    prefix: ClassVar[str] = "vpp/device/"

    name: str

    @property
    def key(self) -> str:
        """By VPP's name."""
        return device_key(self.name)


def device_key(name: str) -> str:
    """The key that is available while VPP has a device of this name."""
    return DeviceName.prefix + name


def pci_name(address: str) -> str:
    """How a device may be named when only its PCI address is known, such as 0000:00:08.0: by what its name ends with.

    VPP's names end with bus, slot and function, hexadecimal and without zeros, behind the domain unless that is 0.
    """
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    numbers = [int(part, 16) for part in (domain, bus, slot, function)]
    return PCI + "/".join(f"{number:x}" for number in numbers[0 if numbers[0] else 1 :])


def pci_name_of(name: str) -> str:
    """The same for VPP's name of a device, such as GigabitEthernet0/8/0; "" when it does not say."""
    found = _NUMBERS.search(name)
    return PCI + found[1] if found else ""
