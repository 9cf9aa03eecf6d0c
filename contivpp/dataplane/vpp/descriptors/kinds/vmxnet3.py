"""VMware's paravirtual NIC."""

from __future__ import annotations

import re
from typing import Any, Final

from contivpp.dataplane.vpp.descriptors.driver import Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.nic import Vmxnet3

_PCI: Final = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
_GSO: Final = "gso"


class Vmxnet3Kind(Kind):
    """Rings and queues are read back from VPP; whether segments pass is kept in the tag."""

    type = Vmxnet3
    plugin = "vmxnet3_plugin.so"
    identity = ("pci",)
    family = "vmxnet3"
    dump = ("sw_vmxnet3_interface_dump", {})

    def create(self, value: Vmxnet3, interfaces: Interfaces) -> Request:
        """By its PCI address."""
        return "vmxnet3_create", {
            "pci_addr": pci_number(value.pci),
            "rxq_size": value.rx_ring,
            "rxq_num": value.rx_queues,
            "txq_size": value.tx_ring,
            "txq_num": value.tx_queues,
            "enable_gso": value.gso,
        }

    def memo(self, value: Vmxnet3, interfaces: Interfaces) -> str:
        """What VPP does not say."""
        return _GSO if value.gso else ""

    def delete(self, value: Vmxnet3, interfaces: Interfaces) -> list[Request]:
        """By number."""
        return [("vmxnet3_delete", {"sw_if_index": interfaces.number(value.name)})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Vmxnet3 | None:
        """By its own dump."""
        if details is None:
            return None
        return Vmxnet3(
            tag.name,
            pci_text(details.pci_addr),
            item.mtu[0],
            details.rx_list[0].rx_qsize,
            details.tx_list[0].tx_qsize,
            details.rx_count,
            details.tx_count,
            tag.memo == _GSO,
        )


def pci_number(address: str) -> int:
    """A PCI address as VPP numbers it: the domain in the low bits, then bus, slot and function.

    Raises:
        ValueError: it is none.
    """
    match = _PCI.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is not a PCI address: write one such as 0000:0b:00.0")
    domain, bus, slot, function = (int(part, 16) for part in match.groups())
    return domain | bus << 16 | slot << 24 | function << 29


def pci_text(number: int) -> str:
    """The address of a number."""
    return f"{number & 0xFFFF:04x}:{number >> 16 & 0xFF:02x}:{number >> 24 & 0x1F:02x}.{number >> 29:x}"
