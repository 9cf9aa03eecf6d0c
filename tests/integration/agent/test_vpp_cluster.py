"""Agents over real VPPs: two nodes in namespaces, each with a NIC of its own for VPP on a second bridge."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contivpp.model import codec, keys
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.service import Service, ServicePort
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, TestPod, cluster_of, eventually, ip, netns_path
from tests.integration.conftest import Etcd
from tests.integration.dataplane.vpp import RealVpp
from tests.patience import PATIENCE

pytestmark = [pytest.mark.vpp, pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

CONFIG = """
dataplane: vpp
ipamConfig: {nodeInterconnectCIDR: 192.168.16.0/24}
nodeConfig:
- {nodeName: node1, mainVPPInterface: {interfaceName: eth1}}
- {nodeName: node2, mainVPPInterface: {interfaceName: eth1}}
"""


class VppNode:
    """A node with its VPP."""

    def __init__(self, cluster: TestCluster, number: int, *, heap: str = "256M") -> None:
        self.agent: TestNode = cluster.node(number)
        self._cluster = cluster
        self.port = f"{cluster.prefix[-6:]}v{number}"
        self.plug_in()
        self.vpp = RealVpp(self.agent.folder / "vpp", netns=self.agent.netns, heap=heap)
        self.agent.options = ["--vpp-socket", str(self.vpp.socket)]

    def plug_in(self) -> None:
        """Joins the node's NIC to the second bridge."""
        cluster, link = self._cluster, self.port
        ends = ("netns", cluster.switch, "type", "veth", "peer", "name", "eth1", "netns", self.agent.netns)
        ip("link", "add", link, *ends)
        ip("link", "set", link, "master", "br1", "up", netns=cluster.switch)
        ip("link", "set", "eth1", "up", netns=self.agent.netns)


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        made.contiv_conf = CONFIG
        ip("link", "add", "br1", "type", "bridge", netns=made.switch)
        ip("link", "set", "br1", "up", netns=made.switch)
        yield made


@pytest.fixture
def nodes(cluster: TestCluster) -> Iterator[tuple[VppNode, VppNode]]:
    made = VppNode(cluster, 1), VppNode(cluster, 2)
    try:
        for node in made:
            node.vpp.start()
        yield made
    finally:
        for node in made:
            node.vpp.end()


async def three_pods(cluster: TestCluster) -> tuple[TestPod, TestPod, TestPod]:
    """Two pods on the first node and one on the second; all of them reach each other."""
    one, two = await cluster.up(1, 2)
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a), one.add(b), two.add(c)
    eventually(lambda: a.ping(c.address) and b.ping(c.address))
    return a, b, c


RECEIVE = """
import hashlib, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], 5001), family=family)
print("listening", flush=True)
connection, _ = server.accept()
connection.settimeout(20)
digest = hashlib.sha256()
while data := connection.recv(65536):
    digest.update(data)
print(digest.hexdigest())
"""
SEND = """
import hashlib, random, socket, sys, time
data = random.randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 5001), 20) as connection:
    for part in range(100):
        connection.sendall(data[part * len(data) // 100 : (part + 1) * len(data) // 100])
        time.sleep(float(sys.argv[3]) / 100)
print(hashlib.sha256(data).hexdigest())
"""


def transfers(source: str, target: str, address: str, size: int, *, listen: str = "", seconds: float = 0) -> bool:
    """Whether bytes sent by TCP from one namespace to another one arrive as they were sent.

    Args:
        source: where they are sent.
        target: where they have to arrive.
        address: to which they are sent.
        size: how many.
        listen: the address that the target listens at, when it is another one.
        seconds: how long the sender takes at least.
    """
    receiving = ["nsenter", f"--net={target}", "python3", "-c", RECEIVE, listen or address]
    with subprocess.Popen(receiving, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        try:
            sending = ["nsenter", f"--net={source}", "python3", "-c", SEND, address, str(size), str(seconds)]
            sent = subprocess.run(sending, check=True, timeout=40 * PATIENCE, capture_output=True, text=True).stdout
            return receiver.stdout.readline() == sent
        finally:
            receiver.kill()


def full_size_ping(netns: str, address: str, size: int) -> bool:
    """Whether packets of `size` bytes, IP header included, pass whole."""
    arguments = ["ping", "-n", "-q", "-M", "do", "-s", str(size - 28), "-c", "3", "-i", "0.1", "-W", "1", address]
    return subprocess.run(["nsenter", f"--net={netns}", *arguments], check=False, capture_output=True).returncode == 0


async def test_pods_and_hosts_of_two_nodes_reach_each_other_through_vpp(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, b, c = await three_pods(cluster)
    one, two = (node.agent for node in nodes)
    assert (a.address, b.address, c.address) == ("10.1.1.2", "10.1.1.3", "10.1.2.2")
    for pod, address in ((a, b.address), (a, c.address), (c, b.address), (a, "10.1.1.1")):
        assert pod.ping(address, 5), (pod.name, address)
    for pod in (a, c):
        for address in (one.address, two.address, "172.30.1.2", "172.30.2.2"):
            eventually(lambda pod=pod, address=address: pod.ping(address))
    for host in (one, two):
        for pod in (a, c):
            eventually(lambda host=host, pod=pod: host.ping(pod.address))
    node1, node2 = netns_path(one.netns), netns_path(two.netns)
    for source, target, address in (
        (a.netns, b.netns, b.address),
        (a.netns, c.netns, c.address),
        (node1, c.netns, c.address),
        (node1, a.netns, a.address),
        (c.netns, node1, one.address),
        (c.netns, node2, two.address),
    ):
        assert transfers(source, target, address, 20_000_000), (source, address)
    for source, address in ((a.netns, b.address), (a.netns, c.address), (node1, c.address), (c.netns, one.address)):
        assert full_size_ping(source, address, 1450), (source, address)
        assert not full_size_ping(source, address, 1451), (source, address)
    assert one.get("readiness")["state"] == 1


def first_transaction(node: TestNode) -> tuple[str, list[str], object]:
    """What the first transaction of an agent was, what it did, and its errors."""
    first = node.get("scheduler/txn-history")[0]
    return first["ResyncType"], [str(one) for one in first.get("Executed", [])], first.get("Errors")


async def test_the_host_finds_pods_again_when_its_address_went_and_came_back(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    _, _, c = await three_pods(cluster)
    one = nodes[0].agent
    eventually(lambda: one.ping(c.address))
    before = ip("route", "show", "proto", "77", netns=one.netns)
    assert f"src {one.address}" in before
    for verb in ("del", "add"):
        ip("addr", verb, f"{one.address}/24", "dev", "eth0", netns=one.netns)
    eventually(lambda: ip("route", "show", "proto", "77", netns=one.netns) == before)
    eventually(lambda: one.ping(c.address))


async def test_a_killed_agent_loses_no_packet_and_has_nothing_to_do(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode], tmp_path: Path
) -> None:
    a, _, c = await three_pods(cluster)
    one, two = (node.agent for node in nodes)
    command = ["ping", "-n", "-i", "0.01", c.address]
    said = tmp_path / "pings"
    with said.open("w") as file:
        running = subprocess.Popen(["nsenter", f"--net={a.netns}", *command], stdout=file)
    for node in (one, two):
        node.kill(signal.SIGKILL)
        node.start()
        node.wait_until_ready()
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 0
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", said.read_text())}
    assert len(answered) > 100
    # The last ones may have been under way.
    assert set(range(1, max(answered))) - answered == set()
    for node in (one, two):
        assert first_transaction(node) == ("FullResync", [], None)
    d = cluster.pod("d")
    assert one.add(d) == "10.1.1.4"
    assert d.ping(c.address)


async def write_service(cluster: TestCluster, backend: TestPod, *, node: str) -> None:
    """A service at 10.96.0.7 with one endpoint."""
    service = Service("web", "default", port=(ServicePort(port=5001),), cluster_ip="10.96.0.7")
    there = (EndpointAddress(ip=backend.address, node_name=node),)
    subset = EndpointSubset(there, (), (EndpointPort(port=5001),))
    async with await Store.open(cluster.etcd.config) as store:
        for kind, record in (("service", service), ("endpoints", Endpoints("web", "default", (subset,)))):
            await store.put(keys.record_key(kind, "default/web"), codec.encode(record))


async def test_a_transfer_through_a_service_outlives_the_agents_and_services_come_back_with_vpp(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, _, c = await three_pods(cluster)
    await write_service(cluster, c, node="node2")
    one, two = (node.agent for node in nodes)
    eventually(lambda: transfers(a.netns, c.netns, "10.96.0.7", 1000, listen="0.0.0.0"))
    assert transfers(netns_path(one.netns), c.netns, "10.96.0.7", 1_000_000, listen="0.0.0.0"), "the host as well"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            transfers, a.netns, c.netns, "10.96.0.7", 2_000_000, listen="0.0.0.0", seconds=6 * PATIENCE
        )
        for node in (one, two):
            node.kill(signal.SIGKILL)
            node.start()
            node.wait_until_ready()
        assert not running.done(), "the transfer outlived both restarts"
        assert running.result(60 * PATIENCE)
    for node in (one, two):
        assert first_transaction(node) == ("FullResync", [], None)
    for node in nodes:
        node.vpp.end(signal.SIGKILL)
        eventually(lambda node=node: node.agent.get("readiness")["state"] != 1)
        node.vpp.start()
        node.agent.wait_until_ready()
    eventually(lambda: transfers(a.netns, c.netns, "10.96.0.7", 1_000_000, listen="0.0.0.0"))


async def test_a_killed_vpp_is_programmed_again_without_help(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, b, c = await three_pods(cluster)
    node = nodes[0]
    node.vpp.end(signal.SIGKILL)
    eventually(lambda: node.agent.get("readiness")["state"] != 1)
    assert not a.ping(b.address)
    late = cluster.pod("late")
    code, answer = node.agent.cni("ADD", late)
    assert code != 0
    assert "VPP" in str(answer)
    node.vpp.start()
    node.agent.wait_until_ready()
    eventually(lambda: a.ping(b.address) and a.ping(c.address))
    assert node.agent.ping(c.address)
    node.agent.add(late)
    assert late.ping(c.address)
    node.agent.kill()
    node.vpp.end(signal.SIGKILL)
    node.agent.start()
    eventually(lambda: "VPP" in str(reasons(node.agent)))
    node.vpp.start()
    node.agent.wait_until_ready()
    eventually(lambda: a.ping(b.address) and late.ping(c.address))


def reasons(node: TestNode) -> object:
    """What readiness says, once there is somebody to say it."""
    try:
        return node.get("readiness")
    except OSError:
        return ""


async def test_a_hung_vpp_is_said_to_hang_and_recovers(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    a, _, c = await three_pods(cluster)
    node = nodes[0]
    node.vpp.freeze()
    eventually(lambda: "hangs" in str(node.agent.get("readiness")), 40)
    node.vpp.thaw()
    node.agent.wait_until_ready()
    eventually(lambda: a.ping(c.address))
    assert all(event["TxnError"] == "" for event in node.agent.get("controller/event-history"))


async def test_large_frames_are_used_where_the_nic_has_them(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    for node in nodes:
        ip("link", "set", node.port, "mtu", "9000", netns=cluster.switch)
        ip("link", "set", "eth1", "mtu", "9000", netns=node.agent.netns)
    a, _, c = await three_pods(cluster)
    assert full_size_ping(a.netns, c.address, 8950)
    assert not full_size_ping(a.netns, c.address, 8951)
    assert transfers(a.netns, c.netns, c.address, 20_000_000)


async def test_reset_empties_vpp_and_gives_the_node_back(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    node = nodes[0]
    what = (
        ("-4", "-br", "addr"),
        ("-4", "route", "show", "table", "all"),
        ("rule",),
        ("neigh", "show", "nud", "permanent"),
    )
    before = [ip(*arguments, netns=node.agent.netns) for arguments in what]
    await three_pods(cluster)
    assert node.agent.kill(signal.SIGTERM) == 0
    command = ["contiv-agent", "reset", "--state-dir", str(node.agent.folder / "state")]
    command += ["--node-netns", netns_path(node.agent.netns), "--vpp-socket", str(node.vpp.socket)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [ip(*arguments, netns=node.agent.netns) for arguments in what] == before
    lines = node.vpp.cli("show", "interface").splitlines()
    assert [line.split()[0] for line in lines[1:] if line[:1].strip()] == ["local0"]


async def test_a_nic_that_goes_and_comes_back_is_taken_again(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode]
) -> None:
    a, _, c = await three_pods(cluster)
    node = nodes[0]
    ip("link", "del", "eth1", netns=node.agent.netns)
    eventually(lambda: "host-eth1" not in node.vpp.cli("show", "interface"))
    assert not a.ping(c.address)
    node.plug_in()
    eventually(lambda: a.ping(c.address))
    assert node.agent.get("readiness")["state"] == 1


async def test_values_of_vpp_are_named_from_outside(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    [agent], vpp = await cluster.up(1), nodes[0].vpp
    items = {
        "vpp/interface/mine": {"name": "mine", "mac": "02:fe:00:00:00:77", "mtu": 1400},
        "vpp/address/mine/ip4/10.77.0.1/24": {"interface": "mine", "address": "10.77.0.1/24"},
        "vpp/interface/podGwLoop": {"mtu": 1300},
        "vpp/interface/wrong": {"name": "wrong", "parent": "mine", "vlan": 9999},
    }
    prefix = keys.external_prefix(agent.name)
    async with await Store.open(cluster.etcd.config) as store:
        for key, fields in items.items():
            await store.put(prefix + key, json.dumps(fields).encode())
        eventually(lambda: "10.77.0.1/24" in vpp.cli("show", "interface", "address"))
        eventually(lambda: "1300/0/0/0" in vpp.cli("show", "interface"))
        told = json.dumps(agent.get("contiv/v1/external-config"))
        assert "field vlan: 9999 is not between 1 and 4094" in told
        for key in items:
            await store.delete(prefix + key)
        eventually(lambda: "10.77.0.1/24" not in vpp.cli("show", "interface", "address"))
        eventually(lambda: "1300/0/0/0" not in vpp.cli("show", "interface"))
    states = agent.get("scheduler/dump?key-prefix=vpp/interface-state/&view=cached")
    assert "UP" in json.dumps(states), "the scheduler knows which interfaces carry packets"
