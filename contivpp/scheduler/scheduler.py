"""The scheduler: what is wanted goes in as transactions, and it alone decides when a value is applied.

How to read this package: `api` has the words that everybody uses (value, dependency, descriptor); `graph` keeps
what is wanted and what is there, under one key each; `waves` decides what has to be done next, `execution` does it
and `rehearsal` only says it; this module has the transactions on top:

- `commit`: these values are wanted, those no longer. All or nothing with `revert_on_failure`, else best effort: what
  fails does not hold up what does not depend on it.
- `resync`: exactly these values are wanted. `refresh` reads the data plane first, so that it also mends what was
  changed behind our back and removes what an earlier run left; without it only the difference to what is known is done.
- `downstream_resync`: what is wanted stays; the data plane is read and mended.
- `notify`: somebody else made something, or took it away.
- `retry`: what failed is tried again, after a delay that doubles.

One transaction at a time. What fails is looked up in the data plane, because a failed operation may have been
carried out, and what follows from that is done in the same transaction. Six laws hold at the end of each, and
tests/unit/scheduler/test_machine.py tries to break them:

1. What is there has what it needs, unless taking it away failed.
2. What is ready is not left waiting.
3. A derived value is wanted exactly as long as its base is, and is there only while its base is.
4. A transaction that was reverted leaves the data plane as it was.
5. A resync right after success does nothing.
6. Wanting the same again does nothing.

Behaviour: spec/agent.md 14.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contivpp.scheduler import metrics, views
from contivpp.scheduler.api import Descriptor, Observed
from contivpp.scheduler.execution import execute
from contivpp.scheduler.graph import Graph, Node
from contivpp.scheduler.history import History, Limits, RecordedOperation, Transaction
from contivpp.scheduler.reading import read, read_all
from contivpp.scheduler.records import waiting_operations
from contivpp.scheduler.rehearsal import rehearse
from contivpp.scheduler.retries import Retries, Retry
from contivpp.scheduler.state import NEEDS_ATTENTION, ValueState
from contivpp.scheduler.timeline import Revision, Timeline
from contivpp.scheduler.waves import Waves

log = logging.getLogger(__name__)


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


_DEFAULT_RETRY = Retry()
_DEFAULT_LIMITS = Limits()


class Scheduler:
    """Makes wanted values real, in the order that their dependencies demand."""

    def __init__(
        self,
        descriptors: Sequence[Descriptor],
        *,
        retry: Retry = _DEFAULT_RETRY,
        limits: Limits = _DEFAULT_LIMITS,
        plan_everything: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes what it drives and how.

        Args:
            descriptors: who makes which values.
            retry: how failures are tried again.
            limits: how much of the past is remembered.
            plan_everything: whether every commit is planned before it is done, for the record; one that may be
                taken back always is.
            clock: seconds, for delays.
            wall_clock: seconds since the epoch, for the record.
        """
        self._graph = Graph(descriptors)
        self._retries = Retries(retry, clock)
        self._plan_everything = plan_everything
        self._lock = asyncio.Lock()
        self._states: Counter[ValueState] = Counter()
        self.history = History(limits, clock=wall_clock)
        self.timeline = Timeline(limits, self.history.started)

    # ---- transactions

    async def commit(
        self, changes: Mapping[str, Any | None], *, description: str = "", revert_on_failure: bool = False
    ) -> Result:
        """Wants `changes`: values to put, None to delete; everything else stays as it was wanted.

        Returns:
            What failed. With `revert_on_failure` the first failure takes all of `changes` back.
        """
        async with self._transaction("NBTransaction", description, changes) as record:
            if revert_on_failure or self._plan_everything:
                record.planned = rehearse(self._graph, changes)
            before = {key: self._desired(key) for key in changes}
            run = await execute(self._graph, self._want(changes), record, stop_at_error=revert_on_failure)
            if revert_on_failure and run.failed:
                record.errors = dict(run.failed)
                await self._take_back(before, run, record)
            else:
                record.errors = await self._settle(run, record)
        return _result(record)

    async def plan(self, changes: Mapping[str, Any | None]) -> list[RecordedOperation]:
        """What `commit` would do now, if everything went well; does nothing."""
        async with self._lock:
            return rehearse(self._graph, changes)

    async def resync(self, desired: Mapping[str, Any], *, description: str = "", refresh: bool = True) -> Result:
        """Wants exactly `desired`; with `refresh` reads what is really there, and mends every difference."""
        async with self._transaction(
            "NBTransaction", description, {}, "FullResync" if refresh else "UpstreamResync"
        ) as record:
            return await self._resync(desired, record, refresh=refresh)

    async def downstream_resync(self, *, description: str = "downstream resync") -> Result:
        """Reads what is really there, and mends every difference to what is wanted already."""
        async with self._transaction("NBTransaction", description, {}, "DownstreamResync") as record:
            wanted = {
                node.key: node.desired
                for node in self._graph.nodes.values()
                if node.desired is not None and not node.base
            }
            return await self._resync(wanted, record, refresh=True)

    async def notify(self, found: Mapping[str, Any | None]) -> Result:
        """Notes what somebody else made (or with None removed); news of what is wanted here is ignored."""
        async with self._transaction("SBNotification", "", found) as record:
            touched: list[str] = []
            for key, value in sorted(found.items()):
                node = self._graph.nodes.get(key)
                if node is None or node.desired is None:
                    touched += [key, *self._graph.observe(key, value and Observed(value, foreign=True))]
            record.errors = await self._settle(await execute(self._graph, touched, record), record)
        return _result(record)

    async def retry(self, *, now: float | None = None) -> Result | None:
        """Tries again what is due; None when nothing is."""
        async with self._lock:
            due = [key for key in self._retries.due(now) if self.state_of(key) is ValueState.RETRYING]
        if not due:
            return None
        async with self._transaction("RetryFailedOps", "", {key: self._desired(key) for key in due}) as record:
            metrics.RETRIES.inc(len(due))
            record.errors = await self._settle(await execute(self._graph, due, record, is_retry=True), record)
        return _result(record)

    async def run(self) -> None:
        """The root task that tries failed values again, for ever."""
        while True:
            await self._retries.wait()
            await self.retry()

    # ---- what is known

    def state_of(self, key: str) -> ValueState:
        """The state of one value."""
        node = self._graph.nodes.get(key)
        return ValueState.NONEXISTENT if node is None else node.state

    def summary(self) -> dict[str, int]:
        """How many values are in which state."""
        return {str(state): count for state, count in sorted(self._states.items()) if count}

    def troubles(self) -> dict[str, str]:
        """What is wrong and cannot be mended by another value, by key."""
        if not any(self._states[state] for state in NEEDS_ATTENTION):
            return {}
        return {
            key: f"{node.state}: {node.error}"
            for key, node in sorted(self._graph.nodes.items())
            if node.state in NEEDS_ATTENTION
        }

    def status(self, prefix: str = "", *, key: str = "", descriptor: str = "") -> list[dict[str, Any]]:
        """Status of base values with their derived ones: below `prefix`, or of one; shape of spec/agent.md 14.2."""
        return views.status(self._graph, prefix, key=key, descriptor=descriptor)

    def index(self) -> dict[str, Any]:
        """What `dump` can be asked for."""
        return views.index(self._graph)

    def key_timeline(self, key: str) -> list[Revision]:
        """How a value was over time, oldest first."""
        return self.timeline.of_key(key, self._graph)

    def snapshot(self, moment: float | None = None) -> list[Revision]:
        """Every value as it was at a moment (seconds since the epoch), or as it is.

        Raises:
            ValueError: that is longer ago than what is remembered.
        """
        return self.timeline.at(self.history.clock() if moment is None else moment, self._graph)

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

    # ---- inside

    @contextlib.asynccontextmanager
    async def _transaction(
        self, kind: str, description: str, values: Mapping[str, Any | None], resync: str = ""
    ) -> AsyncIterator[Transaction]:
        """Holds the lock, and at the end records what was done and what it changed."""
        async with self._lock:
            started = time.perf_counter()
            record = self.history.begin(kind, description, values, resync=resync)
            with self._graph.journal() as before:
                try:
                    yield record
                finally:
                    self._note(before, record)
                    metrics.COMMIT_SECONDS.labels(kind).observe(time.perf_counter() - started)
                    outcome = "reverted" if record.reverted else "failed" if record.errors else "done"
                    metrics.TRANSACTIONS.labels(kind, outcome).inc()

    def _note(self, before: Mapping[str, Node | None], record: Transaction) -> None:
        touched = set()
        for key, old in before.items():
            new = self._graph.nodes.get(key)
            for node, difference in ((old, -1), (new, 1)):
                if node is not None:
                    self._states[node.state] += difference
                    touched.add(node.state)
        for state in touched:
            metrics.VALUES.labels(str(state)).set(self._states[state])
        metrics.RETRYING.set(len(self._retries))
        record.executed += waiting_operations(before, self._graph)
        record.errors = dict(sorted(record.errors.items()))
        self.history.end(record)
        self.timeline.note(before, self._graph, record.seq, record.stop)

    def _desired(self, key: str) -> Any | None:
        node = self._graph.nodes.get(key)
        return None if node is None or node.base else node.desired

    def _want(self, changes: Mapping[str, Any | None]) -> dict[str, None]:
        touched: dict[str, None] = {}
        for key in sorted(changes):
            touched.update(dict.fromkeys(self._graph.want(key, changes[key])))
            self._retries.forget(key)
        return touched

    async def _take_back(self, before: Mapping[str, Any | None], run: Waves, record: Transaction) -> None:
        record.reverted = True
        touched = dict.fromkeys(run.seen)
        touched.update(dict.fromkeys(await read(self._graph, run.failed)))
        touched.update(self._want(before))
        back = await execute(self._graph, touched, record, is_revert=True)
        await self._settle(back, record, is_revert=True)

    async def _settle(self, run: Waves, record: Transaction, *, is_revert: bool = False) -> dict[str, str]:
        """Looks up what failed, does what follows from it, and schedules the retries; returns what stays failed."""
        failed = dict(run.failed)
        news = failed
        released: set[str] = set()
        while news:
            touched = await read(self._graph, news)
            # Once only: what is as wanted may have lost its ground, and fail to be taken away again and again.
            mended = [key for key in news if key not in released and self._is_as_wanted(key)]
            released.update(mended)
            for key in mended:
                failed.pop(key, None)
                if (node := self._graph.nodes.get(key)) is not None:
                    touched += node.derived
            again = await execute(self._graph, [*mended, *touched], record, failed=failed, is_revert=is_revert)
            news = {key: error for key, error in again.failed.items() if key not in failed}
            failed.update(news)
        for key in failed:
            if key in self._graph.nodes:
                self._retries.schedule(self._graph.touch(key))
        return failed

    def _is_as_wanted(self, key: str) -> bool:
        node = self._graph.nodes.get(key)
        return node is None or node.is_right

    async def _resync(self, desired: Mapping[str, Any], record: Transaction, *, refresh: bool) -> Result:
        nodes = self._graph.nodes
        problems: dict[str, str] = {}
        touched: dict[str, None] = {}
        if refresh:
            problems, found = await read_all(self._graph)
            touched.update(dict.fromkeys(found))
        changes: dict[str, Any | None] = {
            key: value
            for key, value in desired.items()
            if (node := nodes.get(key)) is None or node.base or not (node.desired is value or node.desired == value)
        }
        for key, node in nodes.items():
            if node.desired is not None and not node.base and key not in desired:
                changes[key] = None
        record.values = dict(changes)
        touched.update(self._want(changes))
        for key, node in nodes.items():
            if not node.is_right or node.state is not ValueState.CONFIGURED:
                touched[key] = None
                if node.attempts:
                    self._graph.touch(key).attempts = 0
        record.errors = problems
        failed = await self._settle(await execute(self._graph, touched, record), record)
        record.errors = {**problems, **failed}
        return _result(record)


def _result(record: Transaction) -> Result:
    return Result(record.seq, dict(sorted(record.errors.items())), record.operations, record.reverted)
