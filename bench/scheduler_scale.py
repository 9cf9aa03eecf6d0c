"""What the scheduler itself costs: 100,000 values with one dependency each, over a data plane in memory.

The first resync, a resync with nothing to do, one changed value, and memory per value; the cost of one change at
1,000 values for comparison. A second shape has every value depend on the one before it, in chains of 1,000.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import percentile, report
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome
from contivpp.scheduler.scheduler import Scheduler

VALUES = 100_000
FEW = 1_000
CHANGES = 2_000
CHAIN = 1_000


@dataclass(frozen=True, slots=True)
class Thing:
    """A value that needs `ground`."""

    key: str
    ground: str
    content: int = 0


class Kind:
    """The descriptor of one kind, over a dictionary."""

    def __init__(self, name: str) -> None:
        """Takes the name; keys start with it."""
        self.name = name
        self.prefix = f"{name}/"
        self.there: dict[str, Any] = {}

    def dependencies(self, key: str, value: Thing) -> Sequence[Dependency]:
        """One, or none."""
        return (Dependency("ground", value.ground),) if value.ground else ()

    def derived(self, key: str, value: Thing) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Does it at once."""
        for operation in operations:
            if operation.kind is OperationKind.DELETE:
                del self.there[operation.key]
            else:
                self.there[operation.key] = operation.value
        return [DONE] * len(operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """What is there."""
        return {key: Observed(value) for key, value in self.there.items()}


def pairs(count: int) -> dict[str, Any]:
    """Half of the values stand on the other half, one on one."""
    half = count // 2
    values = {f"address/{number}": Thing(f"address/{number}", f"link/{number}") for number in range(half)}
    values.update({f"link/{number}": Thing(f"link/{number}", "link/root") for number in range(1, half)})
    values["link/0"] = Thing("link/0", "link/root")
    values["link/root"] = Thing("link/root", "")
    return values


def chains(count: int) -> dict[str, Any]:
    """Every value needs the one before it."""
    return {
        f"link/{number:06}": Thing(f"link/{number:06}", f"link/{number - 1:06}" if number % CHAIN else "")
        for number in range(count)
    }


async def changed(scheduler: Scheduler, count: int) -> list[float]:
    """Seconds per transaction that changes one value."""
    took = []
    for number in range(CHANGES):
        key = f"address/{number * 7919 % (count // 2)}"
        value = Thing(key, f"link/{key.partition('/')[2]}", number + 1)
        start = time.perf_counter()
        await scheduler.commit({key: value})
        took.append(time.perf_counter() - start)
    return took


def resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


async def timed(scheduler: Scheduler, values: dict[str, Any]) -> float:
    """Seconds that a resync takes."""
    start = time.perf_counter()
    result = await scheduler.resync(values)
    assert not result.errors
    return time.perf_counter() - start


async def main() -> None:
    """Prints the figures."""
    few = Scheduler([Kind("link"), Kind("address")])
    await few.resync(pairs(FEW))
    small = await changed(few, FEW)
    values = pairs(VALUES)
    before = resident()
    scheduler = Scheduler([Kind("link"), Kind("address")])
    report("scheduler_scale/first_resync", await timed(scheduler, values), "s", 1, aim=5, values=len(values))
    report("scheduler_scale/memory", (resident() - before) / len(values), "bytes/value", 1, aim=2048)
    idle = [await timed(scheduler, values) for _ in range(3)]
    report("scheduler_scale/idle_resync", statistics.median(idle), "s", len(idle), aim=1.5)
    large = await changed(scheduler, VALUES)
    for name, percent in (("p50", 50), ("p99", 99)):
        report(f"scheduler_scale/one_change_{name}", percentile(large, percent) * 1000, "ms", CHANGES, aim=1)
    ratio = percentile(large, 50) / percentile(small, 50)
    report("scheduler_scale/one_change_at_100000_to_1000", ratio, "ratio", CHANGES, aim=2)
    long = Scheduler([Kind("link"), Kind("address")])
    report("scheduler_scale/first_resync_chains", await timed(long, chains(VALUES)), "s", 1, chain=CHAIN)


if __name__ == "__main__":
    asyncio.run(main())
