"""IPv4, IPv6 and both, with tunnels and without: pods and hosts of two nodes in namespaces reach each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import TestCluster, cluster_of, eventually, ip, netns_path
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]

PODS = {
    "IPv6": "podSubnetCIDR: 'fd00:10:1::/48'",
    "both": "podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'",
    "both, IPv6 first": "podSubnetCIDR: 'fd00:10:1::/48,10.1.0.0/16'",
    "IPv4": "podSubnetCIDR: 10.1.0.0/16",
}
CASES = [
    ("vxlan", "IPv6"),
    ("vxlan", "both"),
    ("vxlan", "both, IPv6 first"),
    ("nooverlay", "IPv4"),
    ("nooverlay", "both"),
]


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        made.networks = (*made.networks, "fd00:10:201::/64")
        yield made


def executed(node: Any) -> list[Any]:
    """What the first transaction of an agent did."""
    return list(node.get("scheduler/txn-history")[0].get("Executed", []))


@pytest.mark.parametrize(("transport", "pods"), CASES)
async def test_everybody_reaches_everybody_in_every_family(cluster: TestCluster, transport: str, pods: str) -> None:
    cluster.contiv_conf = f"{{nodeToNodeTransport: {transport}, ipamConfig: {{{PODS[pods]}}}}}"
    one, two = await cluster.up(1, 2)
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a), one.add(b), two.add(c)
    assert len(c.addresses) == (2 if "both" in pods else 1)
    for target in (b, c):
        for address in target.addresses:
            eventually(lambda address=address: a.ping(address))
    for address in a.addresses:
        assert c.ping(address)
        assert two.ping(address)
        assert one.ping(address)
    for address in one.addresses[: len(c.addresses)] if "IPv6" not in pods else one.addresses[1:]:
        eventually(lambda address=address: c.ping(address))
    for node in (one, two):
        node.kill()
        node.start()
        node.wait_until_ready()
        assert executed(node) == []
    assert netns_path(one.netns)


async def test_a_pod_keeps_its_addresses_of_both_families_across_a_restart(cluster: TestCluster) -> None:
    cluster.contiv_conf = f"ipamConfig: {{{PODS['both']}}}"
    [one] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    one.add(a)
    one.kill()
    one.start()
    one.wait_until_ready()
    one.add(b)
    assert a.addresses == ("10.1.1.2", "fd00:10:1:1::1:2")
    assert b.addresses == ("10.1.1.3", "fd00:10:1:1::1:3")
    assert one.get("contiv/v1/ipam/allocations")["Pods"][0]["OtherIPs"] == ["fd00:10:1:1::1:2"]
    assert one.get("contiv/v1/ipam")["podSubnetThisNode"] == "10.1.1.0/24,fd00:10:1:1::/64"


async def test_routes_over_a_link_of_the_host_come_back_with_it(cluster: TestCluster) -> None:
    cluster.contiv_conf = f"{{nodeToNodeTransport: nooverlay, ipamConfig: {{{PODS['IPv4']}}}}}"
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a), two.add(c)
    eventually(lambda: a.ping(c.address))
    ip("link", "set", "eth0", "down", netns=one.netns)
    assert "10.1.2.0/24" not in ip("route", netns=one.netns)
    ip("link", "set", "eth0", "up", netns=one.netns)
    eventually(lambda: a.ping(c.address))
