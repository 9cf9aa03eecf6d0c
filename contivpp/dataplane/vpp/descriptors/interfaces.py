"""Interfaces of VPP: made in one pipeline, named by their tags, and found again by them.

The tag is "contiv:" and the logical name; an interface without such a tag is not ours and never touched. What is
particular to a kind of interface is in `kinds`; here is what they have in common: tag, MTU, and being switched on.
An interface that was made and not set up to its end, or that somebody switched off, is found as `Unfinished`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contivpp.dataplane.grace import short_grace_periods
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors import kinds
from contivpp.dataplane.vpp.descriptors.crowd import Crowd
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind, flags_request, is_up, tag_request
from contivpp.dataplane.vpp.descriptors.leftovers import Details, Leftovers
from contivpp.dataplane.vpp.descriptors.names import Tag
from contivpp.dataplane.vpp.descriptors.optional import remedy
from contivpp.dataplane.vpp.values.interfaces import INTERFACES
from contivpp.dataplane.vpp.values.subinterfaces import SubInterface
from contivpp.scheduler.api import DONE, Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

NEEDS: Final = load("interfaces", *(kind.family for kind in kinds.ALL if kind.family and not kind.plugin))
"""What is used of VPP here, whatever plugins it has."""
_SLOW_AT_ONCE: Final = 4


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (InterfaceDescriptor(driver),)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An interface that is there, and not switched on."""

    value: Any

    @property
    def key(self) -> str:
        """That of the interface."""
        return str(self.value.key)


class InterfaceDescriptor(DriverDescriptor):
    """Interfaces of all kinds."""

    name = "vpp-interface"
    prefix = INTERFACES

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        super().__init__(driver)
        self._leftovers = Leftovers(driver)
        self._crowd = Crowd()

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        """Those of its kind.

        Raises:
            ValueError: the name cannot be in a tag.
        """
        value = _finished(value)
        _ = Tag(value.name).text
        return kinds.kind_of(value).dependencies(value, self._driver)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Deletes, then creates, then updates; two pipelines make interfaces and set them up by their numbers."""
        slow = any(kinds.kind_of(_finished(operation.value)).slow for operation in operations)
        with short_grace_periods() if slow else contextlib.nullcontext():
            return await self._apply(operations)

    async def _apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        outcomes = [DONE] * len(operations)
        for kind, carry_out in (
            (OperationKind.DELETE, self._delete),
            (OperationKind.CREATE, self._create),
            (OperationKind.UPDATE, self._update),
        ):
            places = [at for at, one in enumerate(operations) if one.kind is kind]
            if places:
                for at, outcome in zip(places, await carry_out([operations[at] for at in places]), strict=True):
                    outcomes[at] = outcome
        return outcomes

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every interface with our tag; one dump for every kind that this VPP has."""
        items, details = await self._read()
        found: dict[str, Observed] = {}
        for item in items:
            value = self._value(item, details)
            if value is not None:
                found[value.key] = Observed(value, metadata={"sw_if_index": item.sw_if_index})
        for value, item in self._leftovers.unfinished():
            if value.key not in found:
                self._driver.interfaces.add(Tag(value.name), item.sw_if_index)
                found[value.key] = Observed(Unfinished(value))
        return found

    async def _read(self) -> tuple[list[Any], Details]:
        """The interfaces of ours, and what the dump of every kind says."""
        present = [kind for kind in kinds.ALL if kind.dump is not None and not self._lacks(kind)]
        dumps = [kind.dump for kind in present if kind.dump is not None]
        items = await self._driver.read_interfaces()
        self._crowd.thin_out(self._driver.connection.process)
        details = {
            kind: {one.sw_if_index: one for one in found}
            for kind, found in zip(present, await self._driver.dumps(dumps), strict=True)
        }
        self._leftovers.see(details)
        return items, details

    def _value(self, item: Any, details: Details) -> Any | None:
        tag = Tag.read(item.tag)
        if tag is None:
            return None
        for kind in kinds.ALL:
            detail = details.get(kind, {}).get(item.sw_if_index)
            value = kind.value(tag, item, detail, self._driver.interfaces)
            if value is not None:
                return value if is_up(item) else Unfinished(value)
        return None

    def _lacks(self, kind: Kind) -> list[str]:
        return self._driver.lacks(kind.needs) if kind.plugin else []

    # ---- create

    async def _create(self, operations: Sequence[Operation]) -> list[Outcome]:
        values = [operation.value for operation in operations]
        try:
            if any(kinds.kind_of(value).adopts for value in values):
                await self._driver.read_interfaces()
            await self._driver.prepare()
            if not self._leftovers.is_current:
                await self._read()
            await self._driver.connection.batch(self._leftovers.removal(values))
            self._leftovers.begin(values)
            numbers, outcomes = await self._make(values)
            await self._set_up(values, numbers, outcomes)
            for value, number, outcome in zip(values, numbers, outcomes, strict=True):
                self._leftovers.end(value, number, known=number is None or outcome.ok)
        except VppDown as error:
            return [Outcome(error=str(error))] * len(values)
        return outcomes

    async def _make(self, values: Sequence[Any]) -> tuple[list[int | None], list[Outcome]]:
        """The numbers of the interfaces that are there now, and why others are not."""
        interfaces = self._driver.interfaces
        numbers: list[int | None] = [None] * len(values)
        outcomes = [DONE] * len(values)
        requests: list[Request] = []
        places: list[int] = []
        for at, value in enumerate(values):
            kind = kinds.kind_of(value)
            try:
                if missing := self._lacks(kind):
                    raise VppError(f"{value.name}: {remedy(missing, kind.plugin)}")
                if value.name in interfaces.names():
                    raise VppError(f"VPP has an interface {value.name} already")
                numbers[at] = kind.existing(value, self._driver)
                if numbers[at] is None:
                    requests.append(kind.create(value, interfaces))
                    places.append(at)
            except (VppError, ValueError) as error:
                outcomes[at] = Outcome(error=str(error))
        replies: list[Any] = []
        made = [values[at] for at in places]
        for part in _parts(made):
            replies += await self._ask_for(made[part], requests[part])
        if any(isinstance(reply, VppRefused) for reply in replies):
            replies = await self._retried(requests, replies, made)
        for at, reply in zip(places, replies, strict=True):
            if isinstance(reply, VppRefused):
                outcomes[at] = Outcome(error=kinds.kind_of(values[at]).explained(values[at], reply))
            else:
                numbers[at] = reply.sw_if_index
        return numbers, outcomes

    async def _ask_for(self, values: Sequence[Any], requests: Sequence[Request]) -> list[Any]:
        """Makes interfaces; where there are many AF_PACKET sockets, in such a way that VPP lives with them."""
        connection, kinds_of = self._driver.connection, [kinds.kind_of(value) for value in values]
        added = sum(kind.packet_socket for kind in kinds_of)
        if not added or not self._crowd.is_reached(connection.process, added):
            return await connection.batch(requests)
        with self._crowd.joining(connection.process):
            pairs = zip(kinds_of, requests, strict=True)
            return await connection.batch([kind.crowded(request) for kind, request in pairs])

    async def _retried(self, requests: Sequence[Request], replies: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """The replies, with those to what was asked for again when something nameless had its place.

        An agent that ended before it named what it had made leaves such interfaces, and VPP makes no second one.
        """
        found = list(replies)
        await self._read()
        made = {reply.sw_if_index for reply in replies if not isinstance(reply, VppRefused)}  # and not named yet
        places: list[int] = []
        clearing: list[list[Request]] = []
        for at, (value, reply) in enumerate(zip(values, replies, strict=True)):
            if isinstance(reply, VppRefused) and (own := self._leftovers.removal([value], spared=made)):
                clearing.append(own)
                places.append(at)
        for part in _parts([values[at] for at in places]):
            await self._driver.connection.batch([one for own in clearing[part] for one in own])
            again = await self._ask_for([values[at] for at in places[part]], [requests[at] for at in places[part]])
            for at, reply in zip(places[part], again, strict=True):
                found[at] = reply
        return found

    async def _set_up(self, values: Sequence[Any], numbers: Sequence[int | None], outcomes: list[Outcome]) -> None:
        """Names what is there, and switches it on; notes the first error of each."""
        requests: list[Request] = []
        owners: list[int] = []
        for at, (value, number) in enumerate(zip(values, numbers, strict=True)):
            if number is not None:
                own = self._setting_up(value, number)
                requests += own
                owners += [at] * len(own)
        for at, reply in zip(owners, await self._driver.connection.batch(requests), strict=True):
            if isinstance(reply, VppRefused) and outcomes[at].ok:
                outcomes[at] = Outcome(error=kinds.kind_of(values[at]).explained(values[at], reply))

    def _setting_up(self, value: Any, number: int) -> list[Request]:
        kind, interfaces = kinds.kind_of(value), self._driver.interfaces
        tag = Tag(value.name, kind.memo(value, interfaces))
        interfaces.add(tag, number)
        return [tag_request(number, tag.text), *kind.settings(value, number), flags_request(number, up=True)]

    # ---- update and delete

    async def _update(self, operations: Sequence[Operation]) -> list[Outcome]:
        """In place where VPP can."""
        interfaces = self._driver.interfaces

        def changes(operation: Operation) -> list[Request] | None:
            value, before = operation.value, _finished(operation.previous)
            if type(before) is not type(value):
                return None
            kind, number = kinds.kind_of(value), interfaces.number(value.name)
            requests = kind.change(before, value, number)
            if requests is not None and isinstance(operation.previous, Unfinished):
                requests += self._setting_up(value, number)
            return requests

        return await self._driver.apply(operations, changes)

    async def _delete(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Sub-interfaces first: they go with their parents."""
        values = [_finished(operation.value) for operation in operations]
        order = sorted(range(len(values)), key=lambda at: not isinstance(values[at], SubInterface))
        gone = set().union(*(kinds.kind_of(value).gone for value in values))

        def requests(operation: Operation) -> list[Request]:
            value = _finished(operation.value)
            if value.name not in self._driver.interfaces.names():
                return []
            return kinds.kind_of(value).delete(value, self._driver.interfaces)

        found: list[Outcome] = []
        for part in _parts([values[at] for at in order]):
            found += await self._driver.apply([operations[at] for at in order[part]], requests, gone=gone)
        outcomes = [DONE] * len(operations)
        for at, outcome in zip(order, found, strict=True):
            outcomes[at] = outcome
            if outcome.ok:
                self._driver.interfaces.remove(values[at].name)
        return outcomes


def _parts(values: Sequence[Any]) -> Iterator[slice]:
    """Cuts a sequence of values so that no part has more slow ones than may be asked for at once."""
    start = slow = 0
    for at, value in enumerate(values):
        slow += kinds.kind_of(value).slow
        if slow == _SLOW_AT_ONCE:
            yield slice(start, at + 1)
            start, slow = at + 1, 0
    if start < len(values):
        yield slice(start, len(values))


def _finished(value: Any) -> Any:
    return value.value if isinstance(value, Unfinished) else value
