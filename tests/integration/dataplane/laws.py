"""What holds for every value of VPP: it is found as it was made, a restart has nothing to do, and it goes again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.vpp import found, keyed


async def commit(scheduler: Scheduler, changes: dict[str, Any]) -> None:
    """Carries out changes, none of which may fail."""
    assert dict((await scheduler.commit(changes)).errors) == {}


async def assert_lives(plane: VppDataplane, values: Iterable[Any], changes: Iterable[Any] = ()) -> None:
    """Makes values, changes some, and takes all away, each time looking at what is there; all of it twice."""
    before, wanted = await found(plane), keyed(list(values))
    for _ in range(2):
        scheduler = Scheduler(plane.descriptors())
        await commit(scheduler, wanted)
        assert scheduler.summary() == {"CONFIGURED": len(wanted)}
        assert await found(plane) == before | wanted
        again = await Scheduler(plane.descriptors()).resync(wanted)
        assert (dict(again.errors), again.executed) == ({}, 0), "a restart has nothing to do"
        lived = dict(wanted)
        for change in changes:
            assert lived[change.key] != change
            lived[change.key] = change
            await commit(scheduler, {change.key: change})
            assert await found(plane) == before | lived
        await commit(scheduler, dict.fromkeys(wanted))
        assert await found(plane) == before


async def assert_refused(plane: VppDataplane, values: Iterable[Any], wrong: Any, why: str) -> None:
    """Makes values of which one is wrong: that one fails, for the reason named, and all others are there."""
    wanted = keyed(list(values))
    scheduler = Scheduler(plane.descriptors())
    await scheduler.commit(wanted | {wrong.key: wrong})
    troubles = scheduler.troubles()
    assert set(troubles) == {wrong.key}
    assert why in troubles[wrong.key], troubles
    assert await found(plane) == wanted
