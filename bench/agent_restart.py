"""What the death of an agent costs a node with 110 pods, in a cluster of 5,000 nodes, 150,000 pods, 10,000 services.

Seconds from SIGKILL to /readiness, and the longest gap between two answers to a ping between two of the node's pods
that asks 500 times a second; `gap_alone` is the same ping without any restart, and `gap_ratio` relates them.
`operations` is what the new agent changed in the data plane, and ought to be 0.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import itertools

from bench import _cluster
from bench._common import report
from tests.integration.cluster import TestNode, TestPod, cluster_of
from tests.integration.conftest import Etcd

RUNS = 5
EVERY = 0.002
SETTLE = 1.0


def start_ping(source: TestPod, target: TestPod) -> subprocess.Popen[str]:
    """Pings until it is ended, and prints the moment of every answer."""
    command = ["ping", "-n", "-D", "-i", str(EVERY), target.address]
    return subprocess.Popen(
        ["nsenter", f"--net={source.netns}", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def gap_of(ping: subprocess.Popen[str]) -> tuple[float, int]:
    """Ends a ping; the longest time between two answers in milliseconds, and how many answers are missing."""
    time.sleep(SETTLE)
    ping.terminate()
    output, _ = ping.communicate(timeout=10)
    answers = [(float(at), int(number)) for at, number in re.findall(r"\[([\d.]+)\].*icmp_seq=(\d+)", output)]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(answers)]
    return max(gaps) * 1e3, answers[-1][1] - answers[0][1] + 1 - len(answers)


def restart(node: TestNode) -> float:
    """Seconds from SIGKILL to in sync."""
    start = time.perf_counter()
    node.kill()
    node.start()
    node.wait_until_ready(180)
    return time.perf_counter() - start


def operations(node: TestNode) -> int:
    """What the first transaction of the agent did."""
    first = node.get("scheduler/txn-history")[0]
    assert first["ResyncType"] == "FullResync", first
    return len(first.get("Executed", ()))  # left out when it is empty


def main() -> None:
    """Prints the figures."""
    size = {"nodes": _cluster.NODES, "pods": _cluster.PODS, "local_pods": _cluster.LOCAL_PODS}
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd", arguments=_cluster.ETCD_ARGUMENTS)
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                node, pods = _cluster.prepare(cluster)
                took, gaps, missing, changed = [], [], 0, 0
                for _ in range(RUNS):
                    ping = start_ping(pods[0], pods[1])
                    time.sleep(SETTLE)
                    took.append(restart(node))
                    gap, lost = gap_of(ping)
                    gaps.append(gap)
                    missing += lost
                    changed += operations(node)
                ping = start_ping(pods[0], pods[1])
                time.sleep(sum(took) / RUNS)
                alone, _ = gap_of(ping)
                report("agent_restart.in_sync", sorted(took)[RUNS // 2], "s", RUNS, **size)
                report("agent_restart.gap", max(gaps), "ms", RUNS, lost=missing)
                report("agent_restart.gap_alone", alone, "ms", 1)
                report("agent_restart.gap_ratio", max(gaps) / alone, "restart/alone", RUNS)
                report("agent_restart.operations", changed, "operations", RUNS)
        finally:
            etcd.kill()


if __name__ == "__main__":
    main()
