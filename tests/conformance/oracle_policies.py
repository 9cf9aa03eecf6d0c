"""Who may talk to whom, straight from Kubernetes' text: slow, obvious, and without a line of the agent's code.

The cluster is a list of namespaces, pods and nodes, and policies as they stand in manifests. Every question is answered
from the beginning. A source or target is a `Pod`, or the text of any other address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod; `ports` are triples of name, protocol and number."""

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    addresses: tuple[str, ...] = ()
    ports: tuple[tuple[str, str, int], ...] = ()
    host_network: bool = False
    ended: bool = False

    def __str__(self) -> str:
        """As in a table."""
        return f"{self.namespace}/{self.name}"


@dataclass
class Cluster:
    """All that the answer depends on.

    Attributes:
        namespaces: their labels.
        nodes: labels and addresses of nodes.
    """

    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, tuple[dict[str, str], tuple[str, ...]]] = field(default_factory=dict)
    policies: dict[tuple[str, str, str], Manifest] = field(default_factory=dict)

    def apply(self, manifest: Manifest) -> None:
        """Takes a policy or a namespace."""
        metadata = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            self.namespaces[metadata["name"]] = dict(metadata.get("labels") or {})
        else:
            self.policies[_identity(manifest)] = manifest

    def delete(self, manifest: Manifest) -> None:
        """Forgets it."""
        if manifest["kind"] == "Namespace":
            del self.namespaces[manifest["metadata"]["name"]]
        else:
            del self.policies[_identity(manifest)]

    def relabel(self, pod: str, labels: Mapping[str, str]) -> None:
        """Gives a pod other labels."""
        self.pods[pod] = replace(self.pods[pod], labels=dict(labels))


End = Pod | str


def allowed(cluster: Cluster, source: End, target: End, protocol: str, port: int, address: str) -> bool:
    """Whether a connection may be opened; `address` is the target's, in the IP version that is used."""
    if isinstance(source, Pod) and source == target:
        return True
    own = address_of(source, address)
    leaves = may_leave(cluster, source, target, protocol, port, address)
    comes = may_come(cluster, source, target, protocol, port, own)
    return leaves and comes


def address_of(end: End, like: str) -> str:
    """The address of an end, of the IP version of another address."""
    if isinstance(end, str):
        return end
    version = ipaddress.ip_address(like).version
    return next(one for one in end.addresses if ipaddress.ip_address(one).version == version)


def may_leave(cluster: Cluster, source: End, target: End, protocol: str, port: int, address: str) -> bool:
    """Whether the source's egress lets it out."""
    if not isinstance(source, Pod) or source.host_network:
        return True
    return _verdict(cluster, source, "Egress", target, address, protocol, port)


def may_come(cluster: Cluster, source: End, target: End, protocol: str, port: int, address: str) -> bool:
    """Whether the target's ingress lets it in; `address` is the source's."""
    if not isinstance(target, Pod) or target.host_network:
        return True
    if address in cluster.nodes.get(target.node, ({}, ()))[1]:  # its own node
        return True
    return _verdict(cluster, target, "Ingress", source, address, protocol, port)


def _verdict(cluster: Cluster, pod: Pod, direction: str, peer: End, address: str, protocol: str, port: int) -> bool:
    question = (cluster, pod, direction, peer, address, protocol, port)
    admin = [one for one in cluster.policies.values() if one["kind"] == "AdminNetworkPolicy"]
    for policy in sorted(admin, key=lambda one: (one["spec"]["priority"], one["metadata"]["name"])):
        action = _admin_action(policy, question)
        if action == "Allow":
            return True
        if action == "Deny":
            return False
        if action == "Pass":
            break
    isolated = False
    for policy in cluster.policies.values():
        if policy["kind"] != "NetworkPolicy" or policy["metadata"]["namespace"] != pod.namespace:
            continue
        spec = policy["spec"]
        if direction not in _types(spec) or not selects(spec.get("podSelector") or {}, pod.labels):
            continue
        isolated = True
        for rule in spec.get(direction.lower()) or []:
            if _rule_matches(rule, policy["metadata"]["namespace"], question):
                return True
    if isolated:
        return False
    for policy in cluster.policies.values():
        if policy["kind"] == "BaselineAdminNetworkPolicy":
            action = _admin_action(policy, question)
            if action is not None:
                return action == "Allow"
    return True


def _types(spec: Manifest) -> Sequence[str]:
    if spec.get("policyTypes"):
        return spec["policyTypes"]  # type: ignore[no-any-return]
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes matches."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
        there = key in labels
        if operator == "In" and not (there and labels[key] in values):
            return False
        if operator == "NotIn" and there and labels[key] in values:
            return False
        if operator == "Exists" and not there:
            return False
        if operator == "DoesNotExist" and there:
            return False
    return True


def _rule_matches(rule: Manifest, namespace: str, question: Any) -> bool:
    cluster, pod, direction, peer, address, protocol, port = question
    peers = rule.get("from" if direction == "Ingress" else "to")
    if peers and not any(_peer_matches(one, cluster, namespace, peer, address) for one in peers):
        return False
    ports = rule.get("ports")
    if not ports:
        return True
    if direction == "Egress" and isinstance(peer, Pod) and peer.ended:
        ports = [one for one in ports if not isinstance(one.get("port"), str)]
    listener = pod if direction == "Ingress" else peer
    return any(_port_matches(one, listener, protocol, port) for one in ports)


def _peer_matches(wanted: Manifest, cluster: Cluster, namespace: str, peer: End, address: str) -> bool:
    if "ipBlock" in wanted:
        block = wanted["ipBlock"]
        return _inside(address, block["cidr"]) and not any(_inside(address, one) for one in block.get("except") or [])
    if not isinstance(peer, Pod) or peer.host_network or peer.ended:
        return False
    if "namespaceSelector" in wanted:
        if not selects(wanted["namespaceSelector"] or {}, cluster.namespaces[peer.namespace]):
            return False
    elif peer.namespace != namespace:
        return False
    return selects(wanted.get("podSelector") or {}, peer.labels)


def _inside(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)


def _port_matches(wanted: Manifest, listener: End, protocol: str, port: int) -> bool:
    if wanted.get("protocol", "TCP") != protocol:
        return False
    number = wanted.get("port")
    if number is None:
        return True
    if isinstance(number, str):
        if not isinstance(listener, Pod) or listener.host_network:
            return False
        return (number, protocol, port) in listener.ports
    return number <= port <= wanted.get("endPort", number)


def _admin_action(policy: Manifest, question: Any) -> str | None:
    """What the first rule that matches says."""
    cluster, pod, direction, peer, address, protocol, port = question
    spec = policy["spec"]
    if not _pods_match(spec["subject"], cluster, pod):  # also one that has ended, while its sandbox is there
        return None
    for rule in spec.get(direction.lower()) or []:
        peers = rule["from" if direction == "Ingress" else "to"]
        if not any(_admin_peer_matches(one, cluster, peer, address) for one in peers):
            continue
        listener = pod if direction == "Ingress" else peer
        if rule.get("ports") and not any(_admin_port_matches(one, listener, protocol, port) for one in rule["ports"]):
            continue
        return rule["action"]  # type: ignore[no-any-return]
    return None


def _pods_match(wanted: Manifest, cluster: Cluster, pod: End) -> bool:
    if not isinstance(pod, Pod) or pod.host_network:
        return False
    if "namespaces" in wanted:
        return selects(wanted["namespaces"], cluster.namespaces[pod.namespace])
    both = wanted["pods"]
    return selects(both["namespaceSelector"], cluster.namespaces[pod.namespace]) and selects(
        both["podSelector"], pod.labels
    )


def _admin_peer_matches(wanted: Manifest, cluster: Cluster, peer: End, address: str) -> bool:
    if "networks" in wanted:
        return any(_inside(address, one) for one in wanted["networks"])
    if "nodes" in wanted:
        return any(
            address in addresses and selects(wanted["nodes"], labels) for labels, addresses in cluster.nodes.values()
        )
    return not (isinstance(peer, Pod) and peer.ended) and _pods_match(wanted, cluster, peer)


def _admin_port_matches(wanted: Manifest, listener: End, protocol: str, port: int) -> bool:
    if "namedPort" in wanted:
        return isinstance(listener, Pod) and any(
            (name, number, kind) == (wanted["namedPort"], port, protocol) for name, kind, number in listener.ports
        )
    if "portNumber" in wanted:
        one = wanted["portNumber"]
        return bool(one.get("protocol", "TCP") == protocol and one["port"] == port)
    one = wanted["portRange"]
    return bool(one.get("protocol", "TCP") == protocol and one["start"] <= port <= one["end"])


def _identity(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]
