"""Why a connection is allowed or denied: the rule that decides, at both ends, on every port that makes a difference."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from contivpp.policies.facts import within
from contivpp.policies.index import PolicyIndex
from contivpp.policies.model import (
    LAST_PORT,
    PROTOCOLS,
    Action,
    Block,
    Direction,
    Kind,
    Member,
    Origin,
    PeerSet,
    PortRange,
    Rule,
)

NO_PORTS = ""
"""The protocol of what has no ports, such as a ping."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What is asked about.

    Attributes:
        source: the address that opens it.
        target: the address that it leads to.
        protocol: TCP, UDP, SCTP, or `NO_PORTS`.
        port: where it leads to; 0 without ports.
    """

    source: str
    target: str
    protocol: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one end makes of a connection.

    Attributes:
        tier: that decided; None when no policy did.
        rule: that decided; None when the pod is isolated and no rule matches, or no policy speaks of it.
        isolating: the policies that isolate the pod, where that decides.
    """

    allowed: bool
    tier: Kind | None = None
    rule: Origin | None = None
    isolating: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As people read it."""
        if self.rule is not None:
            return str(self.rule)
        if self.isolating:
            return f"no rule of {self.tier} {', '.join(self.isolating)} allows it"
        return "no policy speaks of it"


FREE = Verdict(allowed=True)


def verdict(index: PolicyIndex, pod: str, direction: Direction, connection: Connection) -> Verdict:
    """What the table of a local pod of `index` says of a connection that it opens (egress) or gets (ingress)."""
    peer = connection.source if direction is Direction.INGRESS else connection.target
    for tier in index.tables(pod).of(direction):
        decided, origin = tier.otherwise, None
        for rule in tier.rules:
            if _matches(index, rule, peer, connection):
                decided, origin = rule.action, rule.origin
                break
        if decided is not Action.PASS:
            isolating = tier.isolating if origin is None else ()
            return Verdict(decided is Action.ALLOW, tier.kind, origin, isolating)
    return FREE


def segments(index: PolicyIndex, ends: Iterable[tuple[str, Direction]], target: str) -> Iterator[PortRange]:
    """Ranges of ports within which no rule of these tables tells one port from another, and last what has no ports.

    Args:
        index: that has the pods as local ones.
        ends: pods, and the direction of the table that is asked.
        target: the address that the connection leads to.
    """
    cuts: dict[str, set[int]] = {protocol: {1} for protocol in PROTOCOLS}
    for pod, direction in ends:
        for tier in index.tables(pod).of(direction):
            for rule in tier.rules:
                for one in _ports_of(index, rule, target):
                    cuts[one.protocol] |= {max(one.first, 1), one.last + 1}
    for protocol, found in cuts.items():
        firsts = sorted(one for one in found if one <= LAST_PORT)
        for first, following in zip(firsts, [*firsts[1:], LAST_PORT + 1], strict=True):
            yield PortRange(protocol, first, following - 1)
    yield PortRange(NO_PORTS, 0, 0)


def _ports_of(index: PolicyIndex, rule: Rule, target: str) -> Iterator[PortRange]:
    yield from rule.ports or ()
    for peers in rule.peers or ():
        if isinstance(peers, PeerSet) and peers.port:
            for member in index.sets.members(peers):
                if member.address == target:
                    yield PortRange(member.protocol, member.port, member.port)


def _matches(index: PolicyIndex, rule: Rule, peer: str, connection: Connection) -> bool:
    if rule.ports is not None and not any(
        one.protocol == connection.protocol and one.first <= connection.port <= one.last for one in rule.ports
    ):
        return False
    return rule.peers is None or any(_is_peer(index, one, peer, connection) for one in rule.peers)


def _is_peer(index: PolicyIndex, peers: PeerSet | Block, peer: str, connection: Connection) -> bool:
    if isinstance(peers, Block):
        return ipaddress.ip_address(peer).version == ipaddress.ip_network(peers.cidr).version and within(peers, peer)
    wanted = Member(connection.target, connection.protocol, connection.port) if peers.port else Member(peer)
    return wanted in index.sets.members(peers)


def in_words(index: PolicyIndex, pod: str) -> Mapping[Direction, list[str]]:
    """The tables of a local pod line by line, with the members of all sets: equal tables give equal lines."""
    return {direction: list(_lines(index, pod, direction)) for direction in Direction}


def fingerprint(index: PolicyIndex, pod: str) -> str:
    """What tells whether two nodes, or a node and etcd, mean the same tables."""
    text = "\n".join(f"{direction} {line}" for direction, lines in in_words(index, pod).items() for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _lines(index: PolicyIndex, pod: str, direction: Direction) -> Iterator[str]:
    for tier in index.tables(pod).of(direction):
        for rule in tier.rules:
            peers = "everybody"
            if rule.peers is not None:
                peers = "; ".join(_peer_in_words(index, one) for one in rule.peers)
            ports = "everything"
            if rule.ports is not None:
                ports = ", ".join(f"{one.protocol} {one.first}-{one.last}" for one in rule.ports)
            yield f"{rule.action} {peers} on {ports} ({rule.origin})"
        yield f"else {tier.otherwise}" + (f" ({tier.kind} {', '.join(tier.isolating)})" if tier.isolating else "")


def _peer_in_words(index: PolicyIndex, peers: PeerSet | Block) -> str:
    if isinstance(peers, Block):
        return str(peers)
    found = sorted(index.sets.members(peers))
    members = ", ".join(f"{one.address} {one.protocol} {one.port}" if one.protocol else one.address for one in found)
    return f"{peers} [{members}]"
