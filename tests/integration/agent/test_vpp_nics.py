"""NICs of real VPPs: addresses by DHCP, several NICs, and a default route out of one: two nodes in namespaces."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.dataplane.linux.netlink import entered
from tests.integration.agent.test_vpp_cluster import VppNode, first_transaction
from tests.integration.cluster import TestCluster, cluster_of, eventually, ip, netns_path, ping
from tests.integration.conftest import Etcd
from tests.integration.dataplane.dhcp_server import DhcpServer

pytestmark = [pytest.mark.vpp, pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

ROUTER = "192.168.16.254"


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    """With a router on the second bridge: it has an address there, and one that is far away."""
    with cluster_of(etcd, tmp_path) as made:
        ip("link", "add", "br1", "type", "bridge", netns=made.switch)
        ip("link", "set", "br1", "up", netns=made.switch)
        ip("addr", "add", f"{ROUTER}/24", "dev", "br1", netns=made.switch)
        ip("link", "set", "lo", "up", netns=made.switch)
        ip("addr", "add", "198.51.100.1/32", "dev", "lo", netns=made.switch)
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


@pytest.fixture
def dhcp_server(cluster: TestCluster) -> Iterator[DhcpServer]:
    """Answers on the second bridge until the test is over."""
    with entered(netns_path(cluster.switch)):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br1")
        udp.bind(("", 67))
    server = DhcpServer(udp, "192.168.16.50/24", ROUTER)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(server.run())
    thread = threading.Thread(target=loop.run_until_complete, args=(asyncio.wait([serving]),), daemon=True)
    thread.start()
    yield server
    loop.call_soon_threadsafe(serving.cancel)
    thread.join(5)
    udp.close()


async def test_nodes_that_get_their_addresses_by_dhcp_are_joined_and_have_a_way_out(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode], dhcp_server: DhcpServer
) -> None:
    cluster.contiv_conf = """
dataplane: vpp
ipamConfig: {nodeInterconnectDHCP: true}
nodeConfig:
- {nodeName: node1, mainVPPInterface: {interfaceName: eth1}}
- {nodeName: node2, mainVPPInterface: {interfaceName: eth1}}
"""
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a), two.add(c)
    eventually(lambda: a.ping(c.address))
    assert {str(node.get("contiv/v1/ipam")["nodeIP"]) for node in (one, two)} == {"192.168.16.50", "192.168.16.51"}
    assert set(dhcp_server.hostnames) == {"node1", "node2"}
    for number, node in enumerate((one, two), start=1):
        ip("route", "add", f"10.1.{number}.0/24", "via", node.get("contiv/v1/ipam")["nodeIP"], netns=cluster.switch)
    eventually(lambda: a.ping("198.51.100.1"), 20)
    assert ping(netns_path(cluster.switch), c.address, 2), "from outside to a pod"
    one.kill()
    one.start()
    one.wait_until_ready()
    assert first_transaction(one) == ("FullResync", [], None)
    assert a.ping(c.address)
    nodes[0].vpp.end()
    nodes[0].vpp.start()
    one.wait_until_ready()
    eventually(lambda: a.ping(c.address) and a.ping("198.51.100.1"), 40)


async def test_a_second_nic_leads_to_a_network_of_its_own(cluster: TestCluster, nodes: tuple[VppNode, VppNode]) -> None:
    cluster.contiv_conf = """
dataplane: vpp
ipamConfig: {nodeInterconnectCIDR: 192.168.16.0/24}
nodeConfig:
- nodeName: node1
  mainVPPInterface: {interfaceName: eth1}
  otherVPPInterfaces: [{interfaceName: eth2, ip: 10.77.0.1/24}]
  gateway: 192.168.16.254
- {nodeName: node2, mainVPPInterface: {interfaceName: eth1}}
"""
    node = nodes[0].agent
    ends = ("netns", cluster.switch, "type", "veth", "peer", "name", "eth2", "netns", node.netns)
    ip("link", "add", "second", *ends)
    ip("addr", "add", "10.77.0.9/24", "dev", "second", netns=cluster.switch)
    ip("link", "set", "second", "up", netns=cluster.switch)
    ip("link", "set", "eth2", "up", netns=node.netns)
    [one] = await cluster.up(1)
    a = cluster.pod("a")
    one.add(a)
    ip("route", "add", "10.1.1.0/24", "via", "10.77.0.1", netns=cluster.switch)
    eventually(lambda: a.ping("10.77.0.9"))
    assert one.get("readiness")["state"] == 1
