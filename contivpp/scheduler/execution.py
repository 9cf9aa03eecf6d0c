"""How one transaction brings the data plane to what is wanted: in waves.

First what must go, dependents before what they depend on; then everything that is ready is made or updated, all
descriptors at once and one batch each, and again with what that made ready; last what is there and lost its
ground. A value is tried once per transaction: one that failed is left alone, and nothing else waits for it
that does not depend on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contivpp.scheduler.api import Descriptor, Observed, Operation, OperationKind, Outcome
from contivpp.scheduler.graph import Graph, Node
from contivpp.scheduler.history import ExecutedOperation, Transaction
from contivpp.scheduler.state import ValueState

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Mode:
    """What kind of run this is, for the record; `stop_at_error` ends it after the first wave with an error."""

    stop_at_error: bool = False
    is_revert: bool = False
    is_retry: bool = False


class Execution:
    """One run over the graph."""

    def __init__(self, graph: Graph, record: Transaction, mode: Mode) -> None:
        """Takes the graph to bring in order and where to note what was done."""
        self._graph = graph
        self._record = record
        self._mode = mode
        self._seen: dict[str, None] = {}
        self._fresh: dict[str, None] = {}
        self.failed: dict[str, str] = {}
        self.executed = 0

    @property
    def seen(self) -> Iterable[str]:
        """Every key that was looked at."""
        return self._seen

    async def run(self, touched: Iterable[str]) -> None:
        """Brings `touched` and all that depends on them in order."""
        self._look_at(touched)
        while not self._stopped():
            candidates = list(self._fresh)
            self._fresh = {}
            going = [key for key in candidates if self._must_go(key)]
            if going:
                self._look_at(candidates)
                await self._delete(going)
                continue
            wave = sorted(key for key in candidates if self._can_advance(key)) or self._cycle(candidates)
            if wave:
                ahead = set(wave)
                self._fresh.update((key, None) for key in candidates if key not in ahead)
                await self._make(wave)
                continue
            groundless = [key for key in candidates if self._lost_its_ground(key)]
            if not groundless:
                break
            self._look_at(candidates)
            await self._delete(groundless)
        for key in self._seen:
            self._settle_state(key)

    # ---- decisions

    def _stopped(self) -> bool:
        return self._mode.stop_at_error and bool(self.failed)

    def _look_at(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._seen[key] = None
            self._fresh[key] = None

    def _must_go(self, key: str) -> bool:
        node = self._graph.nodes.get(key)
        if node is None or node.actual is None or node.foreign or key in self.failed:
            return False
        return node.desired is None or node.recreate

    def _can_advance(self, key: str) -> bool:
        node = self._graph.nodes.get(key)
        return node is not None and self._wants_work(node) and not self._graph.unmet(node.desired_needs)

    def _wants_work(self, node: Node) -> bool:
        return (
            node.desired is not None
            and node.can_be_made
            and node.key not in self.failed
            and (node.actual is None or node.foreign or node.actual != node.desired)
        )

    def _lost_its_ground(self, key: str) -> bool:
        node = self._graph.nodes.get(key)
        if node is None or node.actual is None or node.foreign or node.desired is None or key in self.failed:
            return False
        return node.can_be_made and bool(self._graph.unmet(node.desired_needs))

    def _cycle(self, candidates: Sequence[str]) -> list[str]:
        """The smallest set of values that wait for nothing but each other; empty when there is none."""
        smallest: list[str] = []
        for key in candidates:
            circle = self._circle_of(key)
            if circle and (not smallest or len(circle) < len(smallest)):
                smallest = sorted(circle)
        return smallest

    def _circle_of(self, start: str) -> set[str]:
        circle: set[str] = set()
        pending = [start]
        while pending:
            key = pending.pop()
            if key in circle:
                continue
            node = self._graph.nodes.get(key)
            if node is None or node.actual is not None or not self._wants_work(node):
                return set()
            circle.add(key)
            for need in self._graph.unmet(node.desired_needs):
                if not need.key:
                    return set()
                pending.append(need.key)
        return circle

    # ---- deleting

    def _all_that_go(self, going: Iterable[str]) -> dict[str, set[str]]:
        """What goes with `going`: for each key the dependents that have to go before it."""
        leaving: dict[str, set[str]] = {}
        pending = sorted(going, reverse=True)
        for key in pending:
            leaving[key] = set()
        while pending:
            key = pending.pop()
            for other in self._graph.waiting_for(key):
                node = self._graph.nodes[other]
                if node.actual is None or node.foreign or not self._graph.unmet(node.actual_needs, leaving):
                    continue
                if other in self.failed:
                    continue
                if other not in leaving:
                    leaving[other] = set()
                    pending.append(other)
        for key, before in leaving.items():
            before.update(other for other in self._graph.waiting_for(key) if other in leaving and other != key)
        return leaving

    async def _delete(self, going: Iterable[str]) -> None:
        leaving = self._all_that_go(going)
        self._look_at(leaving)
        while leaving and not self._stopped():
            wave = sorted(key for key, before in leaving.items() if not before) or sorted(leaving)
            await self._carry_out(OperationKind.DELETE, wave)
            for key in wave:
                del leaving[key]
            stuck = [key for key in wave if key in self.failed]
            for before in leaving.values():
                before.difference_update(key for key in wave if key not in self.failed)
            while stuck:  # whoever is still needed stays
                key = stuck.pop()
                for other in [one for one, before in leaving.items() if key in before]:
                    del leaving[other]
                    reason = f"not deleted: {key} still needs it"
                    self._fail(self._graph.nodes[other], reason, retriable=True)
                    stuck.append(other)

    # ---- making

    async def _make(self, wave: Sequence[str]) -> None:
        nodes = self._graph.nodes
        new = [key for key in wave if nodes[key].actual is None or nodes[key].foreign]
        changed = [key for key in wave if key not in set(new)]
        await asyncio.gather(
            *(self._batch(OperationKind.CREATE, keys) for keys in self._by_descriptor(new)),
            *(self._batch(OperationKind.UPDATE, keys) for keys in self._by_descriptor(changed)),
        )

    async def _carry_out(self, kind: OperationKind, wave: Sequence[str]) -> None:
        await asyncio.gather(*(self._batch(kind, keys) for keys in self._by_descriptor(wave)))

    def _by_descriptor(self, keys: Iterable[str]) -> list[list[str]]:
        groups: dict[str, list[str]] = {}
        for key in keys:
            descriptor = self._graph.nodes[key].descriptor
            groups.setdefault(descriptor.name if descriptor else "", []).append(key)
        return [groups[name] for name in sorted(groups)]

    async def _batch(self, kind: OperationKind, keys: Sequence[str]) -> None:
        nodes = [self._graph.nodes[key] for key in keys]
        descriptor = nodes[0].descriptor
        if descriptor is None:
            for node in nodes:  # a property: true as soon as its base is there
                self._done(kind, node)
            return
        operations = [
            Operation(kind, node.key, node.actual if kind is OperationKind.DELETE else node.desired, node.actual)
            for node in nodes
        ]
        outcomes = await _apply(descriptor, operations)
        for node, operation, outcome in zip(nodes, operations, outcomes, strict=True):
            self.executed += 1
            if outcome.recreate and kind is OperationKind.UPDATE:
                node.recreate = True
                self._look_at([node.key])
                continue
            recreate = node.recreate
            if outcome.error:
                self._fail(node, outcome.error, retriable=outcome.retriable)
            else:
                self._done(kind, node)
            node.last_operation = kind.upper()
            self._note(operation, node, outcome, recreate=recreate)

    def _done(self, kind: OperationKind, node: Node) -> None:
        node.error = ""
        node.attempts = 0
        if kind is OperationKind.DELETE:
            node.recreate = False
            node.state = ValueState.REMOVED
            waiting = self._graph.observe(node.key, None)
        else:
            node.state = ValueState.CONFIGURED
            waiting = self._graph.observe(node.key, Observed(node.desired, metadata=node.metadata))
        self._look_at([node.key, *waiting])

    def _fail(self, node: Node, error: str, *, retriable: bool) -> None:
        node.error, node.retriable, node.recreate = error, retriable, False
        node.state = ValueState.FAILED
        self.failed[node.key] = error

    def _note(self, operation: Operation, node: Node, outcome: Outcome, *, recreate: bool) -> None:
        self._record.executed.append(
            ExecutedOperation(
                operation=operation.kind,
                key=operation.key,
                new_value=None if operation.kind is OperationKind.DELETE else operation.value,
                prev_value=operation.previous,
                new_state=str(node.state),
                new_err_msg=outcome.error,
                is_derived=bool(node.base),
                is_revert=self._mode.is_revert,
                is_retry=self._mode.is_retry,
                is_recreate=recreate,
            )
        )

    def _settle_state(self, key: str) -> None:
        node = self._graph.nodes.get(key)
        if node is None or key in self.failed or node.state is ValueState.INVALID:
            return
        if node.desired is None:
            if node.actual is not None:
                node.state = ValueState.OBTAINED if node.foreign else ValueState.DISCOVERED
        elif node.descriptor is None and not node.base:
            node.state, node.error = ValueState.UNIMPLEMENTED, f"nothing makes values with the key {key}"
        elif node.actual == node.desired:
            node.state, node.error = ValueState.CONFIGURED, ""
        elif self._graph.unmet(node.desired_needs):
            node.state, node.error = ValueState.PENDING, ""
        self._graph.forget_if_empty(key)


async def _apply(descriptor: Descriptor, operations: Sequence[Operation]) -> Sequence[Outcome]:
    try:
        outcomes = await descriptor.apply(operations)
    except Exception as error:
        log.exception("%s: a batch of %d operations raised", descriptor.name, len(operations))
        return [Outcome(error=f"{descriptor.name}: {type(error).__name__}: {error}")] * len(operations)
    if len(outcomes) != len(operations):
        message = f"{descriptor.name} gave {len(outcomes)} outcomes for {len(operations)} operations"
        raise AssertionError(message)
    return outcomes


def by_key(errors: Mapping[str, str]) -> dict[str, str]:
    """Errors in the order of their keys."""
    return dict(sorted(errors.items()))
