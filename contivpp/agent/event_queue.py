"""The order in which events are handled.

Three queues feed one loop. Follow-ups, which the handling of an event pushes itself, come first: what an event
means is finished before the next one begins. Then what waited for the first resync, then everything else in the
order of its arrival. Whoever pushes from outside waits while the queue is full, so a flood slows its source down
and loses nothing. The loop itself cannot wait for its own queue: an event with a result that is pushed while an
event is handled would wait for ever, and raises instead. Source: spec/agent.md 2.2.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from contivpp.agent import metrics
from contivpp.agent.events import BaseEvent, Event, fail, waiter
from contivpp.agent.pods.api import NotReadyError

LIMIT = 1000


class DeadlockError(Exception):
    """The handling of an event wants to wait for another event: a fault in the program, not in the input."""


class TooManyFollowUpsError(Exception):
    """Events cause each other without end: a fault in the program, not in the input."""


@dataclass(frozen=True, slots=True)
class Queued:
    """An event in the queue; `caused_by` is the sequence number of the event that it follows, 0 for none."""

    event: Event
    caused_by: int = 0


class EventQueue:
    """The queues of one controller; used from one asyncio loop."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        """Takes how many events may wait in each queue."""
        self._limit = limit
        self._main: deque[Queued] = deque()
        self._follow_ups: deque[Queued] = deque()
        self._held: deque[Queued] = deque()
        self._room = asyncio.Semaphore(limit)
        self._news = asyncio.Event()
        self._holding = True
        self._closed = ""
        self._handling: tuple[asyncio.Task[Any] | None, int] | None = None

    def __len__(self) -> int:
        return len(self._main) + len(self._follow_ups) + len(self._held)

    @property
    def held(self) -> int:
        """How many of them wait for the first resync."""
        return len(self._held) if self._holding else 0

    # ---- for those who push

    async def push(self, event: Event) -> None:
        """Gives an event; one that is pushed while an event is handled follows that one.

        Raises:
            DeadlockError: it has a result, and is pushed by what would have to produce it.
            TooManyFollowUpsError: see `follow`.
            NotReadyError: the controller stops.
        """
        if self._handling is not None and asyncio.current_task() is self._handling[0]:
            seq = self._handling[1]
            if waiter(event) is not None:
                message = f"event #{seq} is being handled, and wants to wait for the result of {event.describe()}"
                raise DeadlockError(message)
            self.follow(event, seq)
            return
        if self._holding and event.acts and not self._closed:
            self._hold(Queued(event))
            return
        await self._room.acquire()
        if self._closed:
            self._room.release()  # the next one in line is to hear it too
            raise _not_ready(event, self._closed)
        self._main.append(Queued(event))
        self._tell()

    def follow(self, event: Event, caused_by: int) -> None:
        """Gives an event that follows from the one with the number `caused_by`, 0 when only its turn is now.

        Raises:
            TooManyFollowUpsError: as many as may be are waiting already.
        """
        if self._closed:
            return
        if len(self._follow_ups) >= self._limit:
            message = f"{len(self._follow_ups)} follow-up events wait already, and now comes {event.describe()}"
            raise TooManyFollowUpsError(message)
        self._follow_ups.append(Queued(event, caused_by))
        self._tell()

    # ---- for the loop

    async def pop(self) -> Queued:
        """The next event to be handled; waits for one."""
        while (queued := self._take()) is None:
            self._news.clear()
            await self._news.wait()
        self._tell()
        return queued

    def handling(self, seq: int | None) -> None:
        """Says which event the calling task handles now; None when it has finished."""
        self._handling = None if seq is None else (asyncio.current_task(), seq)

    def release(self) -> None:
        """The first resync has run: what waited for it is next."""
        self._holding = False
        self._tell()

    def refuse_held(self, reason: str) -> None:
        """Answers everybody who waits for the first resync; what nobody waits for is kept."""
        for queued in self._held:
            refuse(queued.event, reason)
        self._held = deque(queued for queued in self._held if waiter(queued.event) is None)
        self._tell()

    def close(self, reason: str) -> None:
        """Takes no more events, and answers everybody who waits."""
        self._closed = reason
        for queue in (self._follow_ups, self._held, self._main):
            for queued in queue:
                refuse(queued.event, reason)
            queue.clear()
        self._room.release()
        self._tell()

    def _take(self) -> Queued | None:
        if self._follow_ups:
            return self._follow_ups.popleft()
        if self._held and not self._holding:
            return self._held.popleft()
        if self._main:
            self._room.release()
            return self._main.popleft()
        return None

    def _hold(self, queued: Queued) -> None:
        """Held events take no room from those that the first resync needs; so they have a limit of their own."""
        if len(self._held) < self._limit:
            self._held.append(queued)
            self._tell()
        else:
            refuse(queued.event, "too many events wait for the first resync")

    def _tell(self) -> None:
        self._news.set()
        metrics.QUEUED.labels("main").set(len(self._main))
        metrics.QUEUED.labels("follow_up").set(len(self._follow_ups))
        metrics.QUEUED.labels("held").set(len(self._held))


def refuse(event: BaseEvent, reason: str) -> None:
    """Tells whoever waits for an event to try again."""
    done = waiter(event)
    if done is not None:
        fail(done, _not_ready(event, reason))


def _not_ready(event: BaseEvent, reason: str) -> NotReadyError:
    return NotReadyError(f"{event.describe()}: {reason}; try again")
