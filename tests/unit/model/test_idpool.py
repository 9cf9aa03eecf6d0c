"""Pools of IDs: which is free, and equal bytes for equal pools."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from contivpp.model import codec
from contivpp.model.idpool import Allocation, AllocationPool, Range

ids = st.integers(0, 9)
ranges = st.builds(
    lambda ends, reserved: Range(min_id=min(ends), max_id=max(ends), reserved=tuple(reserved)),
    st.tuples(ids, ids),
    st.lists(ids, max_size=4),
)
allocations = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.builds(Allocation, id=ids, owner=st.just("n")))
pools = st.builds(AllocationPool, name=st.just("p"), range=ranges, id_allocations=allocations)


@given(pools)
def test_the_free_id_is_the_lowest_that_nobody_has(pool: AllocationPool) -> None:
    taken = {*pool.range.reserved, *(one.id for one in pool.id_allocations.values())}
    free = [number for number in range(pool.range.min_id, pool.range.max_id + 1) if number not in taken]
    assert pool.free_id() == (free[0] if free else None)


@given(pools, st.randoms(use_true_random=False))
def test_equal_pools_are_equal_bytes_whatever_the_order_of_their_making(pool: AllocationPool, random: Random) -> None:
    labels = list(pool.id_allocations.items())
    random.shuffle(labels)
    again = AllocationPool(name=pool.name, range=pool.range, id_allocations=dict(labels))
    assert codec.encode(again) == codec.encode(pool)
    assert codec.decode(AllocationPool, codec.encode(pool)) == pool


@given(pools)
def test_a_label_that_comes_and_goes_leaves_the_pool_as_it_was(pool: AllocationPool) -> None:
    added = pool.with_allocation("new", Allocation(id=3, owner="n"))
    assert added.id_allocations["new"].id == 3
    assert added.without("new") == pool
    assert pool.without("never") == pool


@given(ranges)
def test_reserved_ids_have_no_order(one: Range) -> None:
    other = Range(min_id=one.min_id, max_id=one.max_id, reserved=(*reversed(one.reserved), *one.reserved))
    assert one.same_as(other)
    assert not one.same_as(Range(min_id=one.min_id, max_id=one.max_id + 1, reserved=one.reserved))
