"""Services on VPP: address translation by cnat, on every interface where packets come in and go out.

One port of a service at one address is one translation, with Maglev; node ports have one per address of every node,
for what is on its way through a tunnel is not translated. Where a frontend has no endpoints, its translation leads to a
port of this node's host that nobody listens on: the kernel refuses at once, and VPP brings the refusal back under the
frontend's address. What must get no answer is led to an address that VPP discards.

A translation is the same on all interfaces, so a frontend has one set of backends: with an external policy the node's
own as far as it has any (its own pods and host get no others then), else all, under the node's address.
Which sources change: a pod's that leaves the cluster, one of a client that would not get its replies otherwise, and one
that would come back to where it came from. What was found of all this: docs/vpp-services.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from contivpp.agent.connectivity.addresses import address_of, only, version_of
from contivpp.agent.connectivity.vpp import PIPE_MAIN, PIPE_PODS, POD_GATEWAY, VXLAN
from contivpp.agent.connectivity.vpp_attachment import HOST_END, Attachment, VethAttachment
from contivpp.agent.connectivity.vpp_nics import Nics
from contivpp.agent.services.model import Destination, Empty, Meaning
from contivpp.agent.services.model import Translation as Wanted
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.linux.health import HealthPort
from contivpp.dataplane.linux.values import Route
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.translation import Backend, Protocol, TranslatedInterface, Translation
from contivpp.model.addressplan import EVERYTHING, AddressPlan
from contivpp.scheduler.api import by_key

_INSIDE: Final[Mapping[int, Literal["inside4", "inside6"]]] = {4: "inside4", 6: "inside6"}
_NOBODY_LISTENS: Final = 1
_DISCARDED: Final = {4: "240.0.0.1", 6: "100::1"}
_DISCARD: Final = {4: "240.0.0.1/32", 6: "100::/64"}
_PROTOCOLS: Final[Mapping[str, Protocol]] = {"tcp": "tcp", "udp": "udp", "sctp": "sctp"}


class VppServices:
    """Renders services for VPP."""

    everywhere: ClassVar = True

    def __init__(
        self, *, main: int = 0, pods: int = 1, overlay: bool = True, attachment: Attachment | None = None
    ) -> None:
        """Takes what connectivity was told as well.

        Args:
            main: the number of the node's table.
            pods: that of the pods' table.
            overlay: whether tunnels join the nodes.
            attachment: how pods and the host are attached; by veth pairs when it is not said.
        """
        self._tables = (main, pods)
        self._overlay = overlay
        self._attachment = attachment or VethAttachment()

    def node(self, own: OwnNode, plan: AddressPlan, *, hide_pods: bool) -> Mapping[str, Any]:
        """The interfaces that translate, the node's address for other sources, and what ends where nothing is."""
        host = self._attachment.host(own, plan, mtu=0).interface
        values: list[Any] = [TranslatedInterface(name) for name in (*Nics.names(own), host)]
        if self._overlay:
            values += [
                TranslatedInterface(PIPE_MAIN),
                TranslatedInterface(PIPE_PODS, passing=True),
                TranslatedInterface(VXLAN, passing=True),
                SourceNatInterface(VXLAN, "pod"),
            ]
        else:  # hosts and pods of other nodes come and go by the NIC, and keep their sources
            values.append(SourceNatInterface(host, "pod"))
        if own.stolen is not None:  # what comes in for the host goes to it through VPP, and keeps its source
            values.append(SourceNatInterface(host, "host"))
        values.append(SourceNat(POD_GATEWAY, _source(own, plan, 4), _source(own, plan, 6)))
        spared = set(map(only, own.node_port_addresses))
        for family in plan.families:
            for subnet in (
                family.pod_subnet_all,
                family.host_link_subnet_all,
                family.vxlan_subnet,
                *((family.service_subnet,) if family.service_subnet is not None else ()),
                *(() if hide_pods else (EVERYTHING[family.version],)),
            ):
                spared.add(str(subnet))
            for vrf in self._tables:
                values.append(VppRoute(_DISCARD[family.version], vrf, kind="drop"))
                if family.service_subnet is not None:
                    values.append(VppRoute(str(family.service_subnet), vrf, kind="unreachable"))
        return by_key(*values, *map(SparedSubnet, sorted(spared)))

    def service(self, meaning: Meaning, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """One translation per address and port, of the IP versions that the cluster has; and its port for health."""
        health = meaning.health
        return by_key(
            *([HealthPort(health.service, health.port, health.local_backends)] if health is not None else ()),
            *(
                Translation(
                    protocol=_PROTOCOLS[one.frontend.protocol],
                    address=one.frontend.address,
                    port=one.frontend.port,
                    backends=self._backends(one, own, plan),
                    affinity=one.affinity > 0,
                )
                for one in meaning.translations
                if plan.of(version_of(one.frontend.address)) is not None and not _is_sctp_of_ipv6(one)
            ),
        )

    def limits(self, meaning: Meaning) -> Sequence[str]:
        """Timeouts of affinity, who may connect, and SCTP over IPv6."""
        found = []
        if sctp := sorted({one.frontend.address for one in meaning.translations if _is_sctp_of_ipv6(one)}):
            found.append(f"VPP does not translate SCTP over IPv6: nobody answers at {', '.join(sctp)}")
        if seconds := max((one.affinity for one in meaning.translations), default=0):
            found.append(
                f"sessionAffinityConfig: the timeout of {seconds} s is not heeded: on VPP a client keeps its endpoint "
                "for as long as the endpoints are the same"
            )
        guarded = sorted({one.frontend.address for one in meaning.translations if one.sources})
        if guarded:
            found.append(
                f"loadBalancerSourceRanges: VPP does not tell clients apart, so nobody may connect to "
                f"{', '.join(guarded)}: let the load balancer do that, and leave the option out"
            )
        return found

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Its interface translates, and it is a pod's."""
        interface = self._attachment.interface(pod.sandbox.container_id)
        return by_key(
            TranslatedInterface(interface),
            SourceNatInterface(interface, "pod"),
            *(SourceNatInterface(interface, _INSIDE[family.version]) for family in plan.families),
        )

    def service_address(self, address: str, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """The host's way to VPP, unless that is the way of all cluster IPs."""
        family = plan.of(version_of(address))
        if family is None or _is_in(address, family.service_subnet):
            return {}
        return by_key(Route(only(address), via=str(family.host_link_vpp(own.id)), link=HOST_END))

    def node_address(self, address: str, plan: AddressPlan) -> Mapping[str, Any]:
        """One address that pods reach as themselves."""
        return by_key(SparedSubnet(only(address)))

    @staticmethod
    def _backends(wanted: Wanted, own: OwnNode, plan: AddressPlan) -> tuple[Backend, ...]:
        version = version_of(wanted.frontend.address)
        found = _destination(wanted)
        if found.backends and not wanted.sources:
            return tuple(Backend(one.address, one.port) for one in found.backends)
        family = plan.of(version)
        if family is not None and found.empty is Empty.REJECT and not wanted.sources:
            return (Backend(str(family.host_link_linux(own.id)), _NOBODY_LISTENS),)
        return (Backend(_DISCARDED[version], _NOBODY_LISTENS),)


def _destination(wanted: Wanted) -> Destination:
    """Where a frontend leads, as it can be one place only."""
    outside = wanted.outside
    if outside is None or (wanted.inside.backends and not outside.backends):
        return wanted.inside
    return outside


def _is_sctp_of_ipv6(wanted: Wanted) -> bool:
    return wanted.frontend.protocol == "sctp" and version_of(wanted.frontend.address) == 6


def _is_in(address: str, subnet: Any) -> bool:
    return subnet is not None and ipaddress.ip_address(address) in subnet


def _source(own: OwnNode, plan: AddressPlan, version: Literal[4, 6]) -> str:
    """The node's address in an IP version; where it has none, VPP's on the link to the host: the cluster knows it."""
    family = plan.of(version)
    return address_of(own, version) or ("" if family is None else str(family.host_link_vpp(own.id)))
