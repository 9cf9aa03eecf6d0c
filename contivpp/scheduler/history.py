"""What every transaction was asked for, what was planned, done and undone, for people. Source: spec/agent.md 14.6.

Bounded by age and by size: what happened soon after the start is kept longer than the rest, as it explains most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from contivpp.scheduler.api import OperationKind, Outcome
from contivpp.scheduler.state import ValueState
from contivpp.scheduler.waves import Step


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is remembered.

    Attributes:
        age: seconds after which a transaction is forgotten.
        first: seconds from the start; transactions that began within them are kept whatever their age.
        transactions: how many at most; operations: how many there may be in all of them together.
        revisions: how many past states of values at most.
    """

    age: float = 24 * 3600
    first: float = 3600
    transactions: int = 5_000
    operations: int = 100_000
    revisions: int = 100_000


class RecordedOperation(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal", gc=False):
    """One operation that was planned, carried out or tried; `noop`: nothing could be done, see the state."""

    operation: OperationKind
    key: str
    new_value: Any = None
    prev_value: Any = None
    new_state: str = ""
    prev_state: str = ""
    new_err_msg: str = ""
    noop: bool = msgspec.field(name="NOOP", default=False)
    is_derived: bool = False
    is_revert: bool = False
    is_retry: bool = False
    is_recreate: bool = False


class Transaction(msgspec.Struct):
    """One transaction; times in seconds since the epoch.

    Attributes:
        kind: "NBTransaction", "SBNotification" or "RetryFailedOps".
        resync: "", "FullResync", "UpstreamResync" or "DownstreamResync".
        values: what was asked for, None for a deletion; for a resync only what differed.
        planned: what it would do if everything went well; None when nothing was planned.
        executed: what was done, in its order, what was undone included.
        errors: by key.
        reverted: everything it asked for was taken back.
    """

    seq: int
    kind: str
    resync: str
    description: str
    start: float
    stop: float = 0.0
    values: Mapping[str, Any] = {}
    planned: list[RecordedOperation] | None = None
    executed: list[RecordedOperation] = []
    errors: Mapping[str, str] = {}
    reverted: bool = False

    @property
    def operations(self) -> int:
        """How many operations were handed to descriptors."""
        return sum(1 for one in self.executed if not one.noop)

    @property
    def size(self) -> int:
        """What it counts for the limit of the history."""
        return 1 + len(self.values) + len(self.executed) + len(self.planned or ())


class History:
    """The transactions of late, by their numbers."""

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.time) -> None:
        """Takes how much to remember, and the wall clock."""
        self.limits = limits
        self.clock = clock
        self.started = clock()
        self._early: deque[Transaction] = deque()
        self._late: deque[Transaction] = deque()
        self._size = 0
        self._seq = 0

    def __iter__(self) -> Iterator[Transaction]:
        """Oldest first."""
        return iter((*self._early, *self._late))

    def __len__(self) -> int:
        return len(self._early) + len(self._late)

    def __getitem__(self, seq: int) -> Transaction:
        """The transaction with a number.

        Raises:
            KeyError: it is not recorded, or no longer.
        """
        for transaction in self:
            if transaction.seq == seq:
                return transaction
        raise KeyError(seq)

    def begin(self, kind: str, description: str, values: Mapping[str, Any], *, resync: str = "") -> Transaction:
        """A new transaction with the next number; it is in the history once it ended."""
        self._seq += 1
        return Transaction(self._seq, kind, resync, description, self.clock(), values=dict(values))

    def end(self, transaction: Transaction) -> None:
        """Records a transaction, and forgets what is too old or too much."""
        transaction.stop = now = self.clock()
        early = transaction.start <= self.started + self.limits.first
        (self._early if early else self._late).append(transaction)
        self._size += transaction.size
        while self._late and self._late[0].stop < now - self.limits.age:
            self._size -= self._late.popleft().size
        while len(self) > 1 and (len(self) > self.limits.transactions or self._size > self.limits.operations):
            self._size -= (self._late if len(self._late) > 1 else self._early or self._late).popleft().size


def recorded(step: Step, outcome: Outcome, *, is_revert: bool = False, is_retry: bool = False) -> RecordedOperation:
    """What is remembered of a step that was carried out."""
    operation, node = step.operation, step.node
    return RecordedOperation(
        operation=operation.kind,
        key=operation.key,
        new_value=None if operation.kind is OperationKind.DELETE else operation.value,
        prev_value=operation.previous,
        new_state=str(ValueState.FAILED if outcome.error else _STATE_AFTER[operation.kind]),
        new_err_msg=outcome.error,
        is_derived=bool(node.base),
        is_revert=is_revert,
        is_retry=is_retry,
        is_recreate=step.recreates,
    )


_STATE_AFTER = {
    OperationKind.CREATE: ValueState.CONFIGURED,
    OperationKind.UPDATE: ValueState.CONFIGURED,
    OperationKind.DELETE: ValueState.REMOVED,
}
