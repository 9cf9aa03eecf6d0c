"""Following etcd: a snapshot at revision R, then every change from R+1, across outages.

All prefixes are watched as one range, so that the changes of one transaction come together and in order; what
lies between the prefixes is dropped here. After an outage the watch goes on after the last revision that was
seen. A revision that is compacted away means a new snapshot.

So does an etcd that was wiped or restored from a backup. Neither its revision nor its raft term tells: both may
have grown beyond what was seen, and the identifiers of cluster and members come from its configuration. Its
history does: before a watch goes on, what was told last is compared with what etcd held at that revision.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import grpc
from aetcd import rpc

from contivpp.store.connection import Endpoint
from contivpp.store.errors import PermissionDenied, RevisionGone, StoreUnavailable, translate
from contivpp.store.types import Change, Changes, Disconnected, Snapshot, Synced, Update

if TYPE_CHECKING:
    from contivpp.store.client import Store

log = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.1
REMEMBERED: Final = 8
"""Keys that are compared after an outage: those that changed last, for a restored etcd differs there if anywhere."""


async def follow(store: Store, prefixes: Sequence[str]) -> AsyncIterator[Update]:
    """`Synced`, then `Changes` per revision; `Disconnected` once per outage. Never ends by itself.

    Raises:
        StoreError: etcd refuses for a reason that does not pass by itself.
    """
    watch = _Watch(store, prefixes)
    synced: Synced | None = None
    away = False
    delay = FIRST_DELAY
    while True:
        try:
            if not watch.revision:
                synced = Synced(await store.snapshot(prefixes))
                watch.start_at(synced.snapshot)
            # The state is told once the watch is open: whoever takes it may be busy with it for seconds.
            async for update in watch.run():
                if isinstance(update, _Opened):
                    if synced is not None:
                        yield synced
                        synced = None  # it may be large, and the watch is long
                    elif away:
                        yield Changes(watch.revision, ())
                else:
                    yield update
                away, delay = False, FIRST_DELAY
        except RevisionGone as gone:
            log.warning("reading everything anew: %s", gone)
            watch.revision = 0
        except (StoreUnavailable, PermissionDenied) as error:  # a right that is missing may be given meanwhile
            if not away:
                away = True
                yield Disconnected(str(error))
            await asyncio.sleep(delay)
            delay = min(delay * 2, store.connection.config.reconnect_interval)


class _Opened:
    """The watch is open, on an etcd whose history is the one that was seen."""


class _Watch:
    """One watch after another, each on a new stream."""

    def __init__(self, store: Store, prefixes: Sequence[str]) -> None:
        from contivpp.store.client import prefix_end  # noqa: PLC0415 - the client imports this module

        self._store = store
        self._prefixes = tuple(prefixes)
        self._start = min(prefixes).encode()
        self._ends = tuple(map(prefix_end, prefixes))
        self._end = max(self._ends)
        self.revision = 0
        self._last: dict[str, tuple[int, bytes | None]] = {}

    def start_at(self, snapshot: Snapshot) -> None:
        self.revision = snapshot.revision
        newest = heapq.nlargest(REMEMBERED, snapshot.items.values(), key=lambda item: item.mod_revision)
        self._last = {item.key: (item.mod_revision, item.value) for item in reversed(newest)}

    async def run(self) -> AsyncIterator[_Opened | Changes]:
        connection = self._store.connection
        endpoint = connection.current
        call = endpoint.stubs["watch"].Watch(metadata=(("hasleader", "true"),))
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the answer.
            async with asyncio.timeout(connection.config.dial_timeout + connection.config.operation_timeout):
                opened = await self._open(call)
            self._check(opened, endpoint)
            await self._compare(endpoint)
            yield _Opened()
            while (response := await call.read()) is not grpc.aio.EOF:
                self._check(response, endpoint)
                for changes in self._changes(response):
                    self.revision = changes.revision
                    self._remember(changes)
                    yield changes
                # What lies between the prefixes counts as seen, or compaction would overtake a quiet follower.
                last = response.events[-1].kv.mod_revision if response.events else response.header.revision
                self.revision = max(self.revision, last)
            raise StoreUnavailable(f"etcd at {endpoint.address}: closed the watch")
        except StoreUnavailable:
            connection.give_up(endpoint)
            raise
        except TimeoutError:
            connection.give_up(endpoint)
            raise StoreUnavailable(f"etcd at {endpoint.address}: no answer to a watch") from None
        except grpc.aio.AioRpcError as error:
            connection.give_up(endpoint)
            raise translate(error, endpoint.address) from error
        finally:
            call.cancel()

    async def _open(self, call: Any) -> Any:
        create = rpc.WatchCreateRequest(
            key=self._start, range_end=self._end, start_revision=self.revision + 1, progress_notify=True
        )
        await call.write(rpc.WatchRequest(create_request=create))
        response = await call.read()
        if response is grpc.aio.EOF:
            raise StoreUnavailable("etcd closed the watch at once")
        return response

    async def _compare(self, endpoint: Endpoint) -> None:
        """Asks for what was told last, as it was at that revision; the watch that is open already sees what follows.

        Raises:
            RevisionGone: the revision is not there, or something else is.
        """
        wanted: list[tuple[rpc.RangeRequest, tuple[int, bytes | None]]]
        wanted = [(rpc.RangeRequest(key=key.encode()), seen) for key, seen in self._last.items()]
        if not wanted:  # nothing was there
            wanted = [
                (rpc.RangeRequest(key=prefix.encode(), range_end=end, limit=1), (0, None))
                for prefix, end in zip(self._prefixes, self._ends, strict=True)
            ]
        for request, _ in wanted:
            request.revision = self.revision
        transaction = rpc.TxnRequest(success=[rpc.RequestOp(request_range=request) for request, _ in wanted])
        answer = await endpoint.stubs["kv"].Txn(transaction, timeout=self._store.connection.config.operation_timeout)
        for part, (request, seen) in zip(answer.responses, wanted, strict=True):
            kvs = part.response_range.kvs
            if seen != ((kvs[0].mod_revision, kvs[0].value) if kvs else (0, None)):
                raise RevisionGone(
                    f"etcd at {endpoint.address} held something else in {request.key.decode()} at revision "
                    f"{self.revision}: it was wiped or restored"
                )

    def _remember(self, changes: Changes) -> None:
        for change in changes.changes[-REMEMBERED:]:
            self._last.pop(change.key, None)
            self._last[change.key] = (0 if change.value is None else change.mod_revision, change.value)
        for key in list(self._last)[:-REMEMBERED]:
            del self._last[key]

    def _check(self, response: Any, endpoint: Endpoint) -> None:
        if response.canceled:
            if response.compact_revision:
                raise RevisionGone(
                    f"revision {self.revision + 1} is compacted away", compact_revision=response.compact_revision
                )
            raise StoreUnavailable(f"etcd at {endpoint.address}: cancelled the watch: {response.cancel_reason}")

    def _changes(self, response: Any) -> list[Changes]:
        result = []
        for revision, events in itertools.groupby(response.events, key=lambda event: event.kv.mod_revision):
            changes = tuple(
                Change(
                    key,
                    event.kv.value if event.type == rpc.Event.PUT else None,
                    revision,
                    event.kv.create_revision if event.type == rpc.Event.PUT else 0,
                )
                for event in events
                if (key := event.kv.key.decode()).startswith(self._prefixes)
            )
            if changes:
                result.append(Changes(revision, changes))
        return result
