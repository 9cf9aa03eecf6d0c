"""Services on the Linux data plane: address translation by nftables, at constant cost per packet.

One lookup of destination address, protocol and port finds the chain that chooses among as many backends as there
are, and a second one, with a random number, the backend. Only the first packet of a connection is looked up: the
kernel remembers the rest, so connections outlive changes of other endpoints. A frontend without endpoints is refused
in the same place, before anything is forwarded.

The source address stays what it is but for three kinds of connection, in all of which replies would not come back
otherwise: a pod that reaches itself through a service; one from elsewhere that was translated to another node; and a
pod's to something outside of the cluster. Node ports are at the node's addresses as other nodes and Kubernetes know
them, not on the loopback, as with kube-proxy's nftables mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from contivpp.agent.connectivity.addresses import address_of, version_of
from contivpp.agent.connectivity.linux import VXLAN
from contivpp.agent.services.model import Backend, Destination, Frontend, Meaning, Translation
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.linux.health import HealthPort
from contivpp.dataplane.linux.nft.service_values import (
    ADDRESS_TYPE,
    INSIDE,
    IP,
    OUTSIDE,
    REFUSE,
    ServiceFrontend,
    allowed,
    guarded,
    shared_chains,
    shared_sets,
)
from contivpp.dataplane.linux.nft.service_values import Destination as LinuxDestination
from contivpp.dataplane.linux.nft.values import NftChain, NftElement, NftSet
from contivpp.dataplane.linux.values import Route
from contivpp.model.addressplan import AddressPlan
from contivpp.scheduler.api import by_key

_TRANSLATE_BEFORE: Final = "type nat hook {hook} priority -100; policy accept"
_TRANSLATE_AFTER: Final = "type nat hook postrouting priority 100; policy accept"
_HIDE: Final = "masquerade fully-random"


class LinuxServices:
    """Renders services for the Linux kernel."""

    everywhere: ClassVar = False

    def __init__(self, *, overlay: bool = True) -> None:
        """Takes whether tunnels join the nodes."""
        self._overlay = overlay

    def node(self, own: OwnNode, plan: AddressPlan, *, hide_pods: bool) -> Mapping[str, Any]:
        """The shared maps, the chains that packets enter by, and a way to cluster IPs for the node's own packets."""
        values: list[Any] = [
            NftChain(REFUSE, rules=("meta l4proto 6 reject with tcp reset", "reject")),
            NftChain(
                "service/prerouting",
                rules=tuple(rule for family in plan.families for rule in _arriving(family, own)),
                base=_TRANSLATE_BEFORE.format(hook="prerouting"),
            ),
            NftChain(
                "service/output",
                rules=tuple(rule for family in plan.families for rule in _translating(family)),
                base=_TRANSLATE_BEFORE.format(hook="output"),
            ),
            NftChain(
                "service/postrouting",
                rules=tuple(rule for family in plan.families for rule in _leaving(family, own, hide_pods=hide_pods)),
                base=_TRANSLATE_AFTER,
            ),
        ]
        for family in plan.families:
            kind = ADDRESS_TYPE[family.version]
            values += shared_sets(family.version)
            values += shared_chains(family.version)
            values += [
                NftChain(_guard(family.version), rules=_guarding(family.version)),
                NftSet(_selves(family.version), f"type {kind} . {kind}", holds="elements"),
                NftSet(_nodes(family.version), f"type {kind}", holds="elements"),
            ]
            source = address_of(own, family.version)
            if self._overlay and family.service_subnet is not None and source:
                values.append(Route(to=str(family.service_subnet), link=VXLAN, scope="link", source=source))
        return by_key(*values)

    def service(self, meaning: Meaning, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """One frontend per address and port, of the IP versions that the cluster has; and the port for its health."""
        health = meaning.health
        groups: dict[tuple[str, str, int], str] = {}  # the cluster IP comes first, and no other service has it
        for one in meaning.translations:
            groups.setdefault(_place(one), _group(one.frontend))
        return by_key(
            *([HealthPort(health.service, health.port, health.local_backends)] if health is not None else ()),
            *(
                ServiceFrontend(
                    address=one.frontend.address,
                    protocol=one.frontend.protocol,
                    port=one.frontend.port,
                    inside=_destination(one.inside),
                    outside=None if one.outside is None else _destination(one.outside),
                    sources=one.sources,
                    **_affinity(one, groups[_place(one)]),
                )
                for one in meaning.translations
                if plan.of(version_of(one.frontend.address)) is not None
            ),
        )

    def limits(self, meaning: Meaning) -> Sequence[str]:
        """Nothing."""
        return ()

    def local_pod(self, pod: LocalPod, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Its addresses, each as source and destination of the same packet."""
        return by_key(
            *(
                NftElement(_selves(version_of(address)), f"{address} . {address}")
                for address in pod.addresses
                if plan.of(version_of(address)) is not None
            )
        )

    def service_address(self, address: str, own: OwnNode, plan: AddressPlan) -> Mapping[str, Any]:
        """Nothing: translation comes before routing."""
        return {}

    def node_address(self, address: str, plan: AddressPlan) -> Mapping[str, Any]:
        """One address that pods reach as themselves."""
        if plan.of(version_of(address)) is None:
            return {}
        return by_key(NftElement(_nodes(version_of(address)), address))


def _place(translation: Translation) -> tuple[str, str, int]:
    """What frontends have in common that remember their clients together: the service's port, and the IP version."""
    frontend = translation.frontend
    return translation.port_name, frontend.protocol, version_of(frontend.address)


def _affinity(translation: Translation, group: str) -> dict[str, Any]:
    if not translation.affinity or not _has_backends(translation):
        return {}
    return {"affinity": translation.affinity, "group": group}


def _group(frontend: Frontend) -> str:
    return hashlib.sha256(f"{frontend.address} {frontend.protocol} {frontend.port}".encode()).hexdigest()[:12]


def _selves(version: int) -> str:
    """The set of local pods' addresses, twice each."""
    return f"service/selves{version}"


def _nodes(version: int) -> str:
    """The set of other nodes' addresses."""
    return f"service/nodes{version}"


def _guard(version: int) -> str:
    """The chain that drops who may not connect."""
    return f"service/guard{version}"


def _triple(version: int) -> str:
    return f"{IP[version]} daddr . meta l4proto . th dport"


def _guarding(version: int) -> tuple[str, ...]:
    return (f"{_triple(version)} . {IP[version]} saddr @{allowed(version)} return", "drop")


def _translating(family: AddressPlan, *first: str) -> Iterator[str]:
    """What a connection of this node meets: who may, where to; and a cluster IP that is nobody's is refused."""
    version = family.version
    yield f"{_triple(version)} @{guarded(version)} jump {_guard(version)}"
    yield from first
    yield f"{_triple(version)} vmap @{INSIDE[version].frontends}"
    if family.service_subnet is not None:
        yield f"{IP[version]} daddr {family.service_subnet} goto {REFUSE}"


def _arriving(family: AddressPlan, own: OwnNode) -> Iterator[str]:
    """The same for connections that arrive; not from pods of this node means from elsewhere."""
    version = family.version
    elsewhere = f"{IP[version]} saddr != {family.pod_subnet(own.id)}"
    yield from _translating(family, f"{elsewhere} {_triple(version)} vmap @{OUTSIDE[version].frontends}")


def _leaving(family: AddressPlan, own: OwnNode, *, hide_pods: bool) -> Iterator[str]:
    """Whose source address gives way to one of this node's."""
    ip, pods = IP[family.version], family.pod_subnet(own.id)
    yield f"ct status dnat {ip} saddr . {ip} daddr @{_selves(family.version)} {_HIDE}"
    yield f"ct status dnat {ip} saddr != {pods} {ip} daddr != {pods} fib saddr type != local {_HIDE}"
    if hide_pods:
        cluster = [family.pod_subnet_all, family.host_link_subnet_all, family.vxlan_subnet]
        inside = ", ".join(sorted(map(str, cluster)))
        nodes = _nodes(family.version)
        yield f"{ip} saddr {pods} {ip} daddr != {{ {inside} }} {ip} daddr != @{nodes} fib daddr type unicast {_HIDE}"


def _destination(found: Destination) -> LinuxDestination:
    return LinuxDestination(tuple(map(_pair, found.backends)), found.empty.value)


def _pair(backend: Backend) -> tuple[str, int]:
    return backend.address, backend.port


def _has_backends(translation: Translation) -> bool:
    outside = translation.outside.backends if translation.outside is not None else ()
    return bool(translation.inside.backends or outside)
