"""The store against a real etcd that stops, freezes, forgets and compacts."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig
from contivpp.store.election import Election
from contivpp.store.errors import GuardFailed, StoreFull, StoreUnavailable
from contivpp.store.mirror import Mirror
from contivpp.store.types import Batch, Changes, Committed, Disconnected, Guard, Synced, Update, split
from tests.integration.conftest import Etcd, free_ports

pytestmark = pytest.mark.etcd


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[Store]:
    async with await Store.open(etcd.config) as opened:
        yield opened


async def next_of(updates: AsyncIterator[Update], kind: type, seconds: float = 20) -> Update:
    """The next update of a kind; others before it are skipped."""
    async with asyncio.timeout(seconds):
        async for update in updates:
            if isinstance(update, kind):
                return update
    raise AssertionError


async def test_what_was_put_is_read_and_deleted(store: Store) -> None:
    await store.put("/a/1", b"one")
    found = await store.get("/a/1")
    assert found is not None
    assert found.value == b"one"
    assert await store.delete("/a/1")
    assert not await store.delete("/a/1")
    assert await store.get("/a/1") is None


async def test_a_prefix_is_read_in_pages_at_one_revision(store: Store) -> None:
    wanted = {f"/many/{number:05}": b"x" for number in range(4500)}
    for batch in split(wanted):
        await store.commit(batch)
    snapshot = await store.get_prefix("/many/")
    assert list(snapshot.items) == sorted(wanted)
    assert await store.delete_prefix("/many/") == len(wanted)


async def test_a_batch_with_a_broken_guard_does_nothing_and_names_it(store: Store) -> None:
    await store.put("/a", b"1")
    with pytest.raises(GuardFailed, match="/a does not exist"):
        await store.commit(Batch(puts={"/b": b"2"}, guards=[Guard.exists("/a"), Guard.absent("/a")]))
    assert await store.get("/b") is None
    await store.commit(Batch(puts={"/b": b"2"}, deletes=["/a"], guards=[Guard.exists("/a")]))
    assert (await store.get_prefix("/")).items.keys() == {"/b"}


async def test_a_batch_deletes_whole_trees_or_nothing(store: Store) -> None:
    for key in ("/t/a", "/t/b/c", "/tx"):
        await store.put(key, b"1")
    with pytest.raises(GuardFailed):
        await store.commit(Batch(trees=["/t/"], guards=[Guard.absent("/tx")]))
    assert len((await store.get_prefix("/t/")).items) == 2
    await store.commit(Batch(trees=["/t/"], puts={"/u": b"1"}))
    assert set((await store.get_prefix("/")).items) == {"/tx", "/u"}


async def test_a_follower_sees_one_update_per_transaction_and_only_its_prefixes(store: Store) -> None:
    updates = store.follow(["/a/", "/c/"])
    await store.put("/c/0", b"0")
    assert isinstance(first := await anext(updates), Synced)
    assert list(first.snapshot.items) == ["/c/0"]
    reading = asyncio.ensure_future(anext(updates))
    await asyncio.sleep(0.1)
    await store.put("/b/1", b"between")
    await store.commit(Batch(puts={"/a/1": b"1", "/c/1": b"1"}, deletes=["/c/0"]))
    changes = await reading
    assert isinstance(changes, Changes)
    assert {change.key: change.value for change in changes.changes} == {"/a/1": b"1", "/c/1": b"1", "/c/0": None}


async def test_a_follower_resumes_after_an_outage_without_reading_everything(store: Store, etcd: Etcd) -> None:
    updates = store.follow(["/a/"])
    await next_of(updates, Synced)
    reading = asyncio.ensure_future(next_of(updates, Disconnected))
    await asyncio.sleep(0.1)
    etcd.kill()
    assert "etcd at" in (await reading).reason
    etcd.start()
    async with await Store.open(etcd.config) as other:
        await other.put("/a/1", b"meanwhile")
    async with asyncio.timeout(20):
        async for update in updates:
            assert isinstance(update, Changes)
            if update.changes:
                assert [change.key for change in update.changes] == ["/a/1"]
                break


async def test_a_follower_can_be_cancelled_at_any_moment(store: Store) -> None:
    async def follow() -> None:
        async for _ in store.follow(["/a/"]):
            pass

    for step in range(300):
        task = asyncio.create_task(follow())
        await asyncio.sleep(step * 0.00002)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert task.cancelled()


async def test_a_compacted_revision_means_a_new_snapshot(store: Store, etcd: Etcd) -> None:
    updates = store.follow(["/a/"])
    await next_of(updates, Synced)
    reading = asyncio.ensure_future(next_of(updates, Disconnected))
    await asyncio.sleep(0.1)
    etcd.kill()
    await reading
    etcd.start()
    async with await Store.open(etcd.config) as other:
        revision = 0
        for number in range(10):
            revision = (await other.put("/a/1", str(number).encode())).revision
        command = ["etcdctl", "--endpoints", etcd.endpoint, "compact", str(revision)]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    synced = await next_of(updates, Synced)
    assert isinstance(synced, Synced)
    assert synced.snapshot.items["/a/1"].value == b"9"


async def test_a_wiped_etcd_means_a_new_snapshot(store: Store, etcd: Etcd) -> None:
    for number in range(5):
        await store.put(f"/a/{number}", b"x")
    updates = store.follow(["/a/"])
    await next_of(updates, Synced)
    reading = asyncio.ensure_future(next_of(updates, Disconnected))
    await asyncio.sleep(0.1)
    etcd.wipe()
    await reading
    etcd.start()
    synced = await next_of(updates, Synced)
    assert isinstance(synced, Synced)
    assert synced.snapshot.items == {}


async def test_an_etcd_that_hangs_is_noticed(store: Store, etcd: Etcd) -> None:
    await store.put("/a", b"1")
    etcd.freeze()
    with pytest.raises(StoreUnavailable, match="no answer"):
        await store.get("/a")
    etcd.thaw()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreUnavailable):
                if await store.get("/a"):
                    break
            await asyncio.sleep(0.1)


async def test_another_endpoint_is_asked_when_one_is_away(etcd: Etcd) -> None:
    [nobody] = free_ports(1)
    config = EtcdConfig(endpoints=(f"127.0.0.1:{nobody}", etcd.endpoint), insecure_transport=True)
    async with await Store.open(config) as store:
        await store.put("/a", b"1")
        assert await next_of(store.follow(["/a"]), Synced)


async def test_racing_programs_get_different_lowest_ids(store: Store) -> None:
    await store.put("/ids/2", b"taken")
    names = [f"node{number}".encode() for number in range(12)]

    async def one(name: bytes) -> int:
        return await store.ids.allocate("/ids/", lambda _: name, match=lambda value: value == name)

    got = await asyncio.gather(*map(one, names))
    assert sorted(got) == [1, *range(3, 14)]
    assert await asyncio.gather(*map(one, names)) == got
    assert await store.ids.release("/ids/", 1)
    assert not await store.ids.release("/ids/", 2, match=lambda value: value == b"mine")
    assert await store.ids.allocate("/ids/", lambda _: b"new") == 1


async def test_a_second_candidate_leads_once_the_first_resigns(store: Store) -> None:
    first, second = (Election(store, "/leader", name, ttl=2) for name in ("one", "two"))
    order: list[str] = []

    async def follow_up() -> None:
        async with second.lead() as leadership:
            order.append("two")
            await store.commit(Batch(puts={"/by": b"two"}, guards=[leadership.guard]))

    async with first.lead() as leadership:
        waiting = asyncio.create_task(follow_up())
        await asyncio.sleep(0.3)
        order.append("one")
        old = leadership.guard
    await asyncio.wait_for(waiting, 20)
    assert order == ["one", "two"]
    with pytest.raises(GuardFailed):
        await store.commit(Batch(puts={"/by": b"one"}, guards=[old]))


async def test_a_candidacy_that_failed_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, failures = store.commit, [StoreUnavailable("lost"), StoreFull("full")]

    async def failing(batch: Batch, **options: int) -> Committed:
        if failures:
            raise failures.pop()
        return await commit(batch, **options)

    monkeypatch.setattr(store, "commit", failing)
    async with asyncio.timeout(10), Election(store, "/leader", "one", ttl=2).lead() as leadership:
        assert not leadership.lost.done()
    assert not failures


async def test_a_leader_without_etcd_learns_that_it_leads_no_more(store: Store, etcd: Etcd) -> None:
    async with Election(store, "/leader", "one", ttl=2).lead() as leadership:
        etcd.kill()
        assert "lease" in await asyncio.wait_for(leadership.lost, 20)


async def test_the_mirror_holds_what_was_read_and_survives_damage(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "state" / "agent.db"
    mirror = Mirror(path)
    assert mirror.load() is None
    await store.put("/a/1", b"1")
    mirror.replace(await store.get_prefix("/a/"))
    mirror.kept("pods").put("x", b"y")
    mirror.close()
    again = Mirror(path)
    loaded = again.load()
    assert loaded is not None
    assert loaded == await store.get_prefix("/a/")
    assert again.kept("pods").load() == {"x": b"y"}
    again.close()
    path.write_bytes(b"not a database" * 1000)
    fresh = Mirror(path)
    assert fresh.load() is None
    assert path.with_name("agent.db.damaged").exists()
    fresh.close()
