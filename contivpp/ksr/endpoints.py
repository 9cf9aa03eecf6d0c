"""EndpointSlices of a service merged into its one record, and Endpoints where there are no slices.

A slice's ports are shared by its endpoints, so slices with the same ports become one subset. Slices overlap while
a controller moves endpoints between them: an address counts once, and as ready when any slice says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from contivpp.ksr import objects as k8s
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, ObjectReference

SERVICE_LABEL = "kubernetes.io/service-name"
_Ports = tuple[EndpointPort, ...]


def service_of(slice_metadata: k8s.Metadata) -> str:
    """The "namespace/name" of the service that a slice belongs to; "" for none."""
    name = (slice_metadata.labels or {}).get(SERVICE_LABEL, "")
    return f"{slice_metadata.namespace}/{name}" if name else ""


def from_slices(service: str, slices: Iterable[k8s.EndpointSlice]) -> Endpoints:
    """The record of a service; the order of the slices has no effect."""
    ready: dict[_Ports, dict[str, EndpointAddress]] = {}
    waiting: dict[_Ports, dict[str, EndpointAddress]] = {}
    for item in sorted(slices, key=lambda one: one.metadata.name):
        if item.address_type == "FQDN":
            continue
        ports = _ports(item.ports or ())
        for endpoint in item.endpoints or ():
            kept = ready if endpoint.conditions.ready is not False else waiting
            for ip in endpoint.addresses:
                kept.setdefault(ports, {}).setdefault(ip, _address(endpoint, ip))
    subsets = []
    for ports in sorted({*ready, *waiting}, key=repr):
        first = ready.get(ports, {})
        second = {ip: address for ip, address in waiting.get(ports, {}).items() if ip not in first}
        subsets.append(
            EndpointSubset(
                addresses=tuple(first[ip] for ip in sorted(first)),
                not_ready_addresses=tuple(second[ip] for ip in sorted(second)),
                ports=ports,
            )
        )
    namespace, _, name = service.partition("/")
    return Endpoints(name=name, namespace=namespace, endpoint_subsets=tuple(subsets))


def from_endpoints(item: k8s.Endpoints) -> Endpoints:
    """The record from an Endpoints object."""

    def addresses(found: tuple[k8s.EndpointAddress, ...] | None) -> tuple[EndpointAddress, ...]:
        return tuple(
            EndpointAddress(
                ip=one.ip, host_name=one.hostname, node_name=one.node_name, target_ref=_reference(one.target_ref)
            )
            for one in sorted(found or (), key=lambda one: one.ip)
        )

    return Endpoints(
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        endpoint_subsets=tuple(
            EndpointSubset(
                addresses=addresses(subset.addresses),
                not_ready_addresses=addresses(subset.not_ready_addresses),
                ports=_ports(subset.ports or ()),
            )
            for subset in item.subsets or ()
        ),
    )


def _ports(ports: Iterable[k8s.EndpointPort]) -> _Ports:
    found = (EndpointPort(name=one.name or "", port=one.port or 0, protocol=one.protocol) for one in ports)
    return tuple(sorted(found, key=lambda one: (one.name, one.port, one.protocol)))


def _address(endpoint: k8s.SliceEndpoint, ip: str) -> EndpointAddress:
    hints = endpoint.hints or k8s.Hints()
    terminating = bool(endpoint.conditions.terminating)
    return EndpointAddress(
        ip=ip,
        host_name=endpoint.hostname,
        node_name=endpoint.node_name,
        target_ref=_reference(endpoint.target_ref),
        serving=terminating and endpoint.conditions.serving is not False,
        terminating=terminating,
        zone=endpoint.zone,
        hint_zones=tuple(one.name for one in hints.for_zones or ()),
        hint_nodes=tuple(one.name for one in hints.for_nodes or ()),
    )


def _reference(found: k8s.Reference | None) -> ObjectReference | None:
    """The resource version is left out: it changes with every heartbeat and says nothing about the network."""
    if found is None:
        return None
    return ObjectReference(
        kind=found.kind, namespace=found.namespace, name=found.name, uid=found.uid, api_version=found.api_version
    )
