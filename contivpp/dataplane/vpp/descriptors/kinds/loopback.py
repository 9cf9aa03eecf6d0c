"""Loopbacks."""

from __future__ import annotations

from typing import Any

from contivpp.dataplane.vpp.descriptors.driver import Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.interfaces import Loopback


class LoopbackKind(Kind):
    """Software interfaces; a bridge domain learns of a new MAC of its routed end."""

    type = Loopback
    family = "loopback"
    identity = ("mac",)
    mutable = frozenset({"mtu", "mac"})

    def create(self, value: Loopback, interfaces: Interfaces) -> Request:
        """With its MAC."""
        return "create_loopback_instance", {"mac_address": value.mac}

    def delete(self, value: Loopback, interfaces: Interfaces) -> list[Request]:
        """By number."""
        return [("delete_loopback", {"sw_if_index": interfaces.number(value.name)})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Loopback | None:
        """By its type of device."""
        return Loopback(tag.name, str(item.l2_address), item.mtu[0]) if item.interface_dev_type == "Loopback" else None
