"""IPv4, IPv6 and both over real VPPs, with tunnels of either family and without: two nodes in namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.test_vpp_cluster import VppNode, first_transaction, full_size_ping, transfers
from tests.integration.cluster import TestCluster, cluster_of, eventually, ip, netns_path
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.vpp, pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

IPV4, IPV6 = "192.168.16.0/24", "fd00:16::/64"
CASES = {
    "IPv6 pods over IPv4": ("vxlan", "fd00:10:1::/48", IPV4, 1450),
    "IPv6 pods over IPv6": ("vxlan", "fd00:10:1::/48", IPV6, 1430),
    "both over IPv4": ("vxlan", "10.1.0.0/16,fd00:10:1::/48", IPV4, 1450),
    "both over both": ("vxlan", "fd00:10:1::/48,10.1.0.0/16", f"{IPV4},{IPV6}", 1430),
    "IPv4 without an overlay": ("nooverlay", "10.1.0.0/16", IPV4, 1500),
    "both without an overlay": ("nooverlay", "10.1.0.0/16,fd00:10:1::/48", f"{IPV4},{IPV6}", 1500),
}


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        made.networks = (*made.networks, "fd00:10:201::/64")
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


@pytest.mark.parametrize("name", CASES)
async def test_everybody_reaches_everybody_in_every_family(
    cluster: TestCluster, nodes: tuple[VppNode, VppNode], name: str
) -> None:
    transport, pods, nics, mtu = CASES[name]
    cluster.contiv_conf = f"""
dataplane: vpp
nodeToNodeTransport: {transport}
ipamConfig: {{podSubnetCIDR: '{pods}', nodeInterconnectCIDR: '{nics}'}}
nodeConfig:
- {{nodeName: node1, mainVPPInterface: {{interfaceName: eth1}}}}
- {{nodeName: node2, mainVPPInterface: {{interfaceName: eth1}}}}
"""
    one, two = await cluster.up(1, 2)
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a), one.add(b), two.add(c)
    assert len(c.addresses) == pods.count(",") + 1
    for target in (b, c):
        for address in target.addresses:
            eventually(lambda address=address: a.ping(address))
    for address in a.addresses:
        assert c.ping(address)
        assert two.ping(address), f"the other node's host reaches {address}"
        assert one.ping(address), f"the own node's host reaches {address}"
    for node in (one, two):
        for address in node.addresses:
            if any((":" in address) == (":" in mine) for mine in c.addresses):
                eventually(lambda address=address: c.ping(address))
    for address in c.addresses:
        assert transfers(a.netns, c.netns, address, 5_000_000)
        assert transfers(netns_path(one.netns), c.netns, address, 5_000_000)
        over_ipv6 = 20 if ":" in address else 0
        assert full_size_ping(a.netns, address, mtu - over_ipv6)
        assert not full_size_ping(a.netns, address, mtu + 1 - over_ipv6)
    for node in (one, two):
        node.kill()
        node.start()
        node.wait_until_ready()
        assert first_transaction(node) == ("FullResync", [], None)
