"""Who has which address: every subnet, address and MAC of the cluster, from configuration and node ID.

All of it is arithmetic; nothing is stored anywhere. Source: spec/agent.md 7.1, 7.2, 8.1, with its examples as
tests. Subnets are networks, "with prefix length" means an interface address such as 192.168.30.1/24.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

EVERYTHING: Final = {4: "0.0.0.0/0", 6: "::/0"}
"""What a default route goes to, by IP version."""

_CLUSTER_BITS = 16
_CLUSTER_MINIMUM_BITS = 18
_CLUSTER_NODE_BITS = 9
_CLUSTER_PODS_BITS = 7
_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


class AddressPlanError(ValueError):
    """The plan has no such address: names the subnet, the node and the option that decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPlan:
    """The subnets of a cluster in one IP family, and the arithmetic over them.

    Attributes:
        pod_subnet_all: all pods; `pod_prefix` is the prefix length of one node's part.
        host_link_subnet_all: links between host and data plane; `host_link_prefix` likewise.
        vxlan_subnet: near ends of the tunnels, one address per node.
        node_subnet: addresses of the nodes' main NICs; None when they come from elsewhere.
        service_subnet: cluster IPs of services; None for a second family that services do not have.
        default_gateway: an address of `node_subnet` that no node gets.
        second: the plan of the other family in a cluster with both; MACs are those of the first.
    """

    pod_subnet_all: Network
    pod_prefix: int
    host_link_subnet_all: Network
    host_link_prefix: int
    vxlan_subnet: Network
    node_subnet: Network | None
    service_subnet: Network | None
    default_gateway: Address | None = None
    second: AddressPlan | None = None

    @property
    def families(self) -> tuple[AddressPlan, ...]:
        """This plan and, in a cluster with both families, the other one's."""
        return (self,) if self.second is None else (self, self.second)

    @property
    def version(self) -> Literal[4, 6]:
        """The IP version of pods, host links and tunnels."""
        return 4 if self.pod_subnet_all.version == 4 else 6

    def of(self, version: int) -> AddressPlan | None:
        """The plan of one IP version, None when the cluster does not have it."""
        return next((plan for plan in self.families if plan.version == version), None)

    @property
    def has_node_subnet(self) -> bool:
        """Whether the plan gives nodes their addresses."""
        return self.node_subnet is not None

    # ---- pods

    def pod_subnet(self, node_id: int) -> Network:
        """The pods of a node."""
        return part_of_node(self.pod_subnet_all, self.pod_prefix, node_id, "ipamConfig.podSubnetCIDR")

    def pod_gateway(self, node_id: int) -> Address:
        """The gateway of a node's pods: the first address."""
        return _host(self.pod_subnet(node_id), 1)

    def nat_loopback(self, node_id: int) -> Address:
        """The source of a pod's connections to itself through a service: the last unicast address."""
        subnet = self.pod_subnet(node_id)
        return _host(subnet, subnet.num_addresses - 2)

    def node_of_pod(self, address: Address) -> int:
        """The ID of the node that a pod's address belongs to; the last node has subnet 0.

        Raises:
            AddressPlanError: no pod can have the address.
        """
        if address not in self.pod_subnet_all:
            message = f"{address} is not in the pods' subnet {self.pod_subnet_all}"
            raise AddressPlanError(message)
        part = (int(address) - int(self.pod_subnet_all.network_address)) >> (
            self.pod_subnet_all.max_prefixlen - self.pod_prefix
        )
        return part or 1 << (self.pod_prefix - self.pod_subnet_all.prefixlen)

    # ---- nodes

    def host_link_subnet(self, node_id: int) -> Network:
        """The link between a node's host and its data plane."""
        option = "ipamConfig.vppHostSubnetCIDR"
        return part_of_node(self.host_link_subnet_all, self.host_link_prefix, node_id, option)

    def host_link_vpp(self, node_id: int) -> Address:
        """The data plane's end of the host link."""
        return _host(self.host_link_subnet(node_id), 1)

    def host_link_linux(self, node_id: int) -> Address:
        """The host's end of the host link."""
        return _host(self.host_link_subnet(node_id), 2)

    def vxlan_address(self, node_id: int) -> Interface:
        """A node's end of the tunnels, with prefix length."""
        _check_node_part(self.vxlan_subnet, node_id, "ipamConfig.vxlanCIDR")
        return _interface(_host(self.vxlan_subnet, node_id), self.vxlan_subnet)

    def node_address(self, node_id: int) -> Interface:
        """A node's address on its main NIC, with prefix length; skips the default gateway's.

        Raises:
            AddressPlanError: the plan has no subnet for nodes, or no room for this one.
        """
        subnet, option = self.node_subnet, "ipamConfig.nodeInterconnectCIDR"
        if subnet is None:
            message = f"node {node_id} has no address in the plan: {option} is not set"
            raise AddressPlanError(message)
        _check_node_part(subnet, node_id, option)
        address, gateway = _host(subnet, node_id), self.default_gateway
        if gateway is not None and gateway in subnet and int(gateway) <= int(address):
            _check_node_part(subnet, node_id + 1, option)
            address = _host(subnet, node_id + 1)
        return _interface(address, subnet)

    # ---- MACs

    def vxlan_mac(self, node_id: int) -> str:
        """The MAC of a node's end of the tunnels."""
        return _node_mac("12:2b", node_id)

    def host_link_mac(self, node_id: int) -> str:
        """The MAC of the data plane's end of the host link."""
        return _node_mac("34:3c", node_id)

    def nic_mac(self, node_id: int) -> str:
        """The MAC of VPP on a NIC that the kernel keeps: another one than the kernel's own."""
        return _node_mac("36:3c", node_id)

    def pod_macs(self, container_id: str, interface: str = "") -> tuple[str, str]:
        """The MACs of a pod's interface and of the other end; `interface` is empty for the main one."""
        pod = fnv1a_32(f"{container_id}/{interface}".encode())
        return _pod_mac(pod), _pod_mac(pod ^ 0xFFFFFFFF)


def cluster_subnets(cluster: Network) -> tuple[Network, Network, Network, Network]:
    """Cuts one block into pods, host links, nodes and tunnels; parts of a node have width - 7 bits.

    Raises:
        AddressPlanError: fewer than 18 host bits.
    """
    width = cluster.max_prefixlen
    if width - cluster.prefixlen < _CLUSTER_MINIMUM_BITS:
        longest = width - _CLUSTER_MINIMUM_BITS
        message = f"{cluster} is too small: it must have a prefix of at most /{longest}"
        raise AddressPlanError(message)
    base = int(cluster.network_address)
    block, small = 1 << _CLUSTER_BITS, 1 << _CLUSTER_NODE_BITS
    pods = _network(base, width - _CLUSTER_BITS, cluster)
    hosts = _network(base + block, width - _CLUSTER_BITS, cluster)
    nodes = _network(base + 2 * block, width - _CLUSTER_NODE_BITS, cluster)
    tunnels = _network(base + 2 * block + small, width - _CLUSTER_NODE_BITS, cluster)
    return pods, hosts, nodes, tunnels


def part_of_node(subnet: Network, prefix: int, node_id: int, option: str) -> Network:
    """The part of `subnet` with prefix length `prefix` that a node has; the last ID has part 0.

    Raises:
        AddressPlanError: there are fewer parts than `node_id`, or no parts at all.
    """
    bits = prefix - subnet.prefixlen
    if bits <= 0:
        message = f"{option}: a node's part /{prefix} is not smaller than {subnet}"
        raise AddressPlanError(message)
    if not 1 <= node_id <= 1 << bits:
        message = f"{option}: {subnet} has {1 << bits} parts of /{prefix}, none for node ID {node_id}; enlarge it"
        raise AddressPlanError(message)
    number = node_id % (1 << bits)
    start = int(subnet.network_address) + (number << (subnet.max_prefixlen - prefix))
    return _network(start, prefix, subnet)


def fnv1a_32(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def _check_node_part(subnet: Network, node_id: int, option: str) -> None:
    if not 1 <= node_id < subnet.num_addresses - (1 if subnet.version == 4 else 0):
        message = f"{option}: {subnet} has no address for node ID {node_id}; enlarge it"
        raise AddressPlanError(message)


def _host(subnet: Network, number: int) -> Address:
    return subnet[number]


def _network(start: int, prefix: int, like: Network) -> Network:
    kind = ipaddress.IPv4Network if like.version == 4 else ipaddress.IPv6Network
    return kind((start, prefix))


def _interface(address: Address, subnet: Network) -> Interface:
    kind = ipaddress.IPv4Interface if subnet.version == 4 else ipaddress.IPv6Interface
    return kind((int(address), subnet.prefixlen))


def _node_mac(head: str, node_id: int) -> str:
    if not 1 <= node_id < 1 << 32:
        message = f"node ID {node_id} does not fit a MAC address: IDs are 1 to {(1 << 32) - 1}"
        raise AddressPlanError(message)
    return head + "".join(f":{byte:02x}" for byte in node_id.to_bytes(4, "big"))


def _pod_mac(number: int) -> str:
    return "02:fe" + "".join(f":{byte:02x}" for byte in number.to_bytes(4, "little"))
