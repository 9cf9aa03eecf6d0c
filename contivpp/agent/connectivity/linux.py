"""Connectivity on the Linux data plane: veth pairs, one VXLAN device with static entries, routes.

The kernel's main table is the node's. Packets of local pods to the management address of another node need
the tunnel (nobody outside routes pod addresses back), while the node's own packets to that address must not
take it (they carry the tunnel): so the tunnel's route to it is in a table of its own that a rule gives to the
pods' addresses only. Addresses, names and MACs: spec/agent.md 7, 8.1, 8.4, 8.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.dataplane.linux.values import (
    Address,
    ForwardingEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Veth,
    Vxlan,
)
from contivpp.model.addressplan import AddressPlan
from contivpp.scheduler.api import by_key

VXLAN = "vxlanBVI"
LOOPBACK = "lo"
VXLAN_VNI = 10
VXLAN_PORT = 4789
VXLAN_OVERHEAD = 50  # outer Ethernet, IPv4, UDP and VXLAN headers, in bytes
VXLAN_OVERHEAD_IPV6 = 70
POD_TABLE = 77
POD_RULE_PRIORITY = 7700


class LinuxConnectivity:
    """Renders connectivity for the Linux kernel."""

    def __init__(self, *, mtu: int = 0) -> None:
        """Takes the configured MTU in bytes; 0 derives it from the link that carries the tunnels."""
        self._mtu = mtu

    def own_node(self, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Forwarding, the near end of all tunnels, the gateway of the pods, and an end for what has no pod."""
        pods = plan.pod_subnet(own.id)
        gateway = plan.pod_gateway(own.id)
        host = plan.host_link_linux(own.id)
        return by_key(
            Sysctl(name=_forwarding(pods.version), value="1"),
            Vxlan(
                name=VXLAN,
                host_name=VXLAN,
                vni=VXLAN_VNI,
                local=_ip(own.addresses[0]),
                port=VXLAN_PORT,
                mac=plan.vxlan_mac(own.id),
                mtu=self.mtu(own),
            ),
            Address(link=VXLAN, address=str(plan.vxlan_address(own.id))),
            Address(link=LOOPBACK, address=_host(gateway)),
            Address(link=LOOPBACK, address=_host(host)),
            Route(to=str(plan.pod_subnet_all), kind="blackhole"),
            Rule(priority=POD_RULE_PRIORITY, source=str(pods), table=POD_TABLE),
        )

    def remote_node(self, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Where the tunnel ends, the MAC behind it, and a route per subnet that lives there."""
        far_end, mac = str(plan.vxlan_address(node.id).ip), plan.vxlan_mac(node.id)
        return by_key(
            ForwardingEntry(link=VXLAN, mac=mac, destination=_ip(node.addresses[0])),
            Neighbour(link=VXLAN, address=far_end, mac=mac),
            Route(to=str(plan.pod_subnet(node.id)), via=far_end, link=VXLAN),
            Route(to=str(plan.host_link_subnet(node.id)), via=far_end, link=VXLAN),
        )

    def management_address(self, address: str, node: RemoteNode, plan: AddressPlan) -> Mapping[str, Any]:
        """A route through the tunnel, for packets of pods only."""
        far_end = str(plan.vxlan_address(node.id).ip)
        return by_key(Route(to=_host(address), via=far_end, link=VXLAN, table=POD_TABLE))

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """A veth pair, the pod's address and routes in its namespace, and a way to it from the node."""
        names = pod_names(pod.sandbox.container_id)
        inside = Veth.peer_link(names.link)
        gateway = str(plan.pod_gateway(own.id))
        pod_mac, host_mac = plan.pod_macs(pod.sandbox.container_id)
        return by_key(
            Veth(
                name=names.link,
                host_name=names.host_interface,
                peer_name=pod.sandbox.interface,
                netns=pod.sandbox.netns,
                mac=host_mac,
                peer_mac=pod_mac,
                mtu=self.mtu(own),
            ),
            Address(link=inside, address=_host(pod.address)),
            Route(to=_host(gateway), link=inside, scope="link"),
            Route(to=_everywhere(gateway), via=gateway, link=inside),
            Neighbour(link=inside, address=gateway, mac=host_mac),
            Route(to=_host(pod.address), link=names.link, scope="link"),
            Neighbour(link=names.link, address=pod.address, mac=pod_mac),
        )

    def mtu(self, own: OwnNode) -> int:
        """The MTU of pods and tunnels in bytes: what was configured, else what the tunnel leaves; 0 unknown."""
        if self._mtu or not own.mtu:
            return self._mtu
        ipv6 = any(":" in address for address in own.addresses)
        return own.mtu - (VXLAN_OVERHEAD_IPV6 if ipv6 else VXLAN_OVERHEAD)


def _ip(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)


def _host(address: object) -> str:
    return str(ipaddress.ip_network(str(address)))


def _everywhere(address: str) -> str:
    return "::/0" if ":" in address else "0.0.0.0/0"


def _forwarding(version: int) -> str:
    return "net.ipv6.conf.all.forwarding" if version == 6 else "net.ipv4.ip_forward"
