"""Connectivity on VPP: pods in a table of their own, and one bridge domain that holds the tunnels to all nodes.

Table `main` is the node's, with the NICs. Table `pods` has a route per local pod and, with the overlay, per other node;
what neither is for goes to the other table, and drops end what would go back and forth. Services decide how
packets cross (docs/vpp-services.md): with the overlay the link to the host is in table `pods`, and what comes in by a
NIC for another node goes through a pipe, where it can get another source; its replies come back through the tunnel to
this node's own address, and cross by the pipe as well. Without the overlay other nodes are next hops in table `main`,
the link to the host is there, and there is no pipe. Everything is said once per IP family of the plan; tunnels are of
the family of the node's first address. How pods and the host are attached: `vpp_attachment`. Addresses, names, MACs,
tables: spec/agent.md 7, 8.1-8.5, 13.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from contivpp.agent.connectivity.addresses import address_of, far_end, ip_of, only, version_of
from contivpp.agent.connectivity.linux import ETHERNET_MTU, VXLAN_VNI, overhead
from contivpp.agent.connectivity.vpp_attachment import HOST_END, Attachment, VethAttachment, kernel_mac, link_mtu
from contivpp.agent.connectivity.vpp_nics import Nics, NicTuning
from contivpp.agent.view import LocalPod, OwnNode, RemoteNode
from contivpp.dataplane.linux.values import Route
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.arp import NeighbourLimits
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import Loopback, Pipe, PipeEnd, VxlanTunnel
from contivpp.dataplane.vpp.values.punting import PuntRedirect
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.model.addressplan import EVERYTHING, AddressPlan
from contivpp.scheduler.api import by_key

POD_GATEWAY: Final = "podGwLoop"
VXLAN: Final = "vxlanBVI"
DOMAIN: Final = "vxlanBD"
DOMAIN_NUMBER: Final = 1
PIPE: Final = "pipe"
PIPE_MAIN: Final = "pipe-main"
PIPE_PODS: Final = "pipe-pods"
TUNNELS: Final = 1
"""The split horizon group of the tunnels: what came by one never leaves by another."""


class VppConnectivity:
    """Renders connectivity for VPP, and for the kernel what joins it to VPP."""

    def __init__(
        self,
        *,
        main: int = 0,
        pods: int = 1,
        overlay: bool = True,
        mtu: int = 0,
        attachment: Attachment | None = None,
        nics: NicTuning | None = None,
        neighbours: Sequence[NeighbourLimits] = (),
        guard_of: Callable[[str], str] = lambda interface: "",
    ) -> None:
        """Takes what the configuration says.

        Args:
            main: the number of the node's table.
            pods: that of the pods' table.
            overlay: whether tunnels join the nodes.
            mtu: of pods, in bytes; 0 derives it from the NIC's.
            attachment: how pods and the host are attached; by veth pairs when it is not said.
            nics: how NICs are driven.
            neighbours: how long VPP remembers those that it learned.
            guard_of: the key of what must be there before an interface leads to or from a pod; "" for nothing.
        """
        self._main = main
        self._pods = pods
        self._overlay = overlay
        self._mtu = mtu
        self._attachment = attachment or VethAttachment()
        self._nic_tuning = nics or NicTuning()
        self._neighbours = neighbours
        self._guard_of = guard_of

    def own_node(self, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The tables, the NIC, the link to the host, the gateway of the pods, and the near end of all tunnels."""
        values = [
            *self._tables(own, plan),
            *Nics(self._main, self._main_versions(own, plan), self._mtu, self._nic_tuning).values(own, plan),
            *self._neighbours,
            *self._host_link(own, plan),
            *(self._pipe(own, plan) if self._overlay else ()),
            Loopback(POD_GATEWAY, kernel_mac(plan.vxlan_mac(own.id)), self._fitting(own)),
        ]
        overlay = self._overlay and bool(own.addresses)  # a NIC that still waits for its address carries no tunnel
        if overlay:
            values += [
                Loopback(VXLAN, plan.vxlan_mac(own.id), self._fitting(own)),
                BridgeDomain(DOMAIN, DOMAIN_NUMBER),
                BridgeMember(DOMAIN, DOMAIN_NUMBER, VXLAN, routed=True, group=TUNNELS),
            ]
        for family in plan.families:
            gateway = f"{family.pod_gateway(own.id)}/{family.pod_prefix}"
            values += [
                *self._between_tables(own, family),
                InterfaceTable(POD_GATEWAY, self._pods, family.version),
                InterfaceAddress(POD_GATEWAY, gateway, self._pods),
            ]
            if overlay:
                values += [
                    InterfaceTable(VXLAN, self._pods, family.version),
                    InterfaceAddress(VXLAN, str(family.vxlan_address(own.id)), self._pods),
                ]
        return by_key(*values)

    def remote_node(self, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The tunnel, the MAC behind it, and a route per subnet that lives there."""
        values: list[Any] = []
        if not self._overlay:
            for family in plan.families:
                if next_hop := address_of(node, family.version):
                    values += _routes(node, family, self._main, next_hop)
        elif destination := far_end(node, own):
            tunnel, mac = f"vxlan-default-{node.id}", plan.vxlan_mac(node.id)
            values += [
                VxlanTunnel(tunnel, ip_of(own.addresses[0]), destination, VXLAN_VNI, self._main),
                BridgeMember(DOMAIN, DOMAIN_NUMBER, tunnel, group=TUNNELS),
                VppForwardingEntry(DOMAIN_NUMBER, mac, tunnel),
            ]
            for family in plan.families:
                next_hop = str(family.vxlan_address(node.id).ip)
                values.append(VppNeighbour(VXLAN, next_hop, mac))
                values += _routes(node, family, self._pods, next_hop, VXLAN)
        return by_key(*values)

    def management_address(
        self, address: str, node: RemoteNode, plan: AddressPlan, *, stolen: bool = False
    ) -> Mapping[str, Any]:
        """A route through the tunnel or the node; none in the main table to an address that the tunnel itself needs.

        With a stolen NIC the host's own packets come by the pods' table as well, and must find the other node when
        there is no tunnel: to an address that the tunnel needs, and to a node without one, all goes by the NIC.
        """
        family = plan.of(version_of(address))
        needed = address in map(ip_of, node.addresses)
        if family is None or (stolen and (needed or not node.addresses)):
            return {}
        if not self._overlay:
            next_hop = address_of(node, family.version)
            return by_key(*([VppRoute(only(address), self._main, next_hop)] if next_hop and not needed else []))
        next_hop = str(family.vxlan_address(node.id).ip)
        values = [VppRoute(only(address), self._pods, next_hop, VXLAN)]
        if not needed:
            values.append(VppRoute(only(address), self._main, address, PIPE_MAIN))
        return by_key(*values)

    def published_address(self, address: str, node: RemoteNode, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """A route through the tunnel, and the host's through VPP: replies to the node come back as they went."""
        family = plan.of(version_of(address))
        if family is None or address in own.node_port_addresses:
            return {}
        values: list[Any] = [Route(only(address), via=str(family.host_link_vpp(own.id)), link=HOST_END)]
        if self._overlay:
            values.append(VppRoute(only(address), self._pods, str(family.vxlan_address(node.id).ip), VXLAN))
        return by_key(*values)

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The link to the pod with all that is on it at both ends, and a way to the pod from VPP."""
        link = self._attachment.pod(pod, own, plan, mtu=self._fitting(own))
        versions = tuple(sorted(family.version for family in plan.families))
        guard = self._guard_of(link.interface)
        values = [*link.values, Unnumbered(link.interface, POD_GATEWAY, self._pods, versions, guard)]
        values += [InterfaceTable(link.interface, self._pods, family.version) for family in plan.families]
        for address in pod.addresses:
            values += [
                VppNeighbour(link.interface, address, link.mac),
                VppRoute(only(address), self._pods, address, link.interface, waits_for=guard),
            ]
        return by_key(*values)

    def mtu(self, own: OwnNode) -> int:
        """The MTU of a pod's link in bytes; what the pod sends is smaller."""
        return link_mtu(own, self._fitting(own))

    def host_interface(self, container_id: str) -> str:
        """The kernel's name of the node's end of the link to a pod; "" when there is none."""
        return self._attachment.host_interface(container_id)

    # ---- parts of the own node

    def _fitting(self, own: OwnNode) -> int:
        """What pods and the host may send into the cluster: what was configured, else what the tunnel leaves."""
        return self._mtu or (own.mtu or ETHERNET_MTU) - overhead(own, overlay=self._overlay)

    def _tables(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        for family in plan.families:
            yield Table(self._pods, family.version, f"podVRF-IPv{family.version}")
        if self._main:
            for version in self._main_versions(own, plan):
                yield Table(self._main, version, f"mainVRF-IPv{version}")

    def _host_link(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        link = self._attachment.host(own, plan, mtu=self._fitting(own) if own.stolen is None else own.mtu)
        yield from link.values
        if own.stolen is not None:  # what VPP does not take itself is for the host, which has the same addresses
            for family in plan.families:
                yield PuntRedirect(family.version, link.interface, str(family.host_link_linux(own.id)))
        if self._overlay:
            vrf = self._pods
            yield from (InterfaceTable(link.interface, vrf, family.version) for family in plan.families)
        else:
            vrf = self._main
            yield from self._in_main(link.interface, own, plan)
        for family in plan.families:
            host = str(family.host_link_linux(own.id))
            yield InterfaceAddress(link.interface, f"{family.host_link_vpp(own.id)}/{family.host_link_prefix}", vrf)
            yield VppNeighbour(link.interface, host, link.mac)
            for address in own.host:
                if version_of(address) == family.version:
                    yield VppRoute(only(address), vrf, host, link.interface)
                    if self._overlay:
                        yield VppRoute(only(address), self._main, via_vrf=self._pods)

    def _pipe(self, own: OwnNode, plan: AddressPlan) -> Iterator[Any]:
        """The end in main has the address of VPP on the host's link as well: without one it would take no packets."""
        yield Pipe(PIPE)
        yield PipeEnd(PIPE_MAIN, PIPE, 0)
        yield PipeEnd(PIPE_PODS, PIPE, 1)
        yield from self._in_main(PIPE_MAIN, own, plan)
        yield Unnumbered(PIPE_PODS, POD_GATEWAY, self._pods, tuple(sorted(one.version for one in plan.families)))
        for family in plan.families:
            yield InterfaceTable(PIPE_PODS, self._pods, family.version)
            yield InterfaceAddress(PIPE_MAIN, only(family.host_link_vpp(own.id)), self._main)
        for address in map(ip_of, own.addresses):
            if plan.of(version_of(address)) is not None:
                yield VppRoute(only(address), self._pods, address, PIPE_PODS)

    def _between_tables(self, own: OwnNode, family: AddressPlan) -> Iterator[VppRoute]:
        """What has no route of its own goes to the other table, and what neither has a route to is dropped.

        The pods' own subnet ends at their gateway, which is in it.
        """
        yield VppRoute(EVERYTHING[family.version], self._pods, via_vrf=self._main)
        yield VppRoute(str(family.pod_subnet(own.id)), self._main, via_vrf=self._pods)
        if self._overlay:
            yield VppRoute(str(family.host_link_subnet(own.id)), self._main, via_vrf=self._pods)
            for everybody in (family.pod_subnet_all, family.host_link_subnet_all):
                yield VppRoute(str(everybody), self._main, interface=PIPE_MAIN)
                yield VppRoute(str(everybody), self._pods, kind="drop")
        else:
            for everybody in (family.pod_subnet_all, family.host_link_subnet_all):
                yield VppRoute(str(everybody), self._main, kind="drop")

    def _in_main(self, interface: str, own: OwnNode, plan: AddressPlan) -> Iterator[InterfaceTable]:
        if self._main:
            for version in self._main_versions(own, plan):
                yield InterfaceTable(interface, self._main, version)

    @staticmethod
    def _main_versions(own: OwnNode, plan: AddressPlan) -> tuple[Literal[4, 6], ...]:
        found = {family.version for family in plan.families} | {version_of(address) for address in own.addresses}
        return tuple(version for version in (4, 6) if version in found)


def _routes(node: RemoteNode, family: AddressPlan, vrf: int, via: str, interface: str = "") -> Iterator[VppRoute]:
    for subnet in (family.pod_subnet(node.id), family.host_link_subnet(node.id)):
        yield VppRoute(str(subnet), vrf, via, interface)
