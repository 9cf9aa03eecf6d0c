"""TAPs. VPP serves them through the kernel's vhost-net, and makes none without."""

from __future__ import annotations

from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppRefused
from contivpp.dataplane.vpp.descriptors.driver import Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.tap import Tap

_GSO: Final = 1  # TAP_API_FLAG_GSO
_CHECKSUM_OFFLOAD: Final = 2


class TapKind(Kind):
    """The kernel's end is made by VPP, in the namespace that the value names, and goes with the interface."""

    type = Tap
    slow = True
    plugin = "tap_plugin.so"
    identity = ("host_name", "netns")
    family = "tap"
    dump = ("sw_interface_tap_v2_dump", {})
    mutable = frozenset({"mtu", "mac"})

    def create(self, value: Tap, interfaces: Interfaces) -> Request:
        """Both ends at once."""
        return "tap_create_v3", {
            "use_random_mac": False,
            "mac_address": value.mac,
            "num_rx_queues": 1,
            "num_tx_queues": 1,
            "rx_ring_sz": value.rx_ring,
            "tx_ring_sz": value.tx_ring,
            "host_if_name_set": True,
            "host_if_name": value.host_name,
            "host_mac_addr_set": True,
            "host_mac_addr": value.host_mac,
            "host_namespace_set": bool(value.netns),
            "host_namespace": value.netns,
            "host_mtu_set": bool(value.host_mtu),
            "host_mtu_size": value.host_mtu,
            "tap_flags": (_GSO if value.gso else 0) | (_CHECKSUM_OFFLOAD if value.checksum_offload else 0),
        }

    def delete(self, value: Tap, interfaces: Interfaces) -> list[Request]:
        """By number."""
        return [("tap_delete_v2", {"sw_if_index": interfaces.number(value.name)})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Tap | None:
        """By its own dump."""
        if details is None:
            return None
        return Tap(
            tag.name,
            details.host_if_name,
            str(item.l2_address),
            str(details.host_mac_addr),
            details.host_namespace,
            mtu=item.mtu[0],
            host_mtu=details.host_mtu_size,
            rx_ring=details.rx_ring_sz,
            tx_ring=details.tx_ring_sz,
            gso=bool(details.tap_flags & _GSO),
            checksum_offload=bool(details.tap_flags & _CHECKSUM_OFFLOAD),
        )

    def explained(self, value: Tap, error: VppRefused) -> str:
        """VPP numbers the system calls that failed."""
        text = super().explained(value, error)
        match error.name:
            case "SYSCALL_ERROR_1":
                return f"{text}: /dev/vhost-net cannot be opened: load the kernel module vhost_net, or attach with veth"
            case "SYSCALL_ERROR_2" if value.netns:
                return f"{text}: neither /dev/net/tun nor the namespace {value.netns} may be missing: make what is"
            case "SYSCALL_ERROR_2":
                return f"{text}: /dev/net/tun cannot be opened: load the kernel module tun"
            case "SYSCALL_ERROR_3":
                return f"{text}: the kernel refuses a link {value.host_name}: is there one of that name already?"
            case _:
                return text
