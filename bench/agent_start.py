"""How long a node takes to be in sync in a large cluster, and what that costs in memory.

1,000 nodes and 50,000 pods in etcd; from exec to /readiness, and the largest resident set of the process.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report
from contivpp.model import codec, keys
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.pod import Container, ContainerPort, Pod
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from contivpp.store.types import split
from tests.integration.cluster import cluster_of
from tests.integration.conftest import Etcd

NODES = 1000
PODS = 50_000
RUNS = 3
CONFIG = """ipamConfig:
  podSubnetCIDR: 10.0.0.0/12
  podSubnetOneNodePrefixLen: 24
  vxlanCIDR: 192.168.16.0/20
  vppHostSubnetCIDR: 172.16.0.0/12
"""


async def fill(etcd: Etcd) -> None:
    """Writes what KSR and the other nodes would."""
    records: dict[str, bytes] = {}
    for number in range(2, NODES + 2):
        name, address = f"node{number}", f"10.210.{number >> 8}.{number & 255}"
        node = Node(name=name, addresses=(NodeAddress(type=AddressType.INTERNAL_IP, address=address),))
        records[keys.record_key("node", name)] = codec.encode(node)
        published = VppNode(id=number, name=name, ip_addresses=(f"{address}/16",))
        records[f"{keys.prefix('vppnode')}{number}"] = codec.encode(published)
    for number in range(PODS):
        on = number % NODES + 2
        pod = Pod(
            name=f"pod-{number}",
            namespace="default",
            ip_address=f"10.{on >> 8}.{on & 255}.{number // NODES + 2}",
            host_ip_address=f"10.210.{on >> 8}.{on & 255}",
            labels={"app": f"app-{number % 500}", "tier": "web"},
            container=(Container(name="main", port=(ContainerPort(container_port=8080),)),),
            node_name=f"node{on}",
        )
        records[keys.record_key("pod", f"default/pod-{number}")] = codec.encode(pod)
    async with await Store.open(etcd.config) as store:
        for batch in split(records):
            await store.commit(batch)


def peak(pid: int) -> float:
    """The largest resident set of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd")
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                cluster.contiv_conf = CONFIG
                node = cluster.node(1)
                asyncio.run(cluster.register(node))
                asyncio.run(fill(etcd))
                times: list[tuple[float, float]] = []
                for _ in range(RUNS + 1):
                    start = time.perf_counter()
                    node.start()
                    node.wait_until_ready(120)
                    times.append((time.perf_counter() - start, peak(node.pid)))
                    node.kill()
                report("agent_start.first", times[0][0], "s", 1, nodes=NODES, pods=PODS)
                report("agent_start.again", sorted(took for took, _ in times[1:])[RUNS // 2], "s", RUNS)
                report("agent_start.memory", max(memory for _, memory in times), "MiB", RUNS + 1)
        finally:
            etcd.kill()


if __name__ == "__main__":
    main()
