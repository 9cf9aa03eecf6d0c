"""The networks of the cluster in namespaces, per IP family, and the agents' configuration that comes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import yaml

Family = Literal["ipv4", "ipv6", "dual"]
ROUTER = 254
OUTSIDE = 2


@dataclass(frozen=True)
class Networks:
    """One family.

    Attributes:
        machines: where Kubernetes and the router know the nodes.
        underlay: where a data plane has NICs of its own, if it wants some.
        beyond: the network of the outside, behind the router.
        pods: of the cluster; `pods_of_node` is the prefix length of a node's part. It is small, so that an address
            is soon used again.
    """

    version: int
    machines: str
    underlay: str
    beyond: str
    pods: str
    pods_of_node: int
    host_links: str
    host_links_of_node: int
    tunnels: str
    services: str

    def machine(self, number: int) -> str:
        """An address of the nodes' network, with prefix length."""
        return _with_length(self.machines, number)

    def nic(self, number: int) -> str:
        """An address of the network of the data plane's NICs, with prefix length."""
        return _with_length(self.underlay, number)

    def far(self, number: int) -> str:
        """An address of the outside's network, with prefix length."""
        return _with_length(self.beyond, number)


IPV4 = Networks(
    version=4,
    machines="10.201.0.0/24",
    underlay="10.203.0.0/24",
    beyond="10.202.0.0/24",
    pods="10.1.0.0/16",
    pods_of_node=28,
    host_links="172.30.0.0/16",
    host_links_of_node=24,
    tunnels="192.168.30.0/24",
    services="10.96.0.0/12",
)
IPV6 = Networks(
    version=6,
    machines="fd20:201::/64",
    underlay="fd20:203::/64",
    beyond="fd20:202::/64",
    pods="fd10:1::/112",
    pods_of_node=124,
    host_links="fd10:30::/112",
    host_links_of_node=120,
    tunnels="fd10:40::/112",
    services="fd10:96::/112",
)
FAMILIES: Mapping[Family, tuple[Networks, ...]] = {"ipv4": (IPV4,), "ipv6": (IPV6,), "dual": (IPV4, IPV6)}


def contiv_conf(dataplane: str, families: Sequence[Networks], nics: Mapping[str, int], transport: str = "vxlan") -> str:
    """The agents' file.

    Pods leave the cluster under their own addresses: the router knows ways back to them.

    Args:
        dataplane: its name.
        families: one or two.
        nics: what number each node has in the network of the data plane's NICs; empty without such.
        transport: how packets get to another node's pods.
    """
    main = families[0]
    ipam: dict[str, object] = {
        "podSubnetCIDR": ",".join(one.pods for one in families),
        "podSubnetOneNodePrefixLen": main.pods_of_node,
        "vppHostSubnetCIDR": ",".join(one.host_links for one in families),
        "vppHostSubnetOneNodePrefixLen": main.host_links_of_node,
        "vxlanCIDR": ",".join(one.tunnels for one in families),
        "serviceCIDR": ",".join(one.services for one in families),
    }
    for other in families[1:]:
        ipam["podSubnetOneNodePrefixLenIPv6"] = other.pods_of_node
        ipam["vppHostSubnetOneNodePrefixLenIPv6"] = other.host_links_of_node
    config: dict[str, object] = {"dataplane": dataplane, "natExternalTraffic": False, "ipamConfig": ipam}
    config["nodeToNodeTransport"] = transport
    if nics:
        gateway = ",".join(str(ipaddress.ip_interface(one.nic(ROUTER)).ip) for one in families)
        config["nodeConfig"] = [
            {
                "nodeName": node,
                "mainVPPInterface": {"interfaceName": "eth1", "ip": ",".join(one.nic(number) for one in families)},
                "gateway": gateway,
            }
            for node, number in nics.items()
        ]
    return yaml.safe_dump(config, sort_keys=False)


def bare(address: str) -> str:
    """An address without its prefix length."""
    return address.partition("/")[0]


def _with_length(network: str, number: int) -> str:
    found = ipaddress.ip_network(network)
    return f"{found[number]}/{found.prefixlen}"
