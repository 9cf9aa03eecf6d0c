"""A Kubernetes service. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from enum import StrEnum

from contivpp.model.codec import Record


class TargetType(StrEnum):
    """Whether a target port is a number or the name of a container's port."""

    NUMBER = "NUMBER"
    STRING = "STRING"


class IntOrString(Record, frozen=True):
    """A target port."""

    type: TargetType = TargetType.NUMBER
    int_val: int = 0
    string_val: str = ""


class ServicePort(Record, frozen=True):
    """A port of a service; `protocol` is "TCP", "UDP" or "SCTP"."""

    name: str = ""
    protocol: str = ""
    port: int = 0
    target_port: IntOrString | None = None
    node_port: int = 0


class Service(Record, frozen=True):
    """A service; the fields after `annotations` are not in the original.

    `session_affinity_timeout` is in seconds, 0 without affinity. `cluster_ips` is only filled for dual stack,
    `lb_proxy_ips` holds the ingress addresses that are to be answered by the load balancer (ipMode Proxy).
    `other_proxy` is true when labels leave the service to another proxy, or have it taken for a headless one.
    """

    name: str = ""
    namespace: str = ""
    port: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    cluster_ip: str = ""
    service_type: str = ""
    external_ips: tuple[str, ...] = ()
    lb_ingress_ips: tuple[str, ...] = ()
    session_affinity: str = ""
    loadbalancer_ip: str = ""
    loadbalancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: str = ""
    health_check_node_port: int = 0
    session_affinity_timeout: int = 0
    annotations: dict[str, str] = {}
    cluster_ips: tuple[str, ...] = ()
    ip_families: tuple[str, ...] = ()
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    publish_not_ready_addresses: bool = False
    lb_proxy_ips: tuple[str, ...] = ()
    other_proxy: bool = False
