"""Pipes and their ends.

VPP makes the ends with the pipe and takes them away with it, so an end is adopted like a NIC, and given back without a
name. VPP names them after the pipe: "pipe0.0" and "pipe0.1".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind, flags_request, mtu_request, tag_request
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.interfaces import Pipe, PipeEnd, interface_key
from contivpp.scheduler.api import Dependency

_PIPE_TYPE: Final = 3  # IF_API_TYPE_PIPE, of the ends
_NO_MTU: Final = 0


class PipeKind(Kind):
    """The pipe itself, which carries nothing."""

    type = Pipe
    family = "pipe"
    dump = ("pipe_dump", {})
    mutable = frozenset()
    identity = ("name",)  # a pipe has nothing else: one without a tag was begun for whichever is made next

    def create(self, value: Pipe, interfaces: Interfaces) -> Request:
        """With a number of VPP's choice."""
        return "pipe_create", {"is_specified": False}

    def settings(self, value: Pipe, number: int) -> list[Request]:
        """None."""
        return []

    def delete(self, value: Pipe, interfaces: Interfaces) -> list[Request]:
        """By number; its ends go with it."""
        return [("pipe_delete", {"sw_if_index": interfaces.number(value.name)})]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Pipe | None:
        """By its own dump."""
        return None if details is None else Pipe(tag.name)


class PipeEndKind(Kind):
    """An end."""

    type = PipeEnd
    family = ""
    adopts = True

    def dependencies(self, value: PipeEnd, driver: Driver) -> Iterable[Dependency]:
        """The pipe."""
        yield Dependency("pipe", interface_key(value.pipe))

    def existing(self, value: PipeEnd, driver: Driver) -> int | None:
        """The number of the end, which nobody else may have adopted."""
        parent = driver.interfaces.number(value.pipe)
        for item in driver.interfaces.details:
            if item.type == _PIPE_TYPE and item.sup_sw_if_index == parent and _end(item) == value.end:
                if (tag := Tag.read(item.tag)) is not None:
                    raise VppError(f"end {value.end} of {value.pipe} is {tag.name} already: one end has one name")
                return int(item.sw_if_index)
        raise VppError(f"{value.pipe} has no end {value.end}")

    def delete(self, value: PipeEnd, interfaces: Interfaces) -> list[Request]:
        """As it was, and without a tag."""
        number = interfaces.number(value.name)
        return [mtu_request(number, _NO_MTU), flags_request(number, up=False), tag_request(number, "")]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> PipeEnd | None:
        """By its type; the pipe must be ours."""
        if item.type != _PIPE_TYPE or not (pipe := interfaces.name(item.sup_sw_if_index)):
            return None
        return PipeEnd(tag.name, pipe, 1 if _end(item) else 0, item.mtu[0])


def _end(item: Any) -> int:
    return int(item.interface_name.rpartition(".")[2])
