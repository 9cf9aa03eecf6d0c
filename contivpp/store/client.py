"""The store: reading, writing and following etcd.

Opening it needs no etcd: a program that starts before etcd waits where it needs an answer. Every method raises
`StoreUnavailable` while etcd is away; `follow` says so and goes on by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aetcd import rpc

from contivpp.store.config import EtcdConfig
from contivpp.store.connection import Connection
from contivpp.store.errors import GuardFailed, RevisionGone
from contivpp.store.follow import follow
from contivpp.store.ids import Ids
from contivpp.store.types import Batch, Committed, Guard, KeyValue, Snapshot, Update

PAGE: Final = 2_000
_READS_ATTEMPTS: Final = 5


class StoreStatus(msgspec.Struct, frozen=True):
    """How etcd does; `db_size` is in bytes."""

    endpoint: str
    version: str
    revision: int
    db_size: int


class Store:
    """One etcd, shared by everything in a program."""

    def __init__(self, connection: Connection) -> None:
        """Takes the connection; `open` makes one."""
        self.connection = connection
        self.ids = Ids(self)

    @classmethod
    async def open(cls, config: EtcdConfig) -> Self:
        """A store for this configuration, whether etcd answers or not.

        Raises:
            EtcdConfigError: certificates that cannot be used.
        """
        return cls(Connection(config))

    async def close(self) -> None:
        """Closes every connection; what is under way fails."""
        await self.connection.close()

    async def __aenter__(self) -> Self:
        """Nothing to do: `open` did it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes."""
        await self.close()

    # ---- reading

    async def get(self, key: str) -> KeyValue | None:
        """One key, None when it does not exist."""
        answer = await self._range(rpc.RangeRequest(key=key.encode()))
        return _key_value(answer.kvs[0]) if answer.kvs else None

    async def get_prefix(self, prefix: str) -> Snapshot:
        """Everything under a prefix, read in pages at one revision."""
        return await self.snapshot([prefix])

    async def snapshot(self, prefixes: Iterable[str]) -> Snapshot:
        """Everything under several prefixes at one revision."""
        wanted = list(prefixes)
        for attempt in range(_READS_ATTEMPTS):
            try:
                return await self._snapshot(wanted)
            except RevisionGone:  # compacted between two pages
                if attempt + 1 == _READS_ATTEMPTS:
                    raise
        raise AssertionError

    async def _snapshot(self, prefixes: list[str]) -> Snapshot:
        items: dict[str, KeyValue] = {}
        revision = 0
        for prefix in prefixes:
            start, end = prefix.encode(), prefix_end(prefix)
            while True:
                page = await self._range(rpc.RangeRequest(key=start, range_end=end, limit=PAGE, revision=revision))
                revision = revision or page.header.revision
                for item in page.kvs:
                    found = _key_value(item)
                    items[found.key] = found
                if not page.more:
                    break
                start = page.kvs[-1].key + b"\0"
        return Snapshot(revision, items)

    def follow(self, prefixes: Iterable[str]) -> AsyncIterator[Update]:
        """The whole state, then every change, for ever; see `contivpp.store.follow`."""
        return follow(self, list(prefixes))

    async def status(self) -> StoreStatus:
        """What the endpoint in use says of itself."""
        endpoint = self.connection.current
        answer = await self.connection.call("maintenance", "Status", rpc.StatusRequest(), repeatable=True)
        return StoreStatus(endpoint.address, answer.version, answer.header.revision, answer.dbSize)

    # ---- writing

    async def put(self, key: str, value: bytes) -> Committed:
        """Writes one key."""
        answer = await self.connection.call("kv", "Put", rpc.PutRequest(key=key.encode(), value=value))
        return Committed(answer.header.revision)

    async def delete(self, key: str) -> bool:
        """Deletes one key; False when it did not exist."""
        answer = await self.connection.call("kv", "DeleteRange", rpc.DeleteRangeRequest(key=key.encode()))
        return bool(answer.deleted)

    async def delete_prefix(self, prefix: str) -> int:
        """Deletes everything under a prefix; returns how many keys that were."""
        request = rpc.DeleteRangeRequest(key=prefix.encode(), range_end=prefix_end(prefix))
        answer = await self.connection.call("kv", "DeleteRange", request)
        return int(answer.deleted)

    async def commit(self, batch: Batch, *, lease: int = 0) -> Committed:
        """Carries out a batch as one transaction; what it puts ends with `lease` when one is given.

        Raises:
            GuardFailed: nothing was done; names the conditions that did not hold.
        """
        success = [
            rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value, lease=lease))
            for key, value in batch.puts.items()
        ]
        success += [
            rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode())) for key in batch.deletes
        ]
        success += [
            rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=tree.encode(), range_end=prefix_end(tree)))
            for tree in batch.trees
        ]
        failure = [
            rpc.RequestOp(request_range=rpc.RangeRequest(key=guard.key.encode(), keys_only=True))
            for guard in batch.guards
        ]
        request = rpc.TxnRequest(compare=[_compare(one) for one in batch.guards], success=success, failure=failure)
        answer = await self.connection.call("kv", "Txn", request)
        if not answer.succeeded:
            found = [part.response_range.kvs for part in answer.responses]
            broken = [
                guard
                for guard, kvs in zip(batch.guards, found, strict=True)
                if not _holds(guard, kvs[0].mod_revision if kvs else 0)
            ]
            raise GuardFailed(broken or batch.guards)
        return Committed(answer.header.revision)

    async def _range(self, request: Any) -> Any:
        return await self.connection.call("kv", "Range", request, repeatable=True)


def prefix_end(prefix: str) -> bytes:
    """The first key after all keys with the prefix."""
    raw = prefix.encode().rstrip(b"\xff")
    return raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0"


def _key_value(item: Any) -> KeyValue:
    return KeyValue(item.key.decode(), item.value, item.create_revision, item.mod_revision)


def _compare(guard: Guard) -> Any:
    key = guard.key.encode()
    if guard.mod_revision is None:
        return rpc.Compare(key=key, target=rpc.Compare.CREATE, result=rpc.Compare.GREATER, create_revision=0)
    return rpc.Compare(key=key, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=guard.mod_revision)


def _holds(guard: Guard, mod_revision: int) -> bool:
    return mod_revision > 0 if guard.mod_revision is None else mod_revision == guard.mod_revision
