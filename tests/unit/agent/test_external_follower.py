"""From updates of the store to events: records and external items go their own ways, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.agent.cluster import ClusterFollower
from contivpp.agent.events import ClusterChanged, ClusterRead, Event, ExternalConfigChanged
from contivpp.model import codec, keys
from contivpp.model.node import Node
from contivpp.store.mirror import Mirror
from contivpp.store.types import Change, Changes, Disconnected, KeyValue, Snapshot, Synced

NODE = keys.record_key("node", "node1")
ITEM = "/vnf-agent/node1/config/linux/sysctl/net.ipv4.ip_forward"
OTHER = "/vnf-agent/node2/config/linux/sysctl/net.ipv4.ip_forward"
RECORD = codec.encode(Node(name="node1"))


class Away:
    """A store that is away and stays so."""

    async def follow(self, prefixes: Any) -> AsyncIterator[Any]:
        self.prefixes = tuple(prefixes)
        yield Disconnected("nobody answers")
        await asyncio.Event().wait()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    opened = Mirror(tmp_path / "agent.db")
    yield opened
    opened.close()


def follower_of(mirror: Mirror, events: list[Event], store: Any = None) -> ClusterFollower:
    async def push(event: Event) -> None:
        events.append(event)

    return ClusterFollower(
        store or Away(), mirror, node_name="node1", push=push, local_delay=0.0, connected=lambda reason: None
    )


def snapshot() -> Snapshot:
    values = {NODE: RECORD, ITEM: b"{}", OTHER: b"{}"}
    return Snapshot(7, {key: KeyValue(key, value, 1, 1) for key, value in values.items()})


async def test_a_snapshot_brings_the_cluster_and_this_nodes_items_in_one_event(mirror: Mirror) -> None:
    events: list[Event] = []
    await follower_of(mirror, events).take(Synced(snapshot()))
    [event] = events
    assert isinstance(event, ClusterRead)
    assert event.records == {"node": {"node1": Node(name="node1")}}
    assert event.external == {"linux/sysctl/net.ipv4.ip_forward": b"{}"}


async def test_changes_of_records_and_of_items_are_events_of_their_own(mirror: Mirror) -> None:
    events: list[Event] = []
    changes = (Change(ITEM, None, 8), Change(NODE, RECORD, 8), Change(OTHER, b"{}", 8), Change("/vnf-agent/x", b"", 8))
    await follower_of(mirror, events).take(Changes(8, changes))
    assert events == [
        ClusterChanged((("node", "node1", Node(name="node1")),), 8),
        ExternalConfigChanged("db", {"linux/sysctl/net.ipv4.ip_forward": None}),
    ]
    await follower_of(mirror, events).take(Changes(9, (Change(ITEM, b"[]", 9),)))
    assert events[2:] == [ExternalConfigChanged("db", {"linux/sysctl/net.ipv4.ip_forward": b"[]"})]


async def test_without_etcd_the_items_come_from_the_mirror_too(mirror: Mirror) -> None:
    mirror.replace(snapshot())
    events: list[Event] = []
    store = Away()
    running = asyncio.create_task(follower_of(mirror, events, store).run())
    async with asyncio.timeout(10):
        while not events:
            await asyncio.sleep(0.01)
    running.cancel()
    assert store.prefixes[-1] == "/vnf-agent/node1/config/"
    [event] = events
    assert isinstance(event, ClusterRead)
    assert (event.source, event.external) == ("mirror", {"linux/sysctl/net.ipv4.ip_forward": b"{}"})
