"""The endpoints of a service, merged from its EndpointSlices. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from contivpp.model.codec import Record


class ObjectReference(Record, frozen=True):
    """What an endpoint is, usually a pod."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""


class EndpointAddress(Record, frozen=True):
    """One endpoint; the fields after `target_ref` are not in the original.

    A terminating endpoint that still serves is among `not_ready_addresses`, marked by both.
    """

    ip: str = ""
    host_name: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None
    serving: bool = False
    terminating: bool = False
    zone: str = ""
    hint_zones: tuple[str, ...] = ()
    hint_nodes: tuple[str, ...] = ()


class EndpointPort(Record, frozen=True):
    """A port that all addresses of a subset serve; `protocol` is "TCP", "UDP" or "SCTP"."""

    name: str = ""
    port: int = 0
    protocol: str = ""


class EndpointSubset(Record, frozen=True):
    """Addresses that serve the same ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Record, frozen=True):
    """The endpoints of the service of the same name."""

    name: str = ""
    namespace: str = ""
    endpoint_subsets: tuple[EndpointSubset, ...] = ()
