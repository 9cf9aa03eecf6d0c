"""Policies of the cluster's administrator (policy.networking.k8s.io/v1alpha1): their shapes, and their records.

The API server has them only when somebody installed their definitions. What is asked for and has no meaning here
(domain names, the `sameLabels` of early definitions, an operator or a protocol that the definitions do not check, or
what a later version adds) becomes a peer or a port that is unknown, and the agents fail closed. So peers are read by
themselves, and nothing in a selector is passed over: what narrows it must not be lost.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contivpp.ksr.convert import ConversionError, selector
from contivpp.ksr.objects import Metadata, Object, Selector
from contivpp.model.adminpolicy import AdminPeer, AdminPolicy, AdminPort, AdminRule

_ALPHA: Final = "/apis/policy.networking.k8s.io/v1alpha1"
PATHS: Final = {
    "adminnetworkpolicy": f"{_ALPHA}/adminnetworkpolicies",
    "baselineadminnetworkpolicy": f"{_ALPHA}/baselineadminnetworkpolicies",
}
"""Where the API server lists each kind, if it has it."""
_ACTIONS: Final = ("Allow", "Deny", "Pass")


class ExactSelector(Selector, frozen=True, forbid_unknown_fields=True):
    """A label selector, and nothing else."""


class SelectedPods(Object, frozen=True, forbid_unknown_fields=True):
    """Pods of namespaces."""

    namespace_selector: ExactSelector
    pod_selector: ExactSelector


class Subject(Object, frozen=True):
    """Whom a policy speaks of."""

    namespaces: ExactSelector | None = None
    pods: SelectedPods | None = None


class Peer(Object, frozen=True, forbid_unknown_fields=True):
    """Whom a rule speaks of; one of them is set."""

    namespaces: ExactSelector | None = None
    pods: SelectedPods | None = None
    nodes: ExactSelector | None = None
    networks: tuple[str, ...] | None = None
    domain_names: tuple[str, ...] | None = None


class PortNumber(Object, frozen=True):
    """A port."""

    protocol: str = "TCP"
    port: int = 0


class PortRange(Object, frozen=True):
    """Ports from one to another."""

    protocol: str = "TCP"
    start: int = 0
    end: int = 0


class Port(Object, frozen=True):
    """Ports of a rule; one of them is set."""

    port_number: PortNumber | None = None
    port_range: PortRange | None = None
    named_port: str | None = None


class Rule(Object, frozen=True, rename={"from_": "from"}):
    """A rule; `from_` of ingress, `to` of egress."""

    name: str = ""
    action: str = ""
    from_: tuple[msgspec.Raw, ...] | None = None
    to: tuple[msgspec.Raw, ...] | None = None
    ports: tuple[Port, ...] | None = None


class Spec(Object, frozen=True):
    """Spec of a policy; the baseline has no priority."""

    priority: int = 0
    subject: Subject = Subject()
    ingress: tuple[Rule, ...] | None = None
    egress: tuple[Rule, ...] | None = None


class AdminNetworkPolicy(Object, frozen=True):
    """AdminNetworkPolicy and BaselineAdminNetworkPolicy."""

    metadata: Metadata
    spec: Spec = msgspec.field(default_factory=Spec)


_PEER: Final = msgspec.json.Decoder(Peer)


def policy(item: AdminNetworkPolicy) -> AdminPolicy:
    """The record of a policy.

    Raises:
        ConversionError: its subject or an action has no meaning here.
    """
    spec = item.spec
    subject = _selected(spec.subject)
    if not subject:
        message = "subject: neither namespaces nor pods are selected"
        raise ConversionError(message)
    return AdminPolicy(
        name=item.metadata.name,
        priority=spec.priority,
        **subject,
        ingress_rule=tuple(_rule(rule, rule.from_) for rule in spec.ingress or ()),
        egress_rule=tuple(_rule(rule, rule.to) for rule in spec.egress or ()),
    )


def _selected(subject: Subject | Peer) -> dict[str, Any]:
    if subject.pods is not None:
        return {
            "namespaces": selector(subject.pods.namespace_selector),
            "pods": selector(subject.pods.pod_selector),
        }
    return {} if subject.namespaces is None else {"namespaces": selector(subject.namespaces)}


def _rule(rule: Rule, peers: tuple[msgspec.Raw, ...] | None) -> AdminRule:
    if rule.action not in _ACTIONS:
        message = f"action {rule.action!r} is unknown: only {', '.join(_ACTIONS)} are"
        raise ConversionError(message)
    return AdminRule(
        name=rule.name,
        action=rule.action,
        peer=tuple(map(_peer, peers or ())),
        port=tuple(map(_port, rule.ports or ())),
    )


def _peer(item: msgspec.Raw) -> AdminPeer:
    try:
        return _understood(_PEER.decode(item))
    except (msgspec.DecodeError, ConversionError) as error:
        return AdminPeer(unknown=f"a peer that is not understood: {error}")


def _understood(peer: Peer) -> AdminPeer:
    if peer.nodes is not None:
        return AdminPeer(nodes=selector(peer.nodes))
    if peer.networks:
        return AdminPeer(networks=peer.networks)
    if found := _selected(peer):
        return AdminPeer(**found)
    return AdminPeer(unknown="domain names cannot be enforced" if peer.domain_names else "a peer of an unknown kind")


def _port(port: Port) -> AdminPort:
    if port.named_port:
        return AdminPort(name=port.named_port)
    if port.port_range is not None:
        found = port.port_range
        return AdminPort(protocol=found.protocol, port=found.start, end_port=found.end)
    one = port.port_number or PortNumber()
    return AdminPort(protocol=one.protocol, port=one.port)
