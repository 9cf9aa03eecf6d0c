"""Which addresses this node publishes as its own, and what else the host's links say of it.

In the order of the specification (3.3, 7.1): the address configured for the node, the one that the address plan gives
it, and on a data plane where the kernel keeps the NIC the one by which Kubernetes knows the node. VPP has the address
itself: there it counts as soon as the link is there that VPP takes as its NIC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from contivpp.agent.connectivity.addresses import ip_of, version_of
from contivpp.agent.connectivity.vpp_nics import vmxnet3_name
from contivpp.agent.events import Lease
from contivpp.agent.stolen import Stolen
from contivpp.agent.view import NodeNic
from contivpp.dataplane.vpp.values.observed import pci_name
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig, InterfaceConfig
from contivpp.model.option_texts import split

HostAddress = tuple[str, str, int]
"""Link, address with prefix length ("" for a link without any), MTU of the link in bytes."""

_NOT_THE_HOST: Final = ("docker", "virbr", "vpp")
"""What the names of links start with whose addresses nobody outside reaches; the loopback is left out anyway."""


def choose_node_addresses(
    config: ContivConfig,
    plan: AddressPlan,
    node_id: int,
    management: Sequence[str],
    host: Sequence[HostAddress],
    leases: Sequence[Lease] = (),
    stolen: Stolen | None = None,
) -> tuple[tuple[str, ...], int]:
    """The node's addresses with prefix length and the MTU of the link of the first; ((), 0) while they are not known.

    At most one per IP version, and without the overlay one for every version that pods have.
    """
    wanted = _configured(config, plan, node_id)
    if config.dataplane == "vpp":
        nic = main_nic_of(config, stolen)
        if nic is not None and nic.dhcp:
            wanted = tuple(lease.address for lease in leases if lease.nic == nic.name)
        if not config.steals_nic:
            found, mtu = _on_vpp(nic, wanted, host)
        elif nic is None or stolen is None:
            found, mtu = (), 0
        else:
            found, mtu = (wanted if nic.dhcp else _one_of_each(nic.addresses, management)), stolen.mtu
    else:
        found, mtu = _on_links(wanted or _known(management, host), host)
    if not config.has_overlay and not _versions(found) >= {one.version for one in plan.families}:
        return (), 0
    return found, mtu


def attachment_of(
    config: ContivConfig,
    host: Sequence[HostAddress],
    leases: Sequence[Lease] = (),
    stolen: Stolen | None = None,
) -> dict[str, Any]:
    """What VPP needs to know of host and NICs, as attributes of `OwnNode`; nothing where the kernel forwards."""
    if config.dataplane != "vpp":
        return {}
    mtus = {link: mtu for link, _, mtu in host}
    main, others = main_nic_of(config, stolen), _other_nics(config)
    taken = {nic.name for nic in (main, *others) if nic is not None}
    gateway = (config.own_node.gateway if config.own_node is not None else "") or config.ipam_config.default_gateway
    gateways = _gateways_of(stolen) or tuple(split(gateway))
    if main is not None and main.dhcp:
        gateways = tuple(lease.router for lease in leases if lease.nic == main.name and lease.router)
    addresses = {
        ip_of(address)
        for link, address, _ in host
        if address and link not in taken and not link.startswith(_NOT_THE_HOST)
    }
    return {
        "main_nic": None if main is None else replace(main, mtu=mtus.get(main.name, main.mtu)),
        "other_nics": tuple(replace(nic, mtu=mtus.get(nic.name, 0)) for nic in others),
        "gateways": gateways,
        "host": tuple(sorted(addresses)),
        **({"stolen": stolen} if config.steals_nic else {}),
    }


def main_nic_of(config: ContivConfig, stolen: Stolen | None = None) -> NodeNic | None:
    """What VPP takes as the node's NIC; None when it has none. An address that is configured ends DHCP."""
    node = config.own_node
    nic = None if node is None else node.main_vpp_interface
    if config.steals_nic:
        return None if stolen is None else _stolen_nic(config, nic, stolen)
    if nic is None or not nic.interface_name:
        return None
    dhcp = (config.ipam_config.node_interconnect_dhcp or nic.use_dhcp) and not nic.ip
    return NodeNic(nic.interface_name, nic.addresses, dhcp)


def _stolen_nic(config: ContivConfig, nic: InterfaceConfig | None, stolen: Stolen) -> NodeNic:
    """With what it had, under the name that the configuration has for it or that follows from its address."""
    static = nic is not None and bool(nic.ip)
    asks = stolen.dhcp or config.ipam_config.node_interconnect_dhcp or (nic is not None and nic.use_dhcp)
    versions = {family.version for family in config.plan.families}
    addresses = tuple(one for one in stolen.addresses if version_of(one) in versions)
    name, device = stolen.name, ""
    if nic is not None and "/" in nic.interface_name:
        name = nic.interface_name
    elif stolen.pci and stolen.kernel_driver == "vmxnet3":
        name = vmxnet3_name(stolen.pci)
    elif stolen.pci:
        device = pci_name(stolen.pci)
    mac = "" if stolen.pci else stolen.mac
    return NodeNic(name, addresses, asks and not static, stolen.mtu, device, mac)


def _one_of_each(addresses: Sequence[str], management: Sequence[str]) -> tuple[str, ...]:
    """One address of each IP version, IPv4 first: one that Kubernetes knows, else the first."""
    found: dict[int, str] = {}
    for address in sorted(addresses, key=lambda one: ip_of(one) not in management):
        found.setdefault(version_of(address), address)
    return tuple(found[version] for version in sorted(found))


def _gateways_of(stolen: Stolen | None) -> tuple[str, ...]:
    """Where the default routes of the NIC led: the best of each IP version."""
    found: dict[int, str] = {}
    for hop in sorted(stolen.routes if stolen is not None else (), key=lambda hop: hop.metric):
        if not hop.to and hop.via:
            found.setdefault(version_of(hop.via), hop.via)
    return tuple(found[version] for version in sorted(found))


def _other_nics(config: ContivConfig) -> tuple[NodeNic, ...]:
    node = config.own_node
    nics = () if node is None else node.other_vpp_interfaces
    return tuple(NodeNic(nic.interface_name, nic.addresses, nic.use_dhcp and not nic.ip) for nic in nics)


def why_no_address(config: ContivConfig, name: str, management: Sequence[str]) -> str:
    """Why the node has no address: one sentence."""
    needed = ""
    if config.node_to_node_transport == "nooverlay" and len(config.plan.families) > 1:
        needed = " (without an overlay it needs one of every family that pods have)"
    if config.steals_nic:
        return (
            f"node {name} has no address for VPP{needed}: its NIC has no address of an IP family that pods have, or no "
            "DHCP server has given it one yet"
        )
    if config.dataplane == "vpp":
        nic = main_nic_of(config)
        if nic is None:
            return (
                f"node {name} has no address for VPP{needed}: set mainVPPInterface.ip or "
                "ipamConfig.nodeInterconnectCIDR"
            )
        if nic.dhcp:
            return f"node {name} has no address for VPP{needed}: no DHCP server has given {nic.name} one yet"
        return (
            f"node {name} has no address for VPP{needed}: there is no link {nic.name} "
            "(mainVPPInterface.interfaceName), or neither mainVPPInterface.ip nor ipamConfig.nodeInterconnectCIDR "
            "says which address it has"
        )
    return (
        f"no address of node {name} is known{needed}: none of its links has the configured address "
        f"or one of those that Kubernetes knows ({', '.join(management) or 'none'})"
    )


def _on_vpp(nic: NodeNic | None, wanted: tuple[str, ...], host: Sequence[HostAddress]) -> tuple[tuple[str, ...], int]:
    if nic is None or nic.is_device:
        return wanted, 0
    for link, _, mtu in host:
        if link == nic.name and wanted:
            return wanted, mtu
    return (), 0


def _on_links(wanted: tuple[str, ...], host: Sequence[HostAddress]) -> tuple[tuple[str, ...], int]:
    """All of them, when every one is on a link: a tunnel from an address that is on none would carry nothing."""
    mtus = {ip_of(address): mtu for _, address, mtu in host if address}
    if not wanted or any(ip_of(address) not in mtus for address in wanted):
        return (), 0
    return wanted, mtus[ip_of(wanted[0])]


def _known(management: Sequence[str], host: Sequence[HostAddress]) -> tuple[str, ...]:
    """Those of the host's addresses that Kubernetes knows: one of each IP version, IPv4 first."""
    there = {ip_of(address): address for _, address, _ in host if address}
    found: dict[int, str] = {}
    for known in management:
        if known in there:
            found.setdefault(version_of(known), there[known])
    return tuple(found[version] for version in sorted(found))


def _configured(config: ContivConfig, plan: AddressPlan, node_id: int) -> tuple[str, ...]:
    node = config.own_node
    if node is not None and node.main_vpp_interface is not None and node.main_vpp_interface.addresses:
        return node.main_vpp_interface.addresses
    return tuple(str(family.node_address(node_id)) for family in plan.families if family.has_node_subnet)


def _versions(addresses: Sequence[str]) -> set[int]:
    return {version_of(address) for address in addresses}
