"""Tracing one flow at a time, whatever data plane catches its packets.

A trace ends when it is asked for what it caught, or by itself when its time is over; whoever began it may be gone by
then. How packets are caught is the data plane's: it gives a `Capture`, which also says when it is lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from contivpp.model.trace import Flow, TracedPacket

log = logging.getLogger(__name__)

LIMIT: Final = 200
"""Packets that a trace keeps: with VPP per input, with the kernel in all."""
LONGEST: Final = 300.0
"""Seconds that a trace may last."""


def key_of(protocol: str, *numbers: int) -> str:
    """The key of a traced packet, the same on every node whatever forwards there.

    Args:
        protocol: "TCP", "UDP", "ICMP" or "ICMP6".
        numbers: the identification in the IPv4 header, then of TCP the sequence number, the acknowledged one, the flags
            and the window; of UDP the length; of ICMP the checksum.
    """
    return " ".join((protocol, *(f"{number:x}" for number in numbers)))


class TraceError(Exception):
    """The data plane is away, or cannot trace; says why."""


class TraceBusyError(Exception):
    """Another flow is being traced; says until when at the latest."""


class NoTraceError(Exception):
    """There is no such trace: it was never begun, or its time was over."""


class Capture(Protocol):
    """What catches the packets of a flow, from the moment it is made."""

    @property
    def lost(self) -> bool:
        """Whether what was caught is gone, with the data plane that caught it."""

    async def packets(self) -> list[TracedPacket]:
        """What was caught until now, in the order of time.

        Raises:
            TraceError: it is lost.
        """

    async def stop(self) -> None:
        """Catches no more, and leaves nothing behind.

        Raises:
            TraceError: the data plane is away.
        """


@dataclass(frozen=True, slots=True)
class _Trace:
    """A trace that is running; it ends by itself at a time of the event loop."""

    id: str
    capture: Capture
    ends: float


class Tracer:
    """The traces of one node: one at a time."""

    def __init__(self, start: Callable[[Sequence[Flow]], Awaitable[Capture]]) -> None:
        """Takes what begins to catch packets of flows; it may raise `TraceError`, and leaves nothing behind then."""
        self._start = start
        self._lock = asyncio.Lock()
        self._running: _Trace | None = None
        self._ending: asyncio.Task[None] | None = None

    async def begin(self, flows: Sequence[Flow], seconds: float) -> str:
        """Traces a flow from now on, for so many seconds at most; returns the name of the trace.

        Args:
            flows: the flow, and what may become of it on the way: of the same protocol and IP version.
            seconds: after which it ends by itself.

        Raises:
            TraceBusyError: another one is under way.
            TraceError: the data plane is away, or cannot do that.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._running is not None and not self._running.capture.lost:
                left = self._running.ends - loop.time()
                raise TraceBusyError(f"another flow is being traced here, for {max(left, 0):.0f} s more at most")
            seconds = min(seconds, LONGEST)
            trace = _Trace(secrets.token_hex(8), await self._start(flows), loop.time() + seconds)
            self._running = trace
            self._ending = asyncio.create_task(self._end_later(trace, seconds), name="trace")
            return trace.id

    async def end(self, name: str) -> list[TracedPacket]:
        """What a trace caught; it is over, however this ends.

        Raises:
            NoTraceError: there is none of this name any more.
            TraceError: the data plane went away meanwhile.
        """
        async with self._lock:
            trace = self._running
            if trace is None or trace.id != name:
                raise NoTraceError("there is no such trace: its time was over, or what traced has started anew")
            self._running = None
            if self._ending is not None:
                self._ending.cancel()
            try:
                return await trace.capture.packets()
            finally:
                await trace.capture.stop()

    async def close(self) -> None:
        """Ends what is running; nobody is told what it caught."""
        async with self._lock:
            if self._ending is not None:
                self._ending.cancel()
            await self._give_up()

    async def _end_later(self, trace: _Trace, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self._lock:
            if self._running is trace:
                await self._give_up()

    async def _give_up(self) -> None:
        trace, self._running = self._running, None
        if trace is not None:
            try:
                await trace.capture.stop()
            except TraceError as error:
                log.info("a trace that nobody asked for any more ended with its data plane: %s", error)
