from __future__ import annotations

import asyncio

from contivpp.scheduler.retries import Retry
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState
from tests.unit.scheduler.plane import Plane, Thing


def things(*values: Thing) -> dict[str, Thing]:
    return {value.key: value for value in values}


LINK = Thing("link/a")
ADDRESS = Thing("address/a", needs=("link/a",))
ROUTE = Thing("route/a", needs=("address/a",))


def scheduler_of(plane: Plane) -> Scheduler:
    return Scheduler(plane.descriptors("link", "address", "route"), retry=Retry(delay=1, attempts=2), clock=lambda: 0)


async def test_values_are_made_after_what_they_need_and_removed_before_it() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(ROUTE, LINK, ADDRESS))
    await scheduler.commit({"link/a": None, "address/a": None, "route/a": None})
    assert [key for _, key in plane.log] == [
        "link/a",
        "address/a",
        "route/a",
        "route/a",
        "address/a",
        "link/a",
    ]
    assert scheduler.summary() == {}


async def test_a_value_without_its_ground_waits_and_says_for_what() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    result = await scheduler.commit(things(ADDRESS))
    assert (dict(result.errors), plane.there) == ({}, {})
    [status] = scheduler.status("address/")
    assert status["value"] == {"key": "address/a", "state": "PENDING", "details": ["link/a"]}
    await scheduler.commit(things(LINK))
    assert scheduler.state_of("address/a") is ValueState.CONFIGURED


async def test_dependents_leave_with_their_ground_and_come_back_with_it() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, ADDRESS, ROUTE))
    await scheduler.commit({"link/a": None})
    assert plane.there == {}
    assert scheduler.state_of("route/a") is ValueState.PENDING
    await scheduler.commit(things(LINK))
    assert set(plane.there) == {"link/a", "address/a", "route/a"}


async def test_a_recreated_value_takes_its_dependents_along() -> None:
    plane = Plane(recreate={"link/a"})
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, ADDRESS))
    plane.log.clear()
    await scheduler.commit(things(Thing("link/a", content=1)))
    assert plane.log == [
        ("delete", "address/a"),
        ("delete", "link/a"),
        ("create", "link/a"),
        ("create", "address/a"),
    ]


async def test_equal_values_cost_nothing() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK))
    assert (await scheduler.commit(things(LINK))).executed == 0


async def test_one_batch_per_descriptor_and_wave() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    links = [Thing(f"link/{n}") for n in range(50)]
    await scheduler.commit(things(*links, *(Thing(f"address/{n}", needs=(f"link/{n}",)) for n in range(50))))
    assert (len(plane.there), plane.batches) == (100, 2)


async def test_derived_values_live_and_die_with_their_base() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    base = Thing("link/a", derived=(("link-peer/a", 1), ("address/d", 1)))
    await scheduler.commit(things(Thing("route/x", needs=("link-peer/a",)), base))
    assert set(plane.there) == {"link/a", "address/d", "route/x"}
    await scheduler.commit(things(Thing("link/a", derived=(("link-peer/a", 1),))))
    assert set(plane.there) == {"link/a", "route/x"}
    await scheduler.commit({"link/a": None})
    assert plane.there == {}


async def test_values_that_need_each_other_are_made_together() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    one, two = Thing("link/1", needs=("link/2",)), Thing("link/2", needs=("link/1", "address/a"))
    await scheduler.commit(things(one, two))
    assert plane.there == {}
    await scheduler.commit(things(Thing("address/a")))
    assert set(plane.there) == {"link/1", "link/2", "address/a"}
    await scheduler.commit({"address/a": None})
    assert plane.there == {}


async def test_any_value_below_a_prefix_will_do() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(Thing("route/a", below="link/"), Thing("link/1"), Thing("link/2")))
    await scheduler.commit({"link/1": None})
    assert set(plane.there) == {"link/2", "route/a"}
    await scheduler.commit({"link/2": None})
    assert plane.there == {}


async def test_a_failure_hurts_only_what_depends_on_it_and_is_retried_with_doubling_delay() -> None:
    plane = Plane(refuse={"link/a": "no such device"})
    scheduler = scheduler_of(plane)
    result = await scheduler.commit(things(LINK, ADDRESS, Thing("link/b")))
    assert dict(result.errors) == {"link/a": "no such device"}
    assert set(plane.there) == {"link/b"}
    assert scheduler.state_of("link/a") is ValueState.RETRYING
    assert await scheduler.retry(now=0.5) is None
    assert (await scheduler.retry(now=1)) is not None
    assert await scheduler.retry(now=1.5) is None
    plane.refuse.clear()
    assert (await scheduler.retry(now=2)) is not None
    assert set(plane.there) == {"link/a", "link/b", "address/a"}


async def test_attempts_end_and_what_cannot_succeed_is_not_tried_again() -> None:
    plane = Plane(refuse={"link/a": "busy", "link/b": "nonsense"}, for_good={"link/b"})
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, Thing("link/b")))
    assert scheduler.state_of("link/b") is ValueState.FAILED
    for _ in range(2):
        await scheduler.retry(now=100)
    assert scheduler.state_of("link/a") is ValueState.FAILED
    assert scheduler.troubles()["link/a"] == "FAILED: busy"


async def test_a_transaction_that_fails_is_taken_back_as_a_whole() -> None:
    plane = Plane(refuse={"route/a": "no"})
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK))
    changes = things(Thing("link/a", content=1), ADDRESS, ROUTE)
    result = await scheduler.commit(changes, revert_on_failure=True)
    assert (dict(result.errors), result.reverted) == ({"route/a": "no"}, True)
    assert plane.there == {"link/a": LINK}
    assert scheduler.summary() == {"CONFIGURED": 1}


async def test_a_value_whose_dependent_cannot_be_removed_stays() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, ADDRESS))
    plane.refuse["address/a"] = "busy"
    result = await scheduler.commit({"link/a": None, "address/a": None})
    assert set(result.errors) == {"link/a", "address/a"}
    assert set(plane.there) == {"link/a", "address/a"}
    plane.refuse.clear()
    await scheduler.retry(now=10)
    assert plane.there == {}


async def test_a_key_that_nobody_owns_is_said_to_be_unimplemented() -> None:
    scheduler = scheduler_of(Plane())
    await scheduler.commit(things(Thing("tunnel/a")))
    assert scheduler.state_of("tunnel/a") is ValueState.UNIMPLEMENTED


async def test_resync_removes_leftovers_keeps_what_is_right_and_makes_the_rest() -> None:
    plane = Plane(there=things(LINK, Thing("address/old"), Thing("route/a", content=9)))
    scheduler = scheduler_of(plane)
    await scheduler.resync(things(LINK, ADDRESS, ROUTE))
    assert plane.there == things(LINK, ADDRESS, ROUTE)
    assert ("create", "link/a") not in plane.log


async def test_what_vanished_behind_our_back_is_made_again() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, ADDRESS))
    plane.there.clear()
    await scheduler.downstream_resync()
    assert set(plane.there) == {"link/a", "address/a"}


async def test_what_others_made_is_good_ground_and_never_removed() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(ADDRESS))
    await scheduler.notify({"link/a": LINK})
    assert set(plane.there) == {"address/a"}
    await scheduler.notify({"link/a": None})
    assert plane.there == {}
    assert ("delete", "link/a") not in plane.log


async def test_the_root_task_retries_by_itself() -> None:
    plane = Plane(refuse={"link/a": "busy"})
    scheduler = Scheduler(plane.descriptors("link"), retry=Retry(delay=0.001, attempts=50))
    task = asyncio.create_task(scheduler.run())
    await scheduler.commit(things(LINK))
    plane.refuse.clear()
    while "link/a" not in plane.there:
        await asyncio.sleep(0.001)
    task.cancel()


async def test_a_descriptor_that_raises_fails_its_batch_and_nothing_else() -> None:
    plane = Plane()
    link, address = plane.descriptors("link", "address")

    async def broken(operations: object) -> None:
        raise RuntimeError("socket closed")

    link.apply = broken  # type: ignore[assignment, method-assign]
    scheduler = Scheduler([link, address])
    result = await scheduler.commit(things(LINK, Thing("address/b")))
    assert dict(result.errors) == {"link/a": "link: RuntimeError: socket closed"}
    assert set(plane.there) == {"address/b"}


async def test_what_lost_its_ground_and_cannot_be_taken_away_is_a_failure_and_no_endless_loop() -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    await scheduler.commit(things(LINK, ADDRESS))
    del plane.there["link/a"]
    plane.refuse.update({"link/a": "gone for good", "address/a": "busy"})
    result = await scheduler.downstream_resync()
    assert dict(result.errors) == {"link/a": "gone for good", "address/a": "busy"}
    assert scheduler.state_of("address/a") is ValueState.RETRYING
    plane.refuse.clear()
    await scheduler.retry(now=10)
    assert plane.there == things(LINK, ADDRESS)


async def test_of_two_leftovers_that_need_each_other_each_is_taken_away_once() -> None:
    one, two = Thing("link/0", needs=("link/1",)), Thing("link/1", needs=("link/0",))
    plane = Plane(there=things(one, two))
    scheduler = scheduler_of(plane)
    result = await scheduler.resync(things(Thing("link/1")))
    assert (dict(result.errors), plane.there) == ({}, things(Thing("link/1")))
    assert plane.log == [("delete", "link/0"), ("delete", "link/1"), ("create", "link/1")]
