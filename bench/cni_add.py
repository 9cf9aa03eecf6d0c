"""How long a pod waits for its network: the whole plugin process, from exec to exit, against Debian's bridge plugin.

Real agent, real etcd, real namespaces. 100 pods in sequence, then 100 with 10 at a time; the same in the same run
for `bridge` with `host-local`. Milliseconds; the ratio is what counts on a noisy machine.
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
from tests.integration.cluster import PLUGIN, TestCluster, TestPod, cluster_of, ip
from tests.integration.conftest import Etcd

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


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd")
        try:
            etcd.start()
            with cluster_of(etcd, Path(folder)) as cluster:
                [node] = asyncio.run(cluster.up(1))
                ours = measure(
                    "contiv",
                    cluster,
                    PLUGIN,
                    {"cniVersion": "1.0.0", "name": "k8s", "type": "contiv-cni", "grpcServer": str(node.socket)},
                    "",
                )
                theirs = measure(
                    "bridge",
                    cluster,
                    REFERENCE / "bridge",
                    {
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
                    },
                    f"/run/netns/{node.netns}",
                )
                ip("link", "del", "bench0", netns=node.netns)
                for figure, value in ours.items():
                    report(f"cni_add.ratio.{figure}", value / theirs[figure], "contiv/bridge", PODS)
        finally:
            etcd.kill()


if __name__ == "__main__":
    main()
