"""Kubernetes objects, as far as they are reflected: shapes of its JSON, decoded by msgspec.

Unknown fields are ignored, absent ones and nulls are defaults. Source: the Kubernetes API reference.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Object(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base of everything here."""


class Metadata(Object, frozen=True):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Namespace(Object, frozen=True):
    """v1 Namespace."""

    metadata: Metadata


class NodeAddress(Object, frozen=True):
    """An address of a node."""

    type: str = ""
    address: str = ""


class NodeSystemInfo(Object, frozen=True, rename=None):
    """What a node says of itself."""

    machine_id: str = msgspec.field(default="", name="machineID")
    system_uuid: str = msgspec.field(default="", name="systemUUID")
    boot_id: str = msgspec.field(default="", name="bootID")
    kernel_version: str = msgspec.field(default="", name="kernelVersion")
    os_image: str = msgspec.field(default="", name="osImage")
    container_runtime_version: str = msgspec.field(default="", name="containerRuntimeVersion")
    kubelet_version: str = msgspec.field(default="", name="kubeletVersion")
    kube_proxy_version: str = msgspec.field(default="", name="kubeProxyVersion")
    operating_system: str = msgspec.field(default="", name="operatingSystem")
    architecture: str = ""


class NodeSpec(Object, frozen=True):
    """Spec of a node."""

    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")
    provider_id: str = msgspec.field(default="", name="providerID")


class NodeStatus(Object, frozen=True):
    """Status of a node."""

    addresses: tuple[NodeAddress, ...] | None = None
    node_info: NodeSystemInfo | None = None


class Node(Object, frozen=True):
    """v1 Node."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ContainerPort(Object, frozen=True):
    """A port of a container."""

    name: str = ""
    host_port: int = 0
    container_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(Object, frozen=True):
    """A container."""

    name: str = ""
    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str = ""


class PodSpec(Object, frozen=True):
    """Spec of a pod."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    host_network: bool = False
    node_name: str = ""


class Ip(Object, frozen=True):
    """One address of a list."""

    ip: str = ""


class PodStatus(Object, frozen=True):
    """Status of a pod."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ips: tuple[Ip, ...] | None = msgspec.field(default=None, name="podIPs")
    host_ips: tuple[Ip, ...] | None = msgspec.field(default=None, name="hostIPs")


class Pod(Object, frozen=True):
    """v1 Pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Expression(Object, frozen=True):
    """An entry of matchExpressions."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class Selector(Object, frozen=True):
    """A label selector."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None


class IPBlock(Object, frozen=True, rename=None):
    """A subnet without some of its parts."""

    cidr: str = ""
    except_: tuple[str, ...] | None = msgspec.field(default=None, name="except")


class PolicyPeer(Object, frozen=True):
    """Whom a rule speaks of."""

    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IPBlock | None = None


class PolicyPort(Object, frozen=True):
    """A port of a rule."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int = 0


class PolicyRule(Object, frozen=True, rename=None):
    """A rule; `from_` of ingress, `to` of egress."""

    ports: tuple[PolicyPort, ...] | None = None
    from_: tuple[PolicyPeer, ...] | None = msgspec.field(default=None, name="from")
    to: tuple[PolicyPeer, ...] | None = None


class PolicySpec(Object, frozen=True):
    """Spec of a policy."""

    pod_selector: Selector = Selector()
    policy_types: tuple[str, ...] | None = None
    ingress: tuple[PolicyRule, ...] | None = None
    egress: tuple[PolicyRule, ...] | None = None


class NetworkPolicy(Object, frozen=True):
    """networking.k8s.io/v1 NetworkPolicy."""

    metadata: Metadata
    spec: PolicySpec = PolicySpec()


class ServicePort(Object, frozen=True):
    """A port of a service."""

    name: str = ""
    protocol: str = "TCP"
    port: int = 0
    target_port: int | str | None = None
    node_port: int = 0


class ServiceSpec(Object, frozen=True):
    """Spec of a service."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] | None = None
    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: tuple[str, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    session_affinity: str = ""
    session_affinity_config: dict[str, Any] | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] | None = None
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    health_check_node_port: int = 0
    publish_not_ready_addresses: bool = False


class Ingress(Object, frozen=True):
    """Where a load balancer is reached."""

    ip: str = ""
    ip_mode: str = ""


class LoadBalancer(Object, frozen=True):
    """Status of a load balancer."""

    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(Object, frozen=True):
    """Status of a service."""

    load_balancer: LoadBalancer = LoadBalancer()


class Service(Object, frozen=True):
    """v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Reference(Object, frozen=True):
    """What an endpoint is."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""


class Conditions(Object, frozen=True):
    """Conditions of an endpoint; of absent ones `ready` and `serving` mean true, `terminating` false."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Zone(Object, frozen=True):
    """A zone, or a node, by name."""

    name: str = ""


class Hints(Object, frozen=True):
    """Who should use an endpoint."""

    for_zones: tuple[Zone, ...] | None = None
    for_nodes: tuple[Zone, ...] | None = None


class SliceEndpoint(Object, frozen=True):
    """An endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    hints: Hints | None = None
    target_ref: Reference | None = None


class EndpointPort(Object, frozen=True):
    """A port of a slice, or of endpoints."""

    name: str | None = ""
    port: int | None = 0
    protocol: str = "TCP"


class EndpointSlice(Object, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    address_type: str = ""
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class EndpointAddress(Object, frozen=True):
    """An address of endpoints."""

    ip: str = ""
    hostname: str = ""
    node_name: str = ""
    target_ref: Reference | None = None


class EndpointSubset(Object, frozen=True):
    """Addresses with the same ports."""

    addresses: tuple[EndpointAddress, ...] | None = None
    not_ready_addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


class Endpoints(Object, frozen=True):
    """v1 Endpoints."""

    metadata: Metadata
    subsets: tuple[EndpointSubset, ...] | None = None
