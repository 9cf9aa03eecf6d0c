"""A pod that policies isolate and that could not be connected half-way: nothing of it is left, and the next try works."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contivpp.model import codec, keys
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.pod import Pod
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, cluster_of, eventually, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]

FRIEND = LabelSelector(match_label=sorted_labels({"app": "friend"}))
POLICY = Policy(
    name="web",
    namespace="default",
    pods=LabelSelector(match_label=sorted_labels({"app": "web"})),
    policy_type=PolicyType.INGRESS,
    ingress_rule=(IngressRule(from_=(Peer(pods=FRIEND),)),),
)


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


def state_of(node: TestNode) -> dict[str, Any]:
    """All that a pod could leave: in the kernel, in nftables, in what the agent keeps."""
    table = ["nsenter", f"--net=/run/netns/{node.netns}", "nft", "-s", "list", "table", "inet", "contiv"]
    return {
        "links": sorted(line.split()[0] for line in ip("-br", "link", netns=node.netns).splitlines()),
        "routes": ip("route", netns=node.netns),
        "neighbours": sorted(ip("neigh", "show", "nud", "permanent", netns=node.netns).splitlines()),
        "nftables": sorted(subprocess.run(table, check=True, capture_output=True, text=True).stdout.splitlines()),
        "pods": node.get("contiv/v1/pods"),
        "values": sorted(one["Key"] for one in node.get("scheduler/dump?view=cached")),
    }


def allocated(node: TestNode) -> list[dict[str, Any]]:
    return list(node.get("contiv/v1/ipam/allocations")["Pods"])


async def test_a_pod_that_fails_half_way_leaves_nothing_and_is_connected_by_the_next_addition(
    cluster: TestCluster,
) -> None:
    """The pod's namespace has a link of the name that the pod's is to have; its policies are in place by then."""
    [node] = await cluster.up(1)
    web, stranger, friend = cluster.pod("web"), cluster.pod("stranger"), cluster.pod("friend")
    async with await Store.open(cluster.etcd.config) as store:

        async def write(kind: str, name: str, record: Any) -> None:
            await store.put(keys.record_key(kind, name), codec.encode(record))

        await write("namespace", "default", Namespace(name="default"))
        for pod in (web, stranger, friend):
            labels = {"app": pod.name}
            record = Pod(
                name=pod.name, namespace="default", node_name="node1", labels=labels, label=sorted_labels(labels)
            )
            await write("pod", f"default/{pod.name}", record)
            if pod is not web:
                address = node.add(pod)
                await write("pod", f"default/{pod.name}", msgspec.structs.replace(record, ip_address=address))
        await write("policy", "default/web", POLICY)
    eventually(lambda: "put policy default/web" in node.get("controller/event-history?last=1")[0]["Description"])
    before = state_of(node)
    ip("link", "add", "eth0", "type", "bridge", netns=web.netns.rpartition("/")[2])

    code, answer = node.cni("ADD", web)
    assert (code, answer["code"]) == (1, 100)
    assert answer["msg"].startswith("pod default/web could not be connected: linux/link/")
    assert "or eth0 in the pod's namespace, that is not ours: remove it" in answer["msg"]

    [entry] = [one for one in node.get("scheduler/txn-history") if one["Description"].startswith("add pod default/web")]
    done = {one["Key"] for one in entry["Executed"] if one["NewState"] == "CONFIGURED" and not one.get("IsRevert")}
    failed = {one["Key"] for one in entry["Executed"] if one["NewState"] == "FAILED"}
    undone = {one["Key"] for one in entry["Executed"] if one.get("IsRevert")}
    assert any(key.startswith("linux/nft/chain/policy/to/") for key in done), "its policies came before it"
    assert [key.startswith("linux/link/") for key in failed] == [True]
    assert undone == done
    assert entry["Reverted"]
    assert state_of(node) == before
    assert node.cni("DEL", web) == (0, None), "as the kubelet does after an addition that failed"

    ip("link", "del", "eth0", netns=web.netns.rpartition("/")[2])
    [kept] = [one["MainIP"] for one in allocated(node) if one["PodID"]["Name"] == "web"]
    assert node.add(web) == kept, "Kubernetes knows the pod: its address stays its own"
    assert node.ping(web.address)
    assert friend.ping(web.address)
    assert not stranger.ping(web.address, 1)
    assert web.ping(stranger.address)
