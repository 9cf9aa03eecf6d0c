"""How pods and the host are attached to VPP, and the way that every kernel has: a veth pair with AF_PACKET.

The pair's end on the node has a MAC of its own, or the kernel would take the frames for itself, and the pair leaves no
checksum to anybody, for AF_PACKET would hand frames to VPP without. On the links nobody has to ask for a MAC.
Names and MACs: spec/agent.md 8.1, 8.3, 8.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from contivpp.agent.connectivity.addresses import ip_of, only, version_of
from contivpp.agent.connectivity.linux import ETHERNET_MTU, in_pod, of_pair
from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.stolen import Stolen
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.linux.values import Address, Neighbour, Route, Veth
from contivpp.dataplane.vpp.values.interfaces import HostInterface
from contivpp.model.addressplan import EVERYTHING, AddressPlan

HOST_END: Final = "vpp1"
HOST_LINK_END: Final = "vpp2"
HOST_LINK: Final = "afpacket-vpp2"


@dataclass(frozen=True, slots=True)
class Link:
    """A link that joins VPP to somebody.

    Attributes:
        interface: the logical name of VPP's end.
        mac: of the other end.
        values: the link itself, and what is on its other end.
    """

    interface: str
    mac: str
    values: Sequence[Any]


class Attachment(Protocol):
    """A way to attach pods and the host; all methods are pure functions."""

    def pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """The link to a pod, with the pod's addresses and routes; `mtu`, in bytes, is what the pod may send."""
        ...

    def host(self, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """The link to the host, with the host's address and its routes to everything that is behind VPP."""
        ...

    def host_interface(self, container_id: str) -> str:
        """The kernel's name of the node's end of the link to a pod; "" when there is none."""
        ...

    def interface(self, container_id: str) -> str:
        """The logical name of VPP's end of the link to a pod."""
        ...


class VethAttachment:
    """Pairs of links of the kernel, one end of which VPP reads and writes with AF_PACKET."""

    def pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """See `Attachment.pod`."""
        names = pod_names(pod.sandbox.container_id)
        pod_mac, vpp_mac = plan.pod_macs(pod.sandbox.container_id)
        attached = self.interface(pod.sandbox.container_id)
        room = link_mtu(own, mtu)
        values: list[Any] = [
            Veth(
                name=names.link,
                host_name=names.host_interface,
                peer_name=pod.sandbox.interface,
                netns=pod.sandbox.netns,
                mac=kernel_mac(vpp_mac),
                peer_mac=pod_mac,
                mtu=of_pair(room),
                offload=False,
                ipv6=plan.of(6) is not None,
            ),
            HostInterface(attached, names.host_interface, vpp_mac, room),
        ]
        values += on_pod(Veth.peer_link(names.link), pod, own, plan, vpp_mac, mtu=mtu)
        return Link(attached, pod_mac, values)

    def host(self, own: OwnNode, plan: AddressPlan, *, mtu: int) -> Link:
        """See `Attachment.host`."""
        vpp_mac = plan.host_link_mac(own.id)
        mac = host_mac(vpp_mac)
        values: list[Any] = [
            Veth(
                name=HOST_END,
                host_name=HOST_END,
                peer_name=HOST_LINK_END,
                netns="",
                mac=mac,
                peer_mac=kernel_mac(vpp_mac),
                mtu=of_pair(mtu),
                offload=False,
            ),
            HostInterface(HOST_LINK, HOST_LINK_END, vpp_mac, mtu),
            *on_host(HOST_END, own, plan, vpp_mac),
        ]
        return Link(HOST_LINK, mac, values)

    def host_interface(self, container_id: str) -> str:
        """See `Attachment.host_interface`."""
        return pod_names(container_id).host_interface

    def interface(self, container_id: str) -> str:
        """See `Attachment.interface`."""
        return f"afpacket-{pod_names(container_id).host_interface}"


def link_mtu(own: OwnNode, mtu: int) -> int:
    """The MTU of a pod's link in bytes: what the NIC takes, although a pod sends no more than `mtu`.

    A whole packet from outside then reaches the pod. With a smaller link VPP would have to answer that it is too big,
    and cnat makes that answer worthless, and the connection with it (docs/vpp-services.md).
    """
    return max(mtu, own.mtu or ETHERNET_MTU)


def on_pod(link: str, pod: LocalPod, own: OwnNode, plan: AddressPlan, vpp_mac: str, *, mtu: int) -> Iterator[Any]:
    """What the pod has on its end, for each of its addresses; `mtu`, in bytes, is what it may send."""
    smaller = mtu if mtu < link_mtu(own, mtu) else 0
    for address in pod.addresses:
        if (family := plan.of(version_of(address))) is not None:
            yield from in_pod(link, address, str(family.pod_gateway(own.id)), vpp_mac, mtu=smaller)


def on_host(link: str, own: OwnNode, plan: AddressPlan, vpp_mac: str) -> Iterator[Any]:
    """What the host has on its end: an address, VPP's MAC, and what is behind VPP.

    That is pods, hosts, services, and VPP itself under the node's addresses, unless they are the host's own as well.
    """
    for family in plan.families:
        vpp = str(family.host_link_vpp(own.id))
        yield Address(link, f"{family.host_link_linux(own.id)}/{family.host_link_prefix}")
        yield Neighbour(link, vpp, vpp_mac)
        source = "" if own.stolen is not None else _known_as(own, family.version)
        yield Route(str(family.pod_subnet_all), via=vpp, link=link, source=source)
        yield Route(str(family.host_link_subnet_all), via=vpp, link=link)
        if family.service_subnet is not None:
            yield Route(str(family.service_subnet), via=vpp, link=link)
        if own.stolen is not None:
            yield from _as_before(link, own, own.stolen, family.version, vpp)
            continue
        for address in map(ip_of, own.addresses):
            if version_of(address) == family.version and address not in {*own.management, *own.host}:
                yield Route(only(address), via=vpp, link=link)


def _known_as(own: OwnNode, version: int) -> str:
    """The address that Kubernetes knows the host by, if the host really has it: so policies of pods elsewhere name it.

    Only pods answer to it by way of VPP: what goes to services may end at a host, which would answer by another link.
    """
    return next((one for one in own.management if one in own.host and version_of(one) == version), "")


def _as_before(link: str, own: OwnNode, stolen: Stolen, version: int, vpp: str) -> Iterator[Any]:
    """The addresses and routes that the host had on the NIC that was stolen: all by way of VPP.

    An address stands alone, and its subnet is behind VPP like everything else: nobody has to be asked for a MAC.
    """
    there = own.addresses if own.main_nic is None or own.main_nic.dhcp else own.main_nic.addresses
    addresses = [one for one in there if version_of(one) == version]
    if not addresses:
        return
    source = next((ip_of(one) for one in own.addresses if version_of(one) == version), ip_of(addresses[0]))
    behind: dict[str, str] = {}
    for address in addresses:
        yield Address(link, only(ip_of(address)))
        subnet = ipaddress.ip_interface(address).network
        if subnet.num_addresses > 1:
            behind.setdefault(str(subnet), ip_of(address))
    if any(version_of(gateway) == version for gateway in own.gateways):
        behind.setdefault(EVERYTHING[version], source)
    for hop in stolen.routes:
        if hop.to and version_of(hop.to) == version:
            behind.setdefault(hop.to, source)
    yield from (
        Route(subnet, via=vpp, link=link, source=source, after_source=True) for subnet, source in behind.items()
    )


def kernel_mac(mac: str) -> str:
    """Another MAC, for the kernel's end of a pair that has VPP with `mac` on it."""
    return f"{int(mac[:2], 16) ^ 0x08:02x}{mac[2:]}"


def host_mac(mac: str) -> str:
    """A third one, for the host's end of the link that joins it to VPP."""
    return f"{int(mac[:2], 16) ^ 0x40:02x}{mac[2:]}"
