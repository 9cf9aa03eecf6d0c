"""Operating VPP: commands, dumps, traces and counters of two nodes in namespaces with a real VPP each."""
# ruff: noqa: F811 - fixtures are named as what they are imported as

from __future__ import annotations

import asyncio
import re
import signal
import urllib.error
import urllib.request
from typing import Any

import msgspec
import pytest

from contivpp.model import codec, keys
from contivpp.model.endpoints import EndpointAddress, Endpoints, EndpointSubset
from contivpp.model.labels import sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.service import Service
from contivpp.netctl import status as status_view
from contivpp.netctl import trace as trace_view
from contivpp.netctl import vpp as vpp_view
from contivpp.netctl import vppdump as vppdump_view
from contivpp.netctl.errors import ExitCode, NetctlError
from contivpp.store.client import Store
from tests.integration.agent import operating
from tests.integration.agent.operating import DENYING, LISTENING, PORTS, listening, netctl, path_of, post, read_pod
from tests.integration.agent.test_vpp_cluster import CONFIG, VppNode
from tests.integration.agent.test_vpp_families import cluster, nodes  # noqa: F401
from tests.integration.cluster import TestCluster, TestNode, TestPod, eventually

pytestmark = [pytest.mark.vpp, pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

IPV6_CONFIG = CONFIG.replace(
    "nodeInterconnectCIDR: 192.168.16.0/24",
    "nodeInterconnectCIDR: 'fd00:16::/64', podSubnetCIDR: 'fd00:10:1::/48'",
)


async def three_pods(cluster: TestCluster) -> tuple[TestPod, TestPod, TestPod]:
    """With tunnels over IPv4, unless the test says something else."""
    cluster.contiv_conf = cluster.contiv_conf or CONFIG
    return await operating.three_pods(cluster)


def metrics(node: TestNode) -> dict[str, float]:
    """The series of an agent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def series_of(node: TestNode, name: str, pod: TestPod) -> list[float]:
    return [
        value for series, value in metrics(node).items() if series.startswith(name) and f'pod="{pod.name}"' in series
    ]


@pytest.mark.parametrize("config", [CONFIG, IPV6_CONFIG], ids=["IPv4", "IPv6 over IPv6"])
async def test_a_trace_shows_the_path_on_one_node_and_across_nodes(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode], config: str
) -> None:
    cluster.contiv_conf = config
    _, b, c = await three_pods(cluster)
    server = listening(c)
    noise = b.start_ping(c.address, 6)
    try:
        async with netctl(cluster) as (seen, agents):
            near = await trace_view.view(seen, agents, "a", "b", port="80/tcp")
            far = await trace_view.view(seen, agents, "a", "c", port="80/tcp", count=2)
            ping = await trace_view.view(seen, agents, "c", "a")
            silent = await trace_view.view(seen, agents, "a", "c", port="9/udp")
    finally:
        server.kill()
        server.wait()
        noise.kill()
        noise.wait()
    assert near.code is ExitCode.GOOD, near.problems
    assert [(what, node, reply) for what, node, reply, _ in path_of(near)] == [
        ("TCP SYN", "node1", False),
        ("TCP RST ACK", "node1", True),
    ]
    assert "in from pod default/a" in path_of(near)[0][3]
    assert path_of(near)[0][3][-1] == "sent to pod default/b"
    assert near.data.probes[0].outcome.startswith("refused")
    assert far.code is ExitCode.GOOD, far.problems
    assert [probe.outcome for probe in far.data.probes] == ["connected", "connected"]
    summaries = {what for what, *_ in path_of(far)}
    assert {"TCP SYN", "TCP SYN ACK"} <= summaries, "a connection that stands"
    first = [(node, steps) for what, node, reply, steps in path_of(far) if what == "TCP SYN"][:2]
    assert [node for node, _ in first] == ["node1", "node2"]
    assert "goes by the tunnel to node2" in first[0][1]
    assert "came by the tunnel to node1" in first[1][1]
    assert first[1][1][-1] == "sent to pod default/c"
    assert all(journey.ending == "delivered" and len(journey.hops) == 2 for journey in far.data.journeys)
    assert [(node, reply) for _, node, reply, _ in path_of(ping)] == [
        ("node2", False), ("node1", False), ("node1", True), ("node2", True),
    ]  # fmt: skip
    assert len(ping.data.journeys) == 2, "nothing of the ping that goes on beside it"
    assert silent.data.probes[0].outcome.startswith("refused")
    for node in nodes:
        assert "No packets in trace buffer" in node.vpp.cli("show", "trace")
        assert not re.findall(r"^\s*\d+\s", node.vpp.cli("show", "classify", "tables"), re.MULTILINE)


async def test_a_drop_has_its_node_and_its_reason(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    _, _, c = await three_pods(cluster)
    async with netctl(cluster) as (seen, agents):
        nowhere = await trace_view.view(seen, agents, "a", "10.1.77.7", port="80/tcp", timeout=0.3)
        nobody = await trace_view.view(seen, agents, "a", "10.1.1.99", timeout=0.3)
        route = [f"{c.address}/32", "table", "1", "via", "drop"]
        await vpp_view.command(seen, agents, "node1", ["ip", "route", "add", *route])
        here = await trace_view.view(seen, agents, "a", "c", port="80/tcp", timeout=0.3)
        await vpp_view.command(seen, agents, "node1", ["ip", "route", "del", *route])
        interface = f"host-{c.container_id[:15]}"
        await vpp_view.command(seen, agents, "node2", ["set", "interface", "state", interface, "down"])
        there = await trace_view.view(seen, agents, "a", "c", port="80/tcp", timeout=0.3)
        await vpp_view.command(seen, agents, "node2", ["set", "interface", "state", interface, "up"])
        healed = await trace_view.view(seen, agents, "a", "c", port="80/tcp")
    assert nowhere.code is ExitCode.SOMETHING_WRONG
    assert nowhere.problems[0].startswith("TCP SYN: dropped on node1: no route")
    assert "ARP requests sent" in nobody.problems[0]
    assert "at ip4-glean" in nobody.problems[0]
    for report, path in ((here, ["node1"]), (there, ["node1", "node2"])):
        assert report.code is ExitCode.SOMETHING_WRONG
        [journey] = report.data.journeys
        assert (journey.ending, journey.place) == ("dropped", path[-1])
        assert journey.reason.endswith("(at ip4-lookup)")
        assert [hop.node for hop in journey.hops] == path
    assert healed.code is ExitCode.GOOD, healed.problems


async def test_a_trace_names_the_service_that_translated_and_the_policy_that_dropped(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, b, c = await three_pods(cluster)
    service = Service(name="db", namespace="default", cluster_ip="10.96.0.7", service_type="ClusterIP", port=PORTS)
    where = EndpointSubset(addresses=(EndpointAddress(ip=c.address),), ports=LISTENING)
    async with await Store.open(cluster.etcd.config) as store:

        async def write(kind: str, name: str, record: Any) -> None:
            await store.put(keys.record_key(kind, f"default/{name}"), codec.encode(record))

        await write("service", "db", service)
        await write("endpoints", "db", Endpoints(name="db", namespace="default", endpoint_subsets=(where,)))
        server = listening(c)
        try:
            async with netctl(cluster) as (seen, agents):
                eventually(lambda: all(one.agent.get("contiv/v1/services")[0]["programmed"] for one in nodes))
                served = await trace_view.view(seen, agents, "a", "svc/db")
                by_address = await trace_view.view(seen, agents, "a", "10.96.0.7", port="8000/tcp")
                for pod in (b, c):
                    labels = {"app": pod.name}
                    record = await read_pod(store, pod)
                    labelled = msgspec.structs.replace(record, labels=labels, label=sorted_labels(labels))
                    await write("pod", pod.name, labelled)
                await store.put(keys.record_key("namespace", "default"), codec.encode(Namespace(name="default")))
                await write("policy", "closed", DENYING)
                eventually(lambda: not a.ping(c.address, 1))
                denied = await trace_view.view(seen, agents, "a", "svc/db", timeout=0.5)
                allowed = await trace_view.view(seen, agents, "b", "svc/db", timeout=0.5)
        finally:
            server.kill()
            server.wait()
    translated = f"service default/db: {c.address}:80 (pod default/c) in place of 10.96.0.7:8000"
    for report in (served, by_address):
        assert report.code is ExitCode.GOOD, report.problems
        assert [probe.outcome for probe in report.data.probes] == ["connected"]
        first = [(node, steps) for what, node, reply, steps in path_of(report) if what == "TCP SYN"]
        assert [node for node, _ in first] == ["node1", "node2"]
        assert translated in first[0][1]
        assert first[1][1][-1] == "sent to pod default/c"
        back = next(steps for what, node, _, steps in path_of(report) if (what, node) == ("TCP SYN ACK", "node1"))
        assert f"service default/db: 10.96.0.7:8000 in place of {c.address}:80" in back
        assert all(journey.ending == "delivered" and len(journey.hops) == 2 for journey in report.data.journeys)
    assert denied.code is ExitCode.SOMETHING_WRONG
    reason = "no rule of NetworkPolicy default/closed allows it"
    assert denied.problems[0] == f"TCP SYN: dropped on node2: ingress of pod default/c denied: {reason}"
    assert allowed.code is ExitCode.GOOD, allowed.problems
    said = [step for *_, steps in path_of(allowed) for step in steps if "ingress" in step]
    assert said == ["ingress of pod default/c allowed by NetworkPolicy default/closed, rule 0"]


async def test_a_trace_that_nobody_ends_is_ended_by_the_agent_and_only_one_runs_at_a_time(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, b, _ = await three_pods(cluster)
    one, vpp = nodes[0].agent, nodes[0].vpp
    flow = {"protocol": "icmp", "source": a.address, "destination": b.address, "source_port": 77}
    status, begun = post(one, "contiv/v1/trace", {"flow": flow, "seconds": 1})
    assert status == 200
    assert post(one, "contiv/v1/trace", {"flow": flow})[0] == 409
    assert post(one, "contiv/v1/probe", {"pod": "default/a", "flow": flow}) == (
        200,
        {"probes": [{"answered": True, "outcome": "answered"}]},
    )
    assert "ICMP echo_request" in vpp.cli("show", "trace")
    eventually(lambda: "No packets in trace buffer" in vpp.cli("show", "trace"))
    assert post(one, "contiv/v1/trace/end", begun)[0] == 404
    assert a.ping(b.address)
    assert "No packets in trace buffer" in vpp.cli("show", "trace")
    status, begun = post(one, "contiv/v1/trace", {"flow": flow})
    assert status == 200
    one.kill()
    one.start()
    one.wait_until_ready()
    status, begun = post(one, "contiv/v1/trace", {"flow": flow})
    assert status == 200, "what a killed agent left is no obstacle"
    vpp.end(signal.SIGKILL)
    eventually(lambda: one.get("readiness")["state"] != 1)
    assert post(one, "contiv/v1/trace", {"flow": flow})[0] == 503
    vpp.start()
    one.wait_until_ready()
    status, again = post(one, "contiv/v1/trace", {"flow": flow})
    assert status == 200, "what was traced in a VPP that is gone is no obstacle"
    assert post(one, "contiv/v1/trace/end", begun)[0] == 404
    assert post(one, "contiv/v1/trace/end", again) == (200, {"packets": []})


async def test_commands_and_dumps_answer_and_say_why_not(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    await three_pods(cluster)
    node = nodes[0]
    async with netctl(cluster) as (seen, agents):
        long = await vpp_view.command(seen, agents, "node1", ["show", "api", "message-table"])
        assert len(long.data.output) > 30_000
        assert long.data.output == node.vpp.cli("show", "api", "message-table").replace("\r", "")
        with pytest.raises(NetctlError, match="VPP says: unknown input `bogus'"):
            await vpp_view.command(seen, agents, "node1", ["bogus"])
        with pytest.raises(NetctlError, match="HTTP 504: no answer to the command: VPP hangs"):
            await vpp_view.command(
                seen, agents, "node1", ["ping", "10.1.2.2", "table-id", "1", "repeat", "30", "interval", "1"]
            )
        node.agent.wait_until_ready()
        routes = await vppdump_view.view(seen, agents, "node1", "routes")
        [to_a] = [row for row in routes.data.kinds["route"] if row.value["to"] == "10.1.1.2/32"]
        assert to_a.names["to"] == to_a.names["interface"] == "pod default/a"
        [to_two] = [row for row in routes.data.kinds["route"] if row.value["to"] == "10.1.2.0/24"]
        assert to_two.names == {"to": "the pods of node2", "via": "node node2"}
        everything = await vppdump_view.view(seen, agents, "node1", None)
        assert {"interface", "route", "fdb", "table"} <= everything.data.kinds.keys()
        [tunnel] = [row for row in everything.data.kinds["interface"] if row.type == "VxlanTunnel"]
        assert tunnel.names["name"] == "tunnel to node2"
        async with await Store.open(cluster.etcd.config) as store:
            health = (await status_view.view(store, agents, endpoints=())).data
            assert [(vpp.node, vpp.connected) for vpp in health.vpps] == [("node1", True), ("node2", True)]
            assert health.vpps[0].version in node.vpp.cli("show", "version")
            node.vpp.freeze()
            eventually(lambda: node.agent.get("vpp/status")["connected"] is False)
            [frozen, _] = (await status_view.view(store, agents, endpoints=())).data.vpps
            assert "hangs" in frozen.problem or "hung" in frozen.problem
        with pytest.raises(NetctlError, match="node1: HTTP 503"):
            await vpp_view.command(seen, agents, "node1", ["show", "version"])
        node.vpp.thaw()
        node.agent.wait_until_ready()
        assert (await vpp_view.command(seen, agents, "node1", ["show", "version"])).data.output


async def test_counters_are_those_of_vpp_and_go_with_the_pod(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, b, _ = await three_pods(cluster)
    node = nodes[0]
    one, vpp = node.agent, node.vpp
    received = "contiv_interface_receive_packets_total"
    [before] = series_of(one, received, a)
    assert a.ping(b.address, 20)
    [after] = series_of(one, received, a)
    assert after - before >= 20
    found = metrics(one)
    tunnel = f'{received}{{interface="vxlan-default-2",namespace="",node="node1",pod=""}}'
    assert found[tunnel] > 0
    assert found["contiv_vpp_stats_readable"] == 1
    assert any(series.startswith("contiv_vpp_errors_total") and "vxlan4-encap" in series for series in found)
    assert found['contiv_vpp_memory_bytes{heap="main heap",state="used"}'] > 1_000_000
    assert f'contiv_vpp_info{{version="{one.get("vpp/status")["version"]}"}}' in found
    assert one.cni("DEL", a)[0] == 0
    eventually(lambda: not series_of(one, received, a))
    assert series_of(one, received, b)
    started = found["contiv_vpp_start_time_seconds"]
    vpp.end(signal.SIGKILL)
    eventually(lambda: "contiv_vpp_stats_readable" not in metrics(one))
    assert not series_of(one, received, b)
    await asyncio.sleep(1)
    vpp.start()
    one.wait_until_ready()
    eventually(lambda: metrics(one).get("contiv_vpp_start_time_seconds", 0) > started)
    eventually(lambda: bool(series_of(one, received, b)))
    [reborn] = series_of(one, received, b)
    assert reborn < after


async def test_vpp_without_its_statistics_is_driven_all_the_same(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    for node in nodes:
        node.agent.options += ["--vpp-stats-socket", str(node.agent.folder / "nowhere.sock")]
    a, b, _ = await three_pods(cluster)
    assert a.ping(b.address)
    one = nodes[0].agent
    assert metrics(one)["contiv_vpp_stats_readable"] == 0
    assert "no statistics of VPP" in one.log()
