"""From the addressing options to the address plan: one plan per IP family of the pods.

An option that names two subnets separated by a comma has one of each family. The family of the first pods' subnet is
the main one. What an option leaves out for a family has a default where the option itself was left out, and is a
mistake where it was not. Source for a single family: spec/agent.md 3.1, 7.1, 7.2.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from contivpp.model.addressplan import Address, AddressPlan, AddressPlanError, Network, cluster_subnets
from contivpp.model.option_texts import address_of, split, subnet_of
from contivpp.model.options import Problems

if TYPE_CHECKING:
    from contivpp.model.config import ContivConfig, IpamConfig, NodeConfig

T = TypeVar("T", bound=Address | Network)

_SMALLEST_MTU: Final = {4: 576, 6: 1280}
_LARGEST_MTU: Final = 65535
_FEWEST_POD_BITS: Final = 3
_FEWEST_LINK_BITS: Final = 2
_CLUSTER_PART_BITS: Final = 7
_PART_IPV6: Final = 64
_NODE_BITS: Final = 8
_PODS, _LINKS, _TUNNELS = "ipamConfig.podSubnetCIDR", "ipamConfig.vppHostSubnetCIDR", "ipamConfig.vxlanCIDR"
_PODS_LENGTH, _LINKS_LENGTH = (
    "ipamConfig.podSubnetOneNodePrefixLen",
    "ipamConfig.vppHostSubnetOneNodePrefixLen",
)
_NODES, _SERVICES = "ipamConfig.nodeInterconnectCIDR", "ipamConfig.serviceCIDR"
_CLUSTER, _GATEWAY = "ipamConfig.contivCIDR", "ipamConfig.defaultGateway"
_DEFAULTS_IPV6: Final = {_LINKS: "fd00:172:30::/48", _TUNNELS: "fd00:192:168:30::/64"}
"""Links and tunnels of pods that have IPv6; nobody outside the cluster sees them."""


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


class _Family(NamedTuple):
    """The options of one IP family.

    Attributes:
        subnets: by option.
        lengths: the prefix lengths of a node's parts of pods and links: the option that decides each, and its value.
    """

    subnets: Mapping[str, Network | None]
    lengths: Mapping[str, tuple[str, int]]
    gateway: Address | None


def address_plan(config: ContivConfig, given: Collection[str], problems: Problems) -> AddressPlan | None:
    """The address plan of the configuration; None when a mistake makes it impossible.

    Args:
        config: what the file says.
        given: the options that the file holds.
        problems: where mistakes are noted.
    """
    ipam = config.ipam_config
    as_one = bool(ipam.contiv_cidr) or problems.at(_CLUSTER)
    families = _families(ipam, given, problems, leading=_CLUSTER if as_one else _PODS)
    parts = [_parts_of_cluster(ipam, one, problems) if as_one else _parts_one_by_one(one, problems) for one in families]
    for one in parts:
        _check_overlaps(one, problems)
        if config.node_to_node_transport == "vxlan":
            _check_family(one, problems)
    _check_mtu(config.mtu_size, parts, problems)
    _check_node_addresses(config.node_config, [part for one in parts for part in one], problems)
    if problems.sentences:
        return None
    plans = [_plan(family, one, as_one=as_one) for family, one in zip(families, parts, strict=True)]
    return dataclasses.replace(plans[0], second=plans[1]) if len(plans) > 1 else plans[0]


def _plan(family: _Family, parts: _Parts, *, as_one: bool) -> AddressPlan:
    pods, links, tunnels = parts.pods.subnet, parts.links.subnet, parts.tunnels.subnet
    assert pods is not None and links is not None and tunnels is not None  # or there was a mistake
    return AddressPlan(
        pod_subnet_all=pods,
        pod_prefix=pods.max_prefixlen - _CLUSTER_PART_BITS if as_one else family.lengths[_PODS][1],
        host_link_subnet_all=links,
        host_link_prefix=links.max_prefixlen - _CLUSTER_PART_BITS if as_one else family.lengths[_LINKS][1],
        vxlan_subnet=tunnels,
        node_subnet=parts.nodes.subnet,
        service_subnet=parts.services.subnet,
        default_gateway=family.gateway,
    )


# ---- families


def _families(ipam: IpamConfig, given: Collection[str], problems: Problems, *, leading: str) -> list[_Family]:
    """One family, or both when the leading option names a subnet of each."""
    texts = {
        leading: ipam.contiv_cidr if leading == _CLUSTER else ipam.pod_subnet_cidr,
        _LINKS: ipam.vpp_host_subnet_cidr,
        _TUNNELS: ipam.vxlan_cidr,
        _SERVICES: ipam.service_cidr,
        _NODES: ipam.node_interconnect_cidr,
    }
    if leading == _CLUSTER:
        del texts[_LINKS], texts[_TUNNELS]
    subnets: dict[str, list[Network]] = {
        option: _members(option, text, subnet_of, problems) for option, text in texts.items()
    }
    gateways: list[Address] = _members(_GATEWAY, ipam.default_gateway, address_of, problems)
    versions = [member.version for member in subnets[leading]] or [4]
    if len(versions) == 1:
        return [_single(ipam, subnets, gateways, versions[0], given, problems)]
    return [_of_both(ipam, subnets, gateways, version, given, problems) for version in versions]


def _single(
    ipam: IpamConfig,
    subnets: Mapping[str, Sequence[Network]],
    gateways: Sequence[Address],
    version: int,
    given: Collection[str],
    problems: Problems,
) -> _Family:
    chosen: dict[str, Network | None] = {}
    for option, members in subnets.items():
        if len(members) > 1 and option != _NODES:
            problems.add(option, "names two subnets and pods have one; name one of the pods' family")
        chosen[option] = next(iter(members), None)
        if version == 6 and option not in given and option in _DEFAULTS_IPV6:
            chosen[option] = ipaddress.ip_network(_DEFAULTS_IPV6[option])
    services = chosen.get(_SERVICES)
    if services is not None and services.version != version:
        if _SERVICES in given:
            problems.add(
                _SERVICES, f"{services} is IPv{services.version} and pods are IPv{version}; name an IPv{version} one"
            )
        chosen[_SERVICES] = None  # the default is IPv4
    lengths = {
        _PODS: (_PODS_LENGTH, ipam.pod_subnet_one_node_prefix_len),
        _LINKS: (_LINKS_LENGTH, ipam.vpp_host_subnet_one_node_prefix_len),
    }
    for option, (deciding, _) in lengths.items():
        subnet = chosen.get(option)
        if subnet is not None and subnet.version == 6 and deciding not in given:
            lengths[option] = (deciding, _length_ipv6(subnet, _NODE_BITS))
    return _Family(chosen, lengths, next(iter(gateways), None))


def _of_both(
    ipam: IpamConfig,
    subnets: Mapping[str, Sequence[Network]],
    gateways: Sequence[Address],
    version: int,
    given: Collection[str],
    problems: Problems,
) -> _Family:
    chosen: dict[str, Network | None] = {}
    for option, members in subnets.items():
        found = next((member for member in members if member.version == version), None)
        if found is None and option in (_LINKS, _TUNNELS) and not problems.at(option):
            if version == 6 and option not in given:
                found = ipaddress.ip_network(_DEFAULTS_IPV6[option])
            else:
                problems.add(option, f"has no IPv{version} subnet, and pods have one; add it, separated by a comma")
        chosen[option] = found
    lengths = {
        _PODS: (_PODS_LENGTH, ipam.pod_subnet_one_node_prefix_len),
        _LINKS: (_LINKS_LENGTH, ipam.vpp_host_subnet_one_node_prefix_len),
    }
    if version == 6:
        ipv4 = {
            option: next((member for member in subnets.get(option, ()) if member.version == 4), None)
            for option in lengths
        }
        wanted = {
            _PODS: ipam.pod_subnet_one_node_prefix_len_ipv6,
            _LINKS: ipam.vpp_host_subnet_one_node_prefix_len_ipv6,
        }
        for option, (deciding, length) in lengths.items():
            like = ipv4[option]
            bits = _NODE_BITS if like is None else max(length - like.prefixlen, 1)
            subnet = chosen.get(option)
            derived = length if subnet is None else _length_ipv6(subnet, bits)
            lengths[option] = (f"{deciding}IPv6", wanted[option] or derived)
    return _Family(chosen, lengths, next((one for one in gateways if one.version == version), None))


def _length_ipv6(subnet: Network, node_bits: int) -> int:
    """The prefix length of a node's part that leaves room for 2**node_bits nodes."""
    return max(_PART_IPV6, subnet.prefixlen + node_bits)


def _members(option: str, text: str, parse: Callable[[str, str, Problems], T | None], problems: Problems) -> list[T]:
    """What an option names: nothing, one, or one of each family."""
    found = [parse(option, part, problems) for part in split(text)] if not problems.at(option) else []
    members = [one for one in found if one is not None]
    if len(members) != len({one.version for one in members}):
        problems.add(option, f"{text!r} has two of one IP version; name one, or an IPv4 and an IPv6 one")
        return members[:1]
    return members


# ---- parts of one family


def _parts_of_cluster(ipam: IpamConfig, family: _Family, problems: Problems) -> _Parts:
    """One block for everything but the services: the options of the single subnets do not count."""
    cluster = family.subnets[_CLUSTER]
    pods = links = nodes = tunnels = None
    if cluster is not None:
        try:
            pods, links, nodes, tunnels = cluster_subnets(cluster)
        except AddressPlanError as error:
            problems.add(_CLUSTER, str(error))
    own = _Part(_NODES, family.subnets[_NODES]) if ipam.node_interconnect_cidr else None
    planned = _Part(f"{_CLUSTER} (nodes)", None if ipam.node_interconnect_dhcp else nodes)
    return _Parts(
        pods=_Part(f"{_CLUSTER} (pods)", pods),
        links=_Part(f"{_CLUSTER} (host links)", links),
        tunnels=_Part(f"{_CLUSTER} (tunnels)", tunnels),
        nodes=own or planned,
        services=_Part(_SERVICES, family.subnets[_SERVICES]),
    )


def _parts_one_by_one(family: _Family, problems: Problems) -> _Parts:
    for option, host_bits in ((_PODS, _FEWEST_POD_BITS), (_LINKS, _FEWEST_LINK_BITS)):
        deciding, length = family.lengths[option]
        _check_length(deciding, length, family.subnets[option], problems, host_bits=host_bits)
    pods, links, tunnels, nodes, services = (
        _Part(option, family.subnets[option]) for option in (_PODS, _LINKS, _TUNNELS, _NODES, _SERVICES)
    )
    return _Parts(pods, links, tunnels, nodes, services)


def _check_length(option: str, length: int, subnet: Network | None, problems: Problems, *, host_bits: int) -> None:
    if subnet is None or problems.at(option):
        return
    shortest, longest = subnet.prefixlen + 1, subnet.max_prefixlen - host_bits
    if shortest > longest:
        problems.add(option, f"{subnet} is too small to be cut into parts for nodes; choose a larger subnet")
    elif not shortest <= length <= longest:
        problems.add(option, f"must be {shortest} to {longest} to cut {subnet} into parts for nodes, not {length}")


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


def _check_mtu(mtu: int, families: Sequence[_Parts], problems: Problems) -> None:
    if problems.at("mtuSize") or mtu == 0:
        return
    versions = [4 if parts.pods.subnet is None else parts.pods.subnet.version for parts in families]
    smallest = max(_SMALLEST_MTU[version] for version in versions)
    if not smallest <= mtu <= _LARGEST_MTU:
        problems.add("mtuSize", f"must be 0 or {smallest} to {_LARGEST_MTU} bytes, not {mtu}")


def _check_node_addresses(nodes: Iterable[NodeConfig], parts: Sequence[_Part], problems: Problems) -> None:
    """No name and no address twice, and no address that the plan gives to something else."""
    names: dict[str, str] = {}
    owners: dict[Address, str] = {}
    for number, node in enumerate(nodes):
        place = f"nodeConfig[{number}]"
        if node.node_name and (first := names.setdefault(node.node_name, place)) != place:
            problems.add(f"{place}.nodeName", f"{node.node_name} has an entry already, {first}; keep one of the two")
        option = f"{place}.mainVPPInterface.ip"
        if node.main_vpp_interface is None or problems.at(option):
            continue
        for text in node.main_vpp_interface.addresses:
            address = ipaddress.ip_interface(text).ip
            if (other := owners.setdefault(address, option)) != option:
                problems.add(option, f"{address} belongs to {other} already; every node needs its own")
            for label, subnet in parts:
                if label != _NODES and not label.endswith("(nodes)") and subnet is not None and address in subnet:
                    problems.add(
                        option, f"{address} is inside {label} {subnet}; choose an address of the nodes' network"
                    )
