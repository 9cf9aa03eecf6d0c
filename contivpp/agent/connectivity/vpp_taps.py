"""How pods and the host are attached to VPP where the kernel has vhost-net: by a TAP, whose other end VPP puts there.

VPP makes the kernel's end in the pod's namespace, with its name, MAC and MTU; the agent takes it over and puts the
addresses and routes on it. Nothing of the link is on the node. Names and MACs: spec/agent.md 8.1, 8.3, 8.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contivpp.agent.connectivity.names import tap_names
from contivpp.agent.connectivity.vpp_attachment import HOST_END, Link, host_mac, link_mtu, on_host, on_pod
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.linux.values import TapEnd
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.dataplane.vpp.values.tap import DEFAULT_RING, Tap
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig

HOST_LINK: Final = "tap-vpp2"
VHOST_NET: Final = Path("/dev/vhost-net")


@dataclass(frozen=True, slots=True)
class TapAttachment:
    """TAPs, all alike.

    Attributes:
        rx_ring: entries of the ring that VPP reads, `tx_ring` of the one that it writes.
        gso: whether segments larger than the MTU pass.
        checksum_offload: whether checksums may be left out without that.
    """

    rx_ring: int = DEFAULT_RING
    tx_ring: int = DEFAULT_RING
    gso: bool = False
    checksum_offload: bool = False

    def pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """See `Attachment.pod`."""
        names = tap_names(pod.sandbox.container_id)
        pod_mac, vpp_mac = plan.pod_macs(pod.sandbox.container_id)
        values: list[Any] = [
            self._tap(names.interface, pod.sandbox.interface, vpp_mac, pod_mac, pod.sandbox.netns, link_mtu(own, mtu)),
            TapEnd(
                names.link,
                pod.sandbox.interface,
                pod.sandbox.netns,
                interface_key(names.interface),
                ipv6=plan.of(6) is not None,
            ),
        ]
        values += on_pod(names.link, pod, own, plan, vpp_mac, mtu=mtu)
        return Link(names.interface, pod_mac, values)

    def host(self, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """See `Attachment.host`."""
        vpp_mac = plan.host_link_mac(own.id)
        mac = host_mac(vpp_mac)
        values = [
            self._tap(HOST_LINK, HOST_END, vpp_mac, mac, "", mtu),
            TapEnd(HOST_END, HOST_END, "", interface_key(HOST_LINK)),
            *on_host(HOST_END, own, plan, vpp_mac),
        ]
        return Link(HOST_LINK, mac, values)

    def host_interface(self, container_id: str) -> str:
        """See `Attachment.host_interface`: there is none."""
        return ""

    def interface(self, container_id: str) -> str:
        """See `Attachment.interface`."""
        return tap_names(container_id).interface

    def _tap(self, name: str, host_name: str, mac: str, host_mac: str, netns: str, mtu: int) -> Tap:
        return Tap(
            name,
            host_name,
            mac,
            host_mac,
            netns,
            mtu=mtu,
            host_mtu=mtu,
            rx_ring=self.rx_ring,
            tx_ring=self.tx_ring,
            gso=self.gso,
            checksum_offload=self.checksum_offload,
        )


def taps_of(config: ContivConfig, *, vhost_net: Path = VHOST_NET) -> TapAttachment | None:
    """How TAPs are to be; None where the configuration or the kernel has none."""
    if not config.use_tap_interfaces or not vhost_net.exists():
        return None
    return TapAttachment(
        rx_ring=config.tapv2_rx_ring_size or DEFAULT_RING,
        tx_ring=config.tapv2_tx_ring_size or DEFAULT_RING,
        gso=config.enable_gso,
        checksum_offload=not config.tcp_checksum_offload_disabled,
    )
