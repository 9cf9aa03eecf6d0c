"""From Kubernetes objects to the records in etcd: pure functions, nothing that a renderer needs is dropped.

Source: spec/cluster.md 1.4; where the original loses something (combined selectors, SCTP, port ranges, second
addresses) the record has a field for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from contivpp.ksr import objects as k8s
from contivpp.model.labels import Label, LabelExpression, LabelSelector, Operator, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.node import AddressType, Node, NodeAddress, NodeSystemInfo
from contivpp.model.pod import Container, ContainerPort, Pod, Protocol
from contivpp.model.policy import (
    EgressRule,
    IngressRule,
    IPBlock,
    Peer,
    Policy,
    PolicyType,
    Port,
    PortNameOrNumber,
    PortType,
)
from contivpp.model.service import IntOrString, Service, ServicePort, TargetType

ANNOTATIONS = "contivpp.io"
DEFAULT_AFFINITY_SECONDS = 10800
_NOT_PROXIED = frozenset({"service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"})
"""Labels that, with any value, tell the cluster's proxy to leave a service alone."""
_ADDRESS_TYPES = {
    "Hostname": AddressType.HOST_NAME,
    "ExternalIP": AddressType.EXTERNAL_IP,
    "InternalIP": AddressType.INTERNAL_IP,
    "ExternalDNS": AddressType.EXTERNAL_DNS,
    "InternalDNS": AddressType.INTERNAL_DNS,
}
_OPERATORS = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.DOES_NOT_EXIST,
}


class ConversionError(Exception):
    """An object that has no meaning here; says which field."""


def namespace(item: k8s.Namespace) -> Namespace:
    """A namespace."""
    return Namespace(name=item.metadata.name, label=_labels(item.metadata))


def node(item: k8s.Node) -> Node:
    """A node; addresses of unknown types are left out."""
    found = item.status.node_info
    cidrs = item.spec.pod_cidrs or ()
    return Node(
        name=item.metadata.name,
        pod_CIDR=item.spec.pod_cidr,
        pod_CIDRs=cidrs if len(cidrs) > 1 else (),
        provider_ID=item.spec.provider_id,
        addresses=tuple(
            NodeAddress(type=_ADDRESS_TYPES[one.type], address=one.address)
            for one in item.status.addresses or ()
            if one.type in _ADDRESS_TYPES
        ),
        node_info=None
        if found is None
        else NodeSystemInfo(
            machine_ID=found.machine_id,
            system_UUID=found.system_uuid,
            boot_ID=found.boot_id,
            kernel_version=found.kernel_version,
            os_image=found.os_image,
            container_runtime_version=found.container_runtime_version,
            kubelet_version=found.kubelet_version,
            kube_proxy_version=found.kube_proxy_version,
            operating_system=found.operating_system,
            architecture=found.architecture,
        ),
        labels=dict(sorted((item.metadata.labels or {}).items())),
    )


def pod(item: k8s.Pod) -> Pod:
    """A pod, with all its addresses when it has several."""
    status, spec = item.status, item.spec
    ips = tuple(one.ip for one in status.pod_ips or ())
    host_ips = tuple(one.ip for one in status.host_ips or ())
    return Pod(
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        label=_labels(item.metadata),
        ip_address=status.pod_ip,
        host_ip_address=status.host_ip,
        container=tuple(
            Container(name=one.name, port=tuple(_container_port(port) for port in one.ports or ()))
            for one in (*(spec.containers or ()), *_sidecars(spec))
        ),
        annotations=_annotations(item.metadata),
        labels=dict(sorted((item.metadata.labels or {}).items())),
        ip_addresses=ips if len(ips) > 1 else (),
        host_ip_addresses=host_ips if len(host_ips) > 1 else (),
        host_network=spec.host_network,
        terminated=status.phase in ("Succeeded", "Failed"),
        node_name=spec.node_name,
    )


def _sidecars(spec: k8s.PodSpec) -> tuple[k8s.Container, ...]:
    """Init containers that stay: their named ports are the pod's, as those of its other containers are."""
    return tuple(one for one in spec.init_containers or () if one.restart_policy == "Always")


def policy(item: k8s.NetworkPolicy) -> Policy:
    """A policy; a peer with both selectors keeps both."""
    spec = item.spec
    return Policy(
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        label=_labels(item.metadata),
        pods=selector(spec.pod_selector),
        policy_type=_policy_type(spec.policy_types or ()),
        ingress_rule=tuple(
            IngressRule(port=_policy_ports(rule), from_=tuple(map(_peer, rule.from_ or ())))
            for rule in spec.ingress or ()
        ),
        egress_rule=tuple(
            EgressRule(port=_policy_ports(rule), to=tuple(map(_peer, rule.to or ()))) for rule in spec.egress or ()
        ),
    )


def service(item: k8s.Service) -> Service:
    """A service; a headless one has the cluster IP "None"."""
    spec = item.spec
    ingress = item.status.load_balancer.ingress or ()
    cluster_ips = spec.cluster_ips or ()
    return Service(
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        port=tuple(map(_service_port, spec.ports or ())),
        selector=dict(sorted((spec.selector or {}).items())),
        cluster_ip=spec.cluster_ip,
        service_type=spec.type,
        external_ips=spec.external_ips or (),
        lb_ingress_ips=tuple(one.ip for one in ingress if one.ip and one.ip_mode != "Proxy"),
        lb_proxy_ips=tuple(one.ip for one in ingress if one.ip and one.ip_mode == "Proxy"),
        session_affinity=spec.session_affinity,
        session_affinity_timeout=_affinity_seconds(spec),
        loadbalancer_ip=spec.load_balancer_ip,
        loadbalancer_source_ranges=spec.load_balancer_source_ranges or (),
        external_traffic_policy=spec.external_traffic_policy,
        internal_traffic_policy=spec.internal_traffic_policy,
        traffic_distribution=spec.traffic_distribution,
        health_check_node_port=spec.health_check_node_port,
        annotations=_annotations(item.metadata),
        cluster_ips=cluster_ips if len(cluster_ips) > 1 else (),
        ip_families=(spec.ip_families or ()) if len(cluster_ips) > 1 else (),
        publish_not_ready_addresses=spec.publish_not_ready_addresses,
        other_proxy=not _NOT_PROXIED.isdisjoint(item.metadata.labels or ()),
    )


def _labels(metadata: k8s.Metadata) -> tuple[Label, ...]:
    return sorted_labels(metadata.labels or {})


def _annotations(metadata: k8s.Metadata) -> dict[str, str]:
    found: Mapping[str, str] = metadata.annotations or {}
    return {key: value for key, value in sorted(found.items()) if key.startswith(ANNOTATIONS)}


def _protocol(name: str) -> tuple[Protocol, bool]:
    if name not in ("TCP", "UDP", "SCTP", ""):
        message = f"protocol {name!r} is unknown: only TCP, UDP and SCTP are"
        raise ConversionError(message)
    return (Protocol.UDP if name == "UDP" else Protocol.TCP), name == "SCTP"


def _container_port(port: k8s.ContainerPort) -> ContainerPort:
    protocol, sctp = _protocol(port.protocol)
    return ContainerPort(
        name=port.name,
        host_port=port.host_port,
        container_port=port.container_port,
        protocol=protocol,
        host_ip_address=port.host_ip,
        sctp=sctp,
    )


def _policy_type(types: tuple[str, ...]) -> PolicyType:
    if unknown := set(types) - {"Ingress", "Egress"}:
        message = f"policyTypes: {sorted(unknown)[0]!r} is neither Ingress nor Egress"
        raise ConversionError(message)
    match ("Ingress" in types, "Egress" in types):
        case (True, True):
            return PolicyType.INGRESS_AND_EGRESS
        case (True, False):
            return PolicyType.INGRESS
        case (False, True):
            return PolicyType.EGRESS
        case _:
            return PolicyType.DEFAULT


def selector(item: k8s.Selector) -> LabelSelector:
    """A selector, sorted so that equal ones are the same.

    Raises:
        ConversionError: an operator is unknown.
    """
    expressions = []
    for one in item.match_expressions or ():
        if one.operator not in _OPERATORS:
            message = f"matchExpressions: operator {one.operator!r} is unknown"
            raise ConversionError(message)
        expressions.append(
            LabelExpression(key=one.key, operator=_OPERATORS[one.operator], value=tuple(sorted(one.values or ())))
        )
    return LabelSelector(
        match_label=sorted_labels(item.match_labels or {}),
        match_expression=tuple(sorted(expressions, key=lambda one: (one.key, one.operator, one.value))),
    )


def _peer(peer: k8s.PolicyPeer) -> Peer:
    block = peer.ip_block
    return Peer(
        pods=None if peer.pod_selector is None else selector(peer.pod_selector),
        namespaces=None if peer.namespace_selector is None else selector(peer.namespace_selector),
        ip_block=None if block is None else IPBlock(cidr=block.cidr, except_=block.except_ or ()),
    )


def _policy_ports(rule: k8s.PolicyRule) -> tuple[Port, ...]:
    ports = []
    for one in rule.ports or ():
        protocol, sctp = _protocol(one.protocol)
        match one.port:
            case None:
                port = None
            case int(number):
                port = PortNameOrNumber(number=number)
            case str(name):
                port = PortNameOrNumber(type=PortType.NAME, name=name)
        ports.append(Port(port=port, protocol=protocol, end_port=one.end_port, sctp=sctp))
    return tuple(ports)


def _service_port(port: k8s.ServicePort) -> ServicePort:
    match port.target_port:
        case str(name):
            target = IntOrString(type=TargetType.STRING, string_val=name)
        case int(number) if number:
            target = IntOrString(int_val=number)
        case _:  # Kubernetes means the service's own port
            target = IntOrString(int_val=port.port)
    return ServicePort(
        name=port.name, protocol=port.protocol, port=port.port, target_port=target, node_port=port.node_port
    )


def _affinity_seconds(spec: k8s.ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    client = (spec.session_affinity_config or {}).get("clientIP") or {}
    return int(client.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS)
