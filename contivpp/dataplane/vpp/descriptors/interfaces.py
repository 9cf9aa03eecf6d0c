"""Interfaces of VPP: made in one pipeline, named by their tags, and found again by them.

The tag is "contiv:" and the logical name; an interface without such a tag is not ours and never touched. What a
tag cannot say (the far end of a tunnel, the kernel's name of a link) is read from the dumps of each kind.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppDown, VppRefused
from contivpp.dataplane.vpp.descriptors.driver import NO_INTERFACE, TAG, Driver, DriverDescriptor, Request, address_of
from contivpp.dataplane.vpp.values.addressing import table_key
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Interface, Loopback, VxlanTunnel
from contivpp.scheduler.api import DONE, Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
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
}
"""The messages, and of each the fields, that are used here."""
_LONGEST_TAG: Final = 63
_UP: Final = 1  # IF_STATUS_API_FLAG_ADMIN_UP
_MODES: Final = {"ethernet": 1, "ip": 2}
_VXLAN_DECAP_NEXT: Final = 0xFFFFFFFF  # VPP's default: the L2 input
_FRAME: Final = 2048
_FRAME_OVERHEAD: Final = 148  # Ethernet with two tags, and what the kernel keeps with each frame, with room
_RECEIVE_FRAMES: Final = 2048
_RECEIVE_LARGE_FRAMES: Final = 512
_SEND_FRAMES: Final = 512
_PACKET_V2: Final = 8  # AF_PACKET_API_FLAG_VERSION_2: version 3 hands frames over by the block, a millisecond later
_NO_MAC: Final = "00:00:00:00:00:00"


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (InterfaceDescriptor(driver),)


class InterfaceDescriptor(DriverDescriptor):
    """Loopbacks, links of the kernel, and tunnels."""

    name = "vpp-interface"
    prefix = Loopback.prefix

    def dependencies(self, key: str, value: Interface) -> Iterable[Dependency]:
        """The link of the kernel, or the table in which a tunnel's packets are routed.

        Raises:
            ValueError: the name is too long for a tag.
        """
        if len(TAG + value.name) > _LONGEST_TAG:
            raise ValueError(f"the name {value.name} is longer than {_LONGEST_TAG - len(TAG)} characters")
        if isinstance(value, VxlanTunnel) and value.vrf:
            yield Dependency("table", table_key(value.vrf, ipaddress.ip_address(value.source).version))
        if isinstance(value, HostInterface) and self._driver.link_key is not None:
            yield Dependency("link", self._driver.link_key(value.host_name))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Two pipelines: one that makes the interfaces, one that sets them up by the numbers they got."""
        outcomes = [DONE] * len(operations)
        deletes = [at for at, one in enumerate(operations) if one.kind is OperationKind.DELETE]
        creates = [at for at, one in enumerate(operations) if one.kind is OperationKind.CREATE]
        for at, outcome in zip(deletes, await self._delete([operations[at] for at in deletes]), strict=True):
            outcomes[at] = outcome
        for at, outcome in zip(creates, await self._create([operations[at].value for at in creates]), strict=True):
            outcomes[at] = outcome
        for at, operation in enumerate(operations):
            if operation.kind is OperationKind.UPDATE:
                outcomes[at] = await self._update(operation)
        return outcomes

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every interface with our tag."""
        connection = self._driver.connection
        details = await self._driver.read_interfaces()
        links = {item.sw_if_index: item.host_if_name for item in await connection.dump("af_packet_dump")}
        tunnels = {
            item.sw_if_index: item for item in await connection.dump("vxlan_tunnel_v2_dump", sw_if_index=NO_INTERFACE)
        }
        found = {}
        for item in details:
            value = _value(item, links, tunnels)
            if value is not None:
                found[value.key] = Observed(value, metadata={"sw_if_index": item.sw_if_index})
        return found

    async def _create(self, values: Sequence[Interface]) -> list[Outcome]:
        if not values:
            return []
        try:
            await self._driver.prepare()
            connection, interfaces = self._driver.connection, self._driver.interfaces
            if found := {value.name for value in values} & set(interfaces.names()):
                return [Outcome(error=f"VPP has {', '.join(sorted(found))} already")] * len(values)
            replies = await connection.batch([_create_request(value) for value in values])
            setting_up: list[Request] = []
            for value, reply in zip(values, replies, strict=True):
                if not isinstance(reply, VppRefused):
                    interfaces.add(value.name, reply.sw_if_index)
                    setting_up += _setting_up(value, reply.sw_if_index)
            problems = [one for one in await connection.batch(setting_up) if isinstance(one, VppRefused)]
        except VppDown as error:
            return [Outcome(error=str(error))] * len(values)
        outcomes = [
            Outcome(error=f"{value.name}: {reply}") if isinstance(reply, VppRefused) else DONE
            for value, reply in zip(values, replies, strict=True)
        ]
        if problems:  # rare, and whose it was does not matter: all of them are looked up and tried again
            return [Outcome(error=str(problems[0])) if one.ok else one for one in outcomes]
        return outcomes

    async def _update(self, operation: Operation) -> Outcome:
        """Only the MTU can change; everything else needs another interface."""
        value, before = operation.value, operation.previous
        if not hasattr(value, "mtu") or dataclasses.replace(before, mtu=value.mtu) != value:
            return Outcome(recreate=True)
        if isinstance(value, HostInterface) and _rings(value.mtu) != _rings(before.mtu):
            return Outcome(recreate=True)
        number = self._driver.interfaces.number(value.name)
        [outcome] = await self._driver.apply([operation], lambda _: [_mtu_request(number, value.mtu)])
        return outcome

    async def _delete(self, operations: Sequence[Operation]) -> list[Outcome]:
        if not operations:
            return []
        outcomes = await self._driver.apply(operations, self._delete_requests, gone=("INVALID_SW_IF_INDEX",))
        for operation, outcome in zip(operations, outcomes, strict=True):
            if outcome.ok:
                self._driver.interfaces.remove(operation.value.name)
        return outcomes

    def _delete_requests(self, operation: Operation) -> list[Request]:
        value = operation.value
        match value:
            case HostInterface():
                return [("af_packet_delete", {"host_if_name": value.host_name})]
            case VxlanTunnel():
                return [("vxlan_add_del_tunnel_v3", {**_tunnel(value), "is_add": False})]
            case _:
                return [("delete_loopback", {"sw_if_index": self._driver.interfaces.number(value.name)})]


def _create_request(value: Interface) -> Request:
    match value:
        case HostInterface():
            return "af_packet_create_v3", {
                "mode": _MODES[value.mode],
                "hw_addr": value.mac or _NO_MAC,
                "use_random_hw_addr": False,
                "host_if_name": value.host_name,
                "num_rx_queues": 1,
                "num_tx_queues": 1,
                "flags": _PACKET_V2,
                **_rings(value.mtu),
            }
        case VxlanTunnel():
            return "vxlan_add_del_tunnel_v3", {**_tunnel(value), "is_add": True}
        case _:
            return "create_loopback_instance", {"mac_address": value.mac}


def _rings(mtu: int) -> dict[str, int]:
    """Rings for frames of `mtu` bytes: 5 MB of the kernel's memory up to 1900. VPP's own choice takes 79 MB."""
    frame = -(-(mtu + _FRAME_OVERHEAD) // _FRAME) * _FRAME
    return {
        "rx_frame_size": frame,
        "rx_frames_per_block": _RECEIVE_FRAMES if frame == _FRAME else _RECEIVE_LARGE_FRAMES,
        "tx_frame_size": frame,
        "tx_frames_per_block": _SEND_FRAMES,
    }


def _tunnel(value: VxlanTunnel) -> dict[str, Any]:
    return {
        "instance": NO_INTERFACE,
        "src_address": address_of(ipaddress.ip_address(value.source)),
        "dst_address": address_of(ipaddress.ip_address(value.destination)),
        "mcast_sw_if_index": NO_INTERFACE,
        "encap_vrf_id": value.vrf,
        "decap_next_index": _VXLAN_DECAP_NEXT,
        "vni": value.vni,
    }


def _setting_up(value: Interface, number: int) -> list[Request]:
    requests: list[Request] = [
        ("sw_interface_tag_add_del", {"is_add": True, "sw_if_index": number, "tag": TAG + value.name}),
    ]
    if not isinstance(value, VxlanTunnel):
        requests.append(_mtu_request(number, value.mtu))
    requests.append(("sw_interface_set_flags", {"sw_if_index": number, "flags": _UP}))
    return requests


def _mtu_request(number: int, mtu: int) -> Request:
    return "sw_interface_set_mtu", {"sw_if_index": number, "mtu": [mtu, 0, 0, 0]}


def _value(item: Any, links: Mapping[int, str], tunnels: Mapping[int, Any]) -> Interface | None:
    """The value that an interface is; None for one that is not set up to its end, so that it is made anew."""
    name, number, mtu = item.tag.removeprefix(TAG), item.sw_if_index, item.mtu[0]
    if not item.flags & _UP:
        return None
    if number in tunnels:
        tunnel = tunnels[number]
        return VxlanTunnel(name, str(tunnel.src_address), str(tunnel.dst_address), tunnel.vni, tunnel.encap_vrf_id)
    mac = str(item.l2_address)
    if number in links:
        mode = "ip" if mac == _NO_MAC else "ethernet"
        return HostInterface(name, links[number], "" if mode == "ip" else mac, mtu, mode)  # type: ignore[arg-type]
    return Loopback(name, mac, mtu)
