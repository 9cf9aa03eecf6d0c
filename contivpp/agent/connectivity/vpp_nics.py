"""The NICs of a node on VPP: the main one with the node's addresses, or a loopback in its place, and the others.

A NIC is a link of the kernel that VPP attaches to with AF_PACKET under a MAC of its own, a device that VPP has from its
start, or one of VMware's that it is told to take. Source: spec/agent.md 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from contivpp.agent.connectivity.addresses import address_of, version_of
from contivpp.agent.connectivity.linux import ETHERNET_MTU, VXLAN_OVERHEAD
from contivpp.agent.stolen import Stolen
from contivpp.agent.view import NodeNic, OwnNode
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable
from contivpp.dataplane.vpp.values.dhcp import DhcpClient
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback
from contivpp.dataplane.vpp.values.nic import DEFAULT_VMXNET3_RING, Nic, Vmxnet3
from contivpp.dataplane.vpp.values.receiving import RxMode
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.model.addressplan import EVERYTHING, AddressPlan

NO_NIC: Final = "loopbackNIC"
_VMXNET3: Final = re.compile(r"vmxnet3-([0-9a-f]+)/([0-9a-f]+)/([0-9a-f]+)/([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class NicTuning:
    """How NICs are driven.

    Attributes:
        rx_mode: when VPP looks for packets; "" leaves it to VPP.
        vmxnet3_rx_ring: entries of a receive queue of VMware's NICs, `vmxnet3_tx_ring` of a transmit queue.
    """

    rx_mode: Literal["", "polling", "interrupt", "adaptive"] = ""
    vmxnet3_rx_ring: int = DEFAULT_VMXNET3_RING
    vmxnet3_tx_ring: int = DEFAULT_VMXNET3_RING


@dataclass(frozen=True, slots=True)
class Nics:
    """Renders the NICs.

    Attributes:
        vrf: the node's table, in whose IP `versions` they are.
        pod_mtu: what was configured for pods, in bytes; 0 for nothing: devices have room for it with a tunnel.
    """

    vrf: int
    versions: tuple[Literal[4, 6], ...]
    pod_mtu: int
    tuning: NicTuning

    def values(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        """All of them, with what is on them."""
        main, mac = own.main_nic, plan.nic_mac(own.id)
        if main is None:
            yield Loopback(NO_NIC, mac, ETHERNET_MTU)
            yield from self._in_table(NO_NIC)
            yield from (InterfaceAddress(NO_NIC, address, self.vrf) for address in own.addresses)
        else:
            yield from self._nic(main, own, mac, own.addresses if own.stolen is None else main.addresses)
            if not main.dhcp:
                yield from self._default_routes(own, main.name)
            if own.stolen is not None:
                yield from self._further_routes(own.stolen, main.name)
        for number, nic in enumerate(own.other_nics, start=1):
            yield from self._nic(nic, own, other_mac(mac, number), nic.addresses)

    @staticmethod
    def names(own: OwnNode) -> tuple[str, ...]:
        """The logical names of all of them."""
        return (NO_NIC if own.main_nic is None else own.main_nic.name, *(nic.name for nic in own.other_nics))

    def _nic(self, nic: NodeNic, own: OwnNode, mac: str, addresses: tuple[str, ...]) -> Iterator[Any]:
        yield self._interface(nic, mac)
        yield from self._in_table(nic.name)
        if nic.dhcp:
            yield DhcpClient(nic.name, hostname=own.name)
        else:
            yield from (InterfaceAddress(nic.name, address, self.vrf) for address in addresses)
        if self.tuning.rx_mode:
            yield RxMode(nic.name, self.tuning.rx_mode)

    def _interface(self, nic: NodeNic, mac: str) -> Any:
        if not nic.is_device:
            return HostInterface(nic.name, nic.name, nic.mac or mac, nic.mtu or ETHERNET_MTU)
        mtu = max(ETHERNET_MTU, self.pod_mtu + max(VXLAN_OVERHEAD.values())) if self.pod_mtu else ETHERNET_MTU
        if pci := vmxnet3_address(nic.name):
            return Vmxnet3(nic.name, pci, mtu, self.tuning.vmxnet3_rx_ring, self.tuning.vmxnet3_tx_ring)
        return Nic(nic.name, nic.device or nic.name, mtu)

    def _in_table(self, interface: str) -> Iterator[InterfaceTable]:
        if self.vrf:
            yield from (InterfaceTable(interface, self.vrf, version) for version in self.versions)

    def _default_routes(self, own: OwnNode, interface: str) -> Iterator[VppRoute]:
        for gateway in own.gateways:
            if address_of(own, version_of(gateway)):
                yield VppRoute(EVERYTHING[version_of(gateway)], self.vrf, gateway, interface)

    def _further_routes(self, stolen: Stolen, interface: str) -> Iterator[VppRoute]:
        """Those that the kernel had by a NIC that was stolen."""
        for hop in stolen.routes:
            if hop.to and version_of(hop.to) in self.versions:
                yield VppRoute(hop.to, self.vrf, hop.via, interface, weight=hop.weight)


def vmxnet3_name(address: str) -> str:
    """VPP's name of one of VMware's NICs at a PCI address."""
    return "vmxnet3-" + "/".join(f"{int(part, 16):x}" for part in re.split("[:.]", address))


def vmxnet3_address(name: str) -> str:
    """The PCI address in VPP's name of one of VMware's NICs; "" for another name. Source: spec/agent.md 3.3."""
    if (found := _VMXNET3.fullmatch(name)) is None:
        return ""
    domain, bus, slot, function = (int(part, 16) for part in found.groups())
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def other_mac(main: str, number: int) -> str:
    """The MAC of VPP on the NIC with a number that the kernel keeps: all NICs of a node have different ones."""
    return f"{main[:2]}:{int(main[3:5], 16) + number & 0xFF:02x}{main[5:]}"
