"""VXLAN tunnels, over IPv4 or IPv6."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from contivpp.dataplane.vpp.descriptors.driver import NO_INTERFACE, Driver, Request, address_of
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.addressing import table_key
from contivpp.dataplane.vpp.values.interfaces import VxlanTunnel
from contivpp.scheduler.api import Dependency

_DECAP_NEXT: Final = 0xFFFFFFFF  # VPP's default: the L2 input


class VxlanKind(Kind):
    """Nothing of a tunnel can be changed, and it has no MTU of its own."""

    type = VxlanTunnel
    identity = ("source", "destination", "vni", "vrf")
    family = "vxlan"
    dump = ("vxlan_tunnel_v2_dump", {"sw_if_index": NO_INTERFACE})
    mutable = frozenset()
    gone = Kind.gone | {"NO_SUCH_ENTRY"}

    def dependencies(self, value: VxlanTunnel, driver: Driver) -> Iterable[Dependency]:
        """The table in which its packets are routed."""
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, ipaddress.ip_address(value.source).version))

    def create(self, value: VxlanTunnel, interfaces: Interfaces) -> Request:
        """With both ends."""
        return "vxlan_add_del_tunnel_v3", {**_tunnel(value), "is_add": True}

    def settings(self, value: VxlanTunnel, number: int) -> list[Request]:
        """None."""
        return []

    def delete(self, value: VxlanTunnel, interfaces: Interfaces) -> list[Request]:
        """By all that it is."""
        return [("vxlan_add_del_tunnel_v3", {**_tunnel(value), "is_add": False})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> VxlanTunnel | None:
        """By its own dump."""
        if details is None:
            return None
        source, destination = str(details.src_address), str(details.dst_address)
        return VxlanTunnel(tag.name, source, destination, details.vni, details.encap_vrf_id)


def _tunnel(value: VxlanTunnel) -> dict[str, Any]:
    return {
        "instance": NO_INTERFACE,
        "src_address": address_of(ipaddress.ip_address(value.source)),
        "dst_address": address_of(ipaddress.ip_address(value.destination)),
        "mcast_sw_if_index": NO_INTERFACE,
        "encap_vrf_id": value.vrf,
        "decap_next_index": _DECAP_NEXT,
        "vni": value.vni,
    }
