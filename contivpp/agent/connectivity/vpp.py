"""Connectivity on VPP: pods in a table of their own, and one bridge domain that holds the tunnels to all nodes.

Table `main` is the node's: the NIC, and the link to the host. Table `pods` has a route per local pod and per other
node; what neither is for goes to the other table, and drops end what would go back and forth. Pods and the host are
attached with a veth pair and AF_PACKET: the pair's end on the node has a MAC of its own, or the kernel would take the
frames for itself, and the pair leaves no checksum to anybody, for AF_PACKET would hand frames to VPP without.
Addresses, names, MACs, tables: spec/agent.md 7, 8.1-8.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.dataplane.linux.values import Address, Neighbour, Route, Veth
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.model.addressplan import AddressPlan
from contivpp.scheduler.api import by_key

POD_GATEWAY: Final = "podGwLoop"
VXLAN: Final = "vxlanBVI"
DOMAIN: Final = "vxlanBD"
DOMAIN_NUMBER: Final = 1
TUNNELS: Final = 1
"""The split horizon group of the tunnels: what came by one never leaves by another."""
VXLAN_VNI: Final = 10
VXLAN_OVERHEAD: Final = 50  # outer Ethernet, IPv4, UDP and VXLAN headers, in bytes
VXLAN_OVERHEAD_IPV6: Final = 70
ETHERNET_MTU: Final = 1500
HOST_END: Final = "vpp1"
HOST_LINK_END: Final = "vpp2"
HOST_LINK: Final = "afpacket-vpp2"
NO_NIC: Final = "loopbackNIC"


class VppConnectivity:
    """Renders connectivity for VPP, and for the kernel what joins it to VPP."""

    def __init__(self, *, main: int = 0, pods: int = 1, mtu: int = 0) -> None:
        """Takes the numbers of both tables, and the configured MTU in bytes; 0 derives it from the NIC's."""
        self._main = main
        self._pods = pods
        self._mtu = mtu

    def own_node(self, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The tables, the NIC, the link to the host, the gateway of the pods, and the near end of all tunnels."""
        return by_key(
            *self._tables(own, plan),
            *self._nic(own, plan),
            *self._host_link(own, plan),
            *self._between_tables(own, plan),
            Loopback(POD_GATEWAY, _kernel_mac(plan.vxlan_mac(own.id)), self.mtu(own)),
            InterfaceTable(POD_GATEWAY, self._pods, _version(plan)),
            InterfaceAddress(POD_GATEWAY, f"{plan.pod_gateway(own.id)}/{plan.pod_prefix}", self._pods),
            Loopback(VXLAN, plan.vxlan_mac(own.id), self.mtu(own)),
            InterfaceTable(VXLAN, self._pods, _version(plan)),
            InterfaceAddress(VXLAN, str(plan.vxlan_address(own.id)), self._pods),
            BridgeDomain(DOMAIN, DOMAIN_NUMBER),
            BridgeMember(DOMAIN, DOMAIN_NUMBER, VXLAN, routed=True, group=TUNNELS),
        )

    def remote_node(self, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The tunnel, the MAC behind it, and a route per subnet that lives there."""
        tunnel, mac = f"vxlan-default-{node.id}", plan.vxlan_mac(node.id)
        far_end = str(plan.vxlan_address(node.id).ip)
        return by_key(
            VxlanTunnel(tunnel, _ip(own.addresses[0]), _ip(node.addresses[0]), VXLAN_VNI, self._main),
            BridgeMember(DOMAIN, DOMAIN_NUMBER, tunnel, group=TUNNELS),
            VppForwardingEntry(DOMAIN_NUMBER, mac, tunnel),
            VppNeighbour(VXLAN, far_end, mac),
            VppRoute(str(plan.pod_subnet(node.id)), self._pods, far_end, VXLAN),
            VppRoute(str(plan.host_link_subnet(node.id)), self._pods, far_end, VXLAN),
        )

    def management_address(self, address: str, node: RemoteNode, plan: AddressPlan) -> Mapping[str, Any]:
        """A route through the tunnel; none in the main table to the address that the tunnel itself needs."""
        far_end = str(plan.vxlan_address(node.id).ip)
        values = [VppRoute(_host(address), self._pods, far_end, VXLAN)]
        if address not in map(_ip, node.addresses):
            values.append(VppRoute(_host(address), self._main, via_vrf=self._pods))
        return by_key(*values)

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The pair and VPP's end of it, the pod's address and routes in its namespace, and a way to it from VPP."""
        names = pod_names(pod.sandbox.container_id)
        inside, attached = Veth.peer_link(names.link), f"afpacket-{names.host_interface}"
        gateway, version = str(plan.pod_gateway(own.id)), _version(plan)
        pod_mac, vpp_mac = plan.pod_macs(pod.sandbox.container_id)
        return by_key(
            Veth(
                name=names.link,
                host_name=names.host_interface,
                peer_name=pod.sandbox.interface,
                netns=pod.sandbox.netns,
                mac=_kernel_mac(vpp_mac),
                peer_mac=pod_mac,
                mtu=_of_pair(self.mtu(own)),
                offload=False,
            ),
            Address(link=inside, address=_host(pod.address)),
            Route(to=_host(gateway), link=inside, scope="link"),
            Route(to=_everywhere(plan), via=gateway, link=inside),
            Neighbour(link=inside, address=gateway, mac=vpp_mac),
            HostInterface(attached, names.host_interface, vpp_mac, self.mtu(own)),
            InterfaceTable(attached, self._pods, version),
            Unnumbered(attached, POD_GATEWAY, self._pods),
            VppNeighbour(attached, pod.address, pod_mac),
            VppRoute(_host(pod.address), self._pods, pod.address, attached),
        )

    def mtu(self, own: OwnNode) -> int:
        """The MTU of pods and the host's link in bytes: what was configured, else what the tunnel leaves."""
        if self._mtu:
            return self._mtu
        ipv6 = any(":" in address for address in own.addresses)
        return (own.mtu or ETHERNET_MTU) - (VXLAN_OVERHEAD_IPV6 if ipv6 else VXLAN_OVERHEAD)

    # ---- parts of the own node

    def _tables(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        yield Table(self._pods, _version(plan), f"podVRF-IPv{_version(plan)}")
        if self._main:
            for version in sorted({_version(plan), ipaddress.ip_interface(own.addresses[0]).version}):
                yield Table(self._main, 4 if version == 4 else 6, f"mainVRF-IPv{version}")

    def _nic(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        name, mac = own.uplink or NO_NIC, plan.nic_mac(own.id)
        address = ipaddress.ip_interface(own.addresses[0])
        if own.uplink:
            yield HostInterface(name, own.uplink, mac, own.mtu or ETHERNET_MTU)
        else:
            yield Loopback(name, mac, ETHERNET_MTU)
        if self._main:
            yield InterfaceTable(name, self._main, 4 if address.version == 4 else 6)
        yield InterfaceAddress(name, str(address), self._main)
        if own.gateway and ipaddress.ip_address(own.gateway).version == address.version:
            everything = "0.0.0.0/0" if address.version == 4 else "::/0"
            yield VppRoute(everything, self._main, own.gateway, name)

    def _host_link(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        """A pair whose one end has the host's address, and the other one VPP; nobody on it has to ask for a MAC."""
        vpp_mac, mtu = plan.host_link_mac(own.id), self.mtu(own)
        vpp, host = str(plan.host_link_vpp(own.id)), str(plan.host_link_linux(own.id))
        host_mac = _host_mac(vpp_mac)
        yield Veth(
            HOST_END, HOST_END, HOST_LINK_END, "", host_mac, _kernel_mac(vpp_mac), mtu=_of_pair(mtu), offload=False
        )
        yield Address(HOST_END, f"{host}/{plan.host_link_prefix}")
        yield Neighbour(HOST_END, vpp, vpp_mac)
        yield Route(str(plan.pod_subnet_all), via=vpp, link=HOST_END)
        yield Route(str(plan.host_link_subnet_all), via=vpp, link=HOST_END)
        yield HostInterface(HOST_LINK, HOST_LINK_END, vpp_mac, mtu)
        if self._main:
            yield InterfaceTable(HOST_LINK, self._main, _version(plan))
        yield InterfaceAddress(HOST_LINK, f"{vpp}/{plan.host_link_prefix}", self._main)
        yield VppNeighbour(HOST_LINK, host, host_mac)
        for address in own.host:
            if ipaddress.ip_address(address).version == _version(plan):
                yield VppRoute(_host(address), self._main, host, HOST_LINK)

    def _between_tables(self, own: OwnNode, plan: AddressPlan) -> Iterator[VppRoute]:
        for subnet in (_everywhere(plan), str(plan.host_link_subnet(own.id))):
            yield VppRoute(subnet, self._pods, via_vrf=self._main)
        for everybody in (plan.pod_subnet_all, plan.host_link_subnet_all):
            yield VppRoute(str(everybody), self._main, via_vrf=self._pods)
            yield VppRoute(str(everybody), self._pods, kind="drop")


def _version(plan: AddressPlan) -> Literal[4, 6]:
    return 4 if plan.pod_subnet_all.version == 4 else 6


def _kernel_mac(mac: str) -> str:
    """Another MAC, for the kernel's end of a pair that has VPP with `mac` on it."""
    return f"{int(mac[:2], 16) ^ 0x08:02x}{mac[2:]}"


def _host_mac(mac: str) -> str:
    """A third one, for the host's end of the pair that joins it to VPP."""
    return f"{int(mac[:2], 16) ^ 0x40:02x}{mac[2:]}"


def _of_pair(mtu: int) -> int:
    """An MTU as it is read back from a pair."""
    return 0 if mtu == ETHERNET_MTU else mtu


def _ip(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)


def _host(address: object) -> str:
    return str(ipaddress.ip_network(str(address)))


def _everywhere(plan: AddressPlan) -> str:
    return "0.0.0.0/0" if _version(plan) == 4 else "::/0"
