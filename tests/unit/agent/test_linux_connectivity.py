"""What the node itself sends through the tunnel, and by which of its addresses."""

from __future__ import annotations

import pytest

from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.view import OwnNode, RemoteNode
from contivpp.dataplane.linux.values import Route
from contivpp.model.config import ContivConfig

PLAN = ContivConfig.parse("{dataplane: linux}", node_name="node1").plan
NODE = RemoteNode(2, "node2", ("10.0.0.2/24",), ("10.0.0.2",))


@pytest.mark.parametrize(
    ("addresses", "management", "source"),
    [
        (("10.0.0.1/24",), ("10.0.0.1",), "10.0.0.1"),
        (("10.9.0.1/24", "10.0.0.1/24"), ("10.0.0.1",), "10.0.0.1"),
        (("10.9.0.1/24",), ("10.0.0.1",), ""),
        (("fd00::1/64",), ("fd00::1",), ""),
    ],
)
def test_pods_elsewhere_are_asked_by_the_address_that_kubernetes_knows_and_hosts_by_that_of_the_tunnel(
    addresses: tuple[str, ...], management: tuple[str, ...], source: str
) -> None:
    own = OwnNode("node1", id=1, addresses=addresses, management=management)
    node = NODE if ":" not in addresses[0] else RemoteNode(2, "node2", ("fd00::2/64",), ("fd00::2",))
    routes = [one for one in LinuxConnectivity().remote_node(node, own, PLAN).values() if isinstance(one, Route)]
    assert {one.to: one.source for one in routes} == {"10.1.2.0/24": source, "172.30.2.0/24": ""}
