"""The tables of one pod, from the policies that may speak of it: pure functions.

Named ports are resolved here, for each pod alone: towards a pod they are its own, and a name that it has no port for
matches nothing; from a pod they are those of whoever it talks to, so the peers become a set of addresses with ports.

A pod whose record has not been reflected yet has labels that nobody knows. Kubernetes writes the record before the
kubelet runs the pod, so that this is over in a moment, but etcd may be away. Until the record is there such a pod is
taken to be one that every policy of its namespace might speak of: it is isolated where any of them isolates, nothing
is allowed because of any, and every Deny counts. In a namespace without policies it is free, as every pod is there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from contivpp.policies.facts import PodFacts
from contivpp.policies.model import (
    FREE,
    Action,
    Block,
    Direction,
    Kind,
    PeerSet,
    PortRange,
    Rule,
    Table,
    Tables,
    Tier,
)
from contivpp.policies.reading import NamedPort, ReadPolicy, ReadRule, merged
from contivpp.policies.selectors import EVERYTHING, matches

_IN_ORDER = tuple(Direction)


def may_select(policy: ReadPolicy, pod: PodFacts, namespace: Mapping[str, str] | None) -> bool:
    """Whether a policy speaks of a pod, or might, for all that is known.

    Args:
        policy: any; a NetworkPolicy of another namespace speaks of nobody here.
        pod: as far as it is known.
        namespace: the labels of its namespace; None while nobody has said what they are.
    """
    if policy.namespace:
        if policy.namespace != pod.namespace:
            return False
    elif namespace is not None and not matches(policy.namespaces, namespace):
        return False
    return pod.labels is None or matches(policy.pods, pod.labels)


def tables_of(pod: PodFacts, namespace: Mapping[str, str] | None, policies: Iterable[ReadPolicy]) -> Tables:
    """The tables of a pod; `policies` are in any order, and may be more than those that speak of it."""
    found = [one for one in policies if may_select(one, pod, namespace)]
    if not found:
        return FREE
    ordered = sorted(found, key=lambda one: (one.priority, one.id))
    known = [
        (one, one.certain and pod.labels is not None and (bool(one.namespace) or _is_known(one, namespace)))
        for one in ordered
    ]
    return Tables(*(_table(direction, pod, known) for direction in _IN_ORDER))


def _is_known(policy: ReadPolicy, namespace: Mapping[str, str] | None) -> bool:
    return namespace is not None or policy.namespaces == EVERYTHING


def _table(direction: Direction, pod: PodFacts, policies: list[tuple[ReadPolicy, bool]]) -> Table:
    tiers = []
    if rules := tuple(_rules(Kind.ADMIN, direction, pod, policies)):
        tiers.append(Tier(Kind.ADMIN, rules, Action.PASS))
    if isolating := tuple(policy.id for policy, _ in policies if direction in policy.isolates):
        tiers.append(
            Tier(
                Kind.POLICY, tuple(_rules(Kind.POLICY, direction, pod, policies)), Action.DENY, tuple(sorted(isolating))
            )
        )
    elif rules := tuple(_rules(Kind.BASELINE, direction, pod, policies)):
        tiers.append(Tier(Kind.BASELINE, rules, Action.PASS))
    return tuple(tiers)


def _rules(kind: Kind, direction: Direction, pod: PodFacts, policies: list[tuple[ReadPolicy, bool]]) -> Iterator[Rule]:
    for policy, certain in policies:
        if policy.kind is kind and (policy.isolates == frozenset() or direction in policy.isolates):
            for rule in policy.rules(direction):
                if certain or rule.action is Action.DENY:
                    yield from _resolved(direction, pod, rule)


def _resolved(direction: Direction, pod: PodFacts, rule: ReadRule) -> Iterator[Rule]:
    if not rule.named:
        yield Rule(rule.action, rule.peers, rule.ports, rule.origin)
    elif direction is Direction.INGRESS:
        own = [
            PortRange(protocol, number, number)
            for name, wanted in rule.named
            for protocol, number in pod.ports.get(name, ())
            if wanted in ("", protocol)
        ]
        if ports := merged([*(rule.ports or ()), *own]):
            yield Rule(rule.action, rule.peers, ports, rule.origin)
    else:
        if rule.ports:
            yield Rule(rule.action, rule.peers, rule.ports, rule.origin)
        sets = tuple(
            _with_port(peer, port) for port in rule.named for peer in rule.peers or (PeerSet(namespaces=EVERYTHING),)
        )
        yield Rule(rule.action, tuple(dict.fromkeys(one for one in sets if one is not None)), None, rule.origin)


def _with_port(peer: PeerSet | Block, port: NamedPort) -> PeerSet | None:
    """The ports with that name of a peer; a node has none."""
    if isinstance(peer, Block):
        return PeerSet(namespaces=EVERYTHING, block=peer, port=port.name, protocol=port.protocol)
    if peer.nodes is not None:
        return None
    return dataclasses.replace(peer, port=port.name, protocol=port.protocol)
