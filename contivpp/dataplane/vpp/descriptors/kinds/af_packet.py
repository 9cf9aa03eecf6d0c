"""Links of the kernel, attached with AF_PACKET."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import NO_MAC, Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.edges import READ_AT_ONCE
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.scheduler.api import Dependency

_MODES: Final = {"ethernet": 1, "ip": 2}
_FRAME: Final = 2048
_FRAME_OVERHEAD: Final = 148  # Ethernet with two tags, and what the kernel keeps with each frame, with room
_RECEIVE_FRAMES: Final = 2048
_RECEIVE_LARGE_FRAMES: Final = 512
_SEND_FRAMES: Final = 512
_PACKET_V2: Final = 8  # AF_PACKET_API_FLAG_VERSION_2: version 3 hands frames over by the block, a millisecond later


class HostInterfaceKind(Kind):
    """A new MAC takes a new interface: VPP would give it to the kernel's link as well."""

    type = HostInterface
    slow = True
    packet_socket = True
    identity = ("host_name",)
    family = "af_packet"
    dump = ("af_packet_dump", {})

    def dependencies(self, value: HostInterface, driver: Driver) -> Iterable[Dependency]:
        """The link of the kernel, if anybody says which there are."""
        if driver.link_key is not None:
            yield Dependency("link", driver.link_key(value.host_name))

    def create(self, value: HostInterface, interfaces: Interfaces) -> Request:
        """With rings that fit its MTU."""
        return "af_packet_create_v3", {
            "mode": _MODES[value.mode],
            "hw_addr": value.mac or NO_MAC,
            "use_random_hw_addr": False,
            "host_if_name": value.host_name,
            "num_rx_queues": 1,
            "num_tx_queues": 1,
            "flags": _PACKET_V2,
            **_rings(value.mtu),
        }

    def crowded(self, request: Request) -> Request:
        """With a receive ring that VPP empties at once."""
        name, fields = request
        buffers = -(-int(fields["rx_frame_size"]) // _FRAME)
        return name, {**fields, "rx_frames_per_block": READ_AT_ONCE // buffers & ~1}

    def settings(self, value: HostInterface, number: int) -> list[Request]:
        """What comes in is counted once more: VPP's own counter of it is another interface's (`stats`)."""
        counting = ("collect_detailed_interface_stats", {"sw_if_index": number, "enable_disable": True})
        return [*super().settings(value, number), counting]

    def delete(self, value: HostInterface, interfaces: Interfaces) -> list[Request]:
        """By the name of the link."""
        return [("af_packet_delete", {"host_if_name": value.host_name})]

    def change(self, before: HostInterface, value: HostInterface, number: int) -> list[Request] | None:
        """The MTU, while the rings may stay."""
        return super().change(before, value, number) if _rings(value.mtu) == _rings(before.mtu) else None

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> HostInterface | None:
        """By its own dump; without a MAC it is in mode "ip"."""
        if details is None:
            return None
        mac, mtu = str(item.l2_address), item.mtu[0]
        if mac == NO_MAC:
            return HostInterface(tag.name, details.host_if_name, mtu=mtu, mode="ip")
        return HostInterface(tag.name, details.host_if_name, mac, mtu)


def _rings(mtu: int) -> dict[str, int]:
    """Rings for frames of `mtu` bytes: 5 MB of the kernel's memory up to 1900. VPP's own choice takes 79 MB."""
    frame = -(-(mtu + _FRAME_OVERHEAD) // _FRAME) * _FRAME
    return {
        "rx_frame_size": frame,
        "rx_frames_per_block": _RECEIVE_FRAMES if frame == _FRAME else _RECEIVE_LARGE_FRAMES,
        "tx_frame_size": frame,
        "tx_frames_per_block": _SEND_FRAMES,
    }
