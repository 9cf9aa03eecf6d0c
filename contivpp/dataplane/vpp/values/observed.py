"""What VPP says of its interfaces: values that are there to be seen and depended on, and never asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


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
