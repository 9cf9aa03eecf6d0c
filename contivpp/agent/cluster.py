"""From etcd to the controller: what the agent reads of the cluster, and its local mirror.

The whole state first, then every change in the order in which it happened. What the agent read last is kept
in a local file, and an agent that starts while etcd is away starts from there. A record that does not decode
is skipped, counted and logged with its key: it hurts nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from prometheus_client import Counter, Gauge

from contivpp.agent.events import ClusterChanged, ClusterRead, Event, ExternalConfigChanged
from contivpp.agent.external.config import ETCD_SOURCE
from contivpp.agent.refill import QUIET, Refill
from contivpp.agent.sharing import Sharing
from contivpp.model import keys
from contivpp.model.bulk import building
from contivpp.model.codec import DecodeError
from contivpp.model.nodeconfig import Unreadable
from contivpp.store.mirror import Mirror
from contivpp.store.types import Changes, Disconnected, Snapshot, Synced

log = logging.getLogger(__name__)

V = TypeVar("V")

_NO_DELETION = ("nodeconfig", "policy", *keys.ADMIN_POLICIES)
PREFIXES = (keys.KSR_PREFIX + "allocatedIDs/", keys.KSR_PREFIX + "k8s/")

UNDECODABLE = Counter("contiv_agent_undecodable_records", "Records in etcd that were skipped", ["kind"])
CONNECTED = Gauge("contiv_agent_etcd_connected", "Whether the agent follows etcd now (1) or not (0)")
REVISION = Gauge("contiv_agent_etcd_revision", "Last revision of etcd that the agent has read")


class Follower(Protocol):
    """What is needed of the store."""

    def follow(self, prefixes: Iterable[str]) -> Any:
        """Yields updates for ever."""
        ...


def decode_record(key: str, value: bytes) -> tuple[str, str, Any] | None:
    """The kind, ID and record of an etcd item; None for what this agent does not know or cannot read.

    A node's configuration that cannot be read is no deletion: the last good one stays. Nor is a policy, which would
    open what it closes: whoever looks at policies is told that this one is there and cannot be read.
    """
    known = keys.parse_record_key(key)
    if known is None:
        return None
    kind, record_id = known
    try:
        return kind, record_id, keys.decode_record(kind, value, key=key)
    except DecodeError as error:
        UNDECODABLE.labels(kind).inc()
        log.warning("skipped a record that does not decode: %s", error)
        return (kind, record_id, Unreadable(error.problem)) if kind in _NO_DELETION else None


def external_items(items: Iterable[tuple[str, V]], prefix: str) -> dict[str, V]:
    """What is meant for this node's data plane as it is, by scheduler key; `prefix` is that of the node."""
    return {key[len(prefix) :]: value for key, value in items if key.startswith(prefix)}


def decode_all(items: Iterable[tuple[str, bytes]], sharing: Sharing) -> dict[str, dict[str, Any]]:
    """Every readable record by kind and ID."""
    records: dict[str, dict[str, Any]] = {}
    with building():
        for key, value in items:
            if (decoded := decode_record(key, value)) is not None:
                kind, record_id, record = decoded
                records.setdefault(kind, {})[record_id] = sharing.record(record)
    return records


class ClusterFollower:
    """The root task that turns the store's updates into the controller's events."""

    def __init__(
        self,
        store: Follower,
        mirror: Mirror,
        *,
        node_name: str,
        push: Callable[[Event], Awaitable[None]],
        local_delay: float,
        connected: Callable[[str], None],
        emptied: Callable[[], None] = lambda: None,
        quiet: float = QUIET,
    ) -> None:
        """Takes the store and what to do with news.

        Args:
            store: what to follow.
            mirror: where the state is kept for a start without etcd.
            node_name: whose external configuration to follow.
            push: gives an event to the controller.
            local_delay: seconds to wait for an etcd that is away before the mirror is used.
            connected: told "" when etcd answers and the reason when it does not.
            emptied: told when etcd has lost everything, this node's record too.
            quiet: seconds without a change after which an emptied etcd counts as filled again.
        """
        self._store = store
        self._mirror = mirror
        self._external = keys.external_prefix(node_name)
        self._push = push
        self._local_delay = local_delay
        self._connected = connected
        self._heard = asyncio.Event()
        self._away = asyncio.Event()
        self._again = asyncio.Event()
        self._sharing = Sharing()
        self._emptied = emptied
        self._quiet = quiet
        self._refill = Refill(node_name)
        self._settling: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._spawn: Callable[..., asyncio.Task[None]] = asyncio.create_task

    async def run(self) -> None:
        """Follows for ever."""
        async with asyncio.TaskGroup() as group:
            self._spawn = group.create_task
            group.create_task(self._start_from_mirror(), name="start-from-mirror")
            while True:
                following = group.create_task(self._follow(), name="follow-etcd")
                await self._again.wait()
                self._again.clear()
                following.cancel()
                await asyncio.wait([following])

    def read_again(self) -> None:
        """Reads the whole state anew, as soon as etcd answers; until then what is known stays."""
        self._again.set()

    async def _follow(self) -> None:
        async for update in self._store.follow((*PREFIXES, self._external)):
            async with self._turn:
                await self.take(update)
            del update  # the whole state, perhaps, and the next one may be long in coming

    async def take(self, update: Synced | Changes | Disconnected) -> None:
        """Handles one update of the store."""
        match update:
            case Synced(snapshot=snapshot):
                self._heard.set()
                self._online(snapshot.revision)
                believed = self._refill.take(snapshot)
                self._settle_later(wanted=not believed)
                if not believed:
                    log.warning("etcd has lost every node: going on with what is known until it is filled again")
                    self._emptied()
                    return
                self._mirror.replace(snapshot)
                await self._push(self._read(snapshot, "etcd"))
            case Changes(revision=revision, changes=changes):
                self._online(revision)
                self._refill.apply(revision, changes)
                self._settle_later(wanted=self._refill.doubts)
                if not changes or self._refill.doubts:
                    return
                self._mirror.apply(update)
                decoded = []
                for change in changes:
                    known = keys.parse_record_key(change.key)
                    if known is None:
                        continue
                    record = None if change.value is None else decode_record(change.key, change.value)
                    decoded.append((*known, self._sharing.record(record[2]) if record else None))
                if decoded:
                    await self._push(ClusterChanged(tuple(decoded), revision))
                if external := external_items(((one.key, one.value) for one in changes), self._external):
                    await self._push(ExternalConfigChanged(ETCD_SOURCE, external))
            case Disconnected(reason=reason):
                CONNECTED.set(0)
                self._away.set()
                self._settle_later(wanted=False)
                self._connected(reason)

    def _online(self, revision: int) -> None:
        CONNECTED.set(1)
        REVISION.set(revision)
        self._connected("")

    def _settle_later(self, *, wanted: bool) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._spawn(self._settle(), name="settle") if wanted else None

    async def _settle(self) -> None:
        await asyncio.sleep(self._quiet)
        async with self._turn:
            if not self._refill.has_nodes:
                return  # the next change comes back here
            self._settling = None  # it is too late to stop
            snapshot = self._refill.believe()
            log.info("etcd is filled again")
            self._mirror.replace(snapshot)
            await self._push(self._read(snapshot, "etcd"))

    async def _start_from_mirror(self) -> None:
        await asyncio.sleep(self._local_delay)
        await self._away.wait()  # an etcd that answers is waited for, however long it takes to read all of it
        if self._heard.is_set():
            return
        snapshot = self._mirror.load()
        if snapshot is None or not snapshot.items:
            log.warning("etcd is away and there is no local copy of the cluster yet: waiting for etcd")
            return
        log.warning("etcd is away: starting from the local copy of revision %d", snapshot.revision)
        if not self._heard.is_set():
            self._refill.take(snapshot)
            await self._push(self._read(snapshot, "mirror"))

    def _read(self, snapshot: Snapshot, source: str) -> ClusterRead:
        items = [(item.key, item.value) for item in snapshot.items.values()]
        return ClusterRead(decode_all(items, self._sharing), source, external_items(items, self._external))
