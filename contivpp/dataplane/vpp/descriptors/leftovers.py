"""Interfaces that were begun and never named: VPP, the connection or the agent went away between the two pipelines.

They have no tag, so they are nobody's, and they stand in the way: VPP makes no second one on the same link. One that
has what makes a wanted interface what it is was begun for that, and is taken away before that is made. As long as the
agent remembers having begun it, it is found as unfinished as well, so that it goes when nobody wants it any more.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.descriptors import kinds
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.names import Tag

Details = Mapping[Kind, Mapping[int, Any]]
"""What the dump of each kind says, by VPP's number of the interface."""


class Leftovers:
    """The interfaces without a tag of the VPP that is connected, and what was begun."""

    def __init__(self, driver: Driver) -> None:
        """Knows nothing yet."""
        self._driver = driver
        self._seen_on: Connection | None = None
        self._untagged: list[Any] = []
        self._details: Details = {}
        self._begun: dict[str, Any] = {}

    def begin(self, values: Iterable[Any]) -> None:
        """Notes what is going to be made."""
        self._begun.update((value.name, value) for value in values)

    def end(self, value: Any, number: int | None, *, known: bool) -> None:
        """Notes that a value was made and named, or not made at all; not `known`: one of these is not sure."""
        if known:
            self._begun.pop(value.name, None)
            self._untagged = [item for item in self._untagged if item.sw_if_index != number]
        else:
            self._seen_on = None

    @property
    def is_current(self) -> bool:
        """Whether the interfaces of this VPP were seen since something was left."""
        return self._seen_on is self._driver.connection

    def see(self, details: Details) -> None:
        """Takes what was read last."""
        self._seen_on = self._driver.connection
        self._untagged = [one for one in self._driver.interfaces.details if one.sw_if_index and not one.tag]
        self._details = details

    def unfinished(self) -> Iterator[tuple[Any, Any]]:
        """What was begun and is there, each with VPP's details of the interface."""
        for item in self._untagged:
            for value in self._begun.values():
                if self._fits(value, item):
                    yield value, item
                    break

    def removal(self, values: Sequence[Any], *, spared: Container[int] = ()) -> list[Request]:
        """The requests that take away what was begun for these values, but not what has one of the spared numbers."""
        requests: list[Request] = []
        interfaces = self._driver.interfaces
        for item in list(self._untagged):
            for value in values if item.sw_if_index not in spared else ():
                free = not interfaces.name(item.sw_if_index) and value.name not in interfaces.names()
                if free and self._fits(value, item):
                    interfaces.add(Tag(value.name), item.sw_if_index)
                    requests += kinds.kind_of(value).delete(value, interfaces)
                    interfaces.remove(value.name)
                    self._untagged.remove(item)
                    break
        return requests

    def _fits(self, value: Any, item: Any) -> bool:
        kind, interfaces = kinds.kind_of(value), self._driver.interfaces
        if not kind.identity:
            return False
        detail = self._details.get(kind, {}).get(item.sw_if_index)
        made = kind.value(Tag(value.name, kind.memo(value, interfaces)), item, detail, interfaces)
        return made is not None and all(getattr(made, name) == getattr(value, name) for name in kind.identity)
