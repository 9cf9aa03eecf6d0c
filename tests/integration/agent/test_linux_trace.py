"""Traces through nodes that forward with the kernel: two agents in namespaces, and what the operator's tool says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contivpp.dataplane.tracing import LIMIT
from contivpp.model import codec, keys
from contivpp.model.endpoints import EndpointAddress, Endpoints, EndpointSubset
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.policy import EgressRule, Peer, Policy, PolicyType
from contivpp.model.service import Service
from contivpp.model.trace import place
from contivpp.netctl import trace as trace_view
from contivpp.netctl.errors import ExitCode
from contivpp.netctl.report import Report
from contivpp.store.client import Store
from tests.integration.agent.operating import (
    DENYING,
    LISTENING,
    PORTS,
    listening,
    netctl,
    path_of,
    post,
    read_pod,
    three_pods,
)
from tests.integration.cluster import TestCluster, TestNode, TestPod, cluster_of, eventually, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

IPV6_CONFIG = "{ipamConfig: {podSubnetCIDR: 'fd00:10:1::/48'}}"

IPV6_SERVICES = "{ipamConfig: {podSubnetCIDR: 'fd00:10:1::/48', serviceCIDR: 'fd00:96::/112'}}"


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


@contextlib.contextmanager
def serving(pod: TestPod) -> Iterator[None]:
    """A server on port 80 of a pod."""
    server = listening(pod)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def nft(node: TestNode, command: str) -> str:
    """What nft(8) says on a node."""
    line = ["ip", "netns", "exec", node.netns, "nft", command]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def steps_of(report: Report, summary: str, *, reply: bool = False) -> dict[str, Any]:
    """The sentences about the first packet of a kind, by node."""
    found: dict[str, Any] = {}
    for what, node, back, sentences in path_of(report):
        if (what, back) == (summary, reply):
            found.setdefault(node, list(sentences))
    return found


async def traced(cluster: TestCluster, *arguments: str, **options: Any) -> Report:
    async with netctl(cluster) as (seen, agents):
        report = await trace_view.view(seen, agents, *arguments, **options)
    for node in cluster.nodes.values():
        assert "contiv-trace" not in nft(node, "list tables")
    return report


@pytest.mark.parametrize("config", ["", IPV6_CONFIG], ids=["IPv4", "IPv6"])
async def test_a_trace_shows_the_path_on_one_node_and_across_nodes(cluster: TestCluster, config: str) -> None:
    cluster.contiv_conf = config
    _, b, c = await three_pods(cluster)
    noise = b.start_ping(c.address, 6)
    try:
        with serving(c):
            near = await traced(cluster, "a", "b", port="80/tcp")
            far = await traced(cluster, "a", "c", port="80/tcp", count=2)
        ping = await traced(cluster, "c", "a")
        silent = await traced(cluster, "a", "c", port="9/udp")
    finally:
        noise.kill()
        noise.wait()
    assert near.code is ExitCode.GOOD, near.problems
    assert steps_of(near, "TCP SYN") == {"node1": ["in from pod default/a", "sent to pod default/b"]}
    assert steps_of(near, "TCP RST ACK", reply=True) == {"node1": ["in from pod default/b", "sent to pod default/a"]}
    assert len(near.data.journeys) == 2
    assert far.code is ExitCode.GOOD, far.problems
    assert [probe.outcome for probe in far.data.probes] == ["connected", "connected"]
    assert steps_of(far, "TCP SYN") == {
        "node1": ["in from pod default/a", "goes by the tunnel to node2", "sent by vxlanBVI"],
        "node2": ["came by the tunnel to node1", "sent to pod default/c"],
    }
    assert steps_of(far, "TCP SYN ACK", reply=True) == {
        "node2": ["in from pod default/c", "goes by the tunnel to node1", "sent by vxlanBVI"],
        "node1": ["came by the tunnel to node2", "sent to pod default/a"],
    }
    assert all(journey.ending == "delivered" and len(journey.hops) == 2 for journey in far.data.journeys)
    assert ping.code is ExitCode.GOOD, ping.problems
    assert [(node, reply) for _, node, reply, _ in path_of(ping)] == [
        ("node2", False), ("node1", False), ("node1", True), ("node2", True),
    ]  # fmt: skip
    assert len(ping.data.journeys) == 2, "nothing of the ping that goes on beside it"
    assert silent.data.probes[0].outcome.startswith("refused")
    assert silent.code is ExitCode.GOOD, silent.problems
    assert any("destination_unreachable" in journey.summary for journey in silent.data.journeys), (
        "the error is seen, too"
    )


async def test_what_the_kernel_drops_without_a_word_is_unfinished_with_where_it_was_seen_last(
    cluster: TestCluster,
) -> None:
    await three_pods(cluster)
    nobody = await traced(cluster, "a", "10.1.1.99", timeout=0.3)
    nowhere = await traced(cluster, "a", "203.0.113.9", port="80/tcp", timeout=0.3)
    seen = "it was last seen in service/prerouting, where it came in"
    assert nobody.code is ExitCode.SOMETHING_WRONG
    said = f"unfinished on node1: {seen}: the route to 10.1.1.99 is one that drops"
    assert nobody.problems[0] == f"ICMP echo_request: {said}"
    assert nowhere.problems[0] == f"TCP SYN: unfinished on node1: {seen}: there is no route to 203.0.113.9"
    error = steps_of(nowhere, "ICMP destination_unreachable", reply=True)
    assert error == {"node1": ["made by the node itself", "sent to pod default/a"]}


async def test_what_is_for_a_node_itself_is_followed_to_it(cluster: TestCluster) -> None:
    await three_pods(cluster)
    own = await traced(cluster, "a", cluster.nodes[1].address)
    other = await traced(cluster, "a", cluster.nodes[2].address, port="80/tcp")
    assert own.code is other.code is ExitCode.GOOD, (own.problems, other.problems)
    assert steps_of(own, "ICMP echo_request") == {"node1": ["in from pod default/a", "taken by the node itself"]}
    answer = ["made by the node itself", "sent to pod default/a"]
    assert steps_of(own, "ICMP echo_reply", reply=True) == {"node1": answer}
    assert steps_of(other, "TCP SYN")["node1"][1] == "goes by the tunnel to node2"


async def test_without_tunnels_the_next_hop_is_told_and_what_leaves_the_cluster_gets_another_source(
    cluster: TestCluster,
) -> None:
    cluster.contiv_conf = "nodeToNodeTransport: nooverlay"
    outside = "10.201.0.200"
    ip("addr", "add", f"{outside}/24", "dev", "br0", netns=cluster.switch)
    a, *_ = await three_pods(cluster)
    far = await traced(cluster, "a", "c", port="80/tcp")
    away = await traced(cluster, "a", outside)
    assert far.code is ExitCode.GOOD, far.problems
    one, two = cluster.nodes[1], cluster.nodes[2]
    assert steps_of(far, "TCP SYN") == {
        "node1": ["in from pod default/a", f"to {two.address} (node node2) by eth0", "sent by eth0"],
        "node2": ["in by eth0", "sent to pod default/c"],
    }
    assert away.code is ExitCode.GOOD, away.problems
    out = ["in from pod default/a", f"{one.address} in place of {a.address} as the source", "sent by eth0"]
    assert steps_of(away, "ICMP echo_request") == {"node1": out}
    back = ["in by eth0", f"{a.address} in place of {one.address}", "sent to pod default/a"]
    assert steps_of(away, "ICMP echo_reply", reply=True) == {"node1": back}


EGRESS = Policy(
    name="locked",
    namespace="default",
    pods=LabelSelector(match_label=sorted_labels({"app": "a"})),
    policy_type=PolicyType.EGRESS,
    egress_rule=(EgressRule(to=(Peer(pods=LabelSelector(match_label=sorted_labels({"app": "b"}))),)),),
)


class Records:
    """What KSR would write about services, pods and policies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, kind: str, name: str, record: Any) -> None:
        await self._store.put(keys.record_key(kind, f"default/{name}"), codec.encode(record))

    async def service(self, name: str, address: str, *endpoints: TestPod) -> None:
        record = Service(name=name, namespace="default", cluster_ip=address, service_type="ClusterIP", port=PORTS)
        where = EndpointSubset(addresses=tuple(EndpointAddress(ip=pod.address) for pod in endpoints), ports=LISTENING)
        await self.write("service", name, record)
        subsets = (where,) if endpoints else ()
        await self.write("endpoints", name, Endpoints(name=name, namespace="default", endpoint_subsets=subsets))

    async def label(self, *pods: TestPod) -> None:
        """Gives each its name as the label "app"."""
        await self._store.put(keys.record_key("namespace", "default"), codec.encode(Namespace(name="default")))
        for pod in pods:
            record = await read_pod(self._store, pod)
            labels = {"app": pod.name}
            labelled = msgspec.structs.replace(record, labels=labels, label=sorted_labels(labels))
            await self.write("pod", pod.name, labelled)


def programmed(cluster: TestCluster, count: int) -> bool:
    answers = [node.get("contiv/v1/services") for node in cluster.nodes.values()]
    return all(len(found) == count and all(one["programmed"] for one in found) for found in answers)


@pytest.mark.parametrize(
    ("config", "addresses"),
    [("", ("10.96.0.7", "10.96.0.8", "10.96.0.9")), (IPV6_SERVICES, ("fd00:96::7", "fd00:96::8", "fd00:96::9"))],
    ids=["IPv4", "IPv6"],
)
async def test_a_trace_names_the_service_that_translated_or_refused(
    cluster: TestCluster, config: str, addresses: tuple[str, str, str]
) -> None:
    cluster.contiv_conf = config
    a, _, c = await three_pods(cluster)
    db, empty, own = addresses
    async with await Store.open(cluster.etcd.config) as store:
        records = Records(store)
        await records.service("db", db, c)
        await records.service("empty", empty)
        await records.service("own", own, a)
    eventually(lambda: programmed(cluster, 3))
    with serving(c), serving(a):
        served = await traced(cluster, "a", "svc/db")
        by_address = await traced(cluster, "a", db, port="8000/tcp")
        refused = await traced(cluster, "a", "svc/empty")
        itself = await traced(cluster, "a", "svc/own")
    frontend, endpoint = place(db, 8000), place(c.address, 80)
    for report in (served, by_address):
        assert report.code is ExitCode.GOOD, report.problems
        assert [probe.outcome for probe in report.data.probes] == ["connected"]
        there, back = steps_of(report, "TCP SYN"), steps_of(report, "TCP SYN ACK", reply=True)
        assert list(there) == ["node1", "node2"]
        assert there["node1"][1] == f"service default/db: {endpoint} (pod default/c) in place of {frontend}"
        assert there["node2"][-1] == "sent to pod default/c"
        assert f"service default/db: {frontend} in place of {endpoint}" in back["node1"]
        assert all(journey.ending == "delivered" and len(journey.hops) == 2 for journey in report.data.journeys)
    assert refused.code is ExitCode.SOMETHING_WRONG
    reason = "service default/empty: refused, for it has no endpoints"
    assert f"TCP SYN: dropped on node1: {reason}" in refused.problems
    assert steps_of(refused, "TCP SYN")["node1"][1] == reason
    reset = steps_of(refused, "TCP RST ACK", reply=True)
    assert reset == {"node1": ["made by the node itself", "sent to pod default/a"]}
    assert [probe.outcome for probe in refused.data.probes] == ["refused: nobody listens on the port"]
    assert itself.code is ExitCode.GOOD, itself.problems
    assert [probe.outcome for probe in itself.data.probes] == ["connected"]
    back = steps_of(itself, "TCP SYN ACK", reply=True)["node1"]
    assert f"service default/own: {place(own, 8000)} in place of {place(a.address, 80)}" in back
    assert back[-1] == "sent to pod default/a"


async def test_a_trace_names_the_policy_that_dropped_and_the_one_that_let_pass(cluster: TestCluster) -> None:
    a, b, c = await three_pods(cluster)
    async with await Store.open(cluster.etcd.config) as store:
        records = Records(store)
        await records.service("db", "10.96.0.7", c)
        await records.label(a, b, c)
        await records.write("policy", "closed", DENYING)
        eventually(lambda: programmed(cluster, 1) and not a.ping(c.address, 1) and b.ping(c.address, 1))
        with serving(c):
            ingress = await traced(cluster, "a", "svc/db", timeout=0.5)
            allowed = await traced(cluster, "b", "svc/db", timeout=0.5)
            await records.write("policy", "locked", EGRESS)
            eventually(lambda: a.ping(b.address, 1) and not a.ping(cluster.nodes[2].address, 1))
            egress = await traced(cluster, "a", "svc/db", timeout=0.5)
            ping = await traced(cluster, "a", "c", timeout=0.5)
            passed = await traced(cluster, "a", "b", timeout=0.5)
    denied = "ingress of pod default/c denied: no rule of NetworkPolicy default/closed allows it"
    assert ingress.code is ExitCode.SOMETHING_WRONG
    assert ingress.problems[0] == f"TCP SYN: dropped on node2: {denied}"
    assert denied in steps_of(ingress, "TCP SYN")["node2"]
    assert ingress.data.journeys[0].ending == "dropped"
    assert allowed.code is ExitCode.GOOD, allowed.problems
    permitted = "ingress of pod default/c allowed by NetworkPolicy default/closed, rule 0"
    assert permitted in steps_of(allowed, "TCP SYN")["node2"]
    replies = [
        step for journey in allowed.data.journeys if journey.reply for hop in journey.hops for step in hop.sentences
    ]
    assert not [step for step in replies if "ingress" in step], "of a reply nothing is said"
    locked = "egress of pod default/a denied: no rule of NetworkPolicy default/locked allows it"
    for report, what in ((egress, "TCP SYN"), (ping, "ICMP echo_request")):
        assert report.code is ExitCode.SOMETHING_WRONG
        assert report.problems[0] == f"{what}: dropped on node1: {locked}"
        assert len(report.data.journeys) == 1
    assert passed.code is ExitCode.GOOD, passed.problems
    assert (
        "egress of pod default/a allowed by NetworkPolicy default/locked, rule 0"
        in (steps_of(passed, "ICMP echo_request")["node1"])
    )


async def test_a_drop_by_a_rule_of_somebody_else_has_its_chain_and_its_text(cluster: TestCluster) -> None:
    _, b, _ = await three_pods(cluster)
    one = cluster.nodes[1]
    chain = "{ type filter hook forward priority 10; policy accept; }"
    commands = f"add table inet firewall; add chain inet firewall wall {chain}; add rule inet firewall wall"
    nft(one, f"{commands} ip daddr {b.address} tcp dport 80 drop")
    report = await traced(cluster, "a", "b", port="80/tcp", timeout=0.3)
    assert report.problems[0] == (
        f"TCP SYN: dropped on node1: ip daddr {b.address} tcp dport 80 drop (at inet firewall wall)"
    )


async def test_a_trace_ends_by_itself_and_with_its_agent_and_only_one_runs_at_a_time(cluster: TestCluster) -> None:
    a, b, _ = await three_pods(cluster)
    one = cluster.nodes[1]
    flow = {"protocol": "icmp", "source": a.address, "destination": b.address, "source_port": 77}
    status, begun = post(one, "contiv/v1/trace", {"flow": flow, "seconds": 3})
    assert status == 200
    assert "table inet contiv-trace" in nft(one, "list tables")
    assert post(one, "contiv/v1/trace", {"flow": flow})[0] == 409
    eventually(lambda: "contiv-trace" not in nft(one, "list tables"))
    assert post(one, "contiv/v1/trace/end", begun)[0] == 404
    for end in (signal.SIGKILL, signal.SIGTERM):
        assert post(one, "contiv/v1/trace", {"flow": flow})[0] == 200
        assert "contiv-trace" in nft(one, "list tables")
        one.kill(end)
        assert "contiv-trace" not in nft(one, "list tables"), "it goes with its agent"
        one.start()
        one.wait_until_ready()
    status, begun = post(one, "contiv/v1/trace", {"flow": flow})
    assert status == 200
    one.post("scheduler/downstream-resync")
    assert "contiv-trace" in nft(one, "list tables"), "healing does not mind it"
    assert a.ping(b.address, 3), "another flow between the same two"
    probe = {"pod": "default/a", "flow": flow, "count": 2}
    assert post(one, "contiv/v1/probe", probe)[1]["probes"][1]["answered"]
    status, ended = post(one, "contiv/v1/trace/end", begun)
    assert status == 200
    assert [(packet["summary"], packet["reply"]) for packet in ended["packets"]] == [
        ("ICMP echo_request", False), ("ICMP echo_reply", True),
    ] * 2  # fmt: skip


async def test_of_a_flow_that_does_not_end_a_limited_number_of_packets_is_kept(cluster: TestCluster) -> None:
    a, b, _ = await three_pods(cluster)
    one = cluster.nodes[1]
    flow = {"protocol": "icmp", "source": a.address, "destination": b.address, "source_port": 4711}
    _, begun = post(one, "contiv/v1/trace", {"flow": flow})
    command = ["nsenter", f"--net={a.netns}", "ping", "-n", "-q", "-e", "4711", "-i", "0.002", "-c", "300", b.address]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    _, ended = post(one, "contiv/v1/trace/end", begun)
    assert len(ended["packets"]) == LIMIT
    assert {packet["verdict"] for packet in ended["packets"]} == {"sent"}
