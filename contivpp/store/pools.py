"""Pools of IDs that all nodes share: one record per pool, changed by compare-and-swap on its revision.

A label keeps its ID until its owner releases it, so asking twice gives the same answer, also after a call whose fate
nobody knows. Labels that were seen before are looked up in a cache that follows etcd's watch: that works while etcd
is away, and an answer is as fresh as the watch. New IDs need etcd. Source: spec/agent.md 6.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

import msgspec

from contivpp.model import codec, keys
from contivpp.model.idpool import Allocation, AllocationPool, Range, pool_key
from contivpp.store.errors import AllocationError, GuardFailed
from contivpp.store.types import Batch, Change, Changes, Guard, Snapshot, Synced, Update

if TYPE_CHECKING:
    from contivpp.store.client import Store

log = logging.getLogger(__name__)

PREFIX: Final = keys.prefix("idalloc")
_ATTEMPTS: Final = 200
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.3


class PoolMissingError(AllocationError):
    """Nobody has made the pool yet."""


class PoolRangeError(AllocationError):
    """The pool exists with other IDs than were asked for."""


class PoolFullError(AllocationError):
    """Every ID of the pool is taken or reserved."""


class PoolDamagedError(AllocationError):
    """The record of the pool cannot be read."""


class _Known(msgspec.Struct, frozen=True):
    """A pool as it was at `revision`."""

    pool: AllocationPool
    revision: int


class IdPools:
    """All pools, for one program."""

    def __init__(self, store: Store) -> None:
        """Takes the store; the cache is empty until `take` was given something."""
        self._store = store
        self._known: dict[str, _Known] = {}
        self._followed = 0

    # ---- without etcd

    def lookup(self, name: str, label: str) -> int | None:
        """The ID of a label as far as known here; None when none is."""
        known = self._known.get(pool_key(name))
        allocation = None if known is None else known.pool.id_allocations.get(label)
        return None if allocation is None else allocation.id

    def take(self, update: Update) -> None:
        """Learns from an update of the watch; of other keys than the pools' nothing is taken."""
        if isinstance(update, Synced):
            self._take_all(update.snapshot)
        elif isinstance(update, Changes):
            self._followed = max(self._followed, update.revision)
            for change in update.changes:
                self._take_one(change)

    async def run(self) -> None:
        """Follows the pools for ever; a root task for a program whose own watch does not feed `take`."""
        async for update in self._store.follow([PREFIX]):
            self.take(update)

    # ---- with etcd

    async def ensure(self, name: str, wanted: Range) -> None:
        """Makes the pool, unless it exists with the same IDs.

        Raises:
            PoolRangeError: it exists with others.
            StoreUnavailable: etcd is away and the pool is not known here.
        """
        if not 0 <= wanted.min_id <= wanted.max_id:
            message = f"pool {name}: {wanted} is no range: the first ID has to come before the last"
            raise ValueError(message)
        key = pool_key(name)
        known = self._known.get(key)
        while known is None:
            fresh = AllocationPool(name=name, range=wanted)
            try:
                done = await self._store.commit(Batch(puts={key: codec.encode(fresh)}, guards=[Guard.absent(key)]))
                known = self._note(key, fresh, done.revision)
            except GuardFailed:
                known = await self._read(key)
        if not known.pool.range.same_as(wanted):
            message = (
                f"pool {name} has the IDs {known.pool.range}, not {wanted}: all nodes need the same range; "
                f"correct this one's, or delete {key} once nothing uses its IDs"
            )
            raise PoolRangeError(message)

    async def get_or_allocate(self, name: str, label: str, owner: str) -> int:
        """The ID that `label` has, else the lowest free one, which is `owner`'s from now on.

        Raises:
            PoolMissingError: call `ensure` first.
            PoolFullError: no ID is left.
            PoolDamagedError: the record cannot be read.
            StoreUnavailable: etcd is away and the label is not known here; asking again is safe.
        """
        if (found := self.lookup(name, label)) is not None:
            return found
        key = pool_key(name)
        for attempt in range(_ATTEMPTS):
            known = await self._read(key)
            if known is None:
                message = f"there is no pool {name} ({key}): it has to be made first"
                raise PoolMissingError(message)
            if (allocation := known.pool.id_allocations.get(label)) is not None:
                return allocation.id
            if (free := known.pool.free_id()) is None:
                message = (
                    f"pool {name} is full: all IDs from {known.pool.range} are taken by "
                    f"{len(known.pool.id_allocations)} labels; release some"
                )
                raise PoolFullError(message)
            if await self._swap(key, known, known.pool.with_allocation(label, Allocation(id=free, owner=owner))):
                return free
            await _pause(attempt)
        message = f"pool {name}: no ID for {label} could be allocated: others were faster {_ATTEMPTS} times"
        raise AllocationError(message)

    async def release(self, name: str, label: str, owner: str) -> bool:
        """Frees the ID of a label; False when it has none, or it is another owner's, whose it then stays.

        Raises:
            PoolDamagedError: the record cannot be read.
            StoreUnavailable: etcd is away; asking again is safe.
        """
        key = pool_key(name)
        for attempt in range(_ATTEMPTS):
            known = await self._read(key)
            allocation = None if known is None else known.pool.id_allocations.get(label)
            if known is None or allocation is None or allocation.owner != owner:
                return False
            if await self._swap(key, known, known.pool.without(label)):
                return True
            await _pause(attempt)
        message = f"pool {name}: {label} could not be released: others were faster {_ATTEMPTS} times"
        raise AllocationError(message)

    async def _read(self, key: str) -> _Known | None:
        found = await self._store.get(key)
        if found is None:
            self._known.pop(key, None)
            return None
        try:
            return self._note(key, codec.decode(AllocationPool, found.value, key=key), found.mod_revision)
        except codec.DecodeError as error:
            message = f"{error}: restore the record, or delete it once nothing uses its IDs"
            raise PoolDamagedError(message) from error

    async def _swap(self, key: str, known: _Known, pool: AllocationPool) -> bool:
        try:
            done = await self._store.commit(
                Batch(puts={key: codec.encode(pool)}, guards=[Guard.unchanged(key, known.revision)])
            )
        except GuardFailed:
            return False
        self._note(key, pool, done.revision)
        return True

    # ---- the cache

    def _note(self, key: str, pool: AllocationPool, revision: int) -> _Known:
        known = self._known.get(key)
        if known is None or known.revision <= revision:
            self._known[key] = _Known(pool, revision)
        return _Known(pool, revision)

    def _take_all(self, snapshot: Snapshot) -> None:
        forgetful = snapshot.revision < self._followed  # another etcd, or an earlier state of it
        self._known = {
            key: known for key, known in self._known.items() if known.revision > snapshot.revision and not forgetful
        }
        self._followed = snapshot.revision
        for item in snapshot.items.values():
            self._take_one(Change(item.key, item.value, item.mod_revision, item.create_revision))

    def _take_one(self, change: Change) -> None:
        if not change.key.startswith(PREFIX):
            return
        known = self._known.get(change.key)
        if known is not None and known.revision >= change.mod_revision:
            return
        if change.value is None:
            self._known.pop(change.key, None)
            return
        try:
            self._note(change.key, codec.decode(AllocationPool, change.value, key=change.key), change.mod_revision)
        except codec.DecodeError as error:
            log.warning("kept the last readable state of an ID pool: %s", error)


async def _pause(attempt: int) -> None:
    longest = min(_FIRST_PAUSE * 2 ** min(attempt, 8), _LONGEST_PAUSE)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - only to spread rivals
