"""When the local copy of the cluster is used, and when etcd is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest

from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.events import ClusterRead, Event
from contivpp.model import codec, keys
from contivpp.model.pod import Pod
from contivpp.store.mirror import Mirror
from contivpp.store.types import Disconnected, KeyValue, Snapshot, Synced, Update


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
        self._follower = ClusterFollower(
            self, mirror, node_name="node1", push=self.told.put, local_delay=0, connected=self.away.append
        )
        self.task = asyncio.create_task(self._follower.run())

    async def follow(self, prefixes: Iterable[str]) -> AsyncIterator[Update]:
        while True:
            yield await self.updates.get()

    async def next(self) -> tuple[str, set[str]]:
        event = await asyncio.wait_for(self.told.get(), 5)
        assert isinstance(event, ClusterRead)
        return event.source, set(event.records["pod"])


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
    world.task.cancel()


async def test_an_etcd_that_is_away_is_replaced_by_the_local_copy_until_it_is_back(mirror: Mirror) -> None:
    world = World(mirror)
    await world.updates.put(Disconnected("nobody there"))
    assert await world.next() == ("mirror", {"default/known"})
    await world.updates.put(Synced(snapshot(9, "new")))
    assert await world.next() == ("etcd", {"default/new"})
    assert world.away == ["nobody there", ""]
    world.task.cancel()
