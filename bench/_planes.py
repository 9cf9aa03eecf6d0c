"""A cluster on either data plane, for benchmarks that measure both; VPP where VPP_PREFIX says that there is one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.agent.test_vpp_cluster import CONFIG, VppNode
from tests.integration.cluster import TestCluster, cluster_of, ip
from tests.integration.conftest import Etcd

HEAP = "512M"
"""Of VPP, as it is when nothing else is set (roles/vpp)."""


def planes() -> list[str]:
    """The data planes that can be measured here."""
    return ["linux", "vpp"] if os.environ.get("VPP_PREFIX") else ["linux"]


@contextlib.contextmanager
def cluster_on(plane: str, nodes: int, *, etcd_arguments: tuple[str, ...] = ()) -> Iterator[TestCluster]:
    """A cluster whose nodes can be started, with a running VPP each."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        etcd = Etcd(folder / "etcd", arguments=etcd_arguments)
        stack.callback(etcd.kill)
        etcd.start()
        cluster = stack.enter_context(cluster_of(etcd, folder))
        if plane == "vpp":
            cluster.contiv_conf = CONFIG
            ip("link", "add", "br1", "type", "bridge", netns=cluster.switch)
            ip("link", "set", "br1", "up", netns=cluster.switch)
            for number in range(1, nodes + 1):
                node = VppNode(cluster, number, heap=HEAP)
                stack.callback(node.vpp.end)
                node.vpp.start()
        yield cluster
