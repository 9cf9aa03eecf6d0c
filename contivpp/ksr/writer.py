"""Makes etcd hold what the reflectors want, and nothing else under their prefixes.

The writer follows what etcd really holds, so every difference is seen: after a start, after an outage of either
side, and when somebody else wrote. Only differences are written, in batches that are void unless this instance
still leads. A kind is not touched before the API server told all of it. Nodes that Kubernetes deleted lose their
ID and their subtree. A record that etcd refuses is skipped, named and counted; the others are written.
Source: spec/cluster.md 1.5, 1.6, 1.8.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.daemon.backoff import Backoff
from contivpp.ksr import metrics
from contivpp.ksr.reflector import Reflector
from contivpp.model import codec, keys
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from contivpp.store.errors import GuardFailed, PermissionDenied, StoreError, StoreFull, StoreUnavailable
from contivpp.store.types import Batch, Changes, Committed, Disconnected, Guard, KeyValue, Synced, split

log = logging.getLogger(__name__)

IDS: Final = keys.prefix("vppnode")
RECORDS: Final = keys.KSR_PREFIX + "k8s/"
_IN_FLIGHT: Final = 4
_WAIT_FOR: Final = (StoreUnavailable, StoreFull, PermissionDenied)
"""What ends when etcd is back, or when somebody makes room or gives the right; nothing was written."""


class LeadershipLostError(Exception):
    """Another instance leads now."""


class Writer:
    """Compares and writes; one per leadership."""

    def __init__(self, store: Store, reflectors: Sequence[Reflector], guard: Guard | None) -> None:
        """Takes what is wanted, and the guard of the leadership (None: nobody else writes)."""
        self._store = store
        self._reflectors = {reflector.kind: reflector for reflector in reflectors}
        self._prefixes = {keys.prefix(kind): kind for kind in self._reflectors}
        self._guards = [guard] if guard else []
        self._actual: dict[str, tuple[int, bytes]] = {}
        self._ids: dict[str, str] = {}
        self._known = False
        self._dirty: set[str] = set()
        self._nodes_dirty = False
        self._writing = False
        self._wake = asyncio.Event()
        self._reading_problem = "etcd has not been read yet"
        self._writing_problem = ""

    def touch(self, kind: str, touched: Iterable[str]) -> None:
        """Says which keys of a kind may differ now."""
        self._dirty.update(touched)
        self._nodes_dirty = self._nodes_dirty or kind == "node"
        self._wake.set()

    def resync(self, kind: str) -> None:
        """Says that a whole kind is to be compared."""
        metrics.RESYNCS.labels(kind).inc()
        prefix = keys.prefix(kind)
        self.touch(kind, self._reflectors[kind].desired)
        self.touch(kind, [key for key in self._actual if key.startswith(prefix)])

    @property
    def problem(self) -> str:
        """Why etcd may not hold what it should; "" when nothing is wrong."""
        return self._reading_problem or self._writing_problem

    @property
    def settled(self) -> bool:
        """Whether everything that is known is written."""
        return self._known and not self._dirty and not self._nodes_dirty and not self._writing

    # ---- what etcd holds

    async def follow(self) -> None:
        """The root task that knows what etcd holds."""
        async for update in self._store.follow([RECORDS, IDS]):
            match update:
                case Synced(snapshot=snapshot):
                    self._take_all(snapshot.items.values())
                    self._reading_problem = ""
                case Changes(changes=changes):
                    self._reading_problem = ""
                    for change in changes:
                        self._take(change.key, change.value, change.mod_revision)
                    self._wake.set()
                case Disconnected(reason=reason):
                    self._reading_problem = reason

    def _take_all(self, items: Iterable[KeyValue]) -> None:
        self._actual, self._ids = {}, {}
        for item in items:
            self._take(item.key, item.value, item.mod_revision)
        self._known = True
        for kind, reflector in self._reflectors.items():
            if reflector.complete:
                self.resync(kind)
        self._wake.set()

    def _take(self, key: str, value: bytes | None, revision: int) -> None:
        if key.startswith(IDS):
            self._nodes_dirty = True
            name = _node_name(key, value)
            if name:
                self._ids[key] = name
            else:
                self._ids.pop(key, None)
            return
        if self._kind_of(key) is None:
            return
        if revision < self._actual.get(key, (0, b""))[0]:
            return  # news of our own write that was overtaken by the next one
        if value is None:
            self._actual.pop(key, None)
        else:
            self._actual[key] = (revision, value)
        self._dirty.add(key)

    def _kind_of(self, key: str) -> str | None:
        return next((kind for prefix, kind in self._prefixes.items() if key.startswith(prefix)), None)

    # ---- writing

    async def run(self) -> None:
        """The root task that writes.

        Raises:
            LeadershipLostError: another instance leads.
        """
        backoff = Backoff(0.1, 5)
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._known:
                continue
            self._writing = True
            try:
                await self._write()
                await self._forget_nodes()
                self._writing_problem = ""
                backoff.reset()
            except GuardFailed as error:
                raise LeadershipLostError(str(error)) from error
            except _WAIT_FOR as error:
                self._writing_problem = str(error)
                log.warning("etcd does not take what is new: %s", error)
                self._wake.set()
                await asyncio.sleep(backoff.next())
            finally:
                self._writing = False

    async def _write(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, set()
            puts, deletes = self._differences(dirty)
            batches = list(split(puts, deletes, operations=128 - len(self._guards)))
            try:
                for start in range(0, len(batches), _IN_FLIGHT):
                    await self._commit(batches[start : start + _IN_FLIGHT])
            except BaseException:
                self._dirty |= dirty
                raise

    def _differences(self, dirty: Iterable[str]) -> tuple[dict[str, bytes], list[str]]:
        puts: dict[str, bytes] = {}
        deletes: list[str] = []
        for key in sorted(dirty):
            kind = self._kind_of(key)
            if kind is None or not self._reflectors[kind].complete:
                continue
            wanted, actual = self._reflectors[kind].desired.get(key), self._actual.get(key)
            if key in self._reflectors[kind].held and actual is not None:
                continue
            if wanted is None and actual is not None:
                deletes.append(key)
            elif wanted is not None and (actual is None or actual[1] != wanted):
                puts[key] = wanted
        return puts, deletes

    async def _commit(self, batches: Sequence[Batch]) -> None:
        answers = await asyncio.gather(*(self._commit_one(batch) for batch in batches), return_exceptions=True)
        problems = [answer for answer in answers if isinstance(answer, BaseException)]
        if problems:
            raise problems[0]

    async def _commit_one(self, batch: Batch) -> None:
        added = {key for key in batch.puts if key not in self._actual}
        guarded = Batch(puts=batch.puts, deletes=batch.deletes, guards=self._guards)
        try:
            done: Committed = await self._store.commit(guarded)
        except GuardFailed:
            raise
        except _WAIT_FOR:
            self._count_errors(batch)
            raise
        except StoreError as error:
            await self._commit_rest(batch, error)
            return
        for key, value in batch.puts.items():
            counter = metrics.ADDS if key in added else metrics.UPDATES
            counter.labels(self._kind_of(key)).inc()
            if done.revision >= self._actual.get(key, (0, b""))[0]:
                self._actual[key] = (done.revision, value)
        for key in batch.deletes:
            metrics.DELETES.labels(self._kind_of(key)).inc()
            self._actual.pop(key, None)

    async def _commit_rest(self, batch: Batch, error: StoreError) -> None:
        """Writes what etcd takes of a batch that it refused; a single record that it refuses is skipped."""
        changes: list[tuple[str, bytes | None]] = [*batch.puts.items(), *((key, None) for key in batch.deletes)]
        if len(changes) == 1:
            self._count_errors(batch)
            log.error("etcd refuses the record %s, it stays as it was: %s", changes[0][0], error)
            return
        middle = len(changes) // 2
        for part in (changes[:middle], changes[middle:]):
            puts = {key: value for key, value in part if value is not None}
            await self._commit_one(Batch(puts=puts, deletes=[key for key, value in part if value is None]))

    def _count_errors(self, batch: Batch) -> None:
        for kind in {self._kind_of(key) for key in (*batch.puts, *batch.deletes)}:
            metrics.ERRORS.labels(kind or "?").inc()

    # ---- nodes that are gone

    async def _forget_nodes(self) -> None:
        """Frees the IDs of nodes that Kubernetes does not have, and what the network kept of them.

        An agent asks for an ID only once Kubernetes has its node, so none is freed too early.
        """
        node = self._reflectors.get("node")
        if not self._nodes_dirty or node is None or not node.complete:
            return
        self._nodes_dirty = False
        try:
            for key, name in sorted(self._gone(node.desired, self._ids).items()):
                log.info("node %s is gone: freeing ID %s and its subtree", name, key.removeprefix(IDS))
                tree = f"{keys.ROOT}{name}/"
                trees = [] if tree == keys.KSR_PREFIX else [tree]  # nothing stops a node from having KSR's name
                try:
                    await self._store.commit(
                        Batch(deletes=[key], trees=trees, guards=[*self._guards, Guard.exists(key)])
                    )
                except GuardFailed as error:
                    if any(guard in self._guards for guard in error.guards):
                        raise
                self._ids.pop(key, None)
        except _WAIT_FOR:
            self._nodes_dirty = True
            raise

    @staticmethod
    def _gone(desired: Mapping[str, bytes], ids: Mapping[str, str]) -> dict[str, str]:
        return {key: name for key, name in ids.items() if keys.record_key("node", name) not in desired}


def _node_name(key: str, value: bytes | None) -> str:
    if value is None:
        return ""
    try:
        name = codec.decode(VppNode, value, key=key).name
        return name if keys.parse_record_key(key) and "/" not in name else ""
    except codec.DecodeError as error:
        log.warning("skipped %s", error)
        return ""
