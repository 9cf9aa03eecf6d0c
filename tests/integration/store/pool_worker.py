"""One rival for the IDs of a pool, as a process: `pool_worker ENDPOINT OWNER LABEL...`; prints "label id" lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contivpp.model.idpool import Range
from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig
from contivpp.store.errors import StoreUnavailable
from contivpp.store.pools import IdPools

T = TypeVar("T")
POOL = "vni"
RANGE = Range(min_id=5000, max_id=5100, reserved=(5001, 5003))


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Asks again while etcd is away, as a node would."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await asyncio.sleep(0.1)


async def main(endpoint: str, owner: str, labels: list[str]) -> None:
    config = EtcdConfig(endpoints=(endpoint,), insecure_transport=True, operation_timeout=2.0, dial_timeout=0.5)
    async with await Store.open(config) as store:
        pools = IdPools(store)
        await patiently(lambda: pools.ensure(POOL, RANGE))
        for label in labels:
            number = await patiently(lambda label=label: pools.get_or_allocate(POOL, label, owner))  # type: ignore[misc]
            print(label, number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
