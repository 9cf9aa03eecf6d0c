"""Shared pools of IDs against a real etcd: rivals, failures, and what is known without etcd."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contivpp.model import codec
from contivpp.model.idpool import Allocation, AllocationPool, Range, pool_key
from contivpp.store.client import Store
from contivpp.store.errors import AllocationError, StoreUnavailable
from contivpp.store.mirror import Mirror
from contivpp.store.pools import (
    PREFIX,
    IdPools,
    PoolDamagedError,
    PoolFullError,
    PoolMissingError,
    PoolRangeError,
)
from contivpp.store.types import Synced
from tests.integration.conftest import Etcd
from tests.integration.store.pool_worker import POOL, RANGE

pytestmark = pytest.mark.etcd

SMALL = Range(min_id=10, max_id=13, reserved=(11,))
REPOSITORY = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[Store]:
    async with await Store.open(etcd.config) as opened:
        yield opened


async def record(store: Store, name: str = POOL) -> AllocationPool:
    found = await store.get(pool_key(name))
    assert found is not None
    return codec.decode(AllocationPool, found.value)


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.02)


async def test_the_lowest_free_id_is_given_kept_and_written_in_the_originals_form(store: Store) -> None:
    pools = IdPools(store)
    await pools.ensure("vrf", SMALL)
    assert await pools.get_or_allocate("vrf", "red", "node1") == 10
    assert await pools.get_or_allocate("vrf", "blue", "node2") == 12
    assert await pools.get_or_allocate("vrf", "red", "node2") == 10
    found = await store.get("/vnf-agent/contiv-ksr/idalloc/vrf")
    assert found is not None
    assert found.value == (
        b'{"name":"vrf","range":{"min_id":10,"max_id":13,"reserved":[11]},'
        b'"id_allocations":{"blue":{"id":12,"owner":"node2"},"red":{"id":10,"owner":"node1"}}}'
    )
    assert not await pools.release("vrf", "red", "node2")
    assert await pools.release("vrf", "red", "node1")
    assert not await pools.release("vrf", "red", "node1")
    assert await IdPools(store).get_or_allocate("vrf", "green", "node2") == 10


async def test_what_the_original_wrote_is_read(store: Store) -> None:
    text = '{"name":"vni","range":{"minId":5000,"maxId":5010},"idAllocations":{"a":{"id":5000,"owner":"old"}}}'
    await store.put(pool_key("vni"), text.encode())
    pools = IdPools(store)
    await pools.ensure("vni", Range(min_id=5000, max_id=5010))
    assert await pools.get_or_allocate("vni", "a", "node1") == 5000
    assert await pools.get_or_allocate("vni", "b", "node1") == 5001
    assert (await record(store)).id_allocations["a"] == Allocation(id=5000, owner="old")


async def test_a_full_pool_says_so_and_takes_an_id_again_once_one_is_released(store: Store) -> None:
    pools = IdPools(store)
    await pools.ensure("vrf", SMALL)
    for label in "abc":
        await pools.get_or_allocate("vrf", label, "node1")
    with pytest.raises(PoolFullError, match="pool vrf is full: all IDs from 10 to 13 without 11 are taken by 3 labels"):
        await pools.get_or_allocate("vrf", "d", "node1")
    await pools.release("vrf", "b", "node1")
    assert await pools.get_or_allocate("vrf", "d", "node1") == 12


async def test_a_pool_with_another_range_or_none_or_a_damaged_record_is_named(store: Store) -> None:
    pools = IdPools(store)
    with pytest.raises(PoolMissingError, match="there is no pool vrf"):
        await pools.get_or_allocate("vrf", "a", "node1")
    await pools.ensure("vrf", SMALL)
    await IdPools(store).ensure("vrf", Range(min_id=10, max_id=13, reserved=(11, 11)))
    for one in (pools, IdPools(store)):
        with pytest.raises(PoolRangeError, match="has the IDs 10 to 13 without 11, not 10 to 14"):
            await one.ensure("vrf", Range(min_id=10, max_id=14))
    await store.put(pool_key("bad"), b'{"range":{"min_id":-1}}')
    with pytest.raises(PoolDamagedError, match=r"idalloc/bad: .*min_id.*restore the record"):
        await pools.get_or_allocate("bad", "a", "node1")
    with pytest.raises(ValueError, match="is no range"):
        await pools.ensure("odd", Range(min_id=3, max_id=2))
    with pytest.raises(ValueError, match="is not the name of a pool"):
        await pools.ensure("a/b", SMALL)
    assert all(issubclass(kind, AllocationError) for kind in (PoolMissingError, PoolRangeError, PoolDamagedError))


def start_worker(etcd: Etcd, owner: str, labels: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.store.pool_worker", etcd.endpoint, owner, *labels]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


async def outputs(workers: list[subprocess.Popen[str]]) -> list[dict[str, int]]:
    texts = await asyncio.gather(*(asyncio.to_thread(worker.communicate, timeout=60) for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * len(workers)
    return [{label: int(number) for label, number in map(str.split, text.splitlines())} for text, _ in texts]


async def test_rival_processes_get_different_ids_for_different_labels_and_one_for_the_same(
    store: Store, etcd: Etcd
) -> None:
    shared = [f"shared{number}" for number in range(5)]
    own = {owner: [f"{owner}-{number}" for number in range(10)] for owner in ("node1", "node2", "node3", "node4")}
    workers = [
        start_worker(etcd, owner, [label for pair in zip(labels, shared * 2, strict=True) for label in pair])
        for owner, labels in own.items()
    ]
    got = await outputs(workers)
    ids: dict[str, int] = {}
    for one in got:
        for label, number in one.items():
            assert ids.setdefault(label, number) == number
    free = [number for number in range(5000, 5101) if number not in RANGE.reserved]
    assert sorted(ids.values()) == free[:45]
    pool = await record(store)
    assert {label: one.id for label, one in pool.id_allocations.items()} == ids
    assert all(pool.id_allocations[label].owner == owner for owner, labels in own.items() for label in labels)


async def test_rivals_that_are_killed_and_an_etcd_that_is_killed_leave_a_whole_pool(store: Store, etcd: Etcd) -> None:
    workers = [start_worker(etcd, f"node{n}", [f"{n}-{number}" for number in range(15)]) for n in range(3)]
    victim = start_worker(etcd, "victim", [f"victim-{number}" for number in range(15)])
    assert victim.stdout is not None
    said = await asyncio.to_thread(victim.stdout.readline)
    victim.kill()
    etcd.kill()
    etcd.start()
    rest, _ = await asyncio.to_thread(victim.communicate, timeout=60)
    got = await outputs(workers)
    pool = await record(store)
    ids = {label: one.id for label, one in pool.id_allocations.items()}
    assert len(set(ids.values())) == len(ids)
    for text in (said + rest).splitlines():
        label, number = text.split()
        assert ids[label] == int(number)
    for one in got:
        assert one.items() <= ids.items()
    assert len(ids) >= 45 + len((said + rest).splitlines())


async def test_two_nodes_that_release_and_allocate_at_once_never_share_an_id(store: Store) -> None:
    pools = [IdPools(store) for _ in range(4)]
    await pools[0].ensure("vrf", Range(min_id=1, max_id=6))

    async def churn(mine: IdPools, owner: str) -> None:
        for number in range(12):
            label = f"{owner}-{number}"
            given = await mine.get_or_allocate("vrf", label, owner)
            now = (await record(store, "vrf")).id_allocations
            assert [name for name, one in now.items() if one.id == given] == [label]
            assert await mine.release("vrf", label, owner)

    await asyncio.gather(*(churn(mine, f"node{n}") for n, mine in enumerate(pools)))
    assert (await record(store, "vrf")).id_allocations == {}


async def test_labels_that_others_allocated_are_known_while_etcd_is_away(store: Store, etcd: Etcd) -> None:
    watching = IdPools(store)
    follower = asyncio.create_task(watching.run())
    try:
        async with await Store.open(etcd.config) as elsewhere:
            other = IdPools(elsewhere)
            await other.ensure("vni", SMALL)
            await other.get_or_allocate("vni", "red", "node2")
            await other.get_or_allocate("vni", "blue", "node2")
            await until(lambda: watching.lookup("vni", "blue") == 12)
            await other.release("vni", "red", "node2")
            await until(lambda: watching.lookup("vni", "red") is None)
            await store.put(pool_key("vni"), b"damaged")
            await store.put(pool_key("vrf"), codec.encode(AllocationPool(name="vrf", range=SMALL)))
            await until(lambda: pool_key("vrf") in watching._known)
        assert watching.lookup("vni", "blue") == 12
        etcd.kill()
        assert await watching.get_or_allocate("vni", "blue", "node1") == 12
        await watching.ensure("vni", SMALL)
        with pytest.raises(StoreUnavailable):
            await watching.get_or_allocate("vni", "green", "node1")
        etcd.start()
        async with await Store.open(etcd.config) as fresh:  # the old one may be waiting before it connects again
            await fresh.delete(pool_key("vni"))
        await until(lambda: watching.lookup("vni", "blue") is None)
    finally:
        follower.cancel()


async def test_the_mirror_of_an_earlier_run_is_enough_to_look_labels_up(store: Store, tmp_path: Path) -> None:
    pools = IdPools(store)
    await pools.ensure("vni", SMALL)
    await pools.get_or_allocate("vni", "red", "node1")
    mirror = Mirror(tmp_path / "agent.db")
    mirror.replace(await store.get_prefix(PREFIX))
    recalled = mirror.load()
    mirror.close()
    assert recalled is not None
    fresh = IdPools(store)
    assert fresh.lookup("vni", "red") is None
    fresh.take(Synced(recalled))
    assert fresh.lookup("vni", "red") == 10


async def test_a_wiped_etcd_takes_the_cache_with_it_and_an_old_snapshot_does_not(store: Store, etcd: Etcd) -> None:
    pools = IdPools(store)
    old = await store.get_prefix(PREFIX)
    pools.take(Synced(old))
    await pools.ensure("vni", SMALL)
    await pools.get_or_allocate("vni", "red", "node1")
    pools.take(Synced(old))
    assert pools.lookup("vni", "red") == 10
    pools.take(Synced(await store.get_prefix(PREFIX)))
    etcd.wipe()
    etcd.start()
    async with await Store.open(etcd.config) as again:
        pools.take(Synced(await again.get_prefix(PREFIX)))
    assert pools.lookup("vni", "red") is None
