"""Programs that die and an etcd that is away, compacted, wiped or restored: all agree in the end, nobody helping.

A ping between two pods on different nodes goes on through each of them, a hundred times a second, and loses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contivpp.agent.events import ClusterRead

from .agreement import ETCDCTL, agent, all_agree
from .conftest import NODES, Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
Object = dict[str, Any]
DATA = "/var/lib/contiv-etcd"
MEMBER = "--name node1 --initial-cluster node1=https://10.210.0.11:12380 --initial-advertise-peer-urls https://10.210.0.11:12380"
SNAPSHOT = "/root/contiv-etcd.snapshot"


@contextlib.asynccontextmanager
async def unharmed_traffic(cluster: Cluster) -> AsyncIterator[None]:
    """Pings from one pod to another, a hundred times a second, until the end of the block: no answer may be missing."""
    pods = [pod for name, pod in sorted(cluster.pods().items()) if name.startswith("demo-")]
    source = next(pod for pod in pods if pod["spec"]["nodeName"] == "node2")
    target = next(pod for pod in pods if pod["spec"]["nodeName"] == "node3")
    # Ended by ping's own limit if by nothing else.
    ping = f"ping -n -q -i 0.01 -w 900 {target['status']['podIP']}"
    running = asyncio.create_task(cluster.in_pod(source, f"sh -c 'echo $$ > /run/e2e-ping; exec {ping}' || true"))
    try:
        await asyncio.sleep(1)
        yield
    finally:
        await cluster.on("node2", "kill -INT $(cat /run/e2e-ping)")
        output = await running
    match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert match is not None, output
    sent, received = int(match[1]), int(match[2])
    # The last one may be under way when ping ends.
    assert sent - received <= 1, output
    assert sent > 50, output


async def main_process(cluster: Cluster, node: str, unit: str) -> int:
    return int(await cluster.on(node, f"systemctl show -p MainPID --value {unit}"))


async def kill(cluster: Cluster, node: str, unit: str) -> None:
    """Kills a daemon at once, and waits until systemd has started it again."""
    before = await main_process(cluster, node, unit)
    assert before
    await cluster.on(node, f"kill -KILL {before}")

    async def another() -> bool:
        return await main_process(cluster, node, unit) not in (0, before)

    await cluster.until(another, f"{unit} of {node} runs again", seconds=30)


def make_pods(cluster: Cluster, node: str, names: list[str]) -> None:
    """Asks for pods, and does not wait for them."""
    container = {"name": "web", "image": "web"}
    spec = {
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "terminationGracePeriodSeconds": 1,
    }
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"made-by": "test"}}, "spec": spec}
        for name in names
    ]
    documents = "\n".join(map(json.dumps, items))
    cluster.run("kubectl", f"--kubeconfig={cluster.files}/kubeconfig", "create", "-f", "-", given=documents)


async def times_read(cluster: Cluster, node: str) -> int:
    """How often an agent has read the whole state of the cluster."""
    history = await agent(cluster, node, "controller/event-history")
    return sum(event["Name"] == ClusterRead.name for event in history)


async def test_a_restart_changes_nothing_that_is_right(cluster: Cluster) -> None:
    await all_agree(cluster)
    async with unharmed_traffic(cluster):
        for node in NODES:
            await kill(cluster, node, "contiv-agent")
        await cluster.agents_agree()
        for node in NODES:
            first = (await agent(cluster, node, "scheduler/txn-history"))[0]
            assert first["ResyncType"] == "FullResync"
            assert "Executed" not in first, first
            assert "Errors" not in first, first
    await all_agree(cluster)


async def test_an_etcd_that_compacts_what_nobody_has_read_yet_is_read_anew(cluster: Cluster) -> None:
    await cluster.agents_agree()
    reads = {}
    for node in NODES:
        reads[node] = await times_read(cluster, node)
    async with unharmed_traffic(cluster):
        await asyncio.gather(*(cluster.on(node, "systemctl kill --signal=STOP contiv-agent") for node in NODES))
        try:
            await cluster.on("node1", "systemctl restart contiv-etcd")
            cluster.kubectl("create", "namespace", "made-meanwhile")

            async def reflected() -> bool:
                return "made-meanwhile" in await cluster.on("node1", f"{ETCDCTL} get --keys-only --prefix /vnf-agent/")

            await cluster.until(reflected, "KSR has reflected a namespace")
            status = json.loads(await cluster.on("node1", f"{ETCDCTL} endpoint status -w json"))
            await cluster.on("node1", f"{ETCDCTL} compact {status[0]['Status']['header']['revision']}")
        finally:
            await asyncio.gather(*(cluster.on(node, "systemctl kill --signal=CONT contiv-agent") for node in NODES))
        await all_agree(cluster)
        for node in NODES:
            assert await times_read(cluster, node) > reads[node]
    cluster.kubectl("delete", "namespace", "made-meanwhile")
    await all_agree(cluster)


async def test_an_etcd_that_lost_everything_is_filled_again(cluster: Cluster) -> None:
    await all_agree(cluster)
    async with unharmed_traffic(cluster):
        await cluster.on("node1", f"systemctl stop contiv-etcd && rm -rf {DATA}/member && systemctl start contiv-etcd")
        await all_agree(cluster)
        await cluster.make_pod("after-wipe", "node2")
        await all_agree(cluster)


async def test_an_etcd_restored_from_a_snapshot_is_brought_up_to_date(cluster: Cluster) -> None:
    await cluster.make_pod("before-snapshot", "node2")
    await cluster.on("node1", f"rm -f {SNAPSHOT}; {ETCDCTL} snapshot save {SNAPSHOT}")
    async with unharmed_traffic(cluster):
        cluster.kubectl("delete", "pod", "before-snapshot", "--timeout=60s")
        await cluster.make_pod("after-snapshot", "node3")
        await all_agree(cluster)
        await cluster.on(
            "node1",
            f"systemctl stop contiv-etcd && rm -rf {DATA}/member {SNAPSHOT}.restored && "
            f"etcdctl snapshot restore {SNAPSHOT} --data-dir {SNAPSHOT}.restored {MEMBER} && "
            f"mv {SNAPSHOT}.restored/member {DATA}/member && chown -R etcd:etcd {DATA} && "
            f"rm -rf {SNAPSHOT} {SNAPSHOT}.restored && systemctl start contiv-etcd",
        )
        await all_agree(cluster)
        await cluster.make_pod("after-restore", "node2")
        await all_agree(cluster)


@pytest.mark.slow_e2e
async def test_an_etcd_that_is_away_for_a_minute_is_caught_up_with(cluster: Cluster) -> None:
    await cluster.make_pod("before-outage", "node2")
    await all_agree(cluster)
    async with unharmed_traffic(cluster):
        await cluster.on("node1", "systemctl stop contiv-etcd")
        try:
            ended = asyncio.get_running_loop().time() + 60
            await cluster.make_pod("in-outage", "node2")
            cluster.kubectl("delete", "pod", "before-outage", "--timeout=60s")
            for node in ("node2", "node3"):
                await kill(cluster, node, "contiv-agent")
            await kill(cluster, "node1", "contiv-ksr")
            await cluster.make_pod("in-outage-after-restart", "node3")
            await asyncio.sleep(max(ended - asyncio.get_running_loop().time(), 0))
        finally:
            await cluster.on("node1", "systemctl start contiv-etcd")
        await all_agree(cluster)


@pytest.mark.slow_e2e
async def test_an_agent_killed_fifty_times_while_a_hundred_pods_are_added_leaves_nothing_behind(
    cluster: Cluster,
) -> None:
    chance = random.Random(20)
    await all_agree(cluster)
    names = [f"hundred-{number}" for number in range(100)]
    async with unharmed_traffic(cluster):
        for number in range(50):
            make_pods(cluster, "node2", names[2 * number : 2 * number + 2])
            await asyncio.sleep(chance.uniform(0, 2.5))
            await kill(cluster, "node2", "contiv-agent")
        cluster.kubectl("wait", "--for=condition=Ready", "pod", "-l", "made-by=test", "--timeout=240s")
        await all_agree(cluster)
        cluster.kubectl("delete", "pods", "-l", "made-by=test", "--timeout=120s")
        await all_agree(cluster)
