"""A data plane that fails: refuses, does what it says it did not, dies in the middle of a batch, is slow, and forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from contivpp.scheduler.api import Observed, Operation, Outcome
from tests.unit.scheduler.plane import Kind, Plane, Thing

Fault = Literal["refuses", "lies", "dies"]


@dataclass
class FaultyPlane(Plane):
    """What goes wrong with which key, and how many times; every fault is used up by striking."""

    faults: dict[str, tuple[Fault, int]] = field(default_factory=dict)
    foreign: dict[str, Thing] = field(default_factory=dict)
    blind: bool = False
    misused: list[str] = field(default_factory=list)

    def descriptors(self, *kinds: str) -> list[Kind]:
        return [FaultyKind(self, kind) for kind in kinds]

    def strike(self, key: str) -> Fault | None:
        fault, left = self.faults.get(key, (None, 0))
        if fault is None:
            return None
        if left <= 1:
            del self.faults[key]
        else:
            self.faults[key] = (fault, left - 1)
        return fault

    def forget(self, keys: Sequence[str]) -> None:
        """Loses values, as a restart of the data plane does."""
        for key in keys:
            self.there.pop(key, None)


class FaultyKind(Kind):
    """The descriptor of one kind on such a plane."""

    plane: FaultyPlane

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        outcomes = []
        for operation in operations:
            await asyncio.sleep(0)
            fault = self.plane.strike(operation.key)
            if fault == "dies":
                raise ConnectionError("the data plane is gone")
            if fault == "refuses":
                outcomes.append(Outcome(error="no"))
                continue
            try:
                outcome = self._one(operation)
            except AssertionError as error:  # the scheduler asked for what makes no sense
                self.plane.misused.append(str(error))
                raise
            outcomes.append(Outcome(error="no answer") if fault == "lies" else outcome)
        return outcomes

    async def retrieve(self) -> Mapping[str, Observed]:
        await asyncio.sleep(0)
        if self.plane.blind:
            raise ConnectionError("no answer")
        found = dict(await super().retrieve())
        for key, value in self.plane.foreign.items():
            if key.startswith(self.prefix):
                found.setdefault(key, Observed(value, foreign=True))
        return found
