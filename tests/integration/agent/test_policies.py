"""Policies of a real agent, as netctl sees them: what etcd means and what the agent means, and how they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from contivpp.model import codec, keys
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.pod import Pod
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType, Port, PortNameOrNumber
from contivpp.netctl import policies
from contivpp.netctl.agents import Agents, Answer
from contivpp.netctl.errors import AgentError
from contivpp.netctl.http_config import HttpClientConfig
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, cluster_of
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.root, pytest.mark.etcd]

WEB, CLIENT = ({"app": name} for name in ("web", "client"))
POLICY = Policy(
    name="web",
    namespace="default",
    pods=LabelSelector(match_label=sorted_labels(WEB)),
    policy_type=PolicyType.INGRESS,
    ingress_rule=(
        IngressRule(
            port=(Port(port=PortNameOrNumber(number=80)),),
            from_=(Peer(pods=LabelSelector(match_label=sorted_labels(CLIENT))),),
        ),
    ),
)


class NodeAgents(Agents):
    """Reaches the one agent where the test has it."""

    def __init__(self, node: TestNode) -> None:
        super().__init__(HttpClientConfig())
        self._node = node

    async def _ask(
        self, method: str, hosts: Sequence[str], path: str, *, body: Any, limit: float, port: int = 0
    ) -> Answer:
        try:
            found = await asyncio.to_thread(self._node.get, path)
        except OSError as error:
            raise AgentError(str(error)) from error
        return Answer(404 if "Error" in found else 200, found)


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as cluster:
        yield cluster


def pod(name: str, address: str, labels: dict[str, str]) -> Pod:
    return Pod(
        name=name,
        namespace="default",
        node_name="node1",
        ip_address=address,
        labels=labels,
        label=sorted_labels(labels),
    )


async def test_netctl_and_the_agent_agree_as_soon_as_the_agent_is_there(cluster: TestCluster) -> None:
    node = cluster.node(1)
    web, client = cluster.pod("web"), cluster.pod("client")
    async with await Store.open(cluster.etcd.config) as store:

        async def write(kind: str, record_id: str, value: codec.Record | bytes) -> None:
            data = value if isinstance(value, bytes) else codec.encode(value)
            await store.put(keys.record_key(kind, record_id), data)

        address = NodeAddress(type=AddressType.INTERNAL_IP, address=node.address)
        await write("node", node.name, Node(name=node.name, addresses=(address,)))
        node.start()
        await asyncio.to_thread(node.wait_until_ready)
        await write("namespace", "default", Namespace(name="default"))
        await write("policy", "default/web", POLICY)
        for sandbox, labels in ((web, WEB), (client, CLIENT)):
            await asyncio.to_thread(node.add, sandbox)
            await write("pod", f"default/{sandbox.name}", pod(sandbox.name, sandbox.address, labels))

        async def agreed() -> Any:
            report = await policies.explain(store, NodeAgents(node), "client", "web", "80")
            return report if not report.problems else None

        report = await settled(agreed)
        [row] = report.data["connections"]
        assert (row.verdict, row.target) == ("allowed", "NetworkPolicy default/web, rule 0")
        [denied] = (await policies.explain(store, NodeAgents(node), "client", "web", "81")).data["connections"]
        assert denied.verdict == "denied"

        await write("policy", "default/odd", b'{"policy_type": "SIDEWAYS"}')

        async def refused() -> Any:
            report = await policies.view(store, NodeAgents(node))
            [of_node] = report.data["nodes"]
            return report if of_node.refused and not of_node.waiting else None

        report = await settled(refused)
        [of_node] = report.data["nodes"]
        assert (of_node.pods, of_node.waiting, of_node.state) == (2, 0, "OK")
        assert {row.policy: row.selects for row in report.data["policies"]} == {"default/odd": 2, "default/web": 1}
        [row] = (await policies.explain(store, NodeAgents(node), "web", "client", "80")).data["connections"]
        assert row.verdict == "denied" and "default/odd" in row.source

        node.kill()
        assert (await policies.explain(store, NodeAgents(node), "client", "web", "80")).problems


async def settled(check: Any) -> Any:
    """What a check returns as soon as it is something."""
    async with asyncio.timeout(20):
        while not (found := await check()):
            await asyncio.sleep(0.1)
        return found
