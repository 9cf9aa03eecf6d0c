"""How long a pod waits for its network: the whole plugin process, from exec to exit, against Debian's bridge plugin.

Real agent, real etcd, real namespaces. 100 pods in sequence, then 100 with 10 at a time; the same in the same run
for `bridge` with `host-local`, and for a node on a real VPP where VPP_PREFIX names one. Milliseconds; the ratio is what
counts on a noisy machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import percentile, report
from bench._planes import cluster_on, planes
from tests.integration.cluster import PLUGIN, TestCluster, TestPod

PODS = 100
AT_ONCE = 10
REFERENCE = Path("/usr/lib/cni")


def call(program: Path, command: str, pod: TestPod, config: dict[str, object], node: str) -> float:
    """Runs a plugin once; returns milliseconds."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod.container_id,
        "CNI_NETNS": pod.netns,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(REFERENCE),
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod.name}",
    }
    prefix = ["nsenter", f"--net={node}"] if node else []
    start = time.perf_counter()
    done = subprocess.run(
        [*prefix, str(program)], input=json.dumps(config).encode(), env=environment, capture_output=True, check=False
    )
    took = (time.perf_counter() - start) * 1000
    if done.returncode:
        sys.exit(f"{program} {command}: {done.stdout.decode()}")
    return took


def measure(name: str, cluster: TestCluster, program: Path, config: dict[str, object], node: str) -> dict[str, float]:
    """Adds and removes pods; returns p50 and p99 of the adds."""
    figures = {}
    for label, at_once in (("sequence", 1), ("parallel", AT_ONCE)):
        pods = [cluster.pod(f"{name}-{label}-{number}") for number in range(PODS)]
        with ThreadPoolExecutor(at_once) as pool:
            times = list(pool.map(lambda pod: call(program, "ADD", pod, config, node), pods))
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(lambda pod: call(program, "DEL", pod, config, node), pods))
        for pod in pods:
            pod.remove()
        for percent in (50, 99):
            figures[f"{label}.p{percent}"] = percentile(times, percent)
            report(f"cni_add.{name}.{label}.p{percent}", figures[f"{label}.p{percent}"], "ms", PODS)
    return figures


def ours(plane: str) -> dict[str, float]:
    """The figures of one of our data planes."""
    with cluster_on(plane, 1) as cluster:
        [node] = asyncio.run(cluster.up(1))
        config = {"cniVersion": "1.0.0", "name": "k8s", "type": "contiv-cni", "grpcServer": str(node.socket)}
        return measure("contiv" if plane == "linux" else f"contiv.{plane}", cluster, PLUGIN, config, "")


def theirs() -> dict[str, float]:
    """The figures of the reference."""
    with cluster_on("linux", 1) as cluster, tempfile.TemporaryDirectory() as folder:
        config = {
            "cniVersion": "1.0.0",
            "name": f"bench{os.getpid()}",
            "type": "bridge",
            "bridge": "bench0",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(Path(folder) / "ipam"),
                "ranges": [[{"subnet": "10.99.0.0/22"}]],
            },
        }
        return measure("bridge", cluster, REFERENCE / "bridge", config, f"/run/netns/{cluster.node(1).netns}")


def main() -> None:
    """Prints the figures."""
    reference = theirs()
    for plane in planes():
        name = "ratio" if plane == "linux" else f"ratio.{plane}"
        for figure, value in ours(plane).items():
            report(f"cni_add.{name}.{figure}", value / reference[figure], "contiv/bridge", PODS)


if __name__ == "__main__":
    main()
