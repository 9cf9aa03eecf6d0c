"""How features are expressed on the data plane that is configured."""

from __future__ import annotations

from typing import Protocol

from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.connectivity.vpp_attachment import VethAttachment
from contivpp.agent.connectivity.vpp_nics import NicTuning
from contivpp.agent.connectivity.vpp_taps import taps_of
from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.policies.renderer import PolicyRenderer
from contivpp.agent.policies.vpp import VppPolicies
from contivpp.agent.services.linux import LinuxServices
from contivpp.agent.services.renderer import ServicesRenderer
from contivpp.agent.services.vpp import VppServices
from contivpp.agent.view import OwnNode
from contivpp.dataplane.vpp.values.acl import acl_list_key
from contivpp.dataplane.vpp.values.arp import NeighbourLimits
from contivpp.dataplane.vpp.values.nic import DEFAULT_VMXNET3_RING
from contivpp.model.config import ContivConfig


class Renderer(ConnectivityRenderer, Protocol):
    """Connectivity on one data plane, and what the kubelet is told of a pod's link."""

    def mtu(self, own: OwnNode) -> int:
        """The MTU of the link to a pod in bytes; 0 unknown."""
        ...

    def host_interface(self, container_id: str) -> str:
        """The kernel's name of the node's end of the link to a pod; "" when there is none."""
        ...


def renderer_of(config: ContivConfig) -> Renderer:
    """How connectivity is expressed on the data plane that is configured."""
    if config.dataplane == "vpp":
        taps = taps_of(config)
        return VppConnectivity(
            main=config.main_vrf_id,
            pods=config.pod_vrf_id,
            overlay=config.has_overlay,
            mtu=config.mtu_size,
            attachment=taps,
            nics=NicTuning(
                rx_mode="" if config.interface_rx_mode == "default" else config.interface_rx_mode,
                vmxnet3_rx_ring=config.vmxnet3_rx_ring_size or DEFAULT_VMXNET3_RING,
                vmxnet3_tx_ring=config.vmxnet3_tx_ring_size or DEFAULT_VMXNET3_RING,
            ),
            neighbours=_neighbours(config),
            guard_of=acl_list_key,
        )
    return LinuxConnectivity(overlay=config.has_overlay, mtu=config.mtu_size)


def services_of(config: ContivConfig) -> ServicesRenderer:
    """How services are expressed on the data plane that is configured."""
    if config.dataplane == "vpp":
        return VppServices(
            main=config.main_vrf_id,
            pods=config.pod_vrf_id,
            overlay=config.has_overlay,
            attachment=taps_of(config),
        )
    return LinuxServices(overlay=config.has_overlay)


def policies_of(config: ContivConfig) -> PolicyRenderer:
    """How policies are enforced on the data plane that is configured."""
    if config.dataplane == "vpp":
        return VppPolicies((taps_of(config) or VethAttachment()).interface)
    return LinuxPolicies()


def _neighbours(config: ContivConfig) -> list[NeighbourLimits]:
    """How long VPP remembers the neighbours that it learned; those of pods and tunnels are static.

    Neighbours of IPv6 are not asked whether they are there still: cnat drops many of these questions, and a neighbour
    that is forgotten is lost to the first packets of all connections (docs/vpp-services.md).
    """
    if not config.scan_ip_neighbors:
        return []
    age = 60 * config.ip_neighbor_stale_threshold
    ages = {4: age, 6: 0}
    return [NeighbourLimits(one.version, age=ages[one.version], recycle=True) for one in config.plan.families]
