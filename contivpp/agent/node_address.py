"""Which address this node publishes as its end of the tunnels, and what else the host's links say of it.

In the order of the specification (3.3, 7.1): the address configured for the node, the one that the address plan gives
it, and on a data plane where the kernel keeps the NIC the one by which Kubernetes knows the node. VPP has the address
itself: there it counts as soon as the link is there that VPP takes as its NIC.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Final

from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig

HostAddress = tuple[str, str, int]
"""Link, address with prefix length ("" for a link without any), MTU of the link in bytes."""

_NOT_THE_HOST: Final = ("docker", "virbr", "vpp")
"""What the names of links start with whose addresses nobody outside reaches; the loopback is left out anyway."""


def choose_node_address(
    config: ContivConfig,
    plan: AddressPlan,
    node_id: int,
    management: Sequence[str],
    host: Sequence[HostAddress],
) -> tuple[str, int]:
    """The node's address with prefix length and the MTU of its link; ("", 0) while it cannot be known."""
    wanted = _configured(config, plan, node_id)
    if config.dataplane == "vpp":
        return _on_vpp(config, wanted, host)
    for _, address, mtu in host:
        if wanted and address and ipaddress.ip_interface(address).ip == ipaddress.ip_interface(wanted).ip:
            return wanted, mtu
    if wanted:
        return "", 0  # configured, but on no link (yet): a tunnel from it would carry nothing
    for address_of_node in management:
        for _, address, mtu in host:
            if address and str(ipaddress.ip_interface(address).ip) == address_of_node:
                return address, mtu
    return "", 0


def attachment_of(config: ContivConfig, host: Sequence[HostAddress]) -> dict[str, Any]:
    """What VPP needs to know of the host, as attributes of `OwnNode`; nothing where the kernel forwards."""
    if config.dataplane != "vpp":
        return {}
    uplink = uplink_of(config)
    gateway = config.own_node.gateway if config.own_node is not None else ""
    addresses = {
        str(ipaddress.ip_interface(address).ip)
        for link, address, _ in host
        if address and link != uplink and not link.startswith(_NOT_THE_HOST)
    }
    return {
        "uplink": uplink,
        "gateway": gateway or config.ipam_config.default_gateway,
        "host": tuple(sorted(addresses)),
    }


def uplink_of(config: ContivConfig) -> str:
    """The kernel's name of the link that VPP takes as its NIC; "" when it has none."""
    node = config.own_node
    return "" if node is None or node.main_vpp_interface is None else node.main_vpp_interface.interface_name


def why_no_address(config: ContivConfig, name: str, management: Sequence[str]) -> str:
    """Why the node has no address: one sentence."""
    if config.dataplane == "vpp":
        if uplink := uplink_of(config):
            return (
                f"node {name} has no address for VPP: there is no link {uplink} (mainVPPInterface.interfaceName), or "
                "neither mainVPPInterface.ip nor ipamConfig.nodeInterconnectCIDR says which address it has"
            )
        return f"node {name} has no address for VPP: set mainVPPInterface.ip or ipamConfig.nodeInterconnectCIDR"
    return (
        f"no address of node {name} is known: none of its links has the configured address "
        f"or one of those that Kubernetes knows ({', '.join(management) or 'none'})"
    )


def _on_vpp(config: ContivConfig, wanted: str, host: Sequence[HostAddress]) -> tuple[str, int]:
    uplink = uplink_of(config)
    if not uplink:
        return wanted, 0
    for link, _, mtu in host:
        if link == uplink and wanted:
            return wanted, mtu
    return "", 0


def _configured(config: ContivConfig, plan: AddressPlan, node_id: int) -> str:
    node = config.own_node
    if node is not None and node.main_vpp_interface is not None and node.main_vpp_interface.ip:
        return node.main_vpp_interface.ip
    return str(plan.node_address(node_id)) if plan.has_node_subnet else ""
