"""Following etcd: a snapshot at revision R, then every change from R+1, across outages.

All prefixes are watched as one range, so that the changes of one transaction come together and in order; what
lies between the prefixes is dropped here. After an outage the watch goes on after the last revision that was
seen. A revision that is compacted away, or that this etcd never reached because it was wiped or restored, means
a new snapshot.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc
from aetcd import rpc

from contivpp.store.errors import PermissionDenied, RevisionGone, StoreUnavailable, translate
from contivpp.store.types import Change, Changes, Disconnected, Synced, Update

if TYPE_CHECKING:
    from contivpp.store.client import Store

log = logging.getLogger(__name__)

FIRST_DELAY = 0.1


async def follow(store: Store, prefixes: Sequence[str]) -> AsyncIterator[Update]:
    """`Synced`, then `Changes` per revision; `Disconnected` once per outage. Never ends by itself.

    Raises:
        StoreError: etcd refuses for a reason that does not pass by itself.
    """
    watch = _Watch(store, prefixes)
    away = False
    delay = FIRST_DELAY
    while True:
        try:
            if not watch.revision:
                snapshot = await store.snapshot(prefixes)
                watch.revision = snapshot.revision
                away = False
                yield Synced(snapshot)
            async for update in watch.run(say_when_open=away):
                away, delay = False, FIRST_DELAY
                yield update
        except RevisionGone as gone:
            log.warning("reading everything anew: %s", gone)
            watch.revision = watch.term = 0
        except (StoreUnavailable, PermissionDenied) as error:  # a right that is missing may be given meanwhile
            if not away:
                away = True
                yield Disconnected(str(error))
            await asyncio.sleep(delay)
            delay = min(delay * 2, store.connection.config.reconnect_interval)


class _Watch:
    """One watch after another, each on a new stream."""

    def __init__(self, store: Store, prefixes: Sequence[str]) -> None:
        from contivpp.store.client import prefix_end  # noqa: PLC0415 - the client imports this module

        self._store = store
        self._prefixes = tuple(prefixes)
        self._start = min(prefixes).encode()
        self._end = max(map(prefix_end, prefixes))
        self.revision = 0
        self.term = 0

    async def run(self, *, say_when_open: bool) -> AsyncIterator[Update]:
        connection = self._store.connection
        endpoint = connection.current
        call = endpoint.stubs["watch"].Watch(metadata=(("hasleader", "true"),))
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the answer.
            async with asyncio.timeout(connection.config.dial_timeout + connection.config.operation_timeout):
                opened = await self._open(call)
            self._check(opened, endpoint.address)
            if say_when_open:
                yield Changes(self.revision, ())
            while (response := await call.read()) is not grpc.aio.EOF:
                self._check(response, endpoint.address)
                for changes in self._changes(response):
                    self.revision = changes.revision
                    yield changes
                if not response.events:
                    self.revision = max(self.revision, response.header.revision)
            connection.give_up(endpoint)
            raise StoreUnavailable(f"etcd at {endpoint.address}: closed the watch")
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
        if response.created and response.header.revision < self.revision:
            raise RevisionGone(
                f"etcd is at revision {response.header.revision}, before {self.revision}: it was wiped or restored"
            )
        return response

    def _check(self, response: Any, where: str) -> None:
        if response.canceled:
            if response.compact_revision:
                raise RevisionGone(
                    f"revision {self.revision + 1} is compacted away", compact_revision=response.compact_revision
                )
            raise StoreUnavailable(f"etcd at {where}: cancelled the watch: {response.cancel_reason}")
        if response.header.raft_term < self.term:
            raise RevisionGone(f"etcd at {where} has an earlier raft term than before: it was wiped or restored")
        self.term = response.header.raft_term

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
