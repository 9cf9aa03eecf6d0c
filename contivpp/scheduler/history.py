"""What every transaction was asked for and what it did, for people. Source: spec/agent.md 14.6."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from contivpp.scheduler.api import OperationKind

HISTORY_LIMIT = 1000
OPERATIONS_LIMIT = 100_000


class ExecutedOperation(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """One operation that was carried out, or tried."""

    operation: OperationKind
    key: str
    new_value: Any = None
    prev_value: Any = None
    new_state: str = ""
    new_err_msg: str = ""
    is_derived: bool = False
    is_revert: bool = False
    is_retry: bool = False
    is_recreate: bool = False


class Transaction(msgspec.Struct, omit_defaults=True, rename="pascal"):
    """One transaction; times in seconds since the epoch."""

    seq_num: int
    txn_type: str
    description: str
    start: float
    stop: float = 0.0
    values: dict[str, Any] = {}
    executed: list[ExecutedOperation] = []
    errors: dict[str, str] = {}
    reverted: bool = False


class History:
    """The transactions of late: bounded by their number and by the operations in them."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Takes the wall clock."""
        self._clock = clock
        self._transactions: deque[Transaction] = deque()
        self._operations = 0
        self._seq = 0

    def __iter__(self) -> Iterator[Transaction]:
        """Oldest first."""
        return iter(tuple(self._transactions))

    def __len__(self) -> int:
        return len(self._transactions)

    def begin(self, kind: str, description: str, values: Mapping[str, Any]) -> Transaction:
        """A new transaction with the next number; it is in the history once it ended."""
        self._seq += 1
        return Transaction(self._seq, kind, description, self._clock(), values=dict(values))

    def end(self, transaction: Transaction) -> None:
        """Records a transaction and forgets the oldest ones when there are too many."""
        transaction.stop = self._clock()
        self._transactions.append(transaction)
        self._operations += len(transaction.executed)
        while len(self._transactions) > 1 and (
            len(self._transactions) > HISTORY_LIMIT or self._operations > OPERATIONS_LIMIT
        ):
            self._operations -= len(self._transactions.popleft().executed)
