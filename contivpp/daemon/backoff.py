"""How long to wait before trying again: longer each time, and never in step with others."""

from __future__ import annotations

import random


class Backoff:
    """Delays that grow by `factor` from `first` to `limit` seconds, each spread by `jitter`."""

    def __init__(self, first: float, limit: float, *, factor: float = 2.0, jitter: float = 0.2) -> None:
        """Takes seconds; `jitter` 0.2 gives 80 to 120 percent of a delay."""
        self._first = first
        self._limit = limit
        self._factor = factor
        self._jitter = jitter
        self._delay = first

    def next(self) -> float:
        """Seconds to wait now."""
        delay = self._delay
        self._delay = min(delay * self._factor, self._limit)
        return delay * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - only to spread rivals

    def reset(self) -> None:
        """Starts from the first delay again: it worked."""
        self._delay = self._first
