"""Every value the scheduler knows, wanted or there, and who depends on whom.

A node holds both sides of one key: what is desired, and what is in the data plane as far as known. Derived
values are nodes that name their base and depend on it. The indexes are kept so that a change costs what it
touches: who waits for a key, and how many keys are available below a prefix that somebody waits for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contivpp.scheduler.api import Dependency, Descriptor, Observed
from contivpp.scheduler.state import ValueState


@dataclass(slots=True)
class Node:
    """Both sides of one key.

    Attributes:
        desired: the wanted value, None for none; actual: what is there, None for nothing.
        descriptor: None for a property (a derived value that nothing needs to be done for) and for a value
            that nobody can make.
        base: the key that a derived value lives with, else "".
        foreign: what is there was made by somebody else.
        recreate: an update asked for delete and create instead.
        attempts: how often it failed since it was last changed.
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
    metadata: Mapping[str, Any] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    desired_needs: tuple[Dependency, ...] = ()
    actual_needs: tuple[Dependency, ...] = ()

    @property
    def is_property(self) -> bool:
        """Whether it comes and goes with its base by itself."""
        return self.descriptor is None and bool(self.base)

    @property
    def can_be_made(self) -> bool:
        """Whether there is a way to make it, and the value is acceptable."""
        return (self.descriptor is not None or bool(self.base)) and self.state is not ValueState.INVALID


class Graph:
    """The nodes by key, with their indexes."""

    def __init__(self, descriptors: Sequence[Descriptor]) -> None:
        """Takes the descriptors; of two prefixes that match a key the longer one wins."""
        self.descriptors = tuple(descriptors)
        self._by_prefix = sorted(descriptors, key=lambda one: len(one.prefix), reverse=True)
        self.nodes: dict[str, Node] = {}
        self._waiting: dict[str, set[str]] = {}
        self._available_below: dict[str, int] = {}

    def descriptor_of(self, key: str) -> Descriptor | None:
        """Who owns the key."""
        return next((one for one in self._by_prefix if key.startswith(one.prefix)), None)

    def below(self, prefix: str) -> Iterator[Node]:
        """The nodes whose keys start with `prefix`, sorted."""
        for key in sorted(key for key in self.nodes if key.startswith(prefix)):
            yield self.nodes[key]

    # ---- what is wanted

    def want(self, key: str, value: Any | None, *, base: str = "") -> list[str]:
        """Wants `value`, or with None nothing; returns the keys that this touched, derived ones included."""
        node = self._node(key)
        if node.desired == value and node.base == base:
            return [key]
        node.desired, node.base = value, base
        node.attempts = 0
        needs: tuple[Dependency, ...] = ()
        derived: Mapping[str, Any] = {}
        if node.state is ValueState.INVALID:
            node.state, node.error = ValueState.NONEXISTENT, ""
        if value is not None:
            try:
                needs = self._needs(node, value)
                derived = {} if base or node.descriptor is None else node.descriptor.derived(key, value)
            except ValueError as error:
                node.state, node.error, node.retriable = ValueState.INVALID, str(error), False
        before = self._targets(node)
        node.desired_needs = needs
        self._reindex(node, before)
        obsolete = [other for other in node.derived if other not in derived]
        node.derived = tuple(sorted(derived))
        touched = [key]
        for other in obsolete:
            touched += self.want(other, None, base=key)
        for other in node.derived:
            touched += self.want(other, derived[other], base=key)
        return touched

    # ---- what is there

    def observe(self, key: str, found: Observed | None) -> list[str]:
        """Notes what is there now; returns the keys that wait for it, when it appeared or vanished."""
        node = self._node(key)
        had = node.actual is not None
        before = self._targets(node)
        node.actual = None if found is None else found.value
        node.foreign = found is not None and found.foreign
        node.metadata = {} if found is None else found.metadata
        node.actual_needs = ()
        if found is not None and not found.foreign:
            try:
                node.actual_needs = self._needs(node, found.value)
            except ValueError:  # what is there may be nonsense; then it waits for nothing
                node.actual_needs = ()
        self._reindex(node, before)
        has = node.actual is not None
        if had == has:
            return []
        for prefix in self._available_below:
            if key.startswith(prefix):
                self._available_below[prefix] += 1 if has else -1
        return self.waiting_for(key)

    def waiting_for(self, key: str) -> list[str]:
        """The keys of the values that name `key`, or a prefix of it, among their dependencies; sorted."""
        found = set(self._waiting.get(key, ()))
        for prefix in self._available_below:
            if key.startswith(prefix):
                found |= self._waiting.get(_below(prefix), set())
        return sorted(found)

    def available(self, key: str) -> bool:
        """Whether a value with this key is in the data plane."""
        node = self.nodes.get(key)
        return node is not None and node.actual is not None

    def unmet(self, needs: Iterable[Dependency], leaving: Collection[str] = ()) -> list[Dependency]:
        """The dependencies that are not there, or will not be once `leaving` have left."""
        return [need for need in needs if not self._met(need, leaving)]

    def forget_if_empty(self, key: str) -> None:
        """Drops a node that is neither wanted nor there."""
        node = self.nodes.get(key)
        if node is not None and node.desired is None and node.actual is None:
            before = self._targets(node)
            node.desired_needs = node.actual_needs = ()
            self._reindex(node, before)
            del self.nodes[key]

    # ---- indexes

    def _node(self, key: str) -> Node:
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = Node(key, self.descriptor_of(key))
        return node

    def _needs(self, node: Node, value: Any) -> tuple[Dependency, ...]:
        own = () if node.descriptor is None else tuple(node.descriptor.dependencies(node.key, value))
        return (Dependency("base", node.base), *own) if node.base else own

    def _met(self, need: Dependency, leaving: Collection[str]) -> bool:
        if need.key:
            return self.available(need.key) and need.key not in leaving
        for prefix in need.any_of:
            gone = sum(1 for key in leaving if key.startswith(prefix) and self.available(key))
            if self._available_below.get(prefix, 0) > gone:
                return True
        return False

    @staticmethod
    def _targets(node: Node) -> set[str]:
        targets: set[str] = set()
        for need in (*node.desired_needs, *node.actual_needs):
            targets.update((need.key,) if need.key else map(_below, need.any_of))
        return targets

    def _reindex(self, node: Node, before: set[str]) -> None:
        after = self._targets(node)
        for target in before - after:
            waiting = self._waiting[target]
            waiting.discard(node.key)
            if not waiting:
                del self._waiting[target]
                if target.startswith(_BELOW):
                    del self._available_below[target[len(_BELOW) :]]
        for target in after - before:
            if target not in self._waiting and target.startswith(_BELOW):
                prefix = target[len(_BELOW) :]
                self._available_below[prefix] = sum(
                    1 for key, other in self.nodes.items() if key.startswith(prefix) and other.actual is not None
                )
            self._waiting.setdefault(target, set()).add(node.key)


_BELOW = "\0below:"


def _below(prefix: str) -> str:
    return _BELOW + prefix
