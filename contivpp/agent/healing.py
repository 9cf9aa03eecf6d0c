"""When failures are healed, and how that relates to the scheduler's retries: the rule is here and nowhere else.

1. A value that failed belongs to the scheduler first. It tries again by itself, a few times and soon, and
   nothing but that value. That mends what was only a matter of time.
2. Healing takes over what retries could not mend. It is due `delayAfterErrorHealing` after the first failure, and
   however many failures come meanwhile there is one healing for all of them. When it is due it looks: if nothing
   is wrong any more, retries mended it and there is nothing to heal; while something is still being tried
   again, it waits as long once more; else everything is rendered anew and compared with the data plane.
3. A healing that leaves errors is tried again, each time after twice as long and at most every ten minutes. The
   agent does not end for it, as the original does: what is broken is outside (a namespace that is gone, a
   device that somebody else holds), a restart would find it unchanged, and meanwhile all other pods would
   lose their agent. Readiness says what is wrong until a healing leaves no error.
4. Periodic healing is a downstream resync: it trusts what was rendered and doubts only the data plane.

Source of delays and kinds: spec/agent.md 2.3 (steps 12 and 13), 2.4.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from contivpp.agent import metrics
from contivpp.agent.events import DownstreamResyncWanted, Event, HealingWanted, some
from contivpp.scheduler.state import ValueState

log = logging.getLogger(__name__)

LONGEST_DELAY = 600.0
_SHORTEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class HealingConfig:
    """Seconds from a failure to its healing, and between two periodic healings (0: none)."""

    delay: float = 5.0
    period: float = 0.0


class Troubles(Protocol):
    """What healing asks the scheduler."""

    def troubles(self) -> dict[str, str]:
        """What is wrong and cannot be mended by another value: "STATE: error" by key."""
        ...


class Healing:
    """Decides when to heal; `run` is a root task."""

    def __init__(
        self,
        config: HealingConfig,
        *,
        troubles: Troubles,
        follow: Callable[[Event, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes its delays and its surroundings.

        Args:
            config: the delays.
            troubles: what is wrong now.
            follow: pushes an event that follows from the one with a number.
            clock: in seconds.
        """
        self._config = config
        self._troubles = troubles
        self._follow = follow
        self._clock = clock
        self._delay = config.delay
        self._due: float | None = None
        self._cause: tuple[int, str] = (0, "")
        self._certain = False
        self._pushed = False
        self._periodic: float | None = None
        self._wake = asyncio.Event()
        self.problem = ""

    def started(self) -> None:
        """The first resync has run: from now on there is something to heal periodically."""
        self.compared()

    def compared(self) -> None:
        """A downstream resync has run: the period begins anew, so that they never pile up."""
        if self._config.period:
            self._periodic = self._clock() + self._config.period
            self._wake.set()

    def failed(self, errors: Mapping[str, str], *, caused_by: int, what: str) -> None:
        """The event with the number `caused_by` left errors, by key."""
        if not errors:
            return
        reason = f"{what}: {some([f'{key}: {error}' for key, error in errors.items()])}"
        if errors.keys() - self._troubles.troubles().keys():
            self._certain = True  # not the failure of a value, such as a part that cannot be read: nobody retries it
        if self._due is None and not self._pushed:
            self._due = self._clock() + self._delay
            self._cause = (caused_by, reason)
            log.warning("%s; healing in %.0f s unless trying again helps", reason, self._delay)
            self._wake.set()
        else:
            log.warning("%s; healing is scheduled already", reason)

    def healed(self, errors: Mapping[str, str], *, seq: int) -> None:
        """The event with the number `seq` rendered everything anew and compared it; it left these errors."""
        self._pushed = self._certain = False
        self._due = None
        if not errors:
            metrics.HEALINGS.labels("mended by healing").inc()
            self.problem = ""
            self._delay = self._config.delay
            return
        metrics.HEALINGS.labels("unmended").inc()
        self.failed(errors, caused_by=seq, what="a resync of everything left errors")
        shown = some([f"{key}: {error}" for key, error in errors.items()])
        self.problem = f"{len(errors)} values could not be mended ({shown}); the next attempt is in {self._delay:.0f} s"
        self._delay = min(self._delay * 2, max(LONGEST_DELAY, self._config.delay))

    def take(self, now: float) -> bool:
        """Pushes what is due; returns whether anything was."""
        pushed = False
        if self._periodic is not None and self._periodic <= now:
            self._periodic = None
            self._follow(DownstreamResyncWanted("the period of healing"), 0)
            pushed = True
        if self._due is None or self._due > now:
            return pushed
        states = self._troubles.troubles().values()
        if not states and not self.problem and not self._certain:
            log.info("trying again helped: nothing is left to heal")
            metrics.HEALINGS.labels("mended by retry").inc()
            self._due = None
            return pushed
        if any(state.startswith(ValueState.RETRYING) for state in states):
            self._due = now + max(self._config.delay, _SHORTEST_WAIT)
            return pushed
        self._due = None
        self._pushed = True
        seq, reason = self._cause
        self._follow(HealingWanted(reason), seq)
        return True

    async def run(self) -> None:
        """Pushes healings when they are due, for ever."""
        while True:
            self._wake.clear()
            times = [moment for moment in (self._due, self._periodic) if moment is not None]
            if not times:
                await self._wake.wait()
                continue
            try:
                async with asyncio.timeout(max(min(times) - self._clock(), 0)):
                    await self._wake.wait()
            except TimeoutError:
                self.take(self._clock())
