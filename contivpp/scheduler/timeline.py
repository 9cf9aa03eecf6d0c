"""How every value was at some time: its states since the start, bounded as the history of transactions is.

What a node is now it says itself; here is what it was before. Source: spec/agent.md 14.6 (key-timeline).
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from contivpp.scheduler.api import Dependency
from contivpp.scheduler.graph import Graph, Node
from contivpp.scheduler.history import Limits
from contivpp.scheduler.state import ValueState


class Revision(msgspec.Struct, frozen=True):
    """A value as it was from `since` until `until`, in seconds since the epoch; 0 for until now.

    Attributes:
        transaction: the number of the one that made it so.
        value: what is wanted, or else what is there.
        available: whether something is in the data plane under this key.
    """

    key: str
    since: float
    until: float
    transaction: int
    state: ValueState
    value: Any
    available: bool
    error: str
    base: str
    descriptor: str
    last_operation: str
    metadata: Mapping[str, Any]
    needs: tuple[Dependency, ...]


class Timeline:
    """Past revisions of all values, oldest first per key."""

    def __init__(self, limits: Limits, started: float) -> None:
        """Takes how much to remember, and when it all began."""
        self._limits = limits
        self._started = started
        self._of_key: dict[str, deque[Revision]] = {}
        self._order: deque[Revision] = deque()
        self.complete_since = started

    def note(self, before: Mapping[str, Node | None], graph: Graph, transaction: int, now: float) -> None:
        """Takes what a transaction changed, as the graph's journal has it."""
        for key, old in before.items():
            new = graph.nodes.get(key)
            if old is not None and new is not None and not _differ(old, new):
                continue
            if old is not None and old.transaction:
                self._add(_revision(old, now))
            if new is not None:
                new.changed, new.transaction = now, transaction
        self._trim(now)

    def of_key(self, key: str, graph: Graph) -> list[Revision]:
        """Every revision of a key that is remembered, oldest first."""
        found = list(self._of_key.get(key, ()))
        node = graph.nodes.get(key)
        return [*found, _revision(node, 0)] if node is not None and node.transaction else found

    def at(self, moment: float, graph: Graph) -> list[Revision]:
        """Every value as it was at a moment, sorted by key.

        Raises:
            ValueError: that is longer ago than what is remembered.
        """
        if moment < self.complete_since:
            message = f"time={moment:.0f}: values are remembered since {self.complete_since:.0f} (seconds)"
            raise ValueError(message)
        result = []
        for key in sorted({*graph.nodes, *self._of_key}):
            revisions = self.of_key(key, graph)
            position = bisect.bisect_right(revisions, moment, key=lambda one: one.since) - 1
            if position >= 0 and (not revisions[position].until or moment < revisions[position].until):
                result.append(revisions[position])
        return result

    def _add(self, revision: Revision) -> None:
        self._of_key.setdefault(revision.key, deque()).append(revision)
        self._order.append(revision)

    def _trim(self, now: float) -> None:
        while self._order:
            oldest = self._order[0]
            too_old = oldest.until < now - self._limits.age and oldest.until > self._started + self._limits.first
            if not too_old and len(self._order) <= self._limits.revisions:
                break
            self._order.popleft()
            of_key = self._of_key[oldest.key]
            of_key.popleft()
            if not of_key:
                del self._of_key[oldest.key]
            self.complete_since = max(self.complete_since, oldest.until)


def _differ(old: Node, new: Node) -> bool:
    return (
        old.state is not new.state
        or old.error != new.error
        or old.desired != new.desired
        or old.actual != new.actual
        or old.base != new.base
        or old.metadata != new.metadata
    )


def _revision(node: Node, until: float) -> Revision:
    return Revision(
        key=node.key,
        since=node.changed,
        until=until,
        transaction=node.transaction,
        state=node.state,
        value=node.actual if node.desired is None else node.desired,
        available=node.actual is not None,
        error=node.error,
        base=node.base,
        descriptor=node.descriptor.name if node.descriptor else "",
        last_operation=node.last_operation,
        metadata=node.metadata,
        needs=node.needs or node.actual_needs,
    )
