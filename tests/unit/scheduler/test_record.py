"""What is remembered: transactions with what was planned, done and undone, and values over time."""

from __future__ import annotations

import dataclasses

import pytest

from contivpp.scheduler import pictures, records
from contivpp.scheduler.history import History, Limits
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState
from tests.unit.scheduler.plane import Plane, Thing

LINK = Thing("link/a")
ADDRESS = Thing("address/a", needs=("link/a",))
ROUTE = Thing("route/a", needs=("address/a",))


@dataclasses.dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def things(*values: Thing) -> dict[str, Thing]:
    return {value.key: value for value in values}


def scheduler_of(plane: Plane, clock: Clock | None = None, limits: Limits | None = None) -> Scheduler:
    return Scheduler(
        plane.descriptors("link", "address", "route"), wall_clock=clock or Clock(), limits=limits or Limits()
    )


async def test_a_failed_transaction_shows_what_was_planned_done_and_undone() -> None:
    plane = Plane(refuse={"route/a": "no such gateway"})
    scheduler = scheduler_of(plane)
    result = await scheduler.commit(things(LINK, ADDRESS, ROUTE), description="add a pod", revert_on_failure=True)
    record = scheduler.history[result.seq]
    assert record.planned is not None
    assert [(str(one.operation), one.key) for one in record.planned] == [
        ("create", "link/a"),
        ("create", "address/a"),
        ("create", "route/a"),
    ]
    assert [(str(one.operation), one.key, one.new_err_msg, one.is_revert) for one in record.executed] == [
        ("create", "link/a", "", False),
        ("create", "address/a", "", False),
        ("create", "route/a", "no such gateway", False),
        ("delete", "address/a", "", True),
        ("delete", "link/a", "", True),
    ]
    shown = records.transaction(record)
    assert (shown["Reverted"], shown["Errors"]) == (True, {"route/a": "no such gateway"})
    text = records.text([record])
    for line in (
        "planned  create route/a",
        "executed create route/a -> FAILED : no such gateway",
        "undone   delete link/a",
    ):
        assert line in text


async def test_a_plan_does_nothing_and_changes_nothing() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, Thing("route/b", below="address/")))
    before = scheduler.status()
    planned = await scheduler.plan({**things(ADDRESS, ROUTE), "link/a": Thing("link/a", content=1)})
    assert [(str(one.operation), one.key) for one in planned] == [
        ("create", "address/a"),
        ("update", "link/a"),
        ("create", "route/a"),
        ("create", "route/b"),
    ]
    assert (scheduler.status(), plane.there) == (before, things(LINK))
    assert {one.key for one in await scheduler.plan({"link/a": None})} == {"link/a"}
    assert (await scheduler.commit(things(ADDRESS, ROUTE))).executed == 3


async def test_a_value_that_waits_is_in_the_record_with_what_it_waits_for() -> None:
    scheduler = scheduler_of(Plane())
    result = await scheduler.commit(things(ADDRESS))
    [operation] = scheduler.history[result.seq].executed
    assert (operation.noop, operation.new_state, operation.new_err_msg) == (True, "PENDING", "waits for: link/a")
    assert result.executed == 0


async def test_a_value_is_remembered_as_it_was_at_every_moment() -> None:
    plane, clock = Plane(), Clock()
    scheduler = scheduler_of(plane, clock)
    await scheduler.commit(things(ADDRESS))
    waiting = clock.now
    await scheduler.commit(things(LINK))
    made = clock.now
    await scheduler.commit({"address/a": None})
    states = [(one.state, one.available, bool(one.until)) for one in scheduler.key_timeline("address/a")]
    assert states == [(ValueState.PENDING, False, True), (ValueState.CONFIGURED, True, True)]
    assert {one.key: one.state for one in scheduler.snapshot(waiting)} == {"address/a": ValueState.PENDING}
    assert {one.key: str(one.state) for one in scheduler.snapshot(made)} == {
        "address/a": "CONFIGURED",
        "link/a": "CONFIGURED",
    }
    assert [one.key for one in scheduler.snapshot()] == ["link/a"]


async def test_what_is_too_old_or_too_much_is_forgotten_and_said_to_be() -> None:
    plane, clock = Plane(), Clock()
    scheduler = scheduler_of(plane, clock, Limits(age=100, first=10, revisions=50))
    await scheduler.commit(things(LINK))
    early = scheduler.history.started
    clock.now += 50
    await scheduler.commit(things(Thing("link/a", content=1)))
    clock.now += 500
    await scheduler.commit(things(Thing("link/a", content=2)))
    assert [one.seq for one in scheduler.history] == [1, 3], "the first period is kept whatever its age"
    for content in range(3, 60):
        await scheduler.commit(things(Thing("link/a", content=content)))
    assert len(scheduler.key_timeline("link/a")) == 51
    with pytest.raises(ValueError, match="values are remembered since"):
        scheduler.snapshot(early)


def test_the_history_is_bounded_by_the_number_and_size_of_transactions() -> None:
    history = History(Limits(transactions=3, operations=20))
    for number in range(5):
        history.end(history.begin("NBTransaction", "", {f"link/{number}": LINK}))
    assert [one.seq for one in history] == [3, 4, 5]
    history.end(history.begin("NBTransaction", "", {f"link/{number}": LINK for number in range(17)}))
    assert [one.seq for one in history] == [5, 6]
    history.end(history.begin("NBTransaction", "", {f"link/{number}": LINK for number in range(1000)}))
    assert [one.seq for one in history] == [7], "the newest is always kept"
    with pytest.raises(KeyError):
        history[5]


async def test_the_picture_shows_every_value_and_what_is_missing() -> None:
    scheduler = scheduler_of(Plane())
    base = Thing("link/a", derived=(("up/a", 0), ("address/of-a", 0)))
    await scheduler.commit(things(base, Thing("route/a", needs=("address/of-a", 'link/"x"'), below="none/")))
    text = pictures.dot(scheduler.snapshot())
    assert '"route/a" -> "address/of-a"' in text
    assert '"link/a" -> "address/of-a" [style=dashed]' in text
    assert '"route/a" -> "link/\\"x\\"" [label="link/\\"x\\"", color=red]' in text
    assert '"route/a" -> "none/*" [label="any", color=red]' in text
    assert 'label="properties"' in text
