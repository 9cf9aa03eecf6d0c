"""Huge pages: reserved by size and NUMA node, now and at every boot, and how many of them are really free.

What is wanted is all there is to be of ours; a pool keeps at least what it had before we came, for others live on it.
Memory that is in pieces gives fewer pages than asked for: then the pool is put back and the error says how many could
be had. A count is not a promise: pages that others use are reserved and not free, so what must be free is asked for by
itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from . import boot, hugepage_mounts
from .hugepage_mounts import Mount
from .state import Memory
from .system import HostError, System

SUBJECT = "hugepages"
NODES = "/sys/devices/system/node"
ALL_NODES = "/sys/kernel/mm/hugepages"
COMPACT = "/proc/sys/vm/compact_memory"
RECLAIMABLE = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
_FOLDER = re.compile(r"hugepages-(\d+)kB")
_SIZE = re.compile(r"(\d+)\s*([kKmMgG])[bB]?")


@dataclass(frozen=True)
class Pool:
    """The pages of one size on one NUMA node, or on all of them together (`node` None).

    Attributes:
        kilobytes: the size of a page.
        pages: how many are reserved to stay; those that go when their user lets go do not count.
        free: how many of them nobody has, or has been promised.
    """

    kilobytes: int
    node: int | None
    pages: int
    free: int

    @property
    def path(self) -> str:
        """The file of the kernel that decides about it."""
        folder = ALL_NODES if self.node is None else "%s/node%d/hugepages" % (NODES, self.node)
        return "%s/hugepages-%dkB/nr_hugepages" % (folder, self.kilobytes)

    @property
    def name(self) -> str:
        """For people, such as "2M on NUMA node 0"."""
        where = "" if self.node is None else " on NUMA node %d" % self.node
        return size_text(self.kilobytes) + where

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "size": size_text(self.kilobytes),
            "node": self.node,
            "pages": self.pages,
            "free": self.free,
        }


@dataclass(frozen=True)
class Wanted:
    """What one pool is to have: pages in all, and how many of them free; `node` None is all nodes together."""

    size: str
    count: int
    node: int | None = None
    free: int = 0


@dataclass(frozen=True)
class Found:
    """Everything that a plan is made from. Memory is in kilobytes, by NUMA node and None for the whole machine."""

    pools: tuple[Pool, ...]
    total: Mapping[int | None, int]
    available: Mapping[int | None, int]
    default_kilobytes: int
    mounts: tuple[Mount, ...]
    memory: Mapping[str, Any]
    orders: Mapping[str, str]
    orders_are_whole: bool
    user_runs: bool = False

    def pool(self, kilobytes: int, node: int | None) -> Pool | None:
        """The pool of a size on a node."""
        return next((one for one in self.pools if (one.kilobytes, one.node) == (kilobytes, node)), None)


@dataclass(frozen=True)
class Reservation:
    """How many pages a pool has, and is to have; `origin` is to be remembered, `release` to be forgotten."""

    pool: Pool
    after: int
    origin: int
    release: bool = False


@dataclass(frozen=True)
class Plan:
    """What has to be done: pools in the order of their change, mounts, and the orders for the next boot."""

    reservations: tuple[Reservation, ...]
    mounts: hugepage_mounts.Plan
    orders: Mapping[str, str]
    changed: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def size_text(kilobytes: int) -> str:
    """Such as 2M for 2048."""
    for unit, factor in (("G", 1 << 20), ("M", 1 << 10)):
        if kilobytes % factor == 0:
            return "%d%s" % (kilobytes // factor, unit)
    return "%dK" % kilobytes


def kilobytes_of(text: str) -> int:
    """Such as 2048 for 2M.

    Raises:
        HostError: it is no size.
    """
    found = _SIZE.fullmatch(str(text).strip())
    if found is None:
        raise HostError("%r is not the size of a page: write it such as 2M or 1G" % text)
    return int(found.group(1)) << {"k": 0, "m": 10, "g": 20}[found.group(2).lower()]


def read(system: System, *, user_runs: bool = False) -> Found:
    """Reads the machine.

    Args:
        system: the machine.
        user_runs: whether the program that the pages are for runs, and has its share of them already.

    Raises:
        HostError: what is remembered cannot be read.
    """
    nodes = sorted(int(name[4:]) for name in system.names(NODES) if re.fullmatch(r"node\d+", name))
    pools = _pools(system, ALL_NODES, None)
    for node in nodes:
        pools += _pools(system, "%s/node%d/hugepages" % (NODES, node), node)
    whole = _meminfo(system.read("/proc/meminfo") or "")
    by_node = {node: _meminfo(system.read("%s/node%d/meminfo" % (NODES, node)) or "") for node in nodes}
    total: dict[int | None, int] = {None: whole.get("MemTotal", 0)}
    available: dict[int | None, int] = {None: whole.get("MemAvailable", 0)}
    for node, memory in by_node.items():
        total[node] = memory.get("MemTotal", 0)
        available[node] = sum(memory.get(name, 0) for name in RECLAIMABLE)
    orders = boot.read(system, SUBJECT)
    return Found(
        pools=tuple(pools),
        total=total,
        available=available,
        default_kilobytes=whole.get("Hugepagesize", 0),
        mounts=hugepage_mounts.read(system, whole.get("Hugepagesize", 0)),
        memory=Memory(system, SUBJECT).all(),
        orders=orders,
        orders_are_whole=boot.is_whole(system, SUBJECT, orders),
        user_runs=user_runs,
    )


def runs(system: System, unit: str) -> bool:
    """Whether a service runs."""
    return bool(unit) and system.run("systemctl", "is-active", "--quiet", unit).code == 0


def plan(
    found: Found,
    wanted: Sequence[Wanted],
    *,
    mounts: Sequence[tuple[str, str]] = (),
    at_boot: bool = True,
    now: bool = True,
) -> Plan:
    """Plans; pure.

    Args:
        found: the machine.
        wanted: all pools that are to be ours; without any everything is as it was.
        mounts: folders and page sizes of file systems.
        at_boot: whether it is to be so after a reboot.
        now: whether it is to be so before it.

    Raises:
        HostError: the machine has no such pages, or not enough memory, with all reasons.
    """
    problems: list[str] = []
    reservations: list[Reservation] = []
    orders: dict[str, str] = {}
    sizes: dict[int, set[bool]] = {}
    taken = _given_back(found, wanted)
    for one in wanted:
        pool = _pool(found, one, problems)
        if pool is None:
            continue
        sizes.setdefault(pool.kilobytes, set()).add(pool.node is None)
        if any(other.pool.path == pool.path for other in reservations):
            problems.append("pages of %s are asked for twice: add the counts up" % pool.name)
            continue
        origin = int(found.memory.get(pool.path, {"pages": pool.pages})["pages"])
        after = max(one.count, origin)
        if at_boot and one.count:
            orders[pool.path[len("/sys/") :]] = str(after)
        reservations.append(Reservation(pool, after if now else pool.pages, origin))
        if now:
            problems += _shortage(found, one, pool, after, taken)
    problems += [
        "pages of %s are asked for by NUMA node and for all nodes: choose one of them" % size_text(kilobytes)
        for kilobytes, ways in sorted(sizes.items())
        if len(ways) > 1
    ]
    if problems:
        raise HostError(*problems)
    reservations += _releases(found, {one.pool.path for one in reservations})
    # What is given back is there for what is taken.
    reservations.sort(key=lambda one: (one.after > one.pool.pages, one.pool.path))
    mounting = hugepage_mounts.plan(found.mounts, mounts, found.memory, found.default_kilobytes, _sizes(found))
    changed = (
        any(one.after != one.pool.pages or one.release for one in reservations)
        or orders != dict(found.orders)
        or not found.orders_are_whole
        or mounting.changed
    )
    return Plan(
        reservations=tuple(reservations),
        mounts=mounting,
        orders=orders,
        changed=changed,
        before=_shown(found.orders, [(one.pool, one.pool.pages) for one in reservations], mounting.before),
        after=_shown(orders, [(one.pool, one.after) for one in reservations], mounting.after),
    )


def apply(system: System, planned: Plan) -> None:
    """Does what is planned, and verifies it.

    Raises:
        HostError: fewer pages could be had; every pool has again as many as before.
    """
    memory = Memory(system, SUBJECT)
    known = set(memory.all())
    done: list[Reservation] = []
    for one in planned.reservations:
        if not one.release and (one.after != one.pool.pages or _path(one) in planned.orders):
            memory.remember(one.pool.path, {"pages": one.origin})
        if one.after == one.pool.pages:
            continue
        done.append(one)
        try:
            _reserve(system, one)
        except HostError:
            for other in reversed(done):
                system.command(other.pool.path, str(other.pool.pages))
            for other in planned.reservations:
                if other.pool.path not in known:
                    memory.forget(other.pool.path)
            raise
    hugepage_mounts.apply(system, planned.mounts, memory)
    boot.write(system, SUBJECT, planned.orders)
    for one in planned.reservations:
        if one.release:
            memory.forget(one.pool.path)
    wrong = verify(system, planned)
    if wrong:
        raise HostError(*wrong)


def verify(system: System, planned: Plan) -> list[str]:
    """What is not as planned, now."""
    wrong = []
    for one in planned.reservations:
        now = _pages(system, one.pool.path)
        if now < one.after:
            wrong.append("only %d of %d pages of %s are there: see who lowers them" % (now, one.after, one.pool.name))
    if not boot.is_whole(system, SUBJECT, planned.orders):
        wrong.append("what the next boot is to do is not in %s: see who else writes there" % boot.FOLDER)
    return wrong + hugepage_mounts.verify(system, planned.mounts)


def _path(one: Reservation) -> str:
    return one.pool.path[len("/sys/") :]


def _reserve(system: System, one: Reservation) -> None:
    system.command(one.pool.path, str(one.after))
    if _pages(system, one.pool.path) >= one.after:
        return
    if system.exists(COMPACT):  # memory in pieces may be put together
        system.command(COMPACT, "1")
        system.command(one.pool.path, str(one.after))
    now = _pages(system, one.pool.path)
    if now >= one.after:
        return
    raise HostError(
        "only %d of %d pages of %s could be had, memory is in pieces: lower the count, or set now to false and reboot,"
        " for at boot it is whole" % (now, one.after, one.pool.name)
    )


def _pool(found: Found, one: Wanted, problems: list[str]) -> Pool | None:
    try:
        kilobytes = kilobytes_of(one.size)
    except HostError as error:
        problems += error.problems
        return None
    if one.count < 0 or one.free < 0:
        problems.append("%d pages of %s cannot be: give a number from 0" % (min(one.count, one.free), one.size))
        return None
    pool = found.pool(kilobytes, one.node)
    if pool is not None:
        return pool
    nodes = sorted(other.node for other in found.pools if other.node is not None)
    if one.node is not None and nodes and one.node not in nodes:
        problems.append(
            "this host has no NUMA node %d, only %s: correct it" % (one.node, ", ".join(map(str, sorted(set(nodes)))))
        )
    else:
        sizes = ", ".join(size_text(size) for size in _sizes(found)) or "none at all"
        problems.append("this host has no pages of %s, only %s: choose another size" % (one.size, sizes))
    return None


def _shortage(found: Found, one: Wanted, pool: Pool, after: int, taken: dict[int | None, int]) -> list[str]:
    problems = []
    more = max(0, after - pool.pages)
    need = more * pool.kilobytes
    wheres: tuple[int | None, ...] = (None,) if pool.node is None else (None, pool.node)
    for where in wheres:
        before = taken.get(where, 0)
        taken[where] = before + need
        available = found.available.get(where, 0) - before
        if need > available:
            problems.append(
                "%d more pages of %s need %d MiB and only %d MiB of memory can be had%s: lower the count, or make room"
                % (more, pool.name, need >> 10, max(0, available) >> 10, "" if where is None else " there")
            )
            break
    free = pool.free + after - pool.pages
    if one.free > free and not found.user_runs and not problems:
        problems.append(
            "only %d of %d pages of %s are free and %d are needed: end who has the others, or raise the count by %d"
            % (free, after, pool.name, one.free, one.free - free)
        )
    return problems


def _given_back(found: Found, wanted: Sequence[Wanted]) -> dict[int | None, int]:
    """The memory that pools of ours let go, below zero, as it is taken; pages that are in use stay with their users."""
    asked = {pool.path: one.count for one in wanted for pool in [_pool(found, one, [])] if pool is not None}
    freed: dict[int | None, int] = {}
    for pool in found.pools:
        if pool.path in found.memory:
            after = max(asked.get(pool.path, 0), int(found.memory[pool.path]["pages"]))
            amount = min(max(0, pool.pages - after), pool.free) * pool.kilobytes
            for where in {None, pool.node}:
                freed[where] = freed.get(where, 0) - amount
    return freed


def _releases(found: Found, wanted: set[str]) -> list[Reservation]:
    """The pools that were changed and are not wanted any more: they get back what they had."""
    return [
        Reservation(pool, int(found.memory[pool.path]["pages"]), int(found.memory[pool.path]["pages"]), release=True)
        for pool in found.pools
        if pool.path in found.memory and pool.path not in wanted
    ]


def _sizes(found: Found) -> list[int]:
    return sorted({pool.kilobytes for pool in found.pools})


def _pools(system: System, folder: str, node: int | None) -> list[Pool]:
    found = []
    for name in system.names(folder):
        match = _FOLDER.fullmatch(name)
        if match:
            path, whole = "%s/%s" % (folder, name), "%s/%s" % (ALL_NODES, name)
            # Pages that a program was promised and has not touched count as free for the kernel, on all nodes together.
            unpromised = (system.number(whole + "/free_hugepages") or 0) - (
                system.number(whole + "/resv_hugepages") or 0
            )
            free = max(0, min(system.number(path + "/free_hugepages") or 0, unpromised))
            found.append(Pool(int(match.group(1)), node, _pages(system, path + "/nr_hugepages"), free))
    return found


def _pages(system: System, path: str) -> int:
    surplus = system.number(path.replace("nr_hugepages", "surplus_hugepages")) or 0
    return max(0, (system.number(path) or 0) - surplus)


def _meminfo(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(\S+):\s+(\d+)", text)}


def _shown(orders: Mapping[str, str], pools: Iterable[tuple[Pool, int]], mounts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "pages": {
            pool.name: {"now": pages, "at_boot": int(orders.get(pool.path[len("/sys/") :], "0"))}
            for pool, pages in pools
        },
        "mounts": dict(mounts),
    }
