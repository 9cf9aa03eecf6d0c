"""Interfaces of all kinds."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final

from contivpp.dataplane import fields
from contivpp.dataplane.vpp.checks.names import MEMIF_NUMBERS, logical_name, other, printable, table
from contivpp.dataplane.vpp.descriptors.kinds.vmxnet3 import pci_number, pci_text
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, Pipe, PipeEnd, VxlanTunnel
from contivpp.dataplane.vpp.values.memif import Memif, MemifSocket
from contivpp.dataplane.vpp.values.nic import Nic, Vmxnet3
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface
from contivpp.dataplane.vpp.values.tap import Tap

VLAN: Final = (1, 4094)
_TAP_RING: Final = (64, 32768)
_MEMIF_RING: Final = (2, 16384)
_VMXNET3_RING: Final = (64, 4096)
_VMXNET3_RX_QUEUES: Final = 16
_VMXNET3_TX_QUEUES: Final = 8
_SOCKET_PATH: Final = 107
_SECRET: Final = 23
_VPP_TEXT: Final = 63


def _loopback(value: Loopback) -> Loopback:
    _common(value)
    return dataclasses.replace(value, mac=fields.mac("mac", value.mac))


def _host_interface(value: HostInterface) -> HostInterface:
    _common(value)
    fields.kernel_name("host_name", value.host_name)
    return dataclasses.replace(value, mac=_mac_by_mode(value))


def _vxlan(value: VxlanTunnel) -> VxlanTunnel:
    logical_name("name", value.name)
    fields.within("vni", value.vni, 1, fields.VNI)
    table("vrf", value.vrf)
    source = fields.address("source", value.source)
    destination = fields.address("destination", value.destination, ipaddress.ip_address(source).version)
    if source == destination:
        message = f"field destination: {destination} is the source, too: write the address of the other node"
        raise ValueError(message)
    return dataclasses.replace(value, source=source, destination=destination)


def _tap(value: Tap) -> Tap:
    _common(value)
    fields.kernel_name("host_name", value.host_name)
    printable("netns", value.netns, _VPP_TEXT)
    if value.host_mtu:
        fields.within("host_mtu", value.host_mtu, *fields.MTU)
    for field in ("rx_ring", "tx_ring"):
        fields.power_of_two(field, getattr(value, field), *_TAP_RING)
    return dataclasses.replace(value, mac=fields.mac("mac", value.mac), host_mac=fields.mac("host_mac", value.host_mac))


def _memif_socket(value: MemifSocket) -> MemifSocket:
    fields.within("number", value.number, *MEMIF_NUMBERS)
    printable("path", value.path, _SOCKET_PATH)
    if not value.path.startswith(("/", "abstract:")):
        message = f"field path: {value.path!r} is not absolute: write one such as /run/vpp/memif.sock, or abstract:name"
        raise ValueError(message)
    return value


def _memif(value: Memif) -> Memif:
    _common(value)
    fields.within("socket", value.socket, 0, MEMIF_NUMBERS[1])
    fields.within("id", value.id, 0, fields.UINT32)
    fields.within("buffer", value.buffer, 64, 65535)
    fields.within("queues", value.queues, 1, 255)
    fields.power_of_two("ring", value.ring, *_MEMIF_RING)
    printable("secret", value.secret, _SECRET)
    return dataclasses.replace(value, mac=_mac_by_mode(value))


def _nic(value: Nic) -> Nic:
    _common(value)
    if not value.device:
        message = "field device is missing: write VPP's name of the NIC, such as GigabitEthernet0/8/0"
        raise ValueError(message)
    printable("device", value.device, _VPP_TEXT)
    return value


def _vmxnet3(value: Vmxnet3) -> Vmxnet3:
    _common(value)
    for field in ("rx_ring", "tx_ring"):
        fields.power_of_two(field, getattr(value, field), *_VMXNET3_RING)
    fields.within("rx_queues", value.rx_queues, 1, _VMXNET3_RX_QUEUES)
    fields.within("tx_queues", value.tx_queues, 1, _VMXNET3_TX_QUEUES)
    try:
        return dataclasses.replace(value, pci=pci_text(pci_number(value.pci.lower())))
    except ValueError as error:
        message = f"field pci: {error}"
        raise ValueError(message) from None


def _sub_interface(value: SubInterface) -> SubInterface:
    _common(value)
    other("parent", value.parent, value.name)
    fields.within("vlan", value.vlan, *VLAN)
    if value.inner_vlan:
        fields.within("inner_vlan", value.inner_vlan, *VLAN)
    return value


def _pipe(value: Pipe) -> Pipe:
    logical_name("name", value.name)
    return value


def _pipe_end(value: PipeEnd) -> PipeEnd:
    _common(value)
    other("pipe", value.pipe, value.name)
    return value


def _common(value: Any) -> None:
    logical_name("name", value.name)
    fields.within("mtu", value.mtu, *fields.MTU)


def _mac_by_mode(value: HostInterface | Memif) -> str:
    """Mode "ip" has no Ethernet, and no MAC."""
    if value.mode == "ethernet":
        return fields.mac("mac", value.mac)
    if value.mac:
        message = f"field mac: an interface in mode ip has none: leave out {value.mac}"
        raise ValueError(message)
    return ""


CHECKS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    Loopback: _loopback,
    HostInterface: _host_interface,
    VxlanTunnel: _vxlan,
    Tap: _tap,
    MemifSocket: _memif_socket,
    Memif: _memif,
    Nic: _nic,
    Vmxnet3: _vmxnet3,
    SubInterface: _sub_interface,
    Pipe: _pipe,
    PipeEnd: _pipe_end,
}
"""What makes a value of each type as VPP gives it back."""
