"""NICs: those that VPP has from its start, and VMware's, which it is told to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contivpp.dataplane.vpp.values.interfaces import INTERFACES, interface_key

ETHERNET_MTU = 1500
DEFAULT_VMXNET3_RING = 1024


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface that VPP has already, given a logical name; when the value goes it is again as it was found.

    Attributes:
        device: VPP's own name of it, such as "GigabitEthernet0/8/0", or what `observed.pci_name` makes of its PCI
            address.
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    device: str
    mtu: int = ETHERNET_MTU

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)


@dataclass(frozen=True, slots=True)
class Vmxnet3:
    """VMware's paravirtual NIC, bound to a driver for user space already.

    Attributes:
        pci: its address, such as "0000:0b:00.0".
        rx_ring: entries of a receive queue, `tx_ring` of a transmit queue; powers of two from 64 to 4096.
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    pci: str
    mtu: int = ETHERNET_MTU
    rx_ring: int = DEFAULT_VMXNET3_RING
    tx_ring: int = DEFAULT_VMXNET3_RING
    rx_queues: int = 1
    tx_queues: int = 1
    gso: bool = False

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)
