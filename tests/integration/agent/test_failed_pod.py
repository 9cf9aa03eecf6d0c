"""A pod that could not be connected half-way: nothing of it is left, and the history tells what happened."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.model import codec, keys
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, TestPod, cluster_of, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]

CONFIG = """ipamConfig:
  podSubnetCIDR: fd00:10::/48
  podSubnetOneNodePrefixLen: 64
  vxlanCIDR: fd00:30::/112
  vppHostSubnetCIDR: fd00:40::/48
  vppHostSubnetOneNodePrefixLen: 64
  nodeInterconnectCIDR: fd00:201::/64
"""


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


async def ipv6_node(cluster: TestCluster) -> TestNode:
    cluster.contiv_conf = CONFIG
    node = cluster.node(1)
    ip("-6", "addr", "add", "fd00:201::1/64", "dev", "eth0", "nodad", netns=node.netns)
    address = NodeAddress(type=AddressType.INTERNAL_IP, address="fd00:201::1")
    async with await Store.open(cluster.etcd.config) as store:
        await store.put(keys.record_key("node", node.name), codec.encode(Node(name=node.name, addresses=(address,))))
    node.start()
    node.wait_until_ready()
    return node


def without_ipv6(pod: TestPod, *, disabled: bool) -> None:
    setting = f"net.ipv6.conf.default.disable_ipv6={int(disabled)}"
    subprocess.run(["nsenter", f"--net={pod.netns}", "sysctl", "-qw", setting], check=True)


async def test_the_history_of_a_failed_addition_shows_what_was_planned_done_failed_and_undone(
    cluster: TestCluster,
) -> None:
    """A namespace without IPv6 takes the link, and then refuses the address."""
    node = await ipv6_node(cluster)
    links, routes = ip("-br", "link", netns=node.netns), ip("-6", "route", netns=node.netns)
    pod = cluster.pod("a")
    without_ipv6(pod, disabled=True)
    code, answer = node.cni("ADD", pod)
    assert (code, answer["code"]) == (1, 100)
    assert "pod default/a could not be connected" in answer["msg"]
    assert "IPv6 is disabled on this device" in answer["msg"]

    [entry] = [one for one in node.get("scheduler/txn-history") if one["Description"].startswith("add pod default/a")]
    planned = [one["Key"] for one in entry["Planned"]]
    done = [one["Key"] for one in entry["Executed"] if one["NewState"] == "CONFIGURED"]
    failed = {one["Key"]: one["NewErrMsg"] for one in entry["Executed"] if one["NewState"] == "FAILED"}
    undone = [one["Key"] for one in entry["Executed"] if one.get("IsRevert")]
    assert len(planned) > len(done) + len(failed)  # nothing more was tried once something had failed
    assert {*done, *failed} < set(planned)
    assert any(key.startswith("linux/link/") for key in done)
    assert any(key.startswith("linux/address/") for key in failed)
    assert entry["Errors"] == failed
    assert sorted(undone) == sorted(done)
    assert undone[-1] == done[0]  # the link came first and goes last
    assert entry["Reverted"]

    assert ip("-br", "link", netns=node.netns) == links
    assert ip("-6", "route", netns=node.netns) == routes
    assert node.get("contiv/v1/pods") == []
    assert node.get("contiv/v1/ipam/allocations")["Pods"] == []
    assert node.cni("DEL", pod) == (0, None)
    without_ipv6(pod, disabled=False)
    node.add(pod)
    assert node.ping(pod.address)
