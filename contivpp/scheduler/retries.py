"""When what failed is tried again: after a delay that doubles with every attempt, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from contivpp.scheduler.graph import Node
from contivpp.scheduler.state import ValueState

_LONGEST = 600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed value is tried again.

    Attributes:
        delay: seconds before the first attempt.
        attempts: how many there are; 0 for none, None for no end.
        exponential: whether each delay is twice the one before; at most ten minutes.
    """

    delay: float = 1.0
    attempts: int | None = 3
    exponential: bool = True

    def delay_of(self, attempt: int) -> float:
        """Seconds before the attempt with this number, counted from 1."""
        if not self.exponential:
            return self.delay
        return min(self.delay * 2.0 ** min(attempt - 1, 60), max(_LONGEST, self.delay))


class Retries:
    """Which values are due when."""

    def __init__(self, retry: Retry, clock: Callable[[], float]) -> None:
        """Takes the rule, and a clock in seconds."""
        self._retry = retry
        self._clock = clock
        self._due: dict[str, float] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def schedule(self, node: Node) -> None:
        """Notes a failure of a value: it will be tried again, or stays failed."""
        node.attempts += 1
        if node.retriable and (self._retry.attempts is None or node.attempts <= self._retry.attempts):
            node.state = ValueState.RETRYING
            self._due[node.key] = self._clock() + self._retry.delay_of(node.attempts)
            self._changed.set()
        else:
            node.state = ValueState.FAILED
            self._due.pop(node.key, None)

    def forget(self, key: str) -> None:
        """The value changed: what failed is history."""
        self._due.pop(key, None)

    def due(self, now: float | None) -> list[str]:
        """Takes out what is due, sorted."""
        moment = self._clock() if now is None else now
        found = sorted(key for key, when in self._due.items() if when <= moment)
        for key in found:
            del self._due[key]
        return found

    async def wait(self) -> None:
        """Waits until something is due."""
        while True:
            self._changed.clear()
            if not self._due:
                await self._changed.wait()
                continue
            left = min(self._due.values()) - self._clock()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return
