"""The six laws of the scheduler, against whatever order of wishes, faults and restarts hypothesis finds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contivpp.scheduler.retries import Retry
from contivpp.scheduler.scheduler import Result, Scheduler
from contivpp.scheduler.state import ValueState
from tests.unit.scheduler.faults import FaultyPlane
from tests.unit.scheduler.plane import Thing

KINDS = ("link", "address", "route")
KEYS = [f"{kind}/{number}" for kind in KINDS for number in range(3)]
FOREIGN = ["link/eth0", "link/eth1"]
FAILED = (ValueState.FAILED, ValueState.RETRYING)
Wishes = dict[str, Thing | None]


@st.composite
def things(draw: st.DrawFn) -> Thing:
    """Values of one kind may need each other in circles; links may derive an address and a property."""
    key = draw(st.sampled_from(KEYS))
    kind, _, name = key.partition("/")
    ground = [other for other in [*KEYS, *FOREIGN] if KINDS.index(other.split("/")[0]) <= KINDS.index(kind)]
    if kind != "link":
        ground += [f"address/of-{number}" for number in range(3)] if kind == "route" else []
        ground += [f"up/{number}" for number in range(3)]
    derived = ((f"address/of-{name}", draw(st.integers(0, 1))), (f"up/{name}", 0)) if kind == "link" else ()
    return Thing(
        key=key,
        content=draw(st.integers(0, 1)),
        needs=tuple(draw(st.lists(st.sampled_from([one for one in ground if one != key]), max_size=2, unique=True))),
        below=draw(st.sampled_from(["", "", "link/", "up/"])) if kind == "route" else "",
        derived=draw(st.sampled_from([(), derived])),
    )


wishes = st.dictionaries(st.sampled_from(KEYS), st.none(), max_size=3).flatmap(
    lambda gone: st.lists(things(), max_size=5).map(lambda new: {**gone, **{thing.key: thing for thing in new}})
)
faults = st.dictionaries(
    st.sampled_from([*KEYS, *(f"address/of-{number}" for number in range(3))]),
    st.tuples(st.sampled_from(["refuses", "lies", "dies"]), st.sampled_from([1, 2, 3, 99])),
    max_size=3,
)


def needs_of(thing: Thing, there: Iterable[str]) -> bool:
    """Whether everything that a value needs is there."""
    return all(need in there for need in thing.needs) and (
        not thing.below or any(key.startswith(thing.below) for key in there)
    )


class SchedulerMachine(RuleBasedStateMachine):
    """One scheduler after another over one data plane."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.plane = FaultyPlane(recreate={"link/2", "address/2"})
        self.desired: dict[str, Thing] = {}
        self.scheduler = self.fresh()

    def teardown(self) -> None:
        self.runner.close()

    def fresh(self) -> Scheduler:
        return Scheduler(self.plane.descriptors(*KINDS), retry=Retry(delay=1, attempts=2), clock=lambda: 0.0)

    # ---- the model

    def everything(self) -> dict[str, Thing]:
        """What is wanted, with what derives from it."""
        derived = {
            key: Thing(key, content, needs=(base.key,))
            for base in self.desired.values()
            for key, content in base.derived
        }
        return {**self.desired, **derived}

    def properties(self) -> set[str]:
        """What holds of the values that are there; whether rightly so, `derived_values_live_with_their_base` says."""
        names = {f"up/{number}" for number in range(3)}
        return {key for key in names if self.state(key) in (ValueState.CONFIGURED, *FAILED)}

    def there(self) -> set[str]:
        return {*self.plane.there, *self.plane.foreign, *self.properties()}

    def settled(self) -> dict[str, Thing]:
        """What should be there: the largest set in which every need is met, without the properties."""
        alive = self.everything()
        while True:
            around = {*alive, *self.plane.foreign}
            lost = [key for key, thing in alive.items() if not needs_of(thing, around)]
            if not lost:
                return {
                    key: thing if key in self.desired else Thing(key, thing.content)
                    for key, thing in alive.items()
                    if not key.startswith("up/")
                }
            for key in lost:
                del alive[key]

    def failing(self) -> bool:
        return any(state in self.scheduler.summary() for state in FAILED)

    def wish(self, changes: Wishes) -> None:
        wanted = {**self.desired, **changes}
        self.desired = {key: thing for key, thing in wanted.items() if thing is not None}

    def clear(self) -> None:
        self.plane.faults.clear()

    # ---- what happens

    @rule(changes=wishes)
    def commit(self, changes: Wishes) -> None:
        result = self.runner.run(self.scheduler.commit(changes))
        self.wish(changes)
        assert not result.errors or self.failing()

    @rule(changes=wishes, wrong=faults)
    def commit_with_faults(self, changes: Wishes, wrong: dict[str, tuple[str, int]]) -> None:
        self.plane.faults = dict(wrong)  # type: ignore[arg-type]
        self.runner.run(self.scheduler.commit(changes))
        self.wish(changes)
        self.clear()

    @rule(changes=wishes, wrong=faults)
    def commit_or_revert(self, changes: Wishes, wrong: dict[str, tuple[str, int]]) -> None:
        before, clean = dict(self.plane.there), not self.failing()
        self.plane.faults = dict(wrong)  # type: ignore[arg-type]
        result = self.runner.run(self.scheduler.commit(changes, revert_on_failure=True))
        self.clear()
        record = self.scheduler.history[result.seq]
        assert record.planned is not None
        if not result.reverted:
            self.wish(changes)
            assert [(one.operation, one.key) for one in record.planned] == [
                (one.operation, one.key) for one in record.executed if not one.noop and not one.is_recreate
            ] or any(one.is_recreate for one in record.executed)
        elif clean and not self.failing():
            assert self.plane.there == before

    @rule()
    def retry(self) -> None:
        self.runner.run(self.scheduler.retry(now=1e9))

    @rule(lost=st.lists(st.sampled_from(KEYS), max_size=3), wrong=faults)
    def the_plane_forgets(self, lost: list[str], wrong: dict[str, tuple[str, int]]) -> None:
        self.plane.forget(lost)
        self.plane.faults = dict(wrong)  # type: ignore[arg-type]
        self.runner.run(self.scheduler.downstream_resync())
        self.clear()

    @rule(name=st.sampled_from(FOREIGN))
    def somebody_else_makes_or_removes(self, name: str) -> None:
        if name in self.plane.foreign:
            del self.plane.foreign[name]
            self.runner.run(self.scheduler.notify({name: None}))
        else:
            self.plane.foreign[name] = Thing(name)
            self.runner.run(self.scheduler.notify({name: Thing(name)}))

    @rule(changes=wishes, wrong=faults)
    def restart(self, changes: Wishes, wrong: dict[str, tuple[str, int]]) -> None:
        """A new scheduler that knows nothing, and other wishes than before."""
        self.scheduler = self.fresh()
        self.wish(changes)
        self.plane.faults = dict(wrong)  # type: ignore[arg-type]
        self.runner.run(self.scheduler.resync(self.desired))
        self.clear()

    @rule(wrong=faults)
    def killed_in_the_middle(self, wrong: dict[str, tuple[str, int]]) -> None:
        """The process ends while a transaction runs; the next one reads what there is."""

        async def cut_short() -> None:
            task = asyncio.ensure_future(self.scheduler.resync({}))
            for _ in range(len(wrong) * 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        self.runner.run(cut_short())
        self.scheduler = self.fresh()
        self.runner.run(self.scheduler.resync(self.desired))

    @rule(changes=wishes)
    def upstream_resync(self, changes: Wishes) -> None:
        self.wish(changes)
        self.runner.run(self.scheduler.resync(self.desired, refresh=False))

    # ---- the laws

    def state(self, key: str) -> ValueState:
        return self.scheduler.state_of(key)

    @invariant()
    def what_is_there_has_what_it_needs(self) -> None:
        there = self.there()
        for key, thing in self.plane.there.items():
            assert needs_of(thing, there) or self.state(key) in FAILED, key

    @invariant()
    def what_is_ready_does_not_wait(self) -> None:
        right = {key for key, thing in self.plane.there.items() if thing == self.desired.get(key)}
        there = self.there()
        for key, thing in self.everything().items():
            if self.state(key) is ValueState.PENDING:  # what derives from a value waits until that is as wanted
                assert not needs_of(thing, there if key in self.desired else right), key

    @invariant()
    def derived_values_live_with_their_base(self) -> None:
        for key, thing in self.plane.there.items():
            for derived, _ in thing.derived:
                if not derived.startswith("up/") and thing == self.desired.get(key):
                    assert derived in self.plane.there or self.state(derived) in (*FAILED, ValueState.PENDING)
        # One that an earlier run left may be wanted again while its base is not yet as it should be.
        standing = [self.desired[key] for key in self.plane.there if key in self.desired]
        bases = {key for thing in [*self.plane.there.values(), *standing] for key, _ in thing.derived}
        for key in {*self.plane.there, *self.properties()}:
            if "/of-" in key or key.startswith("up/"):
                assert key in bases or self.state(key) in FAILED, key
        for key, thing in self.plane.there.items():
            if thing == self.desired.get(key) and self.state(key) is ValueState.CONFIGURED:
                assert {name for name, _ in thing.derived if name.startswith("up/")} <= self.properties()

    @invariant()
    @precondition(lambda self: not self.failing())
    def without_failures_everything_is_as_wanted(self) -> None:
        assert self.plane.there == self.settled()

    @invariant()
    @precondition(lambda self: not self.failing())
    def nothing_more_is_done_for_the_same(self) -> None:
        def nothing(result: Result) -> None:
            assert (result.executed, dict(result.errors)) == (0, {})

        nothing(self.runner.run(self.scheduler.commit(dict(self.desired))))
        nothing(self.runner.run(self.scheduler.resync(dict(self.desired))))
        nothing(self.runner.run(self.scheduler.downstream_resync()))

    @invariant()
    def nothing_is_asked_that_makes_no_sense(self) -> None:
        assert not self.plane.misused

    @invariant()
    def the_states_are_counted_right(self) -> None:
        nodes = self.scheduler._graph.nodes.values()
        counted: dict[str, int] = {}
        for node in nodes:
            counted[str(node.state)] = counted.get(str(node.state), 0) + 1
        assert self.scheduler.summary() == counted


SchedulerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=10, deadline=None)
TestSchedulerMachine = SchedulerMachine.TestCase
