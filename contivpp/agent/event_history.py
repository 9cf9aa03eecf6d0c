"""What the controller did, event by event, for people. Shapes: spec/agent.md 2.5.

Bounded by age and by number. What happened in the first minutes of the agent is kept whatever its age, for
that is what one asks for later, and counts only half of the number, so that it never crowds out the present.
The transaction of an event is not kept here but looked up in the scheduler's own history, which has a bound
of its own: an event may outlive it, and then keeps only its number.
"""

from __future__ import annotations

import bisect
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from contivpp.scheduler import records
from contivpp.scheduler.history import Transaction

LIMIT = 10_000
_MINUTE = 60.0


class Handling(msgspec.Struct, rename="pascal", kw_only=True):
    """What one feature had to say of an event.

    Attributes:
        revert: it took back what it had said before.
        change: how many values it rendered differently, and how many of those are gone.
        error_str: the errors of its values, with their keys.
    """

    handler: str
    revert: bool = False
    change: str = ""
    error: bool = False
    error_str: str = ""


class EventRecord(msgspec.Struct, rename="pascal", kw_only=True):
    """One handled event; times in seconds since the epoch.

    Attributes:
        follow_up_to: number of the event that caused this one; 0 when it is no follow-up.
        method: see `events.Method`.
        txn_error: why the transaction failed as a whole, or its errors by key, as text.
        txn_seq_num: number of the transaction in the scheduler's history; 0 when there was none.
    """

    seq_num: int
    processing_start: float
    processing_end: float = 0.0
    is_follow_up: bool = False
    follow_up_to: int = 0
    name: str = ""
    description: str = ""
    method: int = 0
    handlers: list[Handling] = []
    txn_error: str = ""
    txn_seq_num: int = 0


class EventHistory:
    """The events of the first minutes, and those of late."""

    def __init__(
        self,
        *,
        recording: bool = True,
        age_limit: float = 1440,
        init_period: float = 60,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes what is kept.

        Args:
            recording: whether anything is.
            age_limit: minutes for which an event is kept after its end.
            init_period: minutes after the start whose events are kept for ever.
            limit: number of events; half of it for those of the init period.
            clock: seconds since the epoch.
        """
        self._recording = recording
        self._age_limit = age_limit * _MINUTE
        self._clock = clock
        self._init_until = clock() + init_period * _MINUTE
        self._first: list[EventRecord] = []
        self._first_limit = limit // 2
        self._late: deque[EventRecord] = deque(maxlen=limit - self._first_limit)

    def __iter__(self) -> Iterator[EventRecord]:
        """Oldest first."""
        self._trim()
        return iter([*self._first, *self._late])

    def __len__(self) -> int:
        self._trim()
        return len(self._first) + len(self._late)

    def add(self, record: EventRecord) -> None:
        """Keeps the record of an event that was handled."""
        if not self._recording:
            return
        if record.processing_start <= self._init_until and len(self._first) < self._first_limit and not self._late:
            self._first.append(record)
        else:
            self._late.append(record)
        self._trim()

    def _trim(self) -> None:
        oldest = self._clock() - self._age_limit
        while self._late and self._late[0].processing_end < oldest:
            self._late.popleft()


def select(history: Iterable[EventRecord], query: Mapping[str, str]) -> list[EventRecord]:
    """The records that a query asks for, oldest first.

    Args:
        history: oldest first.
        query: "seq-num", else "since" and "until" (seconds since the epoch, either may be missing), else "from"
            and "to" (numbers, inclusive), else "first", else "last"; without any of them everything is meant.

    Raises:
        ValueError: a number is none, or of "from" and "to" one is missing.
        LookupError: no event with the number "seq-num" is recorded.
    """
    found = list(history)
    if "seq-num" in query:
        number = _number(query, "seq-num")
        place = bisect.bisect_left(found, number, key=lambda record: record.seq_num)
        if place == len(found) or found[place].seq_num != number:
            raise LookupError("event with such sequence number is not recorded")
        return [found[place]]
    if "since" in query or "until" in query:
        since = _moment(query, "since", 0.0)
        until = _moment(query, "until", float("inf"))
        if until < since:
            return []
        return [record for record in found if record.processing_end >= since and record.processing_start <= until]
    if "from" in query or "to" in query:
        if not ("from" in query and "to" in query):
            raise ValueError("from and to need each other: give both, or since and until")
        first, last = _number(query, "from"), _number(query, "to")
        return [record for record in found if first <= record.seq_num <= last]
    if "first" in query:
        return found[: _number(query, "first")]
    if "last" in query:
        count = _number(query, "last")
        return found[-count:] if count else []
    return found


def _number(query: Mapping[str, str], name: str) -> int:
    text = query[name]
    if not (text.isascii() and text.isdigit()):
        message = f"{name}={text}: must be a whole number, such as {name}=10"
        raise ValueError(message)
    return int(text)


def _moment(query: Mapping[str, str], name: str, default: float) -> float:
    if name not in query:
        return default
    try:
        moment = float(query[name])
    except ValueError:
        moment = float("nan")
    if math.isnan(moment):
        message = f"{name}={query[name]}: must be seconds since the epoch, such as {name}={int(time.time())}"
        raise ValueError(message)
    return moment


def as_json(record: EventRecord, transactions: Mapping[int, Transaction]) -> dict[str, Any]:
    """The record with its transaction, None when there was none or it is forgotten; times as RFC 3339."""
    entry: dict[str, Any] = msgspec.to_builtins(record)
    txn = transactions.get(record.txn_seq_num)
    return {
        **entry,
        "ProcessingStart": records.moment(record.processing_start),
        "ProcessingEnd": records.moment(record.processing_end),
        "Txn": None if txn is None else records.transaction(txn),
    }
