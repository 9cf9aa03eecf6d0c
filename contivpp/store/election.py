"""One leader among several instances of a program: a key that lives as long as its owner's lease.

The guard of a leadership belongs into every batch that only a leader may write: a leader that lost its lease
without knowing it yet writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
from aetcd import rpc

from contivpp.store.client import Store
from contivpp.store.errors import GuardFailed, StoreError, StoreUnavailable, translate
from contivpp.store.types import Batch, Changes, Guard, Synced

log = logging.getLogger(__name__)

DEFAULT_TTL = 10
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Leadership:
    """Being the leader; `lost` is done, with the reason, when it is over."""

    guard: Guard
    lost: asyncio.Future[str]


class Election:
    """A contest for one key."""

    def __init__(self, store: Store, key: str, identity: str, *, ttl: int = DEFAULT_TTL) -> None:
        """Takes the key to hold, what to write in it, and after how many seconds a dead leader is replaced."""
        self._store = store
        self._key = key
        self._identity = identity
        self._ttl = ttl

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator[Leadership]:
        """Waits to be the leader, and resigns at the end."""
        lease, guard = await self._win()
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        renewing = asyncio.create_task(self._renew(lease, lost), name="election-lease")
        try:
            yield Leadership(guard, lost)
        finally:
            renewing.cancel()
            with contextlib.suppress(StoreError):
                await self._store.connection.call("lease", "LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    async def _win(self) -> tuple[int, Guard]:
        async for update in self._store.follow([self._key]):
            free = False
            match update:
                case Synced(snapshot=snapshot):
                    holder = snapshot.items.get(self._key)
                    free = holder is None
                    if holder is not None:
                        log.info("%s leads; waiting", holder.value.decode(errors="replace"))
                case Changes(changes=changes):
                    free = any(change.key == self._key and change.value is None for change in changes)
            # No news comes of a key that stays free, so a failure is tried again here.
            while free:
                try:
                    if (won := await self._try()) is not None:
                        return won
                    free = False
                except StoreError as error:
                    log.warning("cannot stand for election: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
        raise AssertionError

    async def _try(self) -> tuple[int, Guard] | None:
        answer = await self._store.connection.call("lease", "LeaseGrant", rpc.LeaseGrantRequest(TTL=self._ttl))
        batch = Batch(puts={self._key: self._identity.encode()}, guards=[Guard.absent(self._key)])
        try:
            committed = await self._store.commit(batch, lease=answer.ID)
        except GuardFailed:
            await self._store.connection.call("lease", "LeaseRevoke", rpc.LeaseRevokeRequest(ID=answer.ID))
            return None
        return answer.ID, Guard.unchanged(self._key, committed.revision)

    async def _renew(self, lease: int, lost: asyncio.Future[str]) -> None:
        loop = asyncio.get_running_loop()
        valid_until = loop.time() + self._ttl
        while True:
            await asyncio.sleep(self._ttl / 3)
            try:
                left = await self._keep_alive(lease)
                if not left:
                    lost.set_result("the lease expired")
                    return
                valid_until = loop.time() + left
            except StoreError as error:
                if loop.time() >= valid_until:
                    lost.set_result(f"the lease could not be renewed: {error}")
                    return

    async def _keep_alive(self, lease: int) -> int:
        """Seconds that the lease is good for now; 0 when it is gone."""
        endpoint = self._store.connection.current
        call = endpoint.stubs["lease"].LeaseKeepAlive()
        try:
            async with asyncio.timeout(self._ttl / 3):
                await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
                answer = await call.read()
        except grpc.aio.AioRpcError as error:
            self._store.connection.give_up(endpoint)
            raise translate(error, endpoint.address) from error
        except TimeoutError:
            self._store.connection.give_up(endpoint)
            raise StoreUnavailable(f"etcd at {endpoint.address}: no answer to a lease renewal") from None
        finally:
            call.cancel()
        if answer is grpc.aio.EOF:
            raise StoreUnavailable(f"etcd at {endpoint.address}: closed a lease renewal")
        return int(answer.TTL)
