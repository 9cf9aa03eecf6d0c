"""Sets, elements and chains made real; one batch is one transaction.

Nothing here waits for anything else here, because a transaction orders itself. What is to go while something still
uses it (a rule that the next wave replaces) goes with the first transaction after which nothing does. A set's comment
is the digest of its definition, a rule's that of its chain and its place: what has none is not as we made it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.linux.nft.commands import Commands, carry_out
from contivpp.dataplane.linux.nft.library import Nftables, NftError, is_gone, is_in_use
from contivpp.dataplane.linux.nft.reading import FoundChain, FoundSet, TableReader
from contivpp.dataplane.linux.nft.values import PREFIX, TABLE, NftChain, NftElement, NftSet, in_quotes
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome

_UNKNOWN: Final = "elsewhere"
_SET, _MAP = "type unknown", "type unknown : unknown"
_HOLDS: Final = ("members", "elements", "others")


class NftDescriptor:
    """Everything in our table but what a descriptor of its own owns."""

    name = "linux-nft"
    prefix = PREFIX
    orders_itself = True

    def __init__(
        self, nftables: Nftables, reader: TableReader, *, not_ours: tuple[str, ...] = ("frontend/", "clients/")
    ) -> None:
        """Takes the library's context, its reader, and how the names begin that another descriptor owns."""
        self._nftables = nftables
        self._reader = reader
        self._not_ours = not_ours
        self._there: set[str] = set()
        self._condemned: dict[str, Commands] = {}
        self._links: dict[str, tuple[int, ...]] = {}

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        """None."""
        return ()

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One transaction, or several when something in it is wrong."""
        return await asyncio.to_thread(self._apply, operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every set, element and chain of ours."""
        table = await self._reader.read()
        found: dict[str, Observed] = {}
        for name, item in table.sets.items():
            if not name.startswith(self._not_ours):
                for value in _set(name, item):
                    found[value.key] = Observed(value)
                self._learn(name, item.link_parts)
        for name, chain in table.chains.items():
            if not name.startswith(self._not_ours):
                known = NftChain(name, base=chain.base, digest=_digest(chain))
                found[known.key] = Observed(known)
        self._there = {key for key in found if not key.startswith(NftElement.prefix)}
        return found

    def _apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        recreate = {number for number, operation in enumerate(operations) if _needs_recreation(operation)}
        numbers = [number for number in range(len(operations)) if number not in recreate]
        for number in numbers:
            if operations[number].kind is OperationKind.CREATE:
                self._condemned.pop(operations[number].key, None)
        for number in numbers:
            if isinstance(value := operations[number].value, NftSet):
                self._learn(value.name, value.link_parts)
        batch = [_commands(operations[number], self._links) for number in numbers]
        errors = dict(zip(numbers, carry_out(self._nftables, batch), strict=True))
        outcomes = []
        for number, operation in enumerate(operations):
            outcomes.append(Outcome(recreate=True) if number in recreate else self._outcome(operation, errors[number]))
        self._clean(some_went=any(operation.kind is OperationKind.DELETE for operation in operations))
        return outcomes

    def _learn(self, name: str, link_parts: tuple[int, ...]) -> None:
        """Remembers which parts of a set's keys are names of links."""
        if link_parts:
            self._links[name] = link_parts

    def _outcome(self, operation: Operation, error: str) -> Outcome:
        if operation.kind is OperationKind.DELETE:
            if is_in_use(error):
                self._condemned[operation.key] = _commands(operation, self._links)
            elif error and not is_gone(error):
                return Outcome(error=error)
            else:
                self._there.discard(operation.key)
            return DONE
        if error:
            return Outcome(error=error)
        if not operation.key.startswith(NftElement.prefix):
            self._there.add(operation.key)
        return DONE

    def _clean(self, *, some_went: bool) -> None:
        """Takes away what was in use before; and the table, when nothing is left in it."""
        keys = list(self._condemned)
        for key, error in zip(keys, carry_out(self._nftables, list(self._condemned.values())), strict=True):
            if not is_in_use(error):
                del self._condemned[key]
                self._there.discard(key)
        if some_went and not self._there:
            with contextlib.suppress(NftError):
                self._nftables.run(f"delete table {TABLE}")


def _needs_recreation(operation: Operation) -> bool:
    if operation.kind is not OperationKind.UPDATE:
        return False
    before, after = operation.previous, operation.value
    match after:
        case NftSet():
            return (before.digest, before.holds) != (after.digest, after.holds)
        case NftChain():
            return bool(before.base != after.base)
    return False


def _commands(operation: Operation, links: Mapping[str, tuple[int, ...]]) -> Commands:
    """What an operation adds; `links` are the parts of elements that are names of links, by set."""
    commands, value = Commands(), operation.value
    match value:
        case NftSet():
            _set_commands(commands, operation, value)
        case NftElement():
            element = in_quotes(value.element, links.get(value.set, ()))
            if operation.kind is not OperationKind.CREATE:
                commands.removed[value.set] = [element]
            if operation.kind is not OperationKind.DELETE:
                commands.added[value.set] = [f"{element} : {value.data}" if value.data else element]
        case NftChain():
            if operation.kind is OperationKind.DELETE:
                commands.delete_chain(value.name)
            else:
                commands.add_chain(value.name, _remarked(value), value.base)
    return commands


def _set_commands(commands: Commands, operation: Operation, value: NftSet) -> None:
    kind = "map" if value.is_map else "set"
    if operation.kind is OperationKind.DELETE:
        commands.delete_set(kind, value.name)
        return
    before: frozenset[str] = frozenset()
    if operation.kind is OperationKind.UPDATE:
        before = operation.previous.members
    else:
        commands.add_set(kind, value.name, value.definition, f"{value.holds} {value.digest}")
    parts = value.link_parts
    gone = sorted(member.partition(" : ")[0] for member in before - value.members)
    commands.removed[value.name] = [in_quotes(member, parts) for member in gone]
    commands.added[value.name] = [in_quotes(member, parts) for member in sorted(value.members - before)]


def _remarked(chain: NftChain) -> list[str]:
    count = len(chain.rules)
    return [f'{rule} comment "{chain.digest}/{place}/{count}"' for place, rule in enumerate(chain.rules)]


def _digest(chain: FoundChain) -> str:
    """The digest that all rules of a chain agree on; a made-up one when they are not all there or others are."""
    if not chain.comments:
        return NftChain("").digest
    digest = chain.comments[0].partition("/")[0]
    count = len(chain.comments)
    expected = [f"{digest}/{place}/{count}" for place in range(count)]
    return digest if digest and chain.comments == expected else _UNKNOWN


def _set(name: str, found: FoundSet) -> Iterable[Any]:
    """A set and what it holds, as values; one whose comment is not ours can only be replaced."""
    holds, _, digest = found.comment.partition(" ")
    definition = _MAP if found.kind == "map" else _SET
    if holds not in _HOLDS:
        yield NftSet(name, definition, holds="others", digest=_UNKNOWN)
        return
    members: frozenset[str] = frozenset()
    if holds == "members":
        members = frozenset(f"{key} : {data}" if data else key for key, data in found.elements.items())
    elif holds == "elements":
        for key, data in found.elements.items():
            yield NftElement(name, key, data)
    yield NftSet(name, definition, members, holds, digest)  # type: ignore[arg-type]
