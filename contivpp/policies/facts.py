"""What of a pod matters to policies: its labels, its addresses, and the ports that it has a name for.

A pod on the host network is no pod to a selector: its packets are its node's, and only blocks of addresses speak of
them. One that has ended is nobody's peer, for its address may be somebody else's already; but where its sandbox still
is its policies hold: Kubernetes may call a pod failed while its containers still run. Source: the Kubernetes API.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from contivpp.model.node import AddressType, Node
from contivpp.model.pod import Pod, on_host_network
from contivpp.policies.model import Block
from contivpp.policies.selectors import labels_of

_OF_NODES = (AddressType.INTERNAL_IP, AddressType.EXTERNAL_IP)


class PodFacts(NamedTuple):
    """A pod as policies see it.

    Attributes:
        id: "namespace/name".
        labels: None while nobody has said what they are.
        ports: pairs of protocol and number by name.
    """

    id: str
    namespace: str
    labels: Mapping[str, str] | None
    ports: Mapping[str, tuple[tuple[str, int], ...]]


def is_peer(pod: Pod) -> bool:
    """Whether selectors of peers see a pod."""
    return not (pod.terminated or on_host_network(pod))


def pod_labels(pod: Pod) -> Mapping[str, str]:
    """The labels of a pod; its record holds them twice."""
    return pod.labels or labels_of(pod.label)


def facts_of(pod_id: str, pod: Pod | None) -> PodFacts:
    """What is known of a pod; None for one that nobody has reflected yet."""
    namespace = pod_id.partition("/")[0]
    if pod is None:
        return PodFacts(pod_id, namespace, None, {})
    return PodFacts(pod_id, namespace, pod_labels(pod), named_ports(pod))


def named_ports(pod: Pod) -> dict[str, tuple[tuple[str, int], ...]]:
    """The ports of a pod's containers by their names; one name may stand for several."""
    found: dict[str, list[tuple[str, int]]] = {}
    for container in pod.container:
        for port in container.port:
            if port.name and port.container_port:
                found.setdefault(port.name, []).append((port.transport, port.container_port))
    return {name: tuple(sorted(set(ports))) for name, ports in found.items()}


def pod_addresses(pod: Pod) -> Iterator[str]:
    """The addresses of a pod in normal form; what is none is passed over."""
    return normal(pod.ip_addresses or ((pod.ip_address,) if pod.ip_address else ()))


def node_addresses(node: Node) -> Iterator[str]:
    """The addresses of a node in normal form."""
    return normal(one.address for one in node.addresses if one.type in _OF_NODES)


def normal(addresses: Iterable[str]) -> Iterator[str]:
    """Addresses in normal form, without those that are none."""
    for text in addresses:
        try:
            yield str(ipaddress.ip_address(text))
        except ValueError:
            continue


def within(block: Block, address: str) -> bool:
    """Whether an address is in a block, and in none of its excepts."""
    found = ipaddress.ip_address(address)
    if found not in ipaddress.ip_network(block.cidr):
        return False
    return not any(found in ipaddress.ip_network(one) for one in block.excepts)
