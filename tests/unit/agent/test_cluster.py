"""When the local copy of the cluster is used, and when etcd is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest

from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.events import ClusterChanged, ClusterRead, Event
from contivpp.model import codec, keys
from contivpp.model.node import Node
from contivpp.model.pod import Pod
from contivpp.store.mirror import Mirror
from contivpp.store.types import Change, Changes, Disconnected, KeyValue, Snapshot, Synced, Update


def snapshot(revision: int, name: str) -> Snapshot:
    key = keys.record_key("pod", f"default/{name}")
    record = codec.encode(Pod(name=name, namespace="default"))
    return Snapshot(revision, {key: KeyValue(key, record, revision, revision)})


class World:
    """A store that says what the test says, and what the controller was told of it."""

    def __init__(self, mirror: Mirror) -> None:
        self.updates: asyncio.Queue[Update] = asyncio.Queue()
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.away: list[str] = []
        self.emptied = asyncio.Event()
        self.begun = 0
        self.follower = ClusterFollower(
            self,
            mirror,
            node_name="node1",
            push=self.told.put,
            local_delay=0,
            connected=self.away.append,
            emptied=self.emptied.set,
            quiet=0.05,
        )
        self.task = asyncio.create_task(self.follower.run())

    async def follow(self, prefixes: Iterable[str]) -> AsyncIterator[Update]:
        self.begun += 1
        while True:
            yield await self.updates.get()

    async def next(self) -> tuple[str, set[str]]:
        event = await asyncio.wait_for(self.told.get(), 5)
        assert isinstance(event, ClusterRead)
        return event.source, set(event.records["pod"])

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "agent.db")
    made.replace(snapshot(5, "known"))
    yield made
    made.close()


async def test_an_etcd_that_takes_its_time_is_waited_for(mirror: Mirror) -> None:
    world = World(mirror)
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert world.told.empty()
    await world.updates.put(Synced(snapshot(9, "new")))
    assert await world.next() == ("etcd", {"default/new"})
    assert world.told.empty()
    await world.end()


async def test_an_etcd_that_is_away_is_replaced_by_the_local_copy_until_it_is_back(mirror: Mirror) -> None:
    world = World(mirror)
    await world.updates.put(Disconnected("nobody there"))
    assert await world.next() == ("mirror", {"default/known"})
    await world.updates.put(Synced(snapshot(9, "new")))
    assert await world.next() == ("etcd", {"default/new"})
    assert world.away == ["nobody there", ""]
    await world.end()


def item(kind: str, name: str, record: codec.Record, revision: int) -> tuple[str, KeyValue]:
    key = keys.record_key(kind, name)
    return key, KeyValue(key, codec.encode(record), revision, revision)


async def test_an_etcd_that_lost_everything_is_believed_when_it_is_filled_again(mirror: Mirror) -> None:
    world = World(mirror)
    node = item("node", "node1", Node(name="node1"), 9)
    pod = item("pod", "default/new", Pod(name="new", namespace="default"), 9)
    await world.updates.put(Synced(Snapshot(9, dict([node, pod]))))
    assert await world.next() == ("etcd", {"default/new"})
    await world.updates.put(Synced(Snapshot(1, {})))
    await asyncio.wait_for(world.emptied.wait(), 5)
    await asyncio.sleep(0.2)
    assert world.told.empty()
    known = mirror.load()
    assert known is not None
    assert known.revision == 9
    for revision, (key, there) in enumerate((node, pod), 2):
        await world.updates.put(Changes(revision, (Change(key, there.value, revision, revision),)))
    assert await world.next() == ("etcd", {"default/new"})
    await world.updates.put(Changes(4, (Change(pod[0], None, 4),)))
    assert isinstance(await asyncio.wait_for(world.told.get(), 5), ClusterChanged)
    known = mirror.load()
    assert known is not None
    assert (known.revision, set(known.items)) == (4, {node[0]})
    await world.end()


async def test_an_etcd_that_is_away_again_is_not_filled(mirror: Mirror) -> None:
    world = World(mirror)
    key, there = item("node", "node1", Node(name="node1"), 9)
    await world.updates.put(Synced(Snapshot(9, {key: there, **snapshot(9, "new").items})))
    assert await world.next() == ("etcd", {"default/new"})
    await world.updates.put(Synced(Snapshot(1, {})))
    await world.updates.put(Changes(2, (Change(key, there.value, 2, 2),)))
    await world.updates.put(Disconnected("away"))
    await asyncio.sleep(0.2)
    assert world.told.empty()
    await world.updates.put(Changes(2, ()))
    event = await asyncio.wait_for(world.told.get(), 5)
    assert isinstance(event, ClusterRead)
    assert set(event.records) == {"node"}
    await world.end()


async def test_on_request_the_whole_state_is_read_anew(mirror: Mirror) -> None:
    world = World(mirror)
    await world.updates.put(Synced(snapshot(9, "a")))
    assert await world.next() == ("etcd", {"default/a"})
    world.follower.read_again()
    while world.begun < 2:
        await asyncio.sleep(0.001)
    await world.updates.put(Synced(snapshot(10, "b")))
    assert await world.next() == ("etcd", {"default/b"})
    await world.end()
