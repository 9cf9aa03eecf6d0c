"""One trace at a time, and each of them ends: by its name, by its time, or with what catches its packets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from contivpp.dataplane.tracing import NoTraceError, TraceBusyError, TraceError, Tracer
from contivpp.model.trace import Flow, TracedPacket

FLOW = Flow("icmp", "10.1.1.2", "10.1.1.3", 7)


class Capture:
    """Catches nothing, and remembers whether it was stopped."""

    def __init__(self) -> None:
        self.lost = False
        self.stopped = 0
        self.problem = ""

    async def packets(self) -> list[TracedPacket]:
        if self.problem:
            raise TraceError(self.problem)
        return []

    async def stop(self) -> None:
        self.stopped += 1
        if self.problem:
            raise TraceError(self.problem)


class Plane:
    """Makes captures."""

    def __init__(self) -> None:
        self.made: list[Capture] = []
        self.problem = ""
        self.tracer = Tracer(self._start)

    async def _start(self, flows: Sequence[Flow]) -> Capture:
        assert flows == [FLOW]
        if self.problem:
            raise TraceError(self.problem)
        self.made.append(Capture())
        return self.made[-1]


async def test_only_one_runs_and_the_next_may_begin_when_it_was_ended() -> None:
    plane = Plane()
    first = await plane.tracer.begin([FLOW], 5)
    with pytest.raises(TraceBusyError, match="for 5 s more"):
        await plane.tracer.begin([FLOW], 5)
    assert await plane.tracer.end(first) == []
    assert plane.made[0].stopped == 1
    second = await plane.tracer.begin([FLOW], 5)
    with pytest.raises(NoTraceError):
        await plane.tracer.end(first)
    assert await plane.tracer.end(second) == []


async def test_what_nobody_ends_is_over_with_its_time() -> None:
    plane = Plane()
    name = await plane.tracer.begin([FLOW], 0.01)
    await asyncio.sleep(0.1)
    assert plane.made[0].stopped == 1
    with pytest.raises(NoTraceError):
        await plane.tracer.end(name)


async def test_one_that_is_lost_is_no_obstacle_and_its_end_does_not_end_the_next() -> None:
    plane = Plane()
    await plane.tracer.begin([FLOW], 0.05)
    plane.made[0].lost = True
    name = await plane.tracer.begin([FLOW], 5)
    await asyncio.sleep(0.1)
    assert (plane.made[0].stopped, plane.made[1].stopped) == (0, 0)
    assert await plane.tracer.end(name) == []


async def test_a_trace_that_could_not_begin_or_be_read_is_none() -> None:
    plane = Plane()
    plane.problem = "VPP is away"
    with pytest.raises(TraceError, match="VPP is away"):
        await plane.tracer.begin([FLOW], 5)
    plane.problem = ""
    name = await plane.tracer.begin([FLOW], 5)
    plane.made[0].problem = "VPP went away"
    with pytest.raises(TraceError, match="VPP went away"):
        await plane.tracer.end(name)
    assert plane.made[0].stopped == 1
    await plane.tracer.begin([FLOW], 5)


async def test_what_runs_is_stopped_when_its_node_stops() -> None:
    plane = Plane()
    name = await plane.tracer.begin([FLOW], 5)
    plane.made[0].problem = "and that it cannot be is no obstacle"
    await plane.tracer.close()
    assert plane.made[0].stopped == 1
    with pytest.raises(NoTraceError):
        await plane.tracer.end(name)
