"""The scheduler: what is wanted goes in as transactions, and it alone decides when a value is applied.

One transaction at a time. What fails is looked up in the data plane and tried again with doubling delay; a
transaction may ask to be taken back as a whole. Behaviour: spec/agent.md 14; the waves: `execution`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contivpp.scheduler import views
from contivpp.scheduler.api import Descriptor, Observed
from contivpp.scheduler.execution import Execution, Mode, by_key
from contivpp.scheduler.graph import Graph
from contivpp.scheduler.history import History, Transaction
from contivpp.scheduler.state import NEEDS_ATTENTION, ValueState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed value is tried again: first after `delay` seconds, then after twice as long."""

    delay: float = 1.0
    attempts: int = 3

    def delay_of(self, attempt: int) -> float:
        """Seconds before the attempt with this number, counted from 1."""
        return float(self.delay * 2 ** (attempt - 1))


@dataclass(frozen=True, slots=True)
class Result:
    """How a transaction ended.

    Attributes:
        errors: by key, of every value that failed in it, asked for or not.
        executed: operations handed to descriptors.
        reverted: it failed and everything it asked for was taken back.
    """

    seq: int
    errors: Mapping[str, str]
    executed: int
    reverted: bool = False


class Scheduler:
    """Makes wanted values real, in the order that their dependencies demand."""

    def __init__(
        self,
        descriptors: Sequence[Descriptor],
        *,
        retry: Retry = Retry(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the descriptors, how failures are retried, and a clock in seconds."""
        self._graph = Graph(descriptors)
        self._retry = retry
        self._clock = clock
        self._lock = asyncio.Lock()
        self._due: dict[str, float] = {}
        self._wake = asyncio.Event()
        self.history = History()

    # ---- transactions

    async def commit(
        self, changes: Mapping[str, Any | None], *, description: str = "", revert_on_failure: bool = False
    ) -> Result:
        """Wants `changes`: values to put, None to delete; everything else stays as it was wanted.

        Returns:
            What failed. With `revert_on_failure` the first failure takes all of `changes` back.
        """
        async with self._lock:
            record = self.history.begin("NBTransaction", description, changes)
            before = {key: self._desired(key) for key in changes}
            run = await self._execute(changes, record, Mode(stop_at_error=revert_on_failure))
            executed, errors = run.executed, dict(run.failed)
            reverted = revert_on_failure and bool(errors)
            if reverted:
                await self._refresh(errors)
                record.reverted = True
                back = await self._execute(before, record, Mode(is_revert=True), also=run.seen)
                executed += back.executed
                await self._after_failures(back.failed)
            else:
                await self._after_failures(errors)
            return self._end(record, errors, executed, reverted=reverted)

    async def resync(self, desired: Mapping[str, Any], *, description: str = "") -> Result:
        """Wants exactly `desired`: reads what is really there, and mends every difference."""
        async with self._lock:
            return await self._resync(desired, description)

    async def downstream_resync(self, *, description: str = "downstream resync") -> Result:
        """Reads what is really there, and mends every difference to what is wanted already."""
        async with self._lock:
            wanted = {
                node.key: node.desired
                for node in self._graph.nodes.values()
                if node.desired is not None and not node.base
            }
            return await self._resync(wanted, description)

    async def notify(self, found: Mapping[str, Any | None]) -> Result:
        """Notes what somebody else made (or with None removed); news of what is wanted here is ignored."""
        async with self._lock:
            record = self.history.begin("SBNotification", "", found)
            touched: list[str] = []
            for key, value in sorted(found.items()):
                if self._desired(key) is None:
                    touched += [key, *self._graph.observe(key, value and Observed(value, foreign=True))]
            run = Execution(self._graph, record, Mode())
            await run.run(touched)
            await self._after_failures(run.failed)
            return self._end(record, run.failed, run.executed)

    async def retry(self, *, now: float | None = None) -> Result | None:
        """Tries again what is due; None when nothing is."""
        async with self._lock:
            moment = self._clock() if now is None else now
            due = sorted(key for key, when in self._due.items() if when <= moment)
            for key in due:
                del self._due[key]
            due = [key for key in due if self.state_of(key) is ValueState.RETRYING]
            if not due:
                return None
            record = self.history.begin("RetryFailedOps", "", {key: self._desired(key) for key in due})
            run = Execution(self._graph, record, Mode(is_retry=True))
            await run.run(due)
            await self._after_failures(run.failed)
            return self._end(record, run.failed, run.executed)

    async def run(self) -> None:
        """The root task that tries failed values again, for ever."""
        while True:
            self._wake.clear()
            timeout = min(self._due.values()) - self._clock() if self._due else None
            try:
                await asyncio.wait_for(self._wake.wait(), None if timeout is None else max(timeout, 0))
            except TimeoutError:
                await self.retry()

    # ---- what is known

    def state_of(self, key: str) -> ValueState:
        """The state of one value."""
        node = self._graph.nodes.get(key)
        return ValueState.NONEXISTENT if node is None else node.state

    def summary(self) -> dict[str, int]:
        """How many values are in which state."""
        return dict(sorted(Counter(str(node.state) for node in self._graph.nodes.values()).items()))

    def troubles(self) -> dict[str, str]:
        """What is wrong and cannot be mended by another value, by key."""
        return {
            key: f"{node.state}: {node.error}"
            for key, node in sorted(self._graph.nodes.items())
            if node.state in NEEDS_ATTENTION
        }

    def status(self, prefix: str = "") -> list[dict[str, Any]]:
        """Status of the base values below `prefix`, with their derived ones; shape of spec/agent.md 14.2."""
        return views.status(self._graph, prefix)

    def index(self) -> dict[str, Any]:
        """What `dump` can be asked for."""
        return views.index(self._graph)

    async def dump(self, *, view: str = "SB", prefix: str = "", descriptor: str = "") -> list[dict[str, Any]]:
        """Values of one view: "SB" as they are read now, "cached" as remembered, "NB" as wanted."""
        async with self._lock:
            return await views.dump(self._graph, view, prefix, descriptor)

    async def observe(self, keys: Iterable[str]) -> dict[str, Any]:
        """Reads these values from the data plane; what is not there is not in the answer."""
        async with self._lock:
            wanted = set(keys)
            owners = {one.name: one for key in wanted if (one := self._graph.descriptor_of(key)) is not None}
            found: dict[str, Any] = {}
            for observed in await asyncio.gather(*(owner.retrieve() for owner in owners.values())):
                found.update((key, item.value) for key, item in observed.items() if key in wanted)
            return found

    # ---- inside, with the lock held

    def _desired(self, key: str) -> Any | None:
        node = self._graph.nodes.get(key)
        return None if node is None or node.base else node.desired

    async def _execute(
        self,
        changes: Mapping[str, Any | None],
        record: Transaction,
        mode: Mode,
        *,
        also: Iterable[str] = (),
    ) -> Execution:
        touched: dict[str, None] = dict.fromkeys(also)
        for key in sorted(changes):
            touched.update(dict.fromkeys(self._graph.want(key, changes[key])))
            self._due.pop(key, None)
        run = Execution(self._graph, record, mode)
        await run.run(touched)
        return run

    async def _resync(self, desired: Mapping[str, Any], description: str) -> Result:
        record = self.history.begin("NBTransaction", description, {})
        problems = await self._read_all()
        changes: dict[str, Any | None] = {
            key: None for key, node in self._graph.nodes.items() if node.desired is not None and not node.base
        }
        changes.update(desired)
        run = await self._execute(changes, record, Mode(), also=list(self._graph.nodes))
        await self._after_failures(run.failed)
        return self._end(record, {**problems, **run.failed}, run.executed)

    async def _read_all(self) -> dict[str, str]:
        """Takes over what is really there; returns the descriptors that could not say, which stay as known."""
        descriptors = self._graph.descriptors
        answers = await asyncio.gather(*(one.retrieve() for one in descriptors), return_exceptions=True)
        problems: dict[str, str] = {}
        for descriptor, answer in zip(descriptors, answers, strict=True):
            if isinstance(answer, BaseException):
                if not isinstance(answer, Exception):
                    raise answer
                log.error("%s: cannot read the data plane: %s", descriptor.name, answer)
                problems[descriptor.prefix] = f"{descriptor.name}: cannot read the data plane: {answer}"
                continue
            for node in list(self._graph.nodes.values()):
                if node.descriptor is descriptor and node.actual is not None and node.key not in answer:
                    node.state = ValueState.MISSING
                    self._graph.observe(node.key, None)
            for key, observed in answer.items():
                self._graph.observe(key, observed)
        for node in list(self._graph.nodes.values()):
            if node.is_property and not self._graph.available(node.base):
                self._graph.observe(node.key, None)
        return problems

    async def _refresh(self, keys: Iterable[str]) -> None:
        """Looks up in the data plane what became of values that failed."""
        owners: dict[str, tuple[Descriptor, list[str]]] = {}
        for key in keys:
            node = self._graph.nodes.get(key)
            if node is not None and node.descriptor is not None:
                owners.setdefault(node.descriptor.name, (node.descriptor, []))[1].append(key)
        for descriptor, failed in owners.values():
            try:
                found = await descriptor.retrieve()
            except Exception as error:
                log.warning("%s: cannot look up what failed: %s", descriptor.name, error)
                continue
            for key in failed:
                self._graph.observe(key, found.get(key))

    async def _after_failures(self, failed: Mapping[str, str]) -> None:
        if not failed:
            return
        await self._refresh(failed)
        now = self._clock()
        for key in failed:
            node = self._graph.nodes.get(key)
            if node is None:
                continue
            node.attempts += 1
            if node.retriable and node.attempts <= self._retry.attempts:
                node.state = ValueState.RETRYING
                self._due[key] = now + self._retry.delay_of(node.attempts)
        self._wake.set()

    def _end(self, record: Transaction, errors: Mapping[str, str], executed: int, *, reverted: bool = False) -> Result:
        record.errors = by_key(errors)
        self.history.end(record)
        return Result(record.seq_num, record.errors, executed, reverted)
