"""What the options of contiv.conf must be, each and together; every mistake is noted, none ends the reading.

An option that has a mistake of its own is left out of the checks that compare options, so that one mistake
is one sentence. Source: spec/agent.md 3.1-3.3, 7.1, 7.2.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from contivpp.model.addressplan import Address, AddressPlan, AddressPlanError, Network, cluster_subnets
from contivpp.model.options import Problems, as_options

if TYPE_CHECKING:
    from contivpp.model.config import ContivConfig, IpamConfig, NodeConfig

_SMALLEST_MTU = {4: 576, 6: 1280}
_LARGEST_MTU = 65535
_FEWEST_POD_BITS = 3
_FEWEST_LINK_BITS = 2
_CLUSTER_PART_BITS = 7
_UNSIGNED = {
    "tapInterfaceVersion": range(1, 3),
    "tapv2RxRingSize": range(32769),
    "tapv2TxRingSize": range(32769),
    "vmxnet3RxRingSize": range(4097),
    "vmxnet3TxRingSize": range(4097),
    "mainVRFID": range(1 << 32),
    "podVRFID": range(1 << 32),
    "ipNeighborScanInterval": range(256),
    "ipNeighborStaleThreshold": range(256),
    "stnVersion": range(256),
}
_PODS, _LINKS, _TUNNELS = "ipamConfig.podSubnetCIDR", "ipamConfig.vppHostSubnetCIDR", "ipamConfig.vxlanCIDR"
_PODS_PREFIX, _LINKS_PREFIX = (
    "ipamConfig.podSubnetOneNodePrefixLen",
    "ipamConfig.vppHostSubnetOneNodePrefixLen",
)
_NODES, _SERVICES = "ipamConfig.nodeInterconnectCIDR", "ipamConfig.serviceCIDR"
_CLUSTER, _GATEWAY = "ipamConfig.contivCIDR", "ipamConfig.defaultGateway"


def check_options(config: ContivConfig, problems: Problems) -> None:
    """Checks everything but the address plan."""
    options = as_options(config)
    for option, allowed in _UNSIGNED.items():
        if not problems.at(option) and options[option] not in allowed:
            problems.add(option, f"must be {allowed.start} to {allowed.stop - 1}, not {options[option]}")
    if not problems.at("mainVRFID", "podVRFID") and config.main_vrf_id == config.pod_vrf_id:
        problems.add("podVRFID", f"{config.pod_vrf_id} is mainVRFID as well; give pods a table of their own")
    for option, value in as_options(config.ipam_config.srv6).items():
        place = f"ipamConfig.srv6.{option}"
        if option.endswith("CIDR") and not problems.at(place):
            subnet = _subnet(place, value, problems)
            if subnet is not None and subnet.version != 6:
                problems.add(place, f"{value} is not an IPv6 subnet, and a segment identifier is an IPv6 address")
    for number, node in enumerate(config.node_config):
        _check_node(f"nodeConfig[{number}]", node, problems)


class _Part(NamedTuple):
    """A part of the plan: how messages call it, and what it is (None: not set, or not known)."""

    label: str
    subnet: Network | None


class _Parts(NamedTuple):
    pods: _Part
    links: _Part
    tunnels: _Part
    nodes: _Part
    services: _Part


def address_plan(config: ContivConfig, problems: Problems) -> AddressPlan | None:
    """The address plan of the configuration; None when a mistake makes it impossible."""
    ipam = config.ipam_config
    parts = _parts_of_cluster(ipam, problems) if _is_cluster(ipam, problems) else _parts_one_by_one(ipam, problems)
    gateway = _address(_GATEWAY, ipam.default_gateway, problems) if ipam.default_gateway else None
    _check_overlaps(parts, problems)
    if config.node_to_node_transport == "vxlan":
        _check_family(parts, problems)
    _check_mtu(config.mtu_size, parts, problems)
    _check_node_addresses(config.node_config, parts, problems)
    pods, links, tunnels, nodes, services = (part.subnet for part in parts)
    if pods is None or links is None or tunnels is None or services is None or problems.sentences:
        return None
    as_one = _is_cluster(ipam, problems)
    return AddressPlan(
        pod_subnet_all=pods,
        pod_prefix=pods.max_prefixlen - _CLUSTER_PART_BITS if as_one else ipam.pod_subnet_one_node_prefix_len,
        host_link_subnet_all=links,
        host_link_prefix=(
            links.max_prefixlen - _CLUSTER_PART_BITS if as_one else ipam.vpp_host_subnet_one_node_prefix_len
        ),
        vxlan_subnet=tunnels,
        node_subnet=nodes,
        service_subnet=services,
        default_gateway=gateway,
    )


def _is_cluster(ipam: IpamConfig, problems: Problems) -> bool:
    return bool(ipam.contiv_cidr) or problems.at(_CLUSTER)


def _parts_of_cluster(ipam: IpamConfig, problems: Problems) -> _Parts:
    """One block for everything but the services: the options of the single subnets do not count."""
    cluster = _subnet(_CLUSTER, ipam.contiv_cidr, problems)
    pods = links = nodes = tunnels = None
    if cluster is not None:
        try:
            pods, links, nodes, tunnels = cluster_subnets(cluster)
        except AddressPlanError as error:
            problems.add(_CLUSTER, str(error))
    own = _Part(_NODES, _subnet(_NODES, ipam.node_interconnect_cidr, problems)) if ipam.node_interconnect_cidr else None
    planned = _Part(f"{_CLUSTER} (nodes)", None if ipam.node_interconnect_dhcp else nodes)
    return _Parts(
        pods=_Part(f"{_CLUSTER} (pods)", pods),
        links=_Part(f"{_CLUSTER} (host links)", links),
        tunnels=_Part(f"{_CLUSTER} (tunnels)", tunnels),
        nodes=own or planned,
        services=_Part(_SERVICES, _subnet(_SERVICES, ipam.service_cidr, problems)),
    )


def _parts_one_by_one(ipam: IpamConfig, problems: Problems) -> _Parts:
    pods, links = (
        _subnet(_PODS, ipam.pod_subnet_cidr, problems),
        _subnet(_LINKS, ipam.vpp_host_subnet_cidr, problems),
    )
    pod_prefix, link_prefix = ipam.pod_subnet_one_node_prefix_len, ipam.vpp_host_subnet_one_node_prefix_len
    _check_prefix(_PODS_PREFIX, pod_prefix, pods, problems, host_bits=_FEWEST_POD_BITS)
    _check_prefix(_LINKS_PREFIX, link_prefix, links, problems, host_bits=_FEWEST_LINK_BITS)
    nodes = _subnet(_NODES, ipam.node_interconnect_cidr, problems) if ipam.node_interconnect_cidr else None
    return _Parts(
        pods=_Part(_PODS, pods),
        links=_Part(_LINKS, links),
        tunnels=_Part(_TUNNELS, _subnet(_TUNNELS, ipam.vxlan_cidr, problems)),
        nodes=_Part(_NODES, nodes),
        services=_Part(_SERVICES, _subnet(_SERVICES, ipam.service_cidr, problems)),
    )


def _check_prefix(option: str, prefix: int, subnet: Network | None, problems: Problems, *, host_bits: int) -> None:
    if subnet is None or problems.at(option):
        return
    shortest, longest = subnet.prefixlen + 1, subnet.max_prefixlen - host_bits
    if shortest > longest:
        problems.add(option, f"{subnet} is too small to be cut into parts for nodes; choose a larger subnet")
    elif not shortest <= prefix <= longest:
        problems.add(option, f"must be {shortest} to {longest} to cut {subnet} into parts for nodes, not {prefix}")


def _check_overlaps(parts: _Parts, problems: Problems) -> None:
    told: set[tuple[str, str]] = set()
    for (one, first), (other, second) in itertools.combinations(parts, 2):
        if first is None or second is None or first.version != second.version:
            continue
        options = (one.partition(" ")[0], other.partition(" ")[0])
        if first.overlaps(second) and options not in told:
            problems.add(one, f"{first} overlaps {other} {second}; choose disjoint subnets")
            told.add(options)


def _check_family(parts: _Parts, problems: Problems) -> None:
    if parts.pods.subnet is None:
        return
    for label, subnet in (parts.links, parts.tunnels):
        if subnet is not None and subnet.version != parts.pods.subnet.version:
            problems.add(
                label,
                f"{subnet} is IPv{subnet.version} and {parts.pods.label} {parts.pods.subnet} is "
                f"IPv{parts.pods.subnet.version}; choose the same family for both",
            )


def _check_mtu(mtu: int, parts: _Parts, problems: Problems) -> None:
    if problems.at("mtuSize") or mtu == 0:
        return
    smallest = _SMALLEST_MTU[4 if parts.pods.subnet is None else parts.pods.subnet.version]
    if not smallest <= mtu <= _LARGEST_MTU:
        problems.add("mtuSize", f"must be 0 or {smallest} to {_LARGEST_MTU} bytes, not {mtu}")


def _check_node(place: str, node: NodeConfig, problems: Problems) -> None:
    if not node.node_name and not problems.at(f"{place}.nodeName"):
        problems.add(f"{place}.nodeName", "is missing; say which node the entry is for")
    if node.gateway:
        _address(f"{place}.gateway", node.gateway, problems)
    nics = [(f"{place}.otherVPPInterfaces[{index}]", nic) for index, nic in enumerate(node.other_vpp_interfaces)]
    if node.main_vpp_interface is not None:
        nics.append((f"{place}.mainVPPInterface", node.main_vpp_interface))
    for option, nic in nics:
        if nic.ip:
            _interface(f"{option}.ip", nic.ip, problems)


def _check_node_addresses(nodes: Iterable[NodeConfig], parts: _Parts, problems: Problems) -> None:
    """No name and no address twice, and no address that the plan gives to something else."""
    names: dict[str, str] = {}
    owners: dict[Address, str] = {}
    for number, node in enumerate(nodes):
        place = f"nodeConfig[{number}]"
        if node.node_name and (first := names.setdefault(node.node_name, place)) != place:
            problems.add(f"{place}.nodeName", f"{node.node_name} has an entry already, {first}; keep one of the two")
        option = f"{place}.mainVPPInterface.ip"
        if node.main_vpp_interface is None or not node.main_vpp_interface.ip or problems.at(option):
            continue
        address = ipaddress.ip_interface(node.main_vpp_interface.ip).ip
        if (other := owners.setdefault(address, option)) != option:
            problems.add(option, f"{address} belongs to {other} already; every node needs its own")
        for label, subnet in (parts.pods, parts.links, parts.tunnels, parts.services):
            if subnet is not None and address in subnet:
                problems.add(option, f"{address} is inside {label} {subnet}; choose an address of the nodes' network")


def _subnet(option: str, value: str, problems: Problems) -> Network | None:
    """A subnet with prefix length; host bits are allowed and cut off, as in the original."""
    if problems.at(option):
        return None
    address, _, length = value.partition("/")
    if length.isascii() and length.isdigit() and "%" not in address:
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            pass
    problems.add(option, f"failed to parse {value!r}; write a subnet with its prefix length, such as 10.1.0.0/16")
    return None


def _interface(option: str, value: str, problems: Problems) -> None:
    if problems.at(option):
        return
    if _subnet(option, value, Problems()) is None:
        problems.add(option, f"failed to parse {value!r}; write an address with its prefix length, such as 10.0.0.5/24")


def _address(option: str, value: str, problems: Problems) -> Address | None:
    if problems.at(option):
        return None
    try:
        if "%" not in value:
            return ipaddress.ip_address(value)
    except ValueError:
        pass
    problems.add(option, f"failed to parse {value!r}; write an address without prefix length, such as 10.0.0.1")
    return None
