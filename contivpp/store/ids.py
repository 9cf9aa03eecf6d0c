"""Small numbers that are unique in the cluster, given out by compare-and-swap: "<prefix><number>" is a key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from contivpp.store.errors import AllocationError, GuardFailed
from contivpp.store.types import Batch, Guard

if TYPE_CHECKING:
    from contivpp.store.client import Store

_ATTEMPTS: Final = 200
_PAUSE: Final = 0.02


class Ids:
    """ID allocation in one store."""

    def __init__(self, store: Store) -> None:
        """Takes the store."""
        self._store = store

    async def allocate(
        self,
        prefix: str,
        make_value: Callable[[int], bytes],
        *,
        match: Callable[[bytes], bool] | None = None,
        first: int = 1,
        last: int = (1 << 31) - 1,
    ) -> int:
        """The number whose record is already ours by `match`, else the lowest free one.

        Raises:
            AllocationError: every number up to `last` is taken, or others were always faster.
        """
        for _ in range(_ATTEMPTS):
            snapshot = await self._store.get_prefix(prefix)
            taken: set[int] = set()
            for key, item in snapshot.items.items():
                text = key[len(prefix) :]
                if not (text.isascii() and text.isdigit()):
                    continue
                if match is not None and match(item.value):
                    return int(text)
                taken.add(int(text))
            number = first
            while number in taken:
                number += 1
            if number > last:
                message = f"no ID is free under {prefix}: all from {first} to {last} are taken"
                raise AllocationError(message)
            key = f"{prefix}{number}"
            try:
                await self._store.commit(Batch(puts={key: make_value(number)}, guards=[Guard.absent(key)]))
            except GuardFailed:
                await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - only to spread rivals
                continue
            return number
        message = f"no ID under {prefix} could be allocated: others were faster {_ATTEMPTS} times"
        raise AllocationError(message)

    async def release(self, prefix: str, number: int, *, match: Callable[[bytes], bool] | None = None) -> bool:
        """Frees a number; False when it is free already or, by `match`, somebody else's."""
        key = f"{prefix}{number}"
        current = await self._store.get(key)
        if current is None or (match is not None and not match(current.value)):
            return False
        try:
            await self._store.commit(Batch(deletes=[key], guards=[Guard.unchanged(key, current.mod_revision)]))
        except GuardFailed:
            return False
        return True
