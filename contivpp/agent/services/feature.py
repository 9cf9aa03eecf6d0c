"""Services on this node: one service is one unit, and what all of them share is another.

A service that changes renders itself; others only when it takes a frontend from them or leaves them one: of several
that claim the same address and port, the one whose cluster IP it is has it, then the first by "namespace/name", and an
address before a node port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from contivpp.agent.changes import (
    Change,
    FrontendsChange,
    LocalPodChange,
    NodeChange,
    OwnNodeChange,
    OwnZoneChange,
    RecordChange,
    WorldChange,
)
from contivpp.agent.refusals import Refusals
from contivpp.agent.services.frontends import has_node_ports
from contivpp.agent.services.model import Frontend, Kind, Meaning, Place, Translation
from contivpp.agent.services.processor import is_bound_to_nodes, meaning
from contivpp.agent.services.renderer import ServicesRenderer
from contivpp.agent.view import View
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID


@dataclass(frozen=True, slots=True)
class SharedUnit:
    """What services need whichever there are."""


@dataclass(frozen=True, slots=True)
class ServiceUnit:
    """One service, by "namespace/name"."""

    service: str


@dataclass(frozen=True, slots=True)
class LocalPodUnit:
    """One pod of this node."""

    pod: PodID


@dataclass(frozen=True, slots=True)
class NodeAddressUnit:
    """One address that Kubernetes knows another node by."""

    address: str


@dataclass(frozen=True, slots=True)
class ServiceAddressUnit:
    """One address that services answer at; several may have ports there."""

    address: str


ServicesUnit = SharedUnit | ServiceUnit | LocalPodUnit | NodeAddressUnit | ServiceAddressUnit


class ServicesFeature:
    """Every service of the cluster, as this node has to translate it."""

    name = "services"

    def __init__(self, renderer: ServicesRenderer, refusals: Refusals | None = None) -> None:
        """Takes the data plane's way to express it, and whom to tell about services that are wrong."""
        self._renderer = renderer
        self._refusals = refusals or Refusals()

    def units(self, view: View) -> Iterable[ServicesUnit]:
        """The shared one, and one per service, local pod, address of another node and address of services."""
        yield SharedUnit()
        yield from self._services(view)
        yield from map(LocalPodUnit, view.pods)
        addresses = {address for node in view.remote_nodes() for address in node.management}
        yield from map(NodeAddressUnit, sorted(addresses))
        yield from map(ServiceAddressUnit, sorted(view.claims.addresses()))

    def affected(self, change: Change, view: View) -> Iterable[ServicesUnit]:
        """What changed; all services when this node has other addresses or is in another zone."""
        match change:
            case RecordChange(kind="service" | "endpoints", id=service):
                yield ServiceUnit(service)
            case FrontendsChange(services=services, addresses=addresses):
                yield from map(ServiceUnit, services)
                yield from map(ServiceAddressUnit, addresses)
            case LocalPodChange(pod=pod):
                yield LocalPodUnit(pod)
            case NodeChange(addresses=addresses):
                yield from map(NodeAddressUnit, addresses)
                yield from map(ServiceAddressUnit, (one for one in addresses if one in view.claims))
                if self._renderer.everywhere:
                    yield from self._services(view, node_ports=True)
            case OwnZoneChange():
                yield from self._services(view)
            case OwnNodeChange() | WorldChange():
                yield from self.units(view)

    def render(self, unit: ServicesUnit, view: View) -> Mapping[str, Any]:
        """Nothing until this node has an ID and an address."""
        if not view.own.id or not view.own.addresses:
            return {}
        match unit:
            case SharedUnit():
                return self._renderer.node(view.own, view.plan, hide_pods=hides_pods(view.config))
            case ServiceUnit(service=service):
                found = meaning_of(service, view)
                self._refusals.note("service", service, (*found.problems, *self._renderer.limits(found)))
                if self._renderer.everywhere:
                    found = replace(found, translations=(*found.translations, *node_ports_elsewhere(service, view)))
                return self._renderer.service(found, view.own, view.plan)
            case LocalPodUnit(pod=pod):
                local = view.pods.get(pod)
                return {} if local is None else self._renderer.local_pod(local, view.own, view.plan)
            case NodeAddressUnit(address=address):
                owner = view.node_at(address)
                if owner is None or address in view.own.node_port_addresses:
                    return {}
                return self._renderer.node_address(address, view.plan)
            case ServiceAddressUnit(address=address):
                if address not in view.claims or is_of_a_node(address, view):
                    return {}
                return self._renderer.service_address(address, view.own, view.plan)

    @staticmethod
    def _services(view: View, *, node_ports: bool = False) -> Iterable[ServiceUnit]:
        for one in view.records("service"):
            if not node_ports or has_node_ports(one):
                yield ServiceUnit(f"{one.namespace}/{one.name}")


def is_of_a_node(address: str, view: View) -> bool:
    """Whether a node has an address, this one or another."""
    nodes = (view.node_at(address), view.node_publishing(address))
    return address in view.own.node_port_addresses or any(node is not None for node in nodes)


def meaning_of(service: str, view: View) -> Meaning:
    """What a service means on this node; nothing when there is none."""
    place = Place(view.own.name, view.own_zone(), view.own.node_port_addresses)
    return _meaning_at(place, service, view)


def node_ports_elsewhere(service: str, view: View) -> tuple[Translation, ...]:
    """What the node ports of a service mean at the other nodes, to connections of this one.

    There they are from elsewhere: an external policy binds them.
    """
    record = view.record("service", service)
    if record is None or not has_node_ports(record):
        return ()
    known = set(view.own.node_port_addresses)
    places: list[Place] = []
    for node in sorted(view.remote_nodes(), key=lambda one: one.id):
        addresses = tuple(address for address in node.all_addresses if address not in known)
        known.update(addresses)
        places.append(Place(node.name, view.own_zone(), addresses))
    if places and not is_bound_to_nodes(record):  # all nodes do the same
        every = tuple(address for place in places for address in place.addresses)
        places = [Place(view.own.name, view.own_zone(), every)]
    return tuple(
        replace(one, inside=one.outside or one.inside, outside=None)
        for place in places
        for one in _meaning_at(place, service, view).translations
        if one.frontend.kind is Kind.NODE_PORT
    )


def _meaning_at(place: Place, service: str, view: View) -> Meaning:
    record = view.record("service", service)
    if record is None:
        return Meaning()

    def taken(frontend: Frontend) -> str:
        owner = view.claims.owner_of(frontend.claim, is_node_port=frontend.kind is Kind.NODE_PORT)
        return "" if owner == service else owner

    return meaning(record, view.record("endpoints", service), place, taken=taken)


def hides_pods(config: ContivConfig) -> bool:
    """Whether pods that leave the cluster get an address of this node."""
    return config.nat_external_traffic or (config.own_node is not None and config.own_node.nat_external_traffic)
