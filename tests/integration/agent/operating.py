"""What the tests of the operator's tool share: real agents to ask, servers in pods, records of a service and a policy."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from typing import Any

from contivpp.model import keys
from contivpp.model.endpoints import EndpointPort
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.pod import Pod
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType
from contivpp.model.service import ServicePort
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, read_cluster
from contivpp.netctl.http_config import HttpClientConfig
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, TestPod, eventually


class Ports(HttpClientConfig):
    """Asks the agents of a test where they are: all on this machine, each on a port of its own."""

    ports: dict[str, int]

    def url(self, host: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[host]}/{path}"


@contextlib.asynccontextmanager
async def netctl(cluster: TestCluster) -> AsyncIterator[tuple[Cluster, Agents]]:
    """What the program's views take."""
    Ports.ports = {node.address: node.port for node in cluster.nodes.values()}
    async with await Store.open(cluster.etcd.config) as store, Agents(Ports()) as agents:
        yield await read_cluster(store), agents


async def three_pods(cluster: TestCluster) -> tuple[TestPod, TestPod, TestPod]:
    """Two on the first node, one on the second; they reach each other."""
    one, two = await cluster.up(1, 2)
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a), one.add(b), two.add(c)
    for pod, node in ((a, one), (b, one), (c, two)):
        await cluster.write_pod(pod, node)
    eventually(lambda: a.ping(c.address) and b.ping(c.address))
    return a, b, c


def post(node: TestNode, path: str, body: Any) -> tuple[int, Any]:
    """What an agent answers to a request with a body."""
    request = urllib.request.Request(f"http://127.0.0.1:{node.port}/{path}", data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def path_of(report: Any) -> list[tuple[str, str, bool, Sequence[str]]]:
    """The hops of every packet: what it is, the node, whether it is a reply, and its interfaces."""
    return [
        (journey.summary, hop.node, journey.reply, hop.sentences)
        for journey in report.data.journeys
        for hop in journey.hops
    ]


SERVE = """
import socket, sys
server = socket.create_server((sys.argv[1], 80), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("listening", flush=True)
while True:
    server.accept()
"""


def listening(pod: TestPod) -> subprocess.Popen[str]:
    """A server on port 80 of a pod, that accepts."""
    command = ["nsenter", f"--net={pod.netns}", "python3", "-c", SERVE, pod.address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


async def read_pod(store: Store, pod: TestPod) -> Pod:
    key = keys.record_key("pod", f"default/{pod.name}")
    snapshot = await store.get_prefix(key)
    return keys.decode_record("pod", snapshot.items[key].value, key=key)


PORTS = (ServicePort(name="http", protocol="TCP", port=8000),)
LISTENING = (EndpointPort(name="http", port=80, protocol="TCP"),)
DENYING = Policy(
    name="closed",
    namespace="default",
    pods=LabelSelector(match_label=sorted_labels({"app": "c"})),
    policy_type=PolicyType.INGRESS,
    ingress_rule=(IngressRule(from_=(Peer(pods=LabelSelector(match_label=sorted_labels({"app": "b"}))),)),),
)
