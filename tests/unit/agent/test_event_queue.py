"""The queues: follow-ups first, what acts waits, pushers wait, and a deadlock is an error."""

from __future__ import annotations

import asyncio

import pytest

from contivpp.agent.event_queue import DeadlockError, EventQueue, TooManyFollowUpsError
from contivpp.agent.events import HostChanged, NodeConfigChanged, PodDeleted, ResyncWanted, VerificationWanted
from contivpp.agent.pods.api import NotReadyError
from tests.unit.agent.world import sandbox


def host(number: int) -> HostChanged:
    return HostChanged(((f"eth{number}", "10.0.0.1/24", 1500),))


def pod() -> PodDeleted:
    return PodDeleted(sandbox("a"), asyncio.get_running_loop().create_future())


async def test_follow_ups_come_before_what_waited_longer_and_know_their_cause() -> None:
    queue = EventQueue()
    await queue.push(host(1))
    await queue.push(host(2))
    queue.follow(NodeConfigChanged(), 7)
    queue.follow(VerificationWanted(), 8)
    popped = [await queue.pop() for _ in range(4)]
    assert [(queued.event, queued.caused_by) for queued in popped] == [
        (NodeConfigChanged(), 7),
        (VerificationWanted(), 8),
        (host(1), 0),
        (host(2), 0),
    ]


async def test_what_acts_waits_for_the_first_resync_and_keeps_its_order() -> None:
    queue = EventQueue()
    held = [ResyncWanted("one"), pod(), ResyncWanted("two")]
    for event in held:
        await queue.push(event)
    await queue.push(host(1))
    assert (await queue.pop()).event == host(1)
    assert queue.held == len(queue) == 3
    queue.release()
    await queue.push(host(2))
    assert [(await queue.pop()).event for _ in range(4)] == [*held, host(2)]


async def test_whoever_pushes_waits_while_the_queue_is_full_and_nothing_is_lost() -> None:
    queue = EventQueue(limit=2)
    pushers = [asyncio.create_task(queue.push(host(number))) for number in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert [pusher.done() for pusher in pushers] == [True, True, False, False, False]
    assert [(await queue.pop()).event for _ in range(5)] == [host(number) for number in range(5)]
    await asyncio.gather(*pushers)


async def test_a_pop_waits_for_a_push() -> None:
    queue = EventQueue()
    popping = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    assert not popping.done()
    await queue.push(host(1))
    assert (await popping).event == host(1)


async def test_an_event_that_is_pushed_while_one_is_handled_follows_it() -> None:
    queue = EventQueue(limit=1)
    await queue.push(host(1))
    queue.handling(5)
    await queue.push(host(2))
    queue.handling(None)
    assert ((queued := await queue.pop()).event, queued.caused_by) == (host(2), 5)


async def test_waiting_inside_the_loop_for_the_loop_is_an_error() -> None:
    queue = EventQueue()
    queue.release()
    queue.handling(5)
    with pytest.raises(DeadlockError, match="event #5 is being handled, and wants to wait for .* Delete Pod default/a"):
        await queue.push(pod())
    await asyncio.create_task(queue.push(pod()))  # another task may wait
    assert len(queue) == 1


async def test_events_that_cause_each_other_without_end_are_an_error() -> None:
    queue = EventQueue(limit=3)
    for _ in range(3):
        queue.follow(NodeConfigChanged(), 1)
    with pytest.raises(TooManyFollowUpsError, match="3 follow-up events wait already"):
        queue.follow(NodeConfigChanged(), 1)


async def test_too_many_that_wait_for_the_first_resync_are_refused_and_the_others_still_come_in() -> None:
    queue = EventQueue(limit=2)
    events = [pod() for _ in range(3)]
    for event in events:
        await queue.push(event)
    with pytest.raises(NotReadyError, match="too many events wait for the first resync; try again"):
        events[2].done.result()
    await queue.push(host(1))
    assert (await queue.pop()).event == host(1)


async def test_a_closed_queue_answers_everybody() -> None:
    queue = EventQueue(limit=1)
    queue.release()
    waiting = pod()
    await queue.push(waiting)
    pushers = [asyncio.create_task(queue.push(host(number))) for number in range(3)]
    await asyncio.sleep(0)
    queue.close("the agent is stopping")
    for result in await asyncio.gather(*pushers, return_exceptions=True):
        assert isinstance(result, NotReadyError)
    with pytest.raises(NotReadyError, match="Delete Pod default/a.*: the agent is stopping; try again"):
        waiting.done.result()
    assert len(queue) == 0
