"""From the records of a service and its endpoints to what they mean on one node: pure functions.

Which endpoints count is kube-proxy's: ready ones; of these, when every one has a hint and one of the hints names this
node (or its zone), only those with such a hint; and when none is ready, those that end and still serve. A local
traffic policy leaves those of this node. No endpoint anywhere is a rejection, none where the policy demands one
a drop. An external policy binds connections from elsewhere only: what comes from this node and its pods goes to
all endpoints, as if a load balancer were in between.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contivpp.agent.services.frontends import ANYWHERE, answering, is_translated, protocol_of, usable_address
from contivpp.agent.services.model import (
    Backend,
    Claim,
    Destination,
    Empty,
    Frontend,
    HealthCheck,
    Kind,
    Meaning,
    Place,
    Translation,
)
from contivpp.model.endpoints import EndpointAddress, Endpoints
from contivpp.model.service import Service, ServicePort

_LAST_PORT: Final = 65535
_LOCAL: Final = "Local"
_MOST_SECONDS: Final = 86400

Taken = Callable[[Frontend], str]
"""Which other service has a frontend; "" for none."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An address that serves a port of a service."""

    backend: Backend
    ready: bool
    ending: bool
    zones: tuple[str, ...]
    nodes: tuple[str, ...]


def meaning(service: Service, endpoints: Endpoints | None, place: Place, *, taken: Taken = lambda _: "") -> Meaning:
    """What a service means on a node.

    Args:
        service: its record.
        endpoints: the record of its endpoints; None while there is none.
        place: the node.
        taken: says which frontends belong to other services; they are left out.
    """
    found = answering(service)
    problems = list(found.problems)
    sources = _Sources(service.loadbalancer_source_ranges, problems)
    translations: list[Translation] = []
    local: set[str] = set()
    seen: set[Claim] = set()
    for port, bare in found.ports:
        serving = _serving(port, endpoints, place, problems)
        frontends = [frontend for one in bare for frontend in _placed(one, place)]
        for version in found.versions:
            reach = _Reach(service, [one for one in serving if _version(one.backend.address) == version], place)
            local |= reach.healthy
            for frontend in frontends:
                if _version(frontend.address) != version:
                    continue
                other = "another port of it" if frontend.claim in seen else taken(frontend)
                if other:
                    problems.append(f"{frontend.address} {frontend.protocol}/{frontend.port} is taken by {other}")
                    continue
                seen.add(frontend.claim)
                guarded = frontend.kind is Kind.LOAD_BALANCER
                if guarded and not sources.are_known(version):
                    continue
                translations.append(
                    Translation(
                        frontend=frontend,
                        port_name=port.name,
                        inside=reach.inside(frontend.kind),
                        outside=reach.outside(frontend.kind),
                        local=reach.is_local(frontend.kind),
                        sources=sources.of(version) if guarded else (),
                        affinity=_affinity(service),
                    )
                )
    return Meaning(tuple(translations), _health(service, local), tuple(dict.fromkeys(problems)))


def is_bound_to_nodes(service: Service) -> bool:
    """Whether connections from elsewhere go to endpoints of the node that they come to, and to no others."""
    return service.external_traffic_policy == _LOCAL


class _Reach:
    """Which endpoints of one port and IP version connections may reach."""

    def __init__(self, service: Service, endpoints: Sequence[_Endpoint], place: Place) -> None:
        self._external_local = is_bound_to_nodes(service)
        self._internal_local = service.internal_traffic_policy == _LOCAL
        ready = [one for one in endpoints if one.ready]
        near = [one for one in ready if one.backend.local]
        self._cluster = _backends(_hinted(ready, place) or _ending(endpoints))
        self.healthy = {one.backend.address for one in near}
        self._local = _backends(near or _ending(one for one in endpoints if one.backend.local))
        self._empty = Empty.DROP if self._cluster else Empty.REJECT

    def is_local(self, kind: Kind) -> bool:
        """Whether a policy keeps connections to the node: all of a cluster IP, those from elsewhere of other kinds."""
        return self._external_local if kind.is_external else self._internal_local

    def inside(self, kind: Kind) -> Destination:
        """For connections from this node."""
        return self._destination(local=self._internal_local and not kind.is_external)

    def outside(self, kind: Kind) -> Destination | None:
        """For connections from elsewhere, when they go elsewhere."""
        there = self._destination(local=self.is_local(kind))
        return None if there == self.inside(kind) else there

    def _destination(self, *, local: bool) -> Destination:
        backends = self._local if local else self._cluster
        return Destination(backends, Empty.REJECT if backends else self._empty)


class _Sources:
    """Who may connect to the load balancer's addresses."""

    def __init__(self, ranges: Sequence[str], problems: list[str]) -> None:
        found: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._some_unknown = False
        for text in ranges:
            try:
                found.append(ipaddress.ip_network(text.strip(), strict=False))
            except ValueError:
                self._some_unknown = True
                problems.append(f"loadBalancerSourceRanges: {text!r} is not a subnet")
        self._subnets: dict[int, list[ipaddress.IPv4Network] | list[ipaddress.IPv6Network]] = {
            4: list(ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))),
            6: list(ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))),
        }

    def are_known(self, version: int) -> bool:
        """Whether it can be said; if not, nobody may: a mistake must not open what was to be closed."""
        return bool(self._subnets[version]) or not self._some_unknown

    def of(self, version: int) -> tuple[str, ...]:
        """Subnets that do not overlap, sorted, an address without prefix length; empty for everybody."""
        subnets = self._subnets[version]
        if any(one.prefixlen == 0 for one in subnets):
            return ()
        return tuple(sorted(str(one.network_address if one.prefixlen == one.max_prefixlen else one) for one in subnets))


def _serving(port: ServicePort, endpoints: Endpoints | None, place: Place, problems: list[str]) -> list[_Endpoint]:
    """The endpoints that serve a port: those with a port of its name and protocol, whatever its number; each once."""
    found: dict[tuple[str, int], _Endpoint] = {}
    for subset in endpoints.endpoint_subsets if endpoints is not None else ():
        for served in subset.ports:
            if served.name != port.name or protocol_of(served.protocol) != protocol_of(port.protocol):
                continue
            if not 1 <= served.port <= _LAST_PORT:
                problems.append(f"an endpoint has the port {served.port}, which is not between 1 and {_LAST_PORT}")
                continue
            for address, ready in (
                *((one, True) for one in subset.addresses),
                *((one, False) for one in subset.not_ready_addresses),
            ):
                endpoint = _endpoint(address, served.port, ready=ready, place=place)
                if endpoint is None:
                    problems.append(f"{address.ip!r} cannot be the address of an endpoint")
                else:
                    place_of = (endpoint.backend.address, endpoint.backend.port)
                    found[place_of] = max(found.get(place_of, endpoint), endpoint, key=_counts)
    return [found[place_of] for place_of in sorted(found)]


def _counts(endpoint: _Endpoint) -> tuple[bool, bool, bool]:
    """What one says that counts before others with its address and port: it is ready, it still serves, it is here."""
    return endpoint.ready, endpoint.ending, endpoint.backend.local


def _endpoint(address: EndpointAddress, port: int, *, ready: bool, place: Place) -> _Endpoint | None:
    if not (ip := usable_address(address.ip)):
        return None
    return _Endpoint(
        backend=Backend(ip, port, local=bool(address.node_name) and address.node_name == place.node),
        ready=ready,
        ending=not ready and address.serving and address.terminating,
        zones=address.hint_zones,
        nodes=address.hint_nodes,
    )


def _hinted(ready: Sequence[_Endpoint], place: Place) -> Sequence[_Endpoint]:
    """Of ready endpoints those that are meant for this node; all of them while the hints do not cover it."""
    if all(one.nodes for one in ready) and (near := [one for one in ready if place.node in one.nodes]):
        return near
    if place.zone and all(one.zones for one in ready):
        return [one for one in ready if place.zone in one.zones] or ready
    return ready


def _ending(endpoints: Iterable[_Endpoint]) -> list[_Endpoint]:
    return [one for one in endpoints if one.ending]


def _backends(endpoints: Iterable[_Endpoint]) -> tuple[Backend, ...]:
    return tuple(sorted({one.backend for one in endpoints}))


def _placed(frontend: Frontend, place: Place) -> list[Frontend]:
    """A frontend at its address; a node port is at every address of the node."""
    if frontend.address != ANYWHERE:
        return [frontend]
    return [replace(frontend, address=address) for address in place.addresses]


def _affinity(service: Service) -> int:
    if service.session_affinity != "ClientIP":
        return 0
    return min(max(service.session_affinity_timeout, 1), _MOST_SECONDS)


def _health(service: Service, local: set[str]) -> HealthCheck | None:
    wanted = service.service_type == "LoadBalancer" and service.external_traffic_policy == _LOCAL
    if wanted and is_translated(service) and 1 <= service.health_check_node_port <= _LAST_PORT:
        name = f"{service.namespace}/{service.name}"
        return HealthCheck(name, service.health_check_node_port, len(local))
    return None


def _version(address: str) -> int:
    return 6 if ":" in address else 4
