"""A data plane in memory that refuses what a real one would: nothing without its ground, nothing pulled away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome


@dataclass(frozen=True, slots=True)
class Thing:
    """A value of any kind: `key` is "<kind>/<name>"."""

    key: str
    content: int = 0
    needs: tuple[str, ...] = ()
    below: str = ""
    derived: tuple[tuple[str, int], ...] = ()


@dataclass
class Plane:
    """What is there, shared by all descriptors, and what happened to it."""

    there: dict[str, Thing] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    for_good: set[str] = field(default_factory=set)
    recreate: set[str] = field(default_factory=set)
    batches: int = 0

    def descriptors(self, *kinds: str) -> list[Kind]:
        return [Kind(self, kind) for kind in kinds]


class Kind:
    """The descriptor of one kind."""

    def __init__(self, plane: Plane, kind: str) -> None:
        self.plane = plane
        self.name = kind
        self.prefix = f"{kind}/"

    def dependencies(self, key: str, value: Thing) -> Iterable[Dependency]:
        for need in value.needs:
            yield Dependency(need, need)
        if value.below:
            yield Dependency("any", any_of=(value.below,))

    def derived(self, key: str, value: Thing) -> Mapping[str, Any]:
        return {name: Thing(name, content) for name, content in value.derived}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        self.plane.batches += 1
        return [self._one(operation) for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        return {key: Observed(value) for key, value in self.plane.there.items() if key.startswith(self.prefix)}

    def _one(self, operation: Operation) -> Outcome:
        plane, key = self.plane, operation.key
        if key in plane.refuse:
            return Outcome(error=plane.refuse[key], retriable=key not in plane.for_good)
        if operation.kind is OperationKind.UPDATE and key in plane.recreate:
            return Outcome(recreate=True)
        plane.log.append((str(operation.kind), key))
        if operation.kind is OperationKind.DELETE:
            assert key in plane.there, f"{key} is deleted and was not there"
            del plane.there[key]
        else:
            assert (key in plane.there) == (operation.kind is OperationKind.UPDATE)
            plane.there[key] = operation.value
        return DONE
