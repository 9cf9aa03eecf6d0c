"""Which address this node publishes as its end of the tunnels.

In the order of the specification (3.3, 7.1): the one configured for the node, the one that the address plan
gives it, and on a data plane where the kernel keeps the NIC the one by which Kubernetes knows the node.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig

HostAddress = tuple[str, str, int]
"""Link, address with prefix length, MTU of the link in bytes."""


def choose_node_address(
    config: ContivConfig,
    plan: AddressPlan,
    node_id: int,
    management: Sequence[str],
    host: Sequence[HostAddress],
) -> tuple[str, int]:
    """The node's address with prefix length and the MTU of its link; ("", 0) while it cannot be known."""
    wanted = _configured(config, plan, node_id)
    for _, address, mtu in host:
        if wanted and ipaddress.ip_interface(address).ip == ipaddress.ip_interface(wanted).ip:
            return wanted, mtu
    if wanted:
        return "", 0  # configured, but on no link (yet): a tunnel from it would carry nothing
    for address_of_node in management:
        for _, address, mtu in host:
            if str(ipaddress.ip_interface(address).ip) == address_of_node:
                return address, mtu
    return "", 0


def _configured(config: ContivConfig, plan: AddressPlan, node_id: int) -> str:
    node = config.own_node
    if node is not None and node.main_vpp_interface is not None and node.main_vpp_interface.ip:
        return node.main_vpp_interface.ip
    return str(plan.node_address(node_id)) if plan.has_node_subnet else ""
