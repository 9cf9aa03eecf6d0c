"""Who writes, who follows and who comes between them, while the tests break etcd."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig
from contivpp.store.errors import StoreUnavailable
from contivpp.store.mirror import Mirror
from contivpp.store.types import Batch, Changes, Disconnected, KeyValue, Snapshot, Synced

PREFIXES = ("/f/a/", "/f/c/")


class Witness:
    """Follows etcd into a state, a mirror, and a record of what it was told.

    What no history of etcd can explain is an AssertionError at once: a revision that comes twice or out of order,
    or a change outside the prefixes.
    """

    def __init__(self, store: Store, mirror: Mirror) -> None:
        self.items: dict[str, KeyValue] = {}
        self.seen: list[int] = []
        self.snapshots = 0
        self.outages = 0
        self._store = store
        self._mirror = mirror
        self._revision = 0
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for update in self._store.follow(PREFIXES):
            match update:
                case Synced(snapshot=snapshot):
                    self._mirror.replace(snapshot)
                    self.items, self._revision = dict(snapshot.items), snapshot.revision
                    self.snapshots += 1
                case Changes(changes=changes) if changes:
                    assert update.revision > self._revision, f"{update} after revision {self._revision}"
                    self._mirror.apply(update)
                    self._revision = update.revision
                    self.seen.append(update.revision)
                    for change in changes:
                        assert change.key.startswith(PREFIXES)
                        assert change.mod_revision == update.revision
                        if change.value is None:
                            self.items.pop(change.key, None)
                        else:
                            self.items[change.key] = KeyValue(
                                change.key, change.value, change.create_revision, change.mod_revision
                            )
                case Disconnected():
                    self.outages += 1

    async def agrees(self, other: Store, seconds: float = 30) -> Snapshot:
        """Waits until the state and the mirror are what etcd says now."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            assert not self._task.done(), self._task.exception()
            with contextlib.suppress(StoreUnavailable):
                wanted = await other.snapshot(PREFIXES)
                kept = self._mirror.load()
                if self.items == wanted.items and kept is not None and kept.items == wanted.items:
                    return wanted
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"at {self._revision} of {wanted.revision}: {_differences(self.items, wanted.items)}"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _differences(
    got: dict[str, KeyValue], wanted: dict[str, KeyValue]
) -> list[tuple[KeyValue | None, KeyValue | None]]:
    return [(got.get(key), wanted.get(key)) for key in sorted({*got, *wanted}) if got.get(key) != wanted.get(key)]


class Writers:
    """Some programs that write as fast as etcd lets them, and remember what was acknowledged."""

    def __init__(self, store: Store, seed: int, count: int = 3) -> None:
        self.acknowledged: set[int] = set()
        self.failed = 0
        self._store = store
        self._tasks = [asyncio.create_task(self._write(random.Random(f"{seed}-{one}"))) for one in range(count)]

    async def _write(self, chance: random.Random) -> None:
        while True:
            keys = [f"/f/{chance.choice('abc')}/{chance.randrange(20)}" for _ in range(chance.choice((1, 1, 1, 4)))]
            gone = {key for key in keys if chance.random() < 0.25}
            batch = Batch(
                puts={key: chance.randbytes(chance.choice((1, 40, 2000))) for key in keys if key not in gone},
                deletes=sorted(gone),
            )
            try:
                done = await self._store.commit(batch)
                if any(key.startswith(PREFIXES) for key in batch.puts):  # a deletion may find nothing
                    self.acknowledged.add(done.revision)
            except StoreUnavailable:
                self.failed += 1
            await asyncio.sleep(chance.uniform(0, 0.02))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


class Wire:
    """A TCP connection to etcd that can be cut while etcd itself goes on."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""

    async def start(self) -> None:
        """Listens, at the same address as before when there was one."""
        port = int(self.address.rpartition(":")[2]) if self.address else 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self) -> None:
        """Ends every connection, and takes no new ones until the next `start`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in (open_ := list(self._open)):
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writers = [writer]
        try:
            there, back = await asyncio.open_connection(self._host, int(self._port))
            writers.append(back)
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            for one in writers:
                one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise EOFError


def client_of(endpoints: Sequence[str] | Iterable[str]) -> EtcdConfig:
    """A client that gives up soon, for tests in which most things fail."""
    return EtcdConfig(
        endpoints=tuple(endpoints),
        insecure_transport=True,
        operation_timeout=2.0,
        dial_timeout=0.5,
        reconnect_interval=0.2,
    )


@contextlib.asynccontextmanager
async def witness_of(endpoints: Iterable[str], folder: Path) -> AsyncIterator[Witness]:
    """Somebody who follows; what it found wrong fails the test at the end at the latest."""
    mirror = Mirror(folder / "mirror.db")
    async with await Store.open(client_of(endpoints)) as store:
        witness = Witness(store, mirror)
        try:
            yield witness
        finally:
            await witness.close()
            mirror.close()
