"""VLAN sub-interfaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppRefused
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface
from contivpp.scheduler.api import Dependency

_SUB: Final = 1  # IF_API_TYPE_SUB
_ONE_TAG: Final = 2  # SUB_IF_API_FLAG_ONE_TAG
_TWO_TAGS: Final = 4
_SERVICE: Final = 8
_EXACT_MATCH: Final = 16  # an interface that routes takes no other frames
_VLAN_BITS: Final = 12


class SubInterfaceKind(Kind):
    """VPP counts them by parent; here the tags are the number."""

    type = SubInterface
    identity = ("parent", "vlan", "inner_vlan")
    family = "subinterface"

    def dependencies(self, value: SubInterface, driver: Driver) -> Iterable[Dependency]:
        """The parent."""
        yield Dependency("parent", interface_key(value.parent))

    def create(self, value: SubInterface, interfaces: Interfaces) -> Request:
        """Frames with other tags than these are not its own."""
        flags = _EXACT_MATCH | (_TWO_TAGS if value.inner_vlan else _ONE_TAG) | (_SERVICE if value.service else 0)
        return "create_subif", {
            "sw_if_index": interfaces.number(value.parent),
            "sub_id": value.vlan if not value.inner_vlan else value.vlan << _VLAN_BITS | value.inner_vlan,
            "sub_if_flags": flags,
            "outer_vlan_id": value.vlan,
            "inner_vlan_id": value.inner_vlan,
        }

    def delete(self, value: SubInterface, interfaces: Interfaces) -> list[Request]:
        """By number."""
        return [("delete_subif", {"sw_if_index": interfaces.number(value.name)})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> SubInterface | None:
        """By its type; the parent must be ours."""
        if item.type != _SUB or not (parent := interfaces.name(item.sup_sw_if_index)):
            return None
        return SubInterface(
            tag.name,
            parent,
            item.sub_outer_vlan_id,
            item.sub_inner_vlan_id,
            bool(item.sub_if_flags & _SERVICE),
            item.mtu[0],
        )

    def explained(self, value: SubInterface, error: VppRefused) -> str:
        """Most of VPP's errors mean that the tags are taken."""
        text = super().explained(value, error)
        if error.name in ("VLAN_ALREADY_EXISTS", "SUBIF_ALREADY_EXISTS"):
            return f"{text}: {value.parent} has an interface for VLAN {value.vlan} already"
        return text
