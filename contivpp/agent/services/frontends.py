"""Where a service answers, from its record alone. Source: the behaviour of kube-proxy.

A service has an IP version when it has a cluster IP of it: addresses of other versions are not its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contivpp.agent.services.model import Frontend, Kind
from contivpp.model.service import Service, ServicePort

ANYWHERE: Final = ""
"""The address of a node port before it is known which node it is on."""
_PROTOCOLS: Final = {"": "tcp", "TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_LAST_PORT: Final = 65535
_EMBEDDED: Final = 48
"""With no higher bits than these an IPv6 address is an IPv4 address in other words."""
_WITH_NODE_PORTS: Final = ("NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True)
class Answering:
    """The usable part of a service.

    Attributes:
        ports: with each its frontends; those of node ports have no address yet.
        versions: the IP versions of the service.
        problems: what cannot be used, one sentence each.
    """

    ports: tuple[tuple[ServicePort, tuple[Frontend, ...]], ...]
    versions: tuple[int, ...]
    problems: tuple[str, ...]


def is_translated(service: Service) -> bool:
    """Whether a service has an address of its own, which nobody else answers: a headless one or a name has none."""
    if service.other_proxy or service.service_type == "ExternalName":
        return False
    return service.cluster_ip not in ("", "None")


def has_node_ports(service: Service) -> bool:
    """Whether a service answers at addresses of nodes."""
    return service.service_type in _WITH_NODE_PORTS and any(port.node_port for port in service.port)


def protocol_of(name: str) -> str:
    """A protocol as the model calls it; "" for an unknown one."""
    return _PROTOCOLS.get(name, "")


def usable_address(text: str) -> str:
    """An address that packets can be sent to from anywhere in the cluster; "" when it is none, or a special one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    special = address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local
    if special or (address.version == 6 and not int(address) >> _EMBEDDED):
        return ""
    return str(address)


def answering(service: Service) -> Answering:
    """Where a service answers; nothing when it is not translated."""
    if not is_translated(service):
        return Answering((), (), ())
    problems: list[str] = []
    cluster = _addresses("clusterIP", service.cluster_ips or (service.cluster_ip,), problems)
    versions = tuple(sorted({version for _, version in cluster}))
    addresses = [(address, Kind.CLUSTER_IP) for address, _ in cluster]
    for option, texts, kind in (  # of an address in both lists the source ranges hold
        ("status.loadBalancer.ingress", service.lb_ingress_ips, Kind.LOAD_BALANCER),
        ("externalIPs", service.external_ips, Kind.EXTERNAL_IP),
    ):
        found = _addresses(option, texts, problems)
        addresses += [(address, kind) for address, version in found if version in versions]
    if not service.port:
        problems.append("it has no ports")
    ports = []
    for port in service.port:
        if sentence := _problem_of(port):
            problems.append(sentence)
        else:
            ports.append((port, tuple(_frontends(service, port, addresses))))
    return Answering(tuple(ports), versions, tuple(problems))


def claims_of(service: Service) -> frozenset[Frontend]:
    """What a service wants for itself: its addresses with their ports, and its node ports."""
    return frozenset(frontend for _, frontends in answering(service).ports for frontend in frontends)


def _frontends(service: Service, port: ServicePort, addresses: Sequence[tuple[str, Kind]]) -> Iterator[Frontend]:
    protocol = protocol_of(port.protocol)
    seen = set()
    for address, kind in addresses:
        if address not in seen:
            seen.add(address)
            yield Frontend(address, protocol, port.port, kind)
    if port.node_port and service.service_type in _WITH_NODE_PORTS:
        yield Frontend(ANYWHERE, protocol, port.node_port, Kind.NODE_PORT)


def _problem_of(port: ServicePort) -> str:
    label = f"port {port.name}" if port.name else "the port"
    if not protocol_of(port.protocol):
        return f"{label} has the unknown protocol {port.protocol!r}"
    if not 1 <= port.port <= _LAST_PORT:
        return f"{label} has the number {port.port}, which is not between 1 and {_LAST_PORT}"
    if not 0 <= port.node_port <= _LAST_PORT:
        return f"{label} has the node port {port.node_port}, which is not between 1 and {_LAST_PORT}"
    return ""


def _addresses(option: str, texts: Sequence[str], problems: list[str]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for text in texts:
        if address := usable_address(text):
            found.append((address, ipaddress.ip_address(address).version))
        else:
            problems.append(f"{option}: {text!r} cannot be the address of a service")
    return found
