"""Whatever happens to etcd, a follower ends with what etcd holds, and misses nothing that it need not miss.

The seeds are fixed: a failure comes again with the same faults in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.store.client import Store
from contivpp.store.errors import StoreUnavailable
from contivpp.store.types import Batch
from tests.integration.conftest import Etcd

from .witness import PREFIXES, Wire, Witness, Writers, client_of, witness_of

pytestmark = pytest.mark.etcd

STEPS = 6


class Members:
    """An etcd of three members."""

    def __init__(self, folder: Path) -> None:
        self.all = [Etcd(folder / name, name=name) for name in ("one", "two", "three")]
        for member in self.all:
            member.members = ",".join(f"{one.name}={one.peer}" for one in self.all)
            member.arguments += ["--heartbeat-interval", "50", "--election-timeout", "500"]

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.all]

    def start(self) -> None:
        for member in self.all:
            member.launch()
        for member in self.all:
            member.wait()

    def kill(self) -> None:
        for member in self.all:
            member.kill()

    def leader(self) -> Etcd:
        """The member that leads; there is one, for all of them answer."""
        for member in self.all:
            header, rest = member.control("endpoint", "status", "-w", "fields").split('"Leader" :', 1)
            if f'"MemberID" : {rest.split()[0]}\n' in header:
                return member
        raise AssertionError


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def seeds(count: int) -> list[Any]:
    """So many seeds, of which every run has the first two, and the long tests all."""
    return [pytest.param(seed, marks=[pytest.mark.slow] if seed > 1 else []) for seed in range(count)]


@pytest.mark.parametrize("seed", seeds(8))
async def test_faults_of_one_etcd_lose_nothing(etcd: Etcd, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire(etcd.endpoint)
    await wire.start()
    compacted_meanwhile = False

    async def restart(end: Callable[[], None]) -> None:
        await asyncio.to_thread(end)
        await asyncio.sleep(chance.choice((0, 0.3, 1)))
        await asyncio.to_thread(etcd.start)

    async def frozen() -> None:
        etcd.freeze()
        await asyncio.sleep(chance.choice((0.2, 1, 3)))
        etcd.thaw()

    async def cut() -> None:
        await wire.cut()
        await asyncio.sleep(chance.choice((0, 0.5, 1.5)))
        await wire.start()

    async def compacted() -> None:
        await asyncio.to_thread(compact, etcd)

    async def cut_and_compacted() -> None:
        nonlocal compacted_meanwhile
        compacted_meanwhile = True
        await wire.cut()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(compact, etcd)
        await wire.start()

    faults: list[Callable[[], Awaitable[None]]] = [
        lambda: restart(etcd.kill),
        lambda: restart(etcd.stop),
        frozen,
        cut,
        compacted,
        cut_and_compacted,
    ]
    async with (
        await Store.open(client_of([etcd.endpoint])) as store,
        witness_of([wire.address], tmp_path) as witness,
    ):
        await witness.agrees(store)
        writers = Writers(store, seed)
        for fault in (chance.choice(faults) for _ in range(STEPS)):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            await fault()
        await writers.stop()
        await witness.agrees(store)
        check_history(witness, writers, all_of_it=not compacted_meanwhile)
        await wire.cut()


@pytest.mark.parametrize("seed", seeds(6))
async def test_faults_of_members_lose_nothing(members: Members, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def dead(member: Etcd) -> None:
        member.kill()
        await asyncio.sleep(chance.choice((0.2, 1.5)))
        member.launch()
        await asyncio.to_thread(member.wait)

    async def frozen(member: Etcd) -> None:
        member.freeze()
        await asyncio.sleep(chance.choice((0.2, 1.5, 3)))
        member.thaw()
        await asyncio.to_thread(member.wait)

    async def without_most() -> None:
        first, second = chance.sample(members.all, 2)
        first.kill()
        second.kill()
        await asyncio.sleep(chance.choice((0.2, 1.5)))
        for member in (first, second):
            member.launch()
        for member in (first, second):
            await asyncio.to_thread(member.wait)

    async with (
        await Store.open(client_of(members.endpoints)) as store,
        witness_of(reversed(members.endpoints), tmp_path) as witness,
    ):
        await witness.agrees(store)
        writers = Writers(store, seed)
        for step in range(STEPS):
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            if step == STEPS // 2:
                await without_most()
                continue
            who = chance.choice((await asyncio.to_thread(members.leader), members.all[2], chance.choice(members.all)))
            await chance.choice((dead, dead, frozen))(who)
        await writers.stop()
        await witness.agrees(store)
        check_history(witness, writers, all_of_it=True)


async def test_a_member_that_hangs_is_left_for_another(members: Members, tmp_path: Path) -> None:
    followed = members.all[0]
    async with (
        await Store.open(client_of(members.endpoints[1:])) as store,
        witness_of(members.endpoints, tmp_path) as witness,
    ):
        await witness.agrees(store)
        followed.freeze()
        await insist(store, "/f/a/1", b"while it hangs")
        await witness.agrees(store)
        followed.thaw()
        assert witness.snapshots == 1


async def insist(store: Store, key: str, value: bytes) -> None:
    """Writes, although etcd may have to find a new leader first."""
    for _ in range(10):
        with contextlib.suppress(StoreUnavailable):
            await store.put(key, value)
            return
    raise AssertionError


def check_history(witness: Witness, writers: Writers, *, all_of_it: bool) -> None:
    """Every acknowledged write was told, unless a snapshot had to stand for some."""
    assert len(writers.acknowledged) > 50
    if all_of_it:
        assert witness.snapshots == 1
        assert not writers.acknowledged - set(witness.seen)


def compact(etcd: Etcd) -> None:
    revision = etcd.control("endpoint", "status", "-w", "fields").split('"Revision" : ')[1].split()[0]
    etcd.control("compact", revision)


# ---- etcd from a backup, or from nothing


async def fill(store: Store, what: str, count: int) -> None:
    """Writes at `count` revisions, of which the last ones are of the same keys."""
    for number in range(count):
        await store.commit(Batch(puts={f"/f/a/{what}{number}": what.encode(), "/f/c/last": what.encode()}))


@pytest.mark.parametrize("after", [0, 3, 40], ids=["before", "at", "beyond"])
async def test_a_restored_snapshot_is_noticed_wherever_it_stands(etcd: Etcd, tmp_path: Path, after: int) -> None:
    """`after` revisions on the restored etcd bring it before, to, or beyond the one that the follower saw last."""
    wire = Wire(etcd.endpoint)
    await wire.start()
    async with (
        await Store.open(client_of([etcd.endpoint])) as store,
        witness_of([wire.address], tmp_path) as witness,
    ):
        await fill(store, "kept", 5)
        etcd.save(tmp_path / "saved")
        await fill(store, "lost", 3)
        await witness.agrees(store)
        await wire.cut()
        etcd.restore(tmp_path / "saved")
        etcd.start()
        await fill(store, "new", after)
        await wire.start()
        wanted = await witness.agrees(store)
        assert witness.snapshots == 2
        assert not [key for key in wanted.items if key.startswith(f"{PREFIXES[0]}lost")]
        await store.put("/f/a/next", b"is followed")
        await witness.agrees(store)
        assert witness.snapshots == 2
        await wire.cut()


async def test_a_follower_that_saw_nothing_notices_a_wiped_etcd_that_grew(etcd: Etcd, tmp_path: Path) -> None:
    wire = Wire(etcd.endpoint)
    await wire.start()
    async with (
        await Store.open(client_of([etcd.endpoint])) as store,
        witness_of([wire.address], tmp_path) as witness,
    ):
        await store.put("/elsewhere", b"1")
        await witness.agrees(store)
        await wire.cut()
        etcd.wipe()
        etcd.start()
        await fill(store, "new", 5)
        await wire.start()
        await witness.agrees(store)
        await wire.cut()


async def test_an_etcd_from_a_backup_that_grew_while_nobody_looked_replaces_the_local_copy(
    etcd: Etcd, tmp_path: Path
) -> None:
    async with await Store.open(client_of([etcd.endpoint])) as store:
        await fill(store, "kept", 5)
        etcd.save(tmp_path / "saved")
        await fill(store, "lost", 3)
        async with witness_of([etcd.endpoint], tmp_path) as witness:
            await witness.agrees(store)
        etcd.restore(tmp_path / "saved")
        etcd.start()
        await fill(store, "newe", 3)
        async with witness_of([etcd.endpoint], tmp_path) as witness:
            await witness.agrees(store)
