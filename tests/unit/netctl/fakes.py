"""A cluster made of dictionaries: records in a fake etcd, answers of fake agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contivpp.model import codec, keys
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.pod import Pod
from contivpp.model.vppnode import VppNode
from contivpp.netctl.agents import Agents, Answer
from contivpp.netctl.cluster import Cluster, read_cluster
from contivpp.netctl.errors import AgentError
from contivpp.netctl.http_config import HttpClientConfig
from contivpp.store.types import KeyValue, Snapshot

HOSTS = {"node1": "10.20.0.11", "node2": "10.20.0.12", "node3": "10.20.0.13"}


class FakeStore:
    """Answers from a dictionary; `broken` is raised instead."""

    def __init__(self, items: dict[str, bytes], *, broken: Exception | None = None) -> None:
        self.items = items
        self.broken = broken

    async def get_prefix(self, prefix: str) -> Snapshot:
        if self.broken is not None:
            raise self.broken
        found = {
            key: KeyValue(key=key, value=value, create_revision=number + 1, mod_revision=number + 1)
            for number, (key, value) in enumerate(self.items.items())
            if key.startswith(prefix)
        }
        return Snapshot(revision=77, items=found)


class FakeAgents(Agents):
    """Answers by host and path; an exception is raised, what is missing is unreachable."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        super().__init__(HttpClientConfig())
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []

    async def _ask(
        self, method: str, hosts: Sequence[str], path: str, *, body: Any, limit: float, port: int = 0
    ) -> Answer:
        if not hosts:
            raise AgentError("no address is known for it")
        self.asked.append((hosts[0], path, body))
        place = (hosts[0], f"{port}/{path}" if port else path)
        answer = self.answers.get(place, AgentError(f"http://{hosts[0]}:9999/{path}: connection refused"))
        if isinstance(answer, Exception):
            raise answer
        return answer(body) if callable(answer) else answer


def records(*, pods: Sequence[Pod] = (), nodes: Sequence[str] = tuple(HOSTS)) -> dict[str, bytes]:
    """What etcd holds of nodes with IDs 1, 2, ... and of pods."""
    items: dict[str, bytes] = {}
    for number, name in enumerate(nodes, start=1):
        node_id = VppNode(id=number, name=name, ip_addresses=(f"192.168.16.{number}/24",))
        items[keys.record_key("vppnode", str(number))] = codec.encode(node_id)
        addresses = (
            NodeAddress(type=AddressType.HOST_NAME, address=name),
            NodeAddress(type=AddressType.INTERNAL_IP, address=HOSTS[name]),
        )
        items[keys.record_key("node", name)] = codec.encode(Node(name=name, addresses=addresses))
    for pod in pods:
        items[keys.record_key("pod", f"{pod.namespace}/{pod.name}")] = codec.encode(pod)
    return items


def pod(name: str, ip: str = "", *, node: str = "", namespace: str = "default", **more: Any) -> Pod:
    """A pod record as the reflector writes it."""
    return Pod(
        name=name, namespace=namespace, ip_address=ip, node_name=node, host_ip_address=HOSTS.get(node, ""), **more
    )


async def cluster_of(items: dict[str, bytes]) -> Cluster:
    """The cluster that etcd holds."""
    return await read_cluster(FakeStore(items))


def healthy(**changes: Any) -> Answer:
    """The liveness or readiness of an agent that is well."""
    body = {
        "build_version": "v1.2.3",
        "build_date": "2026-11-20T08:15+00:00",
        "state": 1,
        "start_time": 1764000000,
        "plugins": [{"name": "controller", "state": 1}],
        "PluginStatus": {"controller": {"state": 1}},
        **changes,
    }
    return Answer(500 if body["state"] == 2 else 200, body)


def plan_of(number: int, **changes: Any) -> Answer:
    """The address plan of a node."""
    body = {
        "nodeId": number,
        "nodeName": f"node{number}",
        "nodeIP": f"192.168.16.{number}",
        "podSubnetThisNode": f"10.1.{number}.0/24",
        "vppHostNetwork": f"172.30.{number}.0/24",
        "vxlanIP": f"192.168.30.{number}/24",
        "config": {"podSubnetCIDR": "10.1.0.0/16", "vxlanCIDR": "192.168.30.0/24"},
    }
    return Answer(200, {**body, **changes})


def sandbox(name: str, ip: str, *, index: int = 12) -> dict[str, Any]:
    """A pod as its node's agent reports it."""
    return {
        "pod": name,
        "ip": ip,
        "interface": f"veth-{index}",
        "ifindex": index,
        "container_id": "c",
        "netns": "/n",
    }
