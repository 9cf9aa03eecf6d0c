"""What others want never hurts what the agent wants."""

from __future__ import annotations

from typing import Any

from contivpp.agent.external.sparing import SparingScheduler
from contivpp.scheduler.retries import Retry
from contivpp.scheduler.state import ValueState
from tests.unit.scheduler.plane import Plane, Thing

POD = {value.key: value for value in (Thing("link/pod"), Thing("address/pod", needs=("link/pod",)))}


class Wanted:
    """What others want, by key."""

    def __init__(self, *values: Thing) -> None:
        self.values: dict[str, Any] = {value.key: value for value in values}
        self.departed: set[str] = set()

    def is_external(self, key: str) -> bool:
        return key in self.values or key in self.departed

    def value(self, key: str) -> Any | None:
        return self.values.get(key)


def scheduler_of(plane: Plane, wanted: Wanted) -> SparingScheduler:
    scheduler = SparingScheduler(
        plane.descriptors("link", "address", "route"), retry=Retry(delay=1, attempts=2), clock=lambda: 0
    )
    scheduler.wants = wanted
    return scheduler


async def test_a_pod_is_connected_although_what_others_put_on_its_link_fails_in_every_wave() -> None:
    first, then = Thing("route/first", needs=("link/pod",)), Thing("route/then", needs=("address/pod",))
    plane, wanted = Plane(refuse={"route/first": "no", "route/then": "no"}), Wanted(first, then)
    scheduler = scheduler_of(plane, wanted)
    await scheduler.commit(wanted.values)
    result = await scheduler.commit(POD, description="add pod", revert_on_failure=True)
    assert (dict(result.errors), result.reverted) == ({}, False)
    assert plane.there == POD
    assert scheduler.state_of("route/first") is ValueState.RETRYING
    assert "no" in str(scheduler.status("route/first"))
    plane.refuse.clear()
    await scheduler.retry(now=100)
    assert plane.there == {**POD, **wanted.values}


async def test_a_pod_that_fails_by_itself_is_taken_back_as_ever() -> None:
    other = Thing("route/other", needs=("link/pod",))
    plane, wanted = Plane(refuse={"route/other": "no", "address/pod": "full"}), Wanted(other)
    scheduler = scheduler_of(plane, wanted)
    await scheduler.commit(wanted.values)
    result = await scheduler.commit(POD, revert_on_failure=True)
    assert (dict(result.errors), result.reverted) == ({"address/pod": "full"}, True)
    assert plane.there == {}
    assert scheduler.state_of("route/other") is ValueState.PENDING


async def test_failures_of_others_alone_are_not_told_and_stay_in_the_status() -> None:
    plane, wanted = Plane(refuse={"link/theirs": "no"}), Wanted(Thing("link/theirs"))
    scheduler = scheduler_of(plane, wanted)
    assert (await scheduler.commit(wanted.values)).errors == {}
    assert (await scheduler.resync({**POD, **wanted.values})).errors == {}
    assert (await scheduler.downstream_resync()).errors == {}
    assert scheduler.troubles() == {}
    assert scheduler.status("link/theirs")[0]["value"]["error"] == "no"
    plane.refuse["link/pod"] = "busy"
    assert (await scheduler.commit({"link/pod": Thing("link/pod", 2)})).errors == {"link/pod": "busy"}


async def test_a_key_that_others_gave_up_is_theirs_until_nothing_is_left_of_it() -> None:
    plane, wanted = Plane(), Wanted(Thing("link/theirs"))
    scheduler = scheduler_of(plane, wanted)
    await scheduler.commit(wanted.values)
    plane.refuse["link/theirs"] = "busy"
    wanted.values, wanted.departed = {}, {"link/theirs"}
    assert (await scheduler.commit({"link/theirs": None})).errors == {}
    assert wanted.departed == {"link/theirs"}
    plane.refuse.clear()
    assert (await scheduler.resync(POD)).errors == {}
    assert wanted.departed == set()
