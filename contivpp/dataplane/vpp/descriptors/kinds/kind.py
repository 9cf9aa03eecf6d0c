"""What a kind of interface says of itself; the descriptor of interfaces does the rest."""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from contivpp.dataplane.vpp.api.errors import VppRefused
from contivpp.dataplane.vpp.contract.model import Contract, load
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.scheduler.api import Dependency

NO_MAC = "00:00:00:00:00:00"
_UP = 1  # IF_STATUS_API_FLAG_ADMIN_UP


class Kind(ABC):
    """One kind of interface.

    Attributes:
        type: of its values.
        family: the part of the contract that has its messages; "" when it has none of its own.
        plugin: the file name of the plugin that has them, when a VPP may lack it; "" when it may not.
        dump: the request that lists the interfaces of this kind; None when their common list says enough.
        adopts: whether its interfaces are there without being made.
        identity: the fields that no two interfaces of VPP share; none when there are no such fields.
        mutable: the fields that VPP can change while the interface is there.
        gone: VPP's names of errors that mean that there is nothing left to delete.
        slow: whether making and deleting one keeps VPP's main thread busy with the kernel: then only a few are asked
            for at once, or VPP would say nothing for longer than a VPP that works may.
        packet_socket: whether VPP reads it from an AF_PACKET socket.
    """

    type: ClassVar[type]
    family: ClassVar[str]
    plugin: ClassVar[str] = ""
    dump: ClassVar[Request | None] = None
    adopts: ClassVar[bool] = False
    identity: ClassVar[tuple[str, ...]] = ()
    mutable: ClassVar[frozenset[str]] = frozenset({"mtu"})
    gone: ClassVar[frozenset[str]] = frozenset({"INVALID_SW_IF_INDEX"})
    slow: ClassVar[bool] = False
    packet_socket: ClassVar[bool] = False

    @functools.cached_property
    def needs(self) -> Contract:
        """What is used of VPP for this kind alone."""
        return load(self.family) if self.family else Contract()

    def dependencies(self, value: Any, driver: Driver) -> Iterable[Dependency]:
        """What must be there before; none."""
        return ()

    def existing(self, value: Any, driver: Driver) -> int | None:
        """VPP's number of the interface when it is not to be made; None when it is.

        Raises:
            VppError: it should be there, and is not.
        """
        return None

    def create(self, value: Any, interfaces: Interfaces) -> Request:
        """The request that makes it; may raise VppError."""
        raise TypeError(f"{self.type.__name__} is not made")

    def crowded(self, request: Request) -> Request:
        """What makes it where there are many: the request as it is."""
        return request

    def memo(self, value: Any, interfaces: Interfaces) -> str:
        """What VPP will not say of it, to be kept in its tag; nothing."""
        return ""

    def settings(self, value: Any, number: int) -> list[Request]:
        """What is set once it is there, before it is switched on: the MTU."""
        return [mtu_request(number, value.mtu)]

    @abstractmethod
    def delete(self, value: Any, interfaces: Interfaces) -> list[Request]:
        """The requests that take it away; may raise VppError."""

    def change(self, before: Any, value: Any, number: int) -> list[Request] | None:
        """The requests that make `value` of `before`; None when that needs another interface."""
        differing = {
            field.name
            for field in dataclasses.fields(value)
            if getattr(before, field.name) != getattr(value, field.name)
        }
        if not differing <= self.mutable:
            return None
        requests = []
        if "mtu" in differing:
            requests.append(mtu_request(number, value.mtu))
        if "mac" in differing:
            requests.append(("sw_interface_set_mac_address", {"sw_if_index": number, "mac_address": value.mac}))
        return requests

    @abstractmethod
    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Any | None:
        """The value that an interface is.

        Args:
            tag: what is written on it.
            item: of the list of all interfaces.
            details: of the dump of this kind; None when it is not in there.
            interfaces: all of them.

        Returns:
            None when it is not of this kind.
        """

    def explained(self, value: Any, error: VppRefused) -> str:
        """What VPP's error means for this interface, with the remedy when there is one."""
        return f"{value.name}: {error}"


def mtu_request(number: int, mtu: int) -> Request:
    """Sets the MTU of all protocols."""
    return "sw_interface_set_mtu", {"sw_if_index": number, "mtu": [mtu, 0, 0, 0]}


def tag_request(number: int, tag: str) -> Request:
    """Sets the tag; "" takes it away."""
    return "sw_interface_tag_add_del", {"is_add": bool(tag), "sw_if_index": number, "tag": tag}


def flags_request(number: int, *, up: bool) -> Request:
    """Switches on or off."""
    return "sw_interface_set_flags", {"sw_if_index": number, "flags": _UP if up else 0}


def is_up(item: Any) -> bool:
    """Whether an interface is switched on."""
    return bool(item.flags & _UP)
