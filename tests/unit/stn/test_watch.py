"""When a stolen NIC is given back, with a clock of the test's own."""

from __future__ import annotations

import pytest

from contivpp.stn.watch import Limits, Seen, Verdict, Watch

WELL = Seen(vpp=True, agent=True, ready=True, reached=True)
LIMITS = Limits(coming_up=60, grace=30, unreachable=20)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch(LIMITS, clock)


def test_health_confirms_at_once_and_a_word_is_waited_for(watch: Watch, clock: Clock) -> None:
    assert watch.coming_up(WELL, clock.now + 60, word=False) == Verdict(confirm=True)
    assert watch.coming_up(WELL, clock.now + 60, word=True) == Verdict()
    assert watch.coming_up(WELL, clock.now, word=True).reason == "nobody confirmed that the node is reached in time"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen(False, True, True, True), "VPP does not run in time"),
        (Seen(True, False, False, True), "the agent does not answer in time"),
        (Seen(True, True, True, False), "the gateway does not answer by way of VPP in time"),
        (Seen(True, True, False, None), "the agent is not ready in time"),
    ],
)
def test_what_is_missing_at_the_deadline_is_the_reason(watch: Watch, clock: Clock, seen: Seen, words: str) -> None:
    assert watch.coming_up(seen, clock.now + 1, word=False) == Verdict()
    assert watch.coming_up(seen, clock.now, word=False) == Verdict(reason=words)


def test_an_agent_need_not_be_ready_when_the_gateway_answers(watch: Watch, clock: Clock) -> None:
    assert watch.coming_up(Seen(True, True, False, True), clock.now + 60, word=False).confirm


def test_what_comes_back_within_the_grace_is_forgotten(watch: Watch, clock: Clock) -> None:
    gone = Seen(vpp=False, agent=True, ready=True, reached=False)
    for _ in range(19):
        assert watch.later(gone) == Verdict()
        clock.now += 1
    assert watch.later(WELL) == Verdict()
    for _ in range(19):
        assert watch.later(gone) == Verdict()
        clock.now += 1


def test_a_silent_gateway_alone_is_not_yet_vpps_fault(watch: Watch, clock: Clock) -> None:
    for _ in range(20):
        assert watch.later(Seen(True, True, True, False)) == Verdict()
        clock.now += 1
    verdict = watch.later(Seen(True, True, True, False))
    assert verdict == Verdict(reason="the gateway does not answer by way of VPP for 20 s", gateway=True)


def test_with_a_dead_agent_it_is(watch: Watch, clock: Clock) -> None:
    for _ in range(30):
        watch.later(Seen(True, False, False, False))
        clock.now += 1
    verdict = watch.later(Seen(True, False, False, False))
    assert "the agent does not answer for 30 s" in verdict.reason
    assert not verdict.gateway


def test_a_machine_that_was_asleep_is_looked_at_again_first(watch: Watch, clock: Clock) -> None:
    gone = Seen(vpp=False, agent=True, ready=True, reached=True)
    watch.later(gone)
    clock.now += 3600
    assert watch.later(gone) == Verdict()
    assert watch.later(gone).reason == "VPP does not run for 30 s"
