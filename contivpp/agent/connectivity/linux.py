"""Connectivity on the Linux data plane: veth pairs, routes, and one VXLAN device with static entries.

The kernel's main table is the node's. With the overlay, packets of local pods to the management address of another
node need the tunnel (nobody outside routes pod addresses back), while the node's own packets to that address must not
take it (they carry the tunnel): so the tunnel's route to it is in a table of its own that a rule gives to the
pods' addresses only. Without the overlay the other node itself is the next hop of what lives there, and both are on
one network. Everything is said once per IP family of the plan; tunnels are of the family of the node's first
address. What the node itself sends to pods through the tunnel has its address as Kubernetes knows it, for that is how
policies of other nodes' pods name it. Addresses, names and MACs: spec/agent.md 7, 8.1, 8.4, 8.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final

from contivpp.agent.connectivity.addresses import address_of, far_end, ip_of, only, version_of
from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.dataplane.linux.values import (
    LOOPBACK,
    Address,
    ForwardingEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Veth,
    Vxlan,
)
from contivpp.model.addressplan import EVERYTHING, AddressPlan
from contivpp.scheduler.api import by_key

VXLAN: Final = "vxlanBVI"
VXLAN_VNI: Final = 10
VXLAN_PORT: Final = 4789
VXLAN_OVERHEAD: Final = {4: 50, 6: 70}
"""Outer Ethernet, IP, UDP and VXLAN headers, in bytes, by the IP version of the tunnel."""
_FORWARDING: Final = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_PATHS_OF_SOURCES: Final = "net.ipv4.conf.all.rp_filter"
"""Loose: another node's own program that uses a node port here comes by the NIC, and its replies go by the tunnel."""
ETHERNET_MTU: Final = 1500
POD_TABLE: Final = 77
POD_RULE_PRIORITY: Final = 7700


class LinuxConnectivity:
    """Renders connectivity for the Linux kernel."""

    def __init__(self, *, overlay: bool = True, mtu: int = 0) -> None:
        """Takes whether tunnels join the nodes, and the configured MTU in bytes; 0 derives it from the node's link."""
        self._overlay = overlay
        self._mtu = mtu

    def own_node(self, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Forwarding, the near end of all tunnels, the gateway of the pods, and an end for what has no pod."""
        values: list[Any] = [Sysctl(name=_FORWARDING[family.version], value="1") for family in plan.families]
        if self._overlay:
            values.append(
                Vxlan(
                    name=VXLAN,
                    host_name=VXLAN,
                    vni=VXLAN_VNI,
                    local=ip_of(own.addresses[0]),
                    port=VXLAN_PORT,
                    mac=plan.vxlan_mac(own.id),
                    mtu=self.mtu(own),
                )
            )
        for family in plan.families:
            values += [
                Address(link=LOOPBACK, address=only(family.pod_gateway(own.id))),
                Address(link=LOOPBACK, address=only(family.host_link_linux(own.id))),
                Route(to=str(family.pod_subnet_all), kind="blackhole"),
            ]
            if self._overlay and family.version == 4:
                values.append(Sysctl(_PATHS_OF_SOURCES, value="2"))
            if self._overlay:
                values += [
                    Address(link=VXLAN, address=str(family.vxlan_address(own.id))),
                    Rule(priority=POD_RULE_PRIORITY, source=str(family.pod_subnet(own.id)), table=POD_TABLE),
                ]
        return by_key(*values)

    def remote_node(self, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Where the tunnel ends, the MAC behind it, and a route per subnet that lives there."""
        values: list[Any] = []
        if not self._overlay:
            for family in plan.families:
                if next_hop := address_of(node, family.version):
                    values += _routes(node, family, via=next_hop)
        elif destination := far_end(node, own):
            mac = plan.vxlan_mac(node.id)
            values.append(ForwardingEntry(link=VXLAN, mac=mac, destination=destination))
            for family in plan.families:
                next_hop = str(family.vxlan_address(node.id).ip)
                values.append(Neighbour(link=VXLAN, address=next_hop, mac=mac))
                values += _routes(node, family, via=next_hop, link=VXLAN, source=_known_as(own, family.version))
        return by_key(*values)

    def management_address(
        self, address: str, node: RemoteNode, plan: AddressPlan, *, stolen: bool = False
    ) -> Mapping[str, Any]:
        """A route through the tunnel, for packets of pods only; without tunnels the node's own routes do."""
        family = plan.of(version_of(address))
        if family is None or not self._overlay:
            return {}
        next_hop = str(family.vxlan_address(node.id).ip)
        return by_key(Route(to=only(address), via=next_hop, link=VXLAN, table=POD_TABLE))

    def published_address(self, address: str, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Nothing: the kernel has one table, and its way to the other node is there."""
        return {}

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """A veth pair, the pod's addresses and routes in its namespace, and a way to it from the node."""
        names = pod_names(pod.sandbox.container_id)
        inside = Veth.peer_link(names.link)
        pod_mac, host_mac = plan.pod_macs(pod.sandbox.container_id)
        values: list[Any] = [
            Veth(
                name=names.link,
                host_name=names.host_interface,
                peer_name=pod.sandbox.interface,
                netns=pod.sandbox.netns,
                mac=host_mac,
                peer_mac=pod_mac,
                mtu=of_pair(self.mtu(own)),
                ipv6=plan.of(6) is not None,
            )
        ]
        for address in pod.addresses:
            if (family := plan.of(version_of(address))) is not None:
                values += in_pod(inside, address, str(family.pod_gateway(own.id)), host_mac)
                values += [
                    Route(to=only(address), link=names.link, scope="link"),
                    Neighbour(link=names.link, address=address, mac=pod_mac),
                ]
        return by_key(*values)

    def mtu(self, own: OwnNode) -> int:
        """The MTU of pods and tunnels in bytes: what was configured, else what the tunnel leaves; 0 unknown."""
        if self._mtu or not own.mtu:
            return self._mtu
        return own.mtu - overhead(own, overlay=self._overlay)

    def host_interface(self, container_id: str) -> str:
        """The kernel's name of the node's end of the pair to a pod."""
        return pod_names(container_id).host_interface


def overhead(own: OwnNode, *, overlay: bool) -> int:
    """What the headers of the tunnels take of every packet, in bytes."""
    if not overlay:
        return 0
    return VXLAN_OVERHEAD[6 if any(version_of(address) == 6 for address in own.addresses[:1]) else 4]


def of_pair(mtu: int) -> int:
    """An MTU as it is read back from a pair."""
    return 0 if mtu == ETHERNET_MTU else mtu


def in_pod(link: str, address: str, gateway: str, gateway_mac: str, *, mtu: int = 0) -> Iterator[Any]:
    """What a pod has inside for one of its addresses: everything goes to the gateway, whose MAC nobody has to ask.

    With `mtu`, in bytes, the pod sends nothing larger, also where its link has room for it.
    """
    yield Address(link=link, address=only(address))
    yield Route(to=only(gateway), link=link, scope="link")
    yield Route(to=EVERYTHING[ipaddress.ip_address(address).version], via=gateway, link=link, mtu=mtu)
    yield Neighbour(link=link, address=gateway, mac=gateway_mac)


def _known_as(own: OwnNode, version: int) -> str:
    """The node's address that Kubernetes knows as well, which pods elsewhere answer to by the tunnel; "" for none."""
    return next((one for one in map(ip_of, own.addresses) if one in own.management and version_of(one) == version), "")


def _routes(node: RemoteNode, family: AddressPlan, *, via: str, link: str = "", source: str = "") -> Iterator[Route]:
    yield Route(to=str(family.pod_subnet(node.id)), via=via, link=link, source=source)
    yield Route(to=str(family.host_link_subnet(node.id)), via=via, link=link)
