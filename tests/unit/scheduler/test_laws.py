"""Whatever happened before, the data plane ends as the last wish and the dependencies say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contivpp.scheduler.scheduler import Scheduler
from tests.unit.scheduler.plane import Plane, Thing

KINDS = ("link", "address", "route")
KEYS = [f"{kind}/{n}" for kind in KINDS for n in range(3)]


@st.composite
def values(draw: st.DrawFn) -> Thing:
    """Values of one kind may need each other in circles; "any below" only points down, to where no circle is."""
    key = draw(st.sampled_from(KEYS))
    ground = [other for other in KEYS if KINDS.index(other[:-2]) <= KINDS.index(key[:-2]) and other != key]
    return Thing(
        key=key,
        content=draw(st.integers(0, 1)),
        needs=tuple(draw(st.lists(st.sampled_from(ground), max_size=2, unique=True))),
        below=draw(st.sampled_from(["", "", "", "link/"])) if not key.startswith("link/") else "",
    )


changes = st.lists(st.one_of(values(), st.sampled_from(KEYS)), min_size=1, max_size=5).map(
    lambda items: {
        item if isinstance(item, str) else item.key: None if isinstance(item, str) else item for item in items
    }
)


def settled(desired: dict[str, Thing]) -> set[str]:
    """The keys that can be there: the largest set in which every dependency is met."""
    alive = set(desired)
    while True:
        lost = {
            key
            for key in alive
            if any(need not in alive for need in desired[key].needs)
            or (desired[key].below and not any(other.startswith(desired[key].below) for other in alive))
        }
        if not lost:
            return alive
        alive -= lost


def scheduler_of(plane: Plane) -> Scheduler:
    return Scheduler(plane.descriptors(*KINDS), clock=lambda: 0.0)


@given(st.lists(changes, max_size=6))
async def test_any_history_ends_where_the_last_wish_says(history: list[dict[str, Thing | None]]) -> None:
    plane, desired = Plane(), {}
    scheduler = scheduler_of(plane)
    for change in history:
        await scheduler.commit(change)
        desired = {key: value for key, value in {**desired, **change}.items() if value is not None}
        assert plane.there == {key: desired[key] for key in settled(desired)}


@given(changes, st.lists(changes, max_size=4))
async def test_a_resync_from_anything_ends_the_same(
    found: dict[str, Thing | None], history: list[dict[str, Thing | None]]
) -> None:
    plane = Plane(there={key: value for key, value in found.items() if value is not None})
    scheduler = scheduler_of(plane)
    desired: dict[str, Thing] = {}
    for change in history:
        desired = {key: value for key, value in change.items() if value is not None}
        await scheduler.resync(desired)
        assert plane.there == {key: desired[key] for key in settled(desired)}


@given(st.lists(changes, max_size=3), changes, st.sampled_from(KEYS))
async def test_a_failed_transaction_with_revert_leaves_no_trace(
    history: list[dict[str, Thing | None]], change: dict[str, Thing | None], refused: str
) -> None:
    plane = Plane()
    scheduler = scheduler_of(plane)
    for earlier in history:
        await scheduler.commit(earlier)
    before = dict(plane.there)
    plane.refuse[refused] = "no"
    result = await scheduler.commit(change, revert_on_failure=True)
    if result.reverted:
        plane.refuse.clear()
        await scheduler.retry(now=1e9)
        assert plane.there == before


@given(st.lists(changes, max_size=4), st.sets(st.sampled_from(KEYS)))
async def test_failures_heal_once_their_cause_is_gone(
    history: list[dict[str, Thing | None]], refused: set[str]
) -> None:
    plane, desired = Plane(), {}
    scheduler = scheduler_of(plane)
    plane.refuse.update(dict.fromkeys(refused, "busy"))
    for change in history:
        await scheduler.commit(change)
        desired = {key: value for key, value in {**desired, **change}.items() if value is not None}
    plane.refuse.clear()
    await scheduler.resync(desired)
    assert plane.there == {key: desired[key] for key in settled(desired)}
