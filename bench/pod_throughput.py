"""TCP between two pods, on one node and across nodes, as a ratio to a bare veth pair; iperf3, some seconds each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report
from tests.integration.cluster import TestCluster, TestPod, cluster_of, ip
from tests.integration.conftest import Etcd

SECONDS = 3
RUNS = 3


def throughput(server: str, client: str, address: str) -> float:
    """Gbit/s from one namespace to another; the median of some runs."""
    results = []
    for _ in range(RUNS):
        listening = subprocess.Popen(
            ["nsenter", f"--net={server}", "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(0.3)
        command = ["nsenter", f"--net={client}", "iperf3", "-c", address, "-t", str(SECONDS), "-J"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS + 20)
        listening.terminate()
        listening.wait()
        answer = json.loads(done.stdout)
        if "end" not in answer or not answer["end"]:
            sys.exit(f"iperf3: {answer.get('error')}")
        results.append(answer["end"]["sum_received"]["bits_per_second"] / 1e9)
    return sorted(results)[RUNS // 2]


def bare(cluster: TestCluster) -> float:
    """The same over a veth pair between two namespaces, with the MTU of a pod."""
    one, two = cluster.pod("bare-1"), cluster.pod("bare-2")
    names = [Path(pod.netns).name for pod in (one, two)]
    ip("link", "add", "b0", "mtu", "1450", "netns", names[0], "type", "veth", "peer", "name", "b0", "netns", names[1])
    ip("link", "set", "b0", "mtu", "1450", netns=names[1])
    for number, name in enumerate(names):
        ip("addr", "add", f"10.250.0.{number + 1}/24", "dev", "b0", netns=name)
        ip("link", "set", "b0", "up", netns=name)
    return throughput(one.netns, two.netns, "10.250.0.1")


def pods_of(cluster: TestCluster) -> tuple[TestPod, TestPod, TestPod]:
    """Two pods on one node, and one on another."""
    one, two = asyncio.run(cluster.up(1, 2))
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a)
    one.add(b)
    two.add(c)
    return a, b, c


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd")
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                a, b, c = pods_of(cluster)
                reference = bare(cluster)
                report("pod_throughput.veth", reference, "Gbit/s", RUNS)
                for name, server in (("same_node", b), ("across_nodes", c)):
                    value = throughput(server.netns, a.netns, server.address)
                    report(f"pod_throughput.{name}", value, "Gbit/s", RUNS)
                    report(f"pod_throughput.{name}.ratio", value / reference, "pods/veth", RUNS)
        finally:
            etcd.kill()


if __name__ == "__main__":
    main()
