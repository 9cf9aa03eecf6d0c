"""What it takes to bring a real VPP to where it belongs: 110 pods on a node, 1,000 nodes in the cluster.

Seconds: `cold` from the start of an agent to in sync on an empty VPP, `restart` the same on one that holds everything
already (with `operations`, which ought to be 0), `recovery` from the moment at which a VPP that was killed listens
again to in sync. `*.commit` is the part that the scheduler took. Needs VPP_PREFIX.
"""

from __future__ import annotations

import asyncio
import datetime
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report
from contivpp.model import codec, keys
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from contivpp.store.types import split
from tests.integration.agent.test_vpp_cluster import VppNode as NodeWithVpp
from tests.integration.cluster import TestCluster, TestNode, cluster_of, ip
from tests.integration.conftest import Etcd

NODES = 1_000
PODS = 110
RUNS = 3
CONFIG = """
dataplane: vpp
ipamConfig:
  podSubnetCIDR: 10.0.0.0/11
  vxlanCIDR: 192.168.0.0/18
  vppHostSubnetCIDR: 172.16.0.0/12
  vppHostSubnetOneNodePrefixLen: 26
  nodeInterconnectCIDR: 192.168.64.0/18
nodeConfig:
- {nodeName: node1, mainVPPInterface: {interfaceName: eth1}}
"""


async def fill(etcd: Etcd) -> None:
    """Writes the other nodes."""
    records: dict[str, bytes] = {}
    for number in range(2, NODES + 1):
        name, last = f"node{number}", f"{number >> 8}.{number & 255}"
        address = NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.201.{last}")
        records[keys.record_key("node", name)] = codec.encode(Node(name=name, addresses=(address,)))
        vpp = f"192.168.{64 + (number >> 8)}.{number & 255}/18"
        records[f"{keys.prefix('vppnode')}{number}"] = codec.encode(VppNode(id=number, name=name, ip_addresses=(vpp,)))
    async with await Store.open(etcd.config) as store:
        for batch in split(records):
            await store.commit(batch)


def wait(node: TestNode, *, since: float) -> float:
    """Seconds from a moment until the node is in sync."""
    node.wait_until_ready(120)
    return time.perf_counter() - since


def resyncs_of(node: TestNode) -> list[Any]:
    """The records of the full resyncs of an agent."""
    return [one for one in node.get("scheduler/txn-history") if one.get("ResyncType") == "FullResync"]


def last_resync(node: TestNode) -> tuple[float, int]:
    """How long the scheduler took for the last resync, in seconds, and how many operations it carried out."""
    last = resyncs_of(node)[-1]
    start, stop = (datetime.datetime.fromisoformat(last[name]) for name in ("Start", "Stop"))
    return (stop - start).total_seconds(), len(last.get("Executed", ()))


def restarted(node: TestNode) -> float:
    """Seconds from an agent's start to in sync."""
    node.kill()
    since = time.perf_counter()
    node.start()
    return wait(node, since=since)


def measure(cluster: TestCluster, node: NodeWithVpp) -> None:
    """Prints the figures."""
    agent = node.agent
    figures: dict[str, list[float]] = {}
    for _ in range(RUNS):
        agent.kill()
        node.vpp.end()
        node.vpp.start()
        figures.setdefault("cold", []).append(restarted(agent))
        duration, operations = last_resync(agent)
        figures.setdefault("cold.commit", []).append(duration)
        figures.setdefault("cold.operations", []).append(operations)
        figures.setdefault("restart", []).append(restarted(agent))
        duration, operations = last_resync(agent)
        figures.setdefault("restart.commit", []).append(duration)
        figures.setdefault("restart.operations", []).append(operations)
        before = len(resyncs_of(agent))
        node.vpp.end()
        node.vpp.start()
        since = time.perf_counter()
        while len(resyncs_of(agent)) <= before:
            time.sleep(0.02)
        figures.setdefault("recovery", []).append(wait(agent, since=since))
        figures.setdefault("recovery.commit", []).append(last_resync(agent)[0])
    for name, values in figures.items():
        unit = "operations" if name.endswith("operations") else "s"
        report(f"vpp_resync.{name}", sorted(values)[RUNS // 2], unit, RUNS, pods=PODS, nodes=NODES)


def main() -> None:
    """Makes the cluster."""
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd")
        node: NodeWithVpp | None = None
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                cluster.contiv_conf = CONFIG
                ip("link", "add", "br1", "type", "bridge", netns=cluster.switch)
                ip("link", "set", "br1", "up", netns=cluster.switch)
                asyncio.run(fill(etcd))
                node = NodeWithVpp(cluster, 1)
                node.vpp.start()
                asyncio.run(cluster.up(1))
                for number in range(PODS):
                    node.agent.add(cluster.pod(f"pod-{number}"))
                measure(cluster, node)
        finally:
            if node is not None:
                node.vpp.end()
            etcd.kill()


if __name__ == "__main__":
    main()
