"""The VPP data plane of one node: the client, its descriptors, and what they need of VPP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from contivpp.dataplane.emptying import remove_all
from contivpp.dataplane.vpp.addressing import (
    AddressDescriptor,
    InterfaceTableDescriptor,
    TableDescriptor,
    UnnumberedDescriptor,
)
from contivpp.dataplane.vpp.bridging import BridgeDomainDescriptor, BridgeMemberDescriptor, ForwardingDescriptor
from contivpp.dataplane.vpp.client import Vpp
from contivpp.dataplane.vpp.driver import Driver
from contivpp.dataplane.vpp.errors import VppError
from contivpp.dataplane.vpp.interfaces import InterfaceDescriptor
from contivpp.dataplane.vpp.routing import NeighbourDescriptor, RouteDescriptor
from contivpp.scheduler.api import Descriptor

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "show_version": (),
    "sw_interface_dump": (),
    "sw_interface_details": ("sw_if_index", "tag", "flags", "mtu", "l2_address"),
    "sw_interface_set_flags": ("sw_if_index", "flags"),
    "sw_interface_set_mtu": ("sw_if_index", "mtu"),
    "sw_interface_tag_add_del": ("sw_if_index", "tag", "is_add"),
    "create_loopback_instance": ("mac_address",),
    "delete_loopback": ("sw_if_index",),
    "af_packet_create_v3": ("mode", "hw_addr", "use_random_hw_addr", "host_if_name", "tx_frame_size", "flags"),
    "af_packet_delete": ("host_if_name",),
    "af_packet_dump": (),
    "vxlan_add_del_tunnel_v3": ("is_add", "src_address", "dst_address", "encap_vrf_id", "vni"),
    "vxlan_tunnel_v2_dump": ("sw_if_index",),
    "ip_table_add_del_v2": ("table", "is_add"),
    "ip_table_dump": (),
    "sw_interface_set_table": ("sw_if_index", "is_ipv6", "vrf_id"),
    "sw_interface_get_table": ("sw_if_index", "is_ipv6"),
    "sw_interface_add_del_address": ("sw_if_index", "is_add", "prefix"),
    "ip_address_dump": ("sw_if_index", "is_ipv6"),
    "sw_interface_set_unnumbered": ("sw_if_index", "unnumbered_sw_if_index", "is_add"),
    "ip_unnumbered_dump": ("sw_if_index",),
    "ip_route_add_del_v2": ("is_add", "is_multipath", "route"),
    "ip_route_v2_dump": ("src", "table"),
    "fib_source_dump": (),
    "ip_neighbor_add_del": ("is_add", "neighbor"),
    "ip_neighbor_dump": ("sw_if_index", "af"),
    "bridge_domain_add_del_v2": ("bd_id", "bd_tag", "is_add"),
    "bridge_domain_dump": (),
    "sw_interface_set_l2_bridge": ("rx_sw_if_index", "bd_id", "port_type", "shg", "enable"),
    "l2fib_add_del": ("mac", "bd_id", "sw_if_index", "is_add", "static_mac"),
    "l2_fib_table_dump": ("bd_id",),
}
"""The messages, and of each the fields, that the descriptors use."""


class VppDataplane:
    """The VPP of one node.

    Attributes:
        ready: set whenever a VPP was reached that has all that is needed; who clears it learns of the next one.
    """

    name = "vpp"

    def __init__(self, socket: Path, *, timeout: float = 5.0, link_key: Callable[[str], str] | None = None) -> None:
        """Takes what it needs.

        Args:
            socket: VPP's API socket.
            timeout: after how many seconds without an answer it counts as hung.
            link_key: the key that is available while the kernel has a link with a name; None when nobody says that.
        """
        self.ready = asyncio.Event()
        self._client = Vpp(socket, needs=NEEDS, appeared=self._appeared, timeout=timeout)
        driver = Driver(self._client)
        self._descriptors: tuple[Descriptor, ...] = (
            TableDescriptor(driver),
            InterfaceDescriptor(driver, link_key=link_key),
            InterfaceTableDescriptor(driver),
            AddressDescriptor(driver),
            UnnumberedDescriptor(driver),
            RouteDescriptor(driver),
            NeighbourDescriptor(driver),
            BridgeDomainDescriptor(driver),
            BridgeMemberDescriptor(driver),
            ForwardingDescriptor(driver),
        )

    def descriptors(self) -> Sequence[Descriptor]:
        """What makes values real."""
        return self._descriptors

    @property
    def problem(self) -> str:
        """Why VPP cannot be used; "" when it can."""
        return self._client.problem

    async def run(self) -> None:
        """The root task: stays connected."""
        await self._client.run()

    async def remove_everything(self, *, patience: float = 3.0) -> tuple[int, str]:
        """Takes out of VPP all that was ever put there, when it can be reached within `patience` seconds.

        Returns:
            How many values went, and what was left with the reason, "" for nothing.
        """
        running = asyncio.create_task(self.run(), name="vpp")
        try:
            async with asyncio.timeout(patience):
                await self.ready.wait()
            removed, problems = await remove_all(self._descriptors)
            return removed, "; ".join(problems)
        except TimeoutError:
            return 0, self.problem
        except VppError as error:
            return 0, str(error)
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def _appeared(self) -> None:
        self.ready.set()
