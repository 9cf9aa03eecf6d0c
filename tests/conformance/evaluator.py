"""What rule tables say of a connection: a small evaluator for the simulation, beside the agent's own."""

from __future__ import annotations

import ipaddress

from contivpp.policies.index import PolicyIndex
from contivpp.policies.model import Action, Block, Direction, Member, PeerSet, Rule


def passes(
    index: PolicyIndex, pod: str, direction: Direction, peer: str, listener: str, protocol: str, port: int
) -> bool:
    """Whether a local pod's table lets a connection pass.

    Args:
        index: of the pod's node.
        pod: "namespace/name".
        direction: of the connection, as the pod sees it.
        peer: the address of the other end.
        listener: the address that the connection goes to.
        protocol: TCP, UDP or SCTP.
        port: that it goes to.
    """
    for tier in index.tables(pod).of(direction):
        verdict = tier.otherwise
        for rule in tier.rules:
            if _matches(index, rule, peer, listener, protocol, port):
                verdict = rule.action
                break
        if verdict is not Action.PASS:
            return verdict is Action.ALLOW
    return True


def _matches(index: PolicyIndex, rule: Rule, peer: str, listener: str, protocol: str, port: int) -> bool:
    if rule.ports is not None and not any(
        one.protocol == protocol and one.first <= port <= one.last for one in rule.ports
    ):
        return False
    if rule.peers is None:
        return True
    for one in rule.peers:
        if isinstance(one, Block):
            address = ipaddress.ip_address(peer)
            inside = address in ipaddress.ip_network(one.cidr)
            if inside and not any(address in ipaddress.ip_network(inner) for inner in one.excepts):
                return True
        elif isinstance(one, PeerSet):
            wanted = Member(listener, protocol, port) if one.port else Member(peer)
            if wanted in set(index.sets.members(one)):
                return True
    return False
