"""TAP interfaces: VPP at one end, a link that VPP makes in a namespace of the kernel at the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contivpp.dataplane.vpp.values.interfaces import DEFAULT_MTU, INTERFACES, interface_key

DEFAULT_RING = 256


@dataclass(frozen=True, slots=True)
class Tap:
    """A TAP (version 2: virtio rings, served by the kernel's vhost-net).

    Attributes:
        host_name: the kernel's name of its end.
        mac: of VPP's end.
        host_mac: of the kernel's end.
        netns: where the kernel's end is: a name below /run/netns, a path, or "pid:<number>"; "" where VPP runs.
        mtu: of VPP's end, in bytes.
        host_mtu: of the kernel's end; 0 leaves the kernel's choice.
        rx_ring: entries of the ring that VPP reads, a power of two; `tx_ring` of the one that it writes.
        gso: whether segments larger than the MTU pass, with checksums that are not computed yet.
        checksum_offload: whether checksums may be left out without that.
    """

    prefix: ClassVar[str] = INTERFACES

    name: str
    host_name: str
    mac: str
    host_mac: str
    netns: str = ""
    mtu: int = DEFAULT_MTU
    host_mtu: int = 0
    rx_ring: int = DEFAULT_RING
    tx_ring: int = DEFAULT_RING
    gso: bool = False
    checksum_offload: bool = False

    @property
    def key(self) -> str:
        """By logical name."""
        return interface_key(self.name)
