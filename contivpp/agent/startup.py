"""The start of an agent: nothing is touched before it is known what should be there, and that may not take for ever.

If the first resync has not run within `startupResyncDeadline`, liveness answers 500 with what is missing, whoever
waits in the queue is told to try again, and the agent goes on waiting. It does not end, as the original does, for
that would not help: what is missing is outside. A node that Kubernetes does not know yet would restart for as long
as nobody registers it, with a fresh back-off each time and a log in which the reason drowns; an agent that
waits is in sync a moment after the record comes. An operator, or a kubelet that looks at liveness, may restart it
at any time: that costs nothing, and repairs nothing that waiting would not. Source: spec/agent.md 2.2, 2.4.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from contivpp.agent.controller import Controller

log = logging.getLogger(__name__)


class Startup:
    """Watches the time until the first resync; `run` is a root task."""

    def __init__(self, controller: Controller, deadline: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the controller, and how many seconds from now the first resync may take; `clock` is in seconds."""
        self._controller = controller
        self._deadline = deadline
        self._clock = clock
        self._started = clock()

    def why_not_alive(self) -> str:
        """One sentence on what is missing when the deadline has passed; empty when all is well."""
        controller = self._controller
        if controller.ready.is_set() or self._clock() - self._started < self._deadline:
            return ""
        return f"no resync within the first {self._deadline:g} s (startupResyncDeadline): {controller.why_not_ready()}"

    async def run(self) -> None:
        """Speaks up when the deadline passes, and then leaves it at that."""
        try:
            async with asyncio.timeout(self._deadline):
                await self._controller.ready.wait()
        except TimeoutError:
            self.expire()
        await asyncio.Event().wait()

    def expire(self) -> None:
        """The deadline passed without a resync."""
        reason = self._controller.why_not_ready()
        log.error("no resync within %g s of the start, still waiting: %s", self._deadline, reason)
        self._controller.queue.refuse_held(reason)
