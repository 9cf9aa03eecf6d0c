"""What one change costs a node with 110 pods in a cluster of 5,000 nodes, 150,000 pods and 10,000 services.

From sending the write to etcd until the agent has handled the event, its transaction committed: both moments are
this machine's clock, and etcd's own part is given as `put`. Changes come one at a time, so the figure is cost, not
queueing. `pod` is a label of some pod anywhere, `local_pod` one of the node's own, `node` another address of another
node (the only one of them that changes the data plane: routes, forwarding entries and neighbours of its tunnel).
Memory is the resident set: in sync, the most until then, and the most after everything had to be read anew.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _cluster
from bench._common import percentile, report
from contivpp.agent.events import ClusterChanged, ClusterRead
from contivpp.model import codec, keys
from contivpp.model.codec import Record
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from tests.integration.cluster import TestNode, cluster_of
from tests.integration.conftest import Etcd

CHANGES = 300


async def cost(
    etcd: Etcd, node: TestNode, change: Callable[[int], tuple[str, Record]]
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds from each write to the end of its event, from the event's beginning to its end, and of the put."""
    since, inside, puts = [], [], []
    async with await Store.open(etcd.config) as store:
        for number in range(CHANGES):
            before = node.get("controller/event-history?last=1")[0]["SeqNum"]
            key, record = change(number)
            sent = time.time()
            await store.put(key, codec.encode(record))
            puts.append((time.time() - sent) * 1e3)
            while (event := node.get("controller/event-history?last=1")[0])["SeqNum"] == before:
                await asyncio.sleep(0.002)
            assert event["Name"] == ClusterChanged.name, event
            start, end = (
                datetime.datetime.fromisoformat(event[name]).timestamp()
                for name in ("ProcessingStart", "ProcessingEnd")
            )
            since.append((end - sent) * 1e3)
            inside.append((end - start) * 1e3)
    return since, inside, puts


def read_anew(etcd: Etcd, node: TestNode) -> None:
    """Lets the agent find that what it saw last is not what etcd holds, and waits until it has read everything."""

    def reads() -> int:
        return sum(event["Name"] == ClusterRead.name for event in node.get("controller/event-history"))

    before = reads()
    etcd.save(etcd.folder / "saved")
    etcd.control("put", f"{keys.KSR_PREFIX}k8s/pod/lost/namespace/default", "{}")
    etcd.restore(etcd.folder / "saved")
    etcd.start()
    while reads() == before:
        time.sleep(0.2)


def main() -> None:
    """Prints the figures."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd", arguments=_cluster.ETCD_ARGUMENTS)
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                node, pods = _cluster.prepare(cluster)

                def any_pod(number: int) -> tuple[str, Record]:
                    which = chance.randrange(_cluster.PODS - _cluster.LOCAL_PODS)
                    return _cluster.remote_pod(which, generation=number + 1)

                def local_pod(number: int) -> tuple[str, Record]:
                    which = chance.randrange(len(pods))
                    return _cluster.local_pod(which, pods[which], generation=number + 1)

                def other_node(number: int) -> tuple[str, Record]:
                    which = chance.randrange(2, _cluster.NODES)
                    address = f"10.202.{number >> 8}.{number & 255}/16"
                    return (
                        f"{keys.prefix('vppnode')}{which}",
                        VppNode(id=which, name=f"node{which}", ip_addresses=(address,)),
                    )

                size = {"nodes": _cluster.NODES, "pods": _cluster.PODS, "services": _cluster.SERVICES}
                for name, change in (("pod", any_pod), ("local_pod", local_pod), ("node", other_node)):
                    since, inside, puts = asyncio.run(cost(etcd, node, change))
                    for percent in (50, 99):
                        report(f"event_cost.{name}.p{percent}", percentile(since, percent), "ms", CHANGES, **size)
                    report(f"event_cost.{name}.controller.p50", percentile(inside, 50), "ms", CHANGES)
                    report(f"event_cost.{name}.put.p50", percentile(puts, 50), "ms", CHANGES)
                now, peak = _cluster.memory(node.pid)
                report("event_cost.memory.now", now, "MiB", 1)
                report("event_cost.memory.peak", peak, "MiB", 1)
                read_anew(etcd, node)
                report("event_cost.memory.peak_read_anew", _cluster.memory(node.pid)[1], "MiB", 1)
        finally:
            etcd.kill()


if __name__ == "__main__":
    main()
