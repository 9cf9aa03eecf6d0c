"""Every value the scheduler knows, wanted or there, and who depends on whom.

A node holds both sides of one key: what is desired, and what is in the data plane as far as known. Derived
values are nodes that name their base and depend on it. Everything that changes a node goes through this class,
which remembers how the node was before: that is how a transaction knows what it changed, and how a plan is
taken back (`Graph.journal`).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from contivpp.scheduler.api import Dependency, Descriptor, Observed
from contivpp.scheduler.index import DependencyIndex
from contivpp.scheduler.state import ValueState

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Node(msgspec.Struct, eq=False):
    """Both sides of one key.

    Attributes:
        descriptor: None for a property (a derived value that nothing needs to be done for) and for a value
            that nobody can make.
        desired: the wanted value, None for none.
        actual: what is there, None for nothing.
        base: the key that a derived value lives with, else "".
        foreign: what is there was made by somebody else.
        recreate: an update asked for delete and create instead.
        attempts: how often it failed since it was last changed.
        changed: seconds since the epoch of the last transaction that changed the node; transaction: its number.
        derived: the keys of its derived values, sorted.
        needs: what must be there before the desired value may be; actual_needs the same of what is there.
    """

    key: str
    descriptor: Descriptor | None
    desired: Any = None
    actual: Any = None
    base: str = ""
    foreign: bool = False
    recreate: bool = False
    state: ValueState = ValueState.NONEXISTENT
    error: str = ""
    retriable: bool = True
    last_operation: str = ""
    attempts: int = 0
    changed: float = 0.0
    transaction: int = 0
    metadata: Any = NOTHING
    derived: tuple[str, ...] = ()
    needs: tuple[Dependency, ...] = ()
    actual_needs: tuple[Dependency, ...] = ()

    @property
    def is_property(self) -> bool:
        """Whether it comes and goes with its base by itself."""
        return self.descriptor is None and bool(self.base)

    @property
    def can_be_made(self) -> bool:
        """Whether there is a way to make it, and the value is acceptable."""
        return (self.descriptor is not None or bool(self.base)) and self.state is not ValueState.INVALID

    @property
    def is_right(self) -> bool:
        """Whether what is there is what is wanted, and ours."""
        return self.actual == self.desired and not self.foreign

    @property
    def wants_work(self) -> bool:
        """Whether something has to be made or updated, and can be."""
        return self.desired is not None and not self.is_right and self.can_be_made


class Graph:
    """The nodes by key, with their indexes."""

    def __init__(self, descriptors: Sequence[Descriptor]) -> None:
        """Takes the descriptors; of two prefixes that match a key the longer one wins."""
        self.descriptors = tuple(descriptors)
        self._by_prefix = {one.prefix: one for one in reversed(descriptors)}
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)
        self.nodes: dict[str, Node] = {}
        self._index = DependencyIndex()
        self._journal: dict[str, Node | None] | None = None

    def descriptor_of(self, key: str) -> Descriptor | None:
        """Who owns the key."""
        for length in self._lengths:
            if (found := self._by_prefix.get(key[:length])) is not None:
                return found
        return None

    def below(self, prefix: str) -> Iterator[Node]:
        """The nodes whose keys start with `prefix`, sorted."""
        for key in sorted(key for key in self.nodes if key.startswith(prefix)):
            yield self.nodes[key]

    # ---- what changed

    @contextlib.contextmanager
    def journal(self) -> Iterator[Mapping[str, Node | None]]:
        """Gives what was changed inside: by key the node as it was, None for one that was not there."""
        before: dict[str, Node | None] = {}
        outer, self._journal = self._journal, before
        try:
            yield before
        finally:
            self._journal = outer

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Takes back everything that is changed inside."""
        with self.journal() as before:
            try:
                yield
            finally:
                for key, node in before.items():
                    self._restore(key, node)

    def touch(self, key: str) -> Node:
        """The node of a key, to be changed."""
        node = self.nodes.get(key)
        if self._journal is not None and key not in self._journal:
            self._journal[key] = copy.copy(node)
        if node is None:
            node = self.nodes[key] = Node(key, self.descriptor_of(key))
        return node

    def forget_if_empty(self, key: str) -> None:
        """Drops a node that is neither wanted nor there."""
        node = self.nodes.get(key)
        if node is not None and node.desired is None and node.actual is None:
            self._drop(self.touch(key))

    def _drop(self, node: Node) -> None:
        before = _all_needs(node)
        node.needs = node.actual_needs = ()
        self._index.replace(node.key, before, (), self._count_below)
        del self.nodes[node.key]

    def _restore(self, key: str, old: Node | None) -> None:
        node = self.nodes.get(key)
        had = node is not None and node.actual is not None
        before = () if node is None else _all_needs(node)
        if old is None:
            self.nodes.pop(key, None)
        else:
            self.nodes[key] = old
        has = old is not None and old.actual is not None
        if had != has:
            self._index.appeared(key, 1 if has else -1)
        self._index.replace(key, before, () if old is None else _all_needs(old), self._count_below)

    # ---- what is wanted

    def want(self, key: str, value: Any | None, *, base: str = "") -> list[str]:
        """Wants `value`, or with None nothing; returns the keys that this touched, derived ones included."""
        node = self.nodes.get(key)
        if node is None and value is None:
            return []
        if node is not None and node.base == base and (node.desired is value or node.desired == value):
            return [key]
        node = self.touch(key)
        node.desired, node.base = value, base
        node.attempts = 0
        if node.state is ValueState.INVALID:
            node.state, node.error = ValueState.NONEXISTENT, ""
        needs: tuple[Dependency, ...] = ()
        derived: Mapping[str, Any] = NOTHING
        if value is not None:
            try:
                needs = self._needs(node, value)
                derived = NOTHING if base or node.descriptor is None else node.descriptor.derived(key, value)
            except ValueError as error:
                node.state, node.error, node.retriable = ValueState.INVALID, str(error), False
        before = _all_needs(node)
        node.needs = needs
        self._index.replace(key, before, _all_needs(node), self._count_below)
        touched = [key]
        if node.derived or derived:
            obsolete = [other for other in node.derived if other not in derived]
            node.derived = tuple(sorted(derived))
            for other in obsolete:
                touched += self.want(other, None, base=key)
            for other in node.derived:
                touched += self.want(other, derived[other], base=key)
        return touched

    # ---- what is there

    def observe(self, key: str, found: Observed | None) -> list[str]:
        """Notes what is there now; returns the keys that wait for it, when it appeared or vanished."""
        known = self.nodes.get(key)
        if found is None:
            if known is None or known.actual is None:
                return []
        elif known is not None and known.actual is not None and known.foreign == found.foreign:
            same = known.actual is found.value or known.actual == found.value
            if same and (known.metadata is found.metadata or known.metadata == found.metadata):
                return []
        node = self.touch(key)
        had = node.actual is not None
        before = _all_needs(node)
        node.actual = None if found is None else found.value
        node.foreign = found is not None and found.foreign
        node.metadata = NOTHING if found is None else (found.metadata or NOTHING)
        node.actual_needs = ()
        if node.actual is not None and not node.foreign:
            node.actual_needs = self._needs_of_actual(node)
        appeared = (node.actual is not None) - had
        if appeared:
            self._index.appeared(key, appeared)
        after = _all_needs(node)
        if before != after:
            self._index.replace(key, before, after, self._count_below)
        return self.waiting_for(key) if appeared else []

    def made(self, key: str) -> list[str]:
        """Notes that the desired value is there now; returns the keys that wait for it, when it is new."""
        node = self.nodes[key]
        return self.observe(key, Observed(node.desired, metadata=node.metadata))

    def waiting_for(self, key: str) -> list[str]:
        """The keys of the values that name `key`, or a prefix of it, among their dependencies; sorted."""
        return sorted(self._index.waiting_for(key))

    def available(self, key: str) -> bool:
        """Whether a value with this key is in the data plane."""
        node = self.nodes.get(key)
        return node is not None and node.actual is not None

    def available_below(self, prefix: str) -> int:
        """How many values are there below a prefix that some value depends on."""
        return self._index.available_below(prefix)

    def watched_prefixes(self, key: str) -> Iterable[str]:
        """The prefixes of `key` that some value depends on."""
        return self._index.prefixes_of(key)

    def is_met(self, need: Dependency) -> bool:
        """Whether a dependency is there."""
        if need.key:
            return self.available(need.key)
        return any(self._index.available_below(prefix) for prefix in need.any_of)

    def unmet(self, needs: Iterable[Dependency]) -> list[Dependency]:
        """The dependencies that are not there."""
        return [need for need in needs if not self.is_met(need)]

    def is_ready(self, node: Node) -> bool:
        """Whether everything that the desired value needs is there."""
        return all(self.is_met(need) for need in node.needs)

    def base_is_right(self, node: Node) -> bool:
        """Whether the base of a derived value is as wanted; until then nothing is made of what derives from it."""
        return not node.base or self.nodes[node.base].is_right

    def missing(self, node: Node) -> list[str]:
        """The labels of what the desired value waits for."""
        labels = [need.label for need in self.unmet(node.needs)]
        return labels if labels or self.base_is_right(node) else ["base"]

    def _needs(self, node: Node, value: Any) -> tuple[Dependency, ...]:
        own = () if node.descriptor is None else tuple(node.descriptor.dependencies(node.key, value))
        return (Dependency("base", node.base), *own) if node.base else own

    def _needs_of_actual(self, node: Node) -> tuple[Dependency, ...]:
        if node.actual is node.desired:
            return node.needs
        try:
            return self._needs(node, node.actual)
        except ValueError:  # what is there may be nonsense; then it waits for nothing
            return ()

    def _count_below(self, prefix: str) -> int:
        return sum(1 for key, node in self.nodes.items() if node.actual is not None and key.startswith(prefix))


def _all_needs(node: Node) -> tuple[Dependency, ...]:
    if node.needs is node.actual_needs or not node.actual_needs:
        return node.needs
    return node.needs + node.actual_needs
