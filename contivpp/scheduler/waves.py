"""What has to be done next, and what follows from how it went: the decisions of one transaction, without its deeds.

First what must go, dependents before what they depend on; then everything that is ready is made or updated, all
descriptors at once, and again with what that made ready; then those that need each other; last what is there
and lost its ground. What must go of a descriptor that orders its operations itself, and that nobody needs, goes in
one wave with what is made: so the whole change is one step to packets. A value is tried once per transaction: one
that failed is left alone, and nothing else waits for it that does not depend on it. `execution` carries the steps out,
`rehearsal` only notes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contivpp.scheduler.api import Operation, OperationKind, Outcome
from contivpp.scheduler.components import closed_groups
from contivpp.scheduler.graph import NOTHING, Graph, Node
from contivpp.scheduler.removal import Removal
from contivpp.scheduler.state import ValueState


@dataclass(slots=True)
class Step:
    """One operation of a wave; `recreates`: it is half of a delete and create in place of an update."""

    node: Node
    operation: Operation
    recreates: bool


class Waves:
    """One run over the graph: ask for a wave, say how it went, until there is none."""

    def __init__(self, graph: Graph, *, stop_at_error: bool = False, failed: Mapping[str, str] = NOTHING) -> None:
        """Takes the graph to bring in order.

        Args:
            graph: what is wanted and what is there.
            stop_at_error: whether the wave with the first error is the last one.
            failed: values that failed already, with the reason: they are left alone.
        """
        self._graph = graph
        self._stop_at_error = stop_at_error
        self._recreated: set[str] = set()
        self._fresh: dict[str, None] = {}
        self._blocked: dict[str, None] = {}
        self._removal: Removal | None = None
        self.seen: dict[str, None] = {}
        self.failed: dict[str, str] = dict(failed)

    def look_at(self, keys: Iterable[str]) -> None:
        """Says which values may need something."""
        for key in keys:
            self.seen[key] = None
            self._fresh[key] = None
            self._blocked.pop(key, None)

    def next(self) -> list[Step]:
        """The next operations, all of which may be carried out at once; empty when nothing is left to do."""
        while not (self._stop_at_error and self.failed):
            if self._removal is not None:
                if wave := self._removal.next():
                    if steps := self._steps_of_removal(wave):
                        return steps
                    continue
                self._removal = None
            if not self._fresh:
                if steps := self._cycle():
                    return steps
                if self._fresh:
                    continue
                going = [key for key in self._blocked if self._lost_its_ground(self._graph.nodes[key])]
                if not going:
                    break
                self._start_removal(going)
            elif steps := self._advance():
                return steps
        return []

    def done(self, step: Step, outcome: Outcome) -> None:
        """Notes how an operation of the wave went."""
        node = self._graph.touch(step.node.key)
        node.last_operation = step.operation.kind.upper()
        if outcome.recreate and step.operation.kind is OperationKind.UPDATE:
            node.recreate = True
            self._recreated.add(node.key)
            self.look_at([node.key])
        elif outcome.error:
            self.fail(node.key, outcome.error, retriable=outcome.retriable)
            if step.operation.kind is OperationKind.DELETE:
                self._keep_grounds_of(node.key)
        elif step.operation.kind is OperationKind.DELETE:
            self._gone(node)
        else:
            self._made(node)

    def fail(self, key: str, error: str, *, retriable: bool) -> None:
        """Notes that a value failed: it is not tried again in this run."""
        node = self._graph.touch(key)
        node.error, node.retriable, node.recreate = error, retriable, False
        node.state = ValueState.FAILED
        self.failed[key] = error
        self._blocked.pop(key, None)

    def settle(self) -> None:
        """Gives every value that was looked at its state; to be called at the end."""
        for key in self.seen:
            self._settle(key)

    # ---- going

    def _must_go(self, node: Node) -> bool:
        return node.actual is not None and not node.foreign and (node.desired is None or node.recreate)

    def _goes_with_others(self, node: Node) -> bool:
        """Whether it may go in one wave with what is made, instead of before it."""
        alone = not node.derived and not self._graph.waiting_for(node.key)
        return alone and not node.recreate and getattr(node.descriptor, "orders_itself", False)

    def _lost_its_ground(self, node: Node) -> bool:
        return (
            node.actual is not None
            and node.desired is not None
            and not node.foreign
            and node.can_be_made
            and not self._graph.is_ready(node)
        )

    def _start_removal(self, going: Sequence[str]) -> None:
        self._removal = Removal(self._graph, going, self.failed)
        self.seen.update(dict.fromkeys(self._removal.keys))
        for key in list(self.failed):
            self._keep_grounds_of(key)

    def _steps_of_removal(self, wave: Iterable[str]) -> list[Step]:
        steps = []
        for key in wave:
            node = self._graph.nodes[key]
            if node.descriptor is None:
                self._gone(self._graph.touch(key))
                continue
            operation = Operation(OperationKind.DELETE, key, node.actual, node.actual)
            steps.append(Step(node, operation, node.recreate))
        return steps

    def _keep_grounds_of(self, key: str) -> None:
        """What a value that could not be taken away stands on has to stay with it."""
        if self._removal is not None:
            for ground, needing in self._removal.stays(key).items():
                self.fail(ground, f"not deleted: {needing} still needs it", retriable=True)

    def _gone(self, node: Node) -> None:
        node.error, node.attempts, node.recreate = "", 0, False
        node.state = ValueState.REMOVED
        waiting = self._graph.observe(node.key, None)
        if self._removal is not None:
            self._removal.gone(node.key)
        self.look_at([node.key, *waiting])

    # ---- making

    def _advance(self) -> list[Step]:
        """Sorts what was looked at: what goes, what is ready, and what waits."""
        candidates, self._fresh = self._fresh, {}
        going: list[str] = []
        leaving: list[Node] = []
        ready: list[Node] = []
        for key in candidates:
            node = self._graph.nodes.get(key)
            if node is None or key in self.failed:
                continue
            if self._must_go(node):
                if self._goes_with_others(node):
                    leaving.append(node)
                else:
                    going.append(key)
            elif node.desired is not None and not self._graph.is_ready(node):
                self._blocked[key] = None
            elif node.wants_work and self._graph.base_is_right(node):
                ready.append(node)
        if going:
            self._fresh.update((node.key, None) for node in (*ready, *leaving))
            self._start_removal(going)
            return []
        return [*self._steps_of_removal(node.key for node in leaving), *self._steps_of_making(ready)]

    def _steps_of_making(self, ready: Sequence[Node]) -> list[Step]:
        steps = []
        for node in sorted(ready, key=lambda one: one.key):
            if node.descriptor is None:  # a property is true as soon as its base is there
                self._made(self._graph.touch(node.key))
                continue
            kind = OperationKind.CREATE if node.actual is None or node.foreign else OperationKind.UPDATE
            operation = Operation(kind, node.key, node.desired, node.actual)
            steps.append(Step(node, operation, recreates=node.key in self._recreated))
        return steps

    def _made(self, node: Node) -> None:
        node.error, node.attempts, node.recreate = "", 0, False
        node.state = ValueState.CONFIGURED
        self.look_at([node.key, *self._graph.made(node.key), *node.derived])

    def _cycle(self) -> list[Step]:
        """Values that wait for nothing but each other, and for nobody outside."""
        waits_for = _self_supporting(self._waiting_together())
        if not waits_for:
            return []
        keys = [key for group in closed_groups(waits_for) for key in group]
        for key in keys:
            self._blocked.pop(key, None)
        self.look_at(keys)  # if one of them fails, the others have lost their ground
        return self._steps_of_making([self._graph.nodes[key] for key in keys])

    def _waiting_together(self) -> dict[str, list[list[str]]]:
        """For values that wait: for each dependency that is not met, the waiting values that would meet it."""
        found: dict[str, list[list[str]]] = {}
        pending = [key for key in self._blocked if self._waits(key)]
        while pending:
            key = pending.pop()
            if key in found:
                continue
            found[key] = []
            for need in self._graph.unmet(self._graph.nodes[key].needs):
                names = [need.key] if need.key else [n.key for prefix in need.any_of for n in self._graph.below(prefix)]
                helpers = [name for name in names if self._waits(name)]
                found[key].append(helpers)
                pending.extend(helpers)
        return found

    def _waits(self, key: str) -> bool:
        node = self._graph.nodes.get(key)
        return node is not None and node.actual is None and node.wants_work and key not in self.failed

    # ---- the end

    def _settle(self, key: str) -> None:
        node = self._graph.nodes.get(key)
        if node is None:
            return
        if key not in self.failed and node.state is not ValueState.INVALID:
            state, error = self._state_of(node)
            if (node.state, node.error) != (state, error):
                node = self._graph.touch(key)
                node.state, node.error = state, error
                if state is ValueState.CONFIGURED:
                    node.attempts = 0
        self._graph.forget_if_empty(key)

    def _state_of(self, node: Node) -> tuple[ValueState, str]:
        if node.desired is None:
            if node.actual is None:
                return ValueState.REMOVED, ""
            return (ValueState.OBTAINED if node.foreign else ValueState.DISCOVERED), ""
        if node.descriptor is None and not node.base:
            return ValueState.UNIMPLEMENTED, f"nothing makes values with the key {node.key}"
        if node.is_right:
            return ValueState.CONFIGURED, ""
        if not self._graph.is_ready(node) or not self._graph.base_is_right(node):
            return ValueState.PENDING, ""
        return node.state, node.error


def _self_supporting(waiting: dict[str, list[list[str]]]) -> dict[str, set[str]]:
    """The largest set in which every unmet dependency of each is met by another one of the set; with its edges."""
    left = {key: [set(helpers) for helpers in needs] for key, needs in waiting.items()}
    helps: dict[str, list[str]] = {}
    for key, needs in waiting.items():
        for helpers in needs:
            for helper in helpers:
                helps.setdefault(helper, []).append(key)
    lost = [key for key, needs in left.items() if not needs or not all(needs)]
    while lost:
        key = lost.pop()
        if left.pop(key, None) is None:
            continue
        for other in helps.get(key, ()):
            if other in left:
                for still in left[other]:
                    still.discard(key)
                lost += [other] * (not all(left[other]))
    return {key: set().union(*needs) for key, needs in left.items()}
