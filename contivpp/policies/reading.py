"""From the records of policies to what they mean, part by part.

A part that cannot be read (an unknown operator, a name of a port that is too long, an `except` outside its block) is
left out, named, and counted; everything else applies. What is left out never opens anything, for whoever writes
a policy trusts that what it does not allow is closed, and sees at once what is closed by mistake but not
what is open by mistake:

- an unreadable peer or port of a rule that allows, or passes, matches nothing; in one that denies, everything;
- a policy whose selector of pods cannot be read speaks of all pods that the rest of the selector matches: it isolates
  them, and of its rules only those that deny count;
- a NetworkPolicy of which nothing can be read isolates all pods of its namespace in both directions. Of an admin policy
  that would be the whole cluster, and one bad record must not stop a cluster: such a one is left out whole.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from contivpp.model.adminpolicy import AdminPeer, AdminPolicy, AdminPort, AdminRule
from contivpp.model.labels import LabelSelector
from contivpp.model.nodeconfig import Unreadable
from contivpp.model.policy import IPBlock, Peer, Policy, PolicyType, Port, PortType
from contivpp.policies.model import LAST_PORT, PROTOCOLS, Action, Block, Direction, Kind, Origin, PeerSet, PortRange
from contivpp.policies.selectors import EVERYTHING, readable

_LONGEST_NAME: Final = 15
_NAME: Final = re.compile(r"(?!-)(?!.*--)(?=.*[a-z])[a-z0-9-]+(?<!-)")
_BOTH: Final = frozenset(Direction)
_TYPES: Final = {
    PolicyType.INGRESS: frozenset({Direction.INGRESS}),
    PolicyType.EGRESS: frozenset({Direction.EGRESS}),
    PolicyType.INGRESS_AND_EGRESS: _BOTH,
}


class NamedPort(NamedTuple):
    """A port that every pod resolves for itself; `protocol` "" for any."""

    name: str
    protocol: str


@dataclass(frozen=True, slots=True)
class ReadRule:
    """A rule before it is known whose pod it is for; `ports` None and no `named` ones mean everything."""

    action: Action
    peers: tuple[PeerSet | Block, ...] | None
    ports: tuple[PortRange, ...] | None
    named: tuple[NamedPort, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """A policy and the pods that it speaks of.

    Attributes:
        id: "namespace/name", or the name.
        namespace: of the pods; "" leaves it to `namespaces`.
        certain: whether its selector of pods could be read.
        isolates: directions in which its pods are closed but for what is allowed.
        problems: what was left out, one sentence each.
    """

    kind: Kind
    id: str
    namespace: str
    namespaces: LabelSelector
    pods: LabelSelector
    certain: bool
    priority: int
    isolates: frozenset[Direction]
    ingress: tuple[ReadRule, ...]
    egress: tuple[ReadRule, ...]
    problems: tuple[str, ...]

    def rules(self, direction: Direction) -> tuple[ReadRule, ...]:
        """The rules of a direction, in order."""
        return self.ingress if direction is Direction.INGRESS else self.egress


class _UnreadableError(Exception):
    """A part that Kubernetes would not take; says why."""


class _Reader:
    """Reads one policy and remembers what was left out."""

    def __init__(self, kind: Kind, policy_id: str) -> None:
        self.kind = kind
        self._id = policy_id
        self.problems: list[str] = []

    def selector(self, selector: LabelSelector | None, where: str) -> tuple[LabelSelector, bool]:
        """A selector that matches at least what it should, and whether it is exact."""
        found, problem = readable(selector)
        if problem:
            self.problems.append(f"{where}: {problem}")
        return found, not problem

    def rule(
        self,
        direction: Direction,
        number: int,
        action: Action,
        peers: Iterable[tuple[int, PeerSet | Block | str]] | None,
        ports: Iterable[tuple[int, PortRange | NamedPort | str]] | None,
        name: str = "",
    ) -> ReadRule | None:
        """A rule of its parts, each a meaning or what is wrong with it; None for one that matches nothing."""
        where = f"{direction.lower()}[{number}]"
        read_peers, whole = self._parts(peers, where, "peers")
        read_ports, all_ports = self._parts(ports, where, "ports")
        if action is Action.DENY:  # what is not understood is denied as well
            read_peers = read_peers if whole else None
            read_ports = read_ports if all_ports else None
        origin = Origin(self.kind, self._id, number, name)
        numbers = None if read_ports is None else merged(one for one in read_ports if isinstance(one, PortRange))
        named = tuple(dict.fromkeys(one for one in read_ports or () if isinstance(one, NamedPort)))
        found = None if read_peers is None else tuple(dict.fromkeys(read_peers))
        if found == () or (numbers == () and not named):
            return None
        return ReadRule(action, found, numbers, named, origin)

    def _parts(self, parts: Iterable[tuple[int, Any]] | None, where: str, what: str) -> tuple[list[Any] | None, bool]:
        if parts is None:
            return None, True
        read, whole = [], True
        for number, part in parts:
            if isinstance(part, str):
                self.problems.append(f"{where}.{what}[{number}]: {part}")
                whole = False
            else:
                read.append(part)
        return read, whole


def read_policy(policy_id: str, record: Policy | Unreadable) -> ReadPolicy:
    """A NetworkPolicy; `policy_id` is "namespace/name"."""
    reader = _Reader(Kind.POLICY, policy_id)
    namespace = policy_id.partition("/")[0]
    if isinstance(record, Unreadable):
        return _unreadable(Kind.POLICY, policy_id, namespace, record.problem, isolates=_BOTH)
    pods, certain = reader.selector(record.pods, "podSelector")
    ingress = [
        reader.rule(
            Direction.INGRESS,
            number,
            Action.ALLOW,
            _peers(namespace, rule.from_),
            _ports(rule.port) if rule.port else None,
        )
        for number, rule in enumerate(record.ingress_rule)
    ]
    egress = [
        reader.rule(
            Direction.EGRESS, number, Action.ALLOW, _peers(namespace, rule.to), _ports(rule.port) if rule.port else None
        )
        for number, rule in enumerate(record.egress_rule)
    ]
    return ReadPolicy(
        kind=Kind.POLICY,
        id=policy_id,
        namespace=namespace,
        namespaces=EVERYTHING,
        pods=pods,
        certain=certain,
        priority=0,
        isolates=_isolates(record),
        ingress=tuple(filter(None, ingress)),
        egress=tuple(filter(None, egress)),
        problems=tuple(reader.problems),
    )


def read_admin_policy(kind: Kind, policy_id: str, record: AdminPolicy | Unreadable) -> ReadPolicy:
    """A policy of the administrator, of the kind that is named."""
    reader = _Reader(kind, policy_id)
    if isinstance(record, Unreadable):
        return _unreadable(kind, policy_id, "", record.problem, isolates=frozenset())
    namespaces, certain = reader.selector(record.namespaces, "subject, namespaces")
    pods, also = reader.selector(record.pods, "subject, pods")
    rules = {
        direction: tuple(
            filter(None, (_admin_rule(reader, direction, number, rule) for number, rule in enumerate(found)))
        )
        for direction, found in ((Direction.INGRESS, record.ingress_rule), (Direction.EGRESS, record.egress_rule))
    }
    return ReadPolicy(
        kind=kind,
        id=policy_id,
        namespace="",
        namespaces=namespaces,
        pods=pods,
        certain=certain and also,
        priority=record.priority,
        isolates=frozenset(),
        ingress=rules[Direction.INGRESS],
        egress=rules[Direction.EGRESS],
        problems=tuple(reader.problems),
    )


def merged(ports: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The same ports in as few ranges as there can be, sorted."""
    found: list[PortRange] = []
    for one in sorted(set(ports)):
        if found and found[-1].protocol == one.protocol and one.first <= found[-1].last + 1:
            found[-1] = PortRange(one.protocol, found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return tuple(found)


def _unreadable(
    kind: Kind, policy_id: str, namespace: str, problem: str, *, isolates: frozenset[Direction]
) -> ReadPolicy:
    return ReadPolicy(
        kind=kind,
        id=policy_id,
        namespace=namespace,
        namespaces=EVERYTHING,
        pods=EVERYTHING,
        certain=False,
        priority=0,
        isolates=isolates,
        ingress=(),
        egress=(),
        problems=(f"the record cannot be read: {problem}",),
    )


def _isolates(record: Policy) -> frozenset[Direction]:
    """Kubernetes' default: ingress, and egress when there is a rule for it."""
    if record.policy_type is PolicyType.DEFAULT:
        return _BOTH if record.egress_rule else frozenset({Direction.INGRESS})
    return _TYPES[record.policy_type]


def _peers(namespace: str, peers: tuple[Peer, ...]) -> list[tuple[int, PeerSet | Block | str]] | None:
    return [(number, _peer(namespace, one)) for number, one in enumerate(peers)] if peers else None


def _peer(namespace: str, peer: Peer) -> PeerSet | Block | str:
    try:
        if peer.ip_block is not None:
            if peer.pods is not None or peer.namespaces is not None:
                return "an ipBlock stands alone, and this peer has a selector as well"
            return _block(peer.ip_block)
        pods, namespaces = _exact(peer.pods), _exact(peer.namespaces)
    except _UnreadableError as error:
        return str(error)
    if peer.pods is None and peer.namespaces is None:
        return "it has neither a selector nor an ipBlock"
    if peer.namespaces is None:
        return PeerSet(namespace=namespace, pods=pods)
    return PeerSet(namespaces=namespaces, pods=pods)


def _exact(selector: LabelSelector | None) -> LabelSelector:
    found, problem = readable(selector)
    if problem:
        raise _UnreadableError(problem)
    return found


def _block(block: IPBlock) -> Block:
    cidr = _network(block.cidr)
    excepts = set()
    for text in block.except_:
        inner = _network(text)
        if inner.version != cidr.version or not inner.subnet_of(cidr) or inner == cidr:  # type: ignore[arg-type]
            raise _UnreadableError(f"except {text} is not a part of {block.cidr}")
        excepts.add(inner)
    ordered = sorted(excepts, key=lambda one: (int(one.network_address), one.prefixlen))
    return Block(str(cidr), tuple(map(str, ordered)))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        if "/" not in text:
            raise ValueError
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _UnreadableError(f"{text!r} is not a subnet") from None


def _ports(ports: tuple[Port, ...]) -> list[tuple[int, PortRange | NamedPort | str]]:
    return [(number, _port(one)) for number, one in enumerate(ports)]


def _port(port: Port) -> PortRange | NamedPort | str:
    protocol = port.transport
    if protocol not in PROTOCOLS:
        return f"protocol {protocol!r} is unknown: only TCP, UDP and SCTP are"
    if port.port is None:
        return "endPort needs a port to begin with" if port.end_port else PortRange(protocol)
    if port.port.type is PortType.NAME:
        if port.end_port:
            return "endPort needs a port that is a number"
        return _name(port.port.name) or NamedPort(port.port.name, protocol)
    return _range(protocol, port.port.number, port.end_port or port.port.number)


def _range(protocol: str, first: int, last: int) -> PortRange | str:
    if not 1 <= first <= last <= LAST_PORT:
        shown = str(first) if first == last else f"{first} to {last}"
        return f"{shown} is not a port or a range of ports between 1 and {LAST_PORT}"
    return PortRange(protocol, first, last)


def _name(name: str) -> str:
    """What is wrong with the name of a port."""
    if len(name) > _LONGEST_NAME:
        return f"port name {name!r} is longer than {_LONGEST_NAME} characters"
    if not _NAME.fullmatch(name):
        return f"port name {name!r} must be of lower case letters, digits and single hyphens inside, with a letter"
    return ""


def _admin_rule(reader: _Reader, direction: Direction, number: int, rule: AdminRule) -> ReadRule | None:
    try:
        action = Action(rule.action)
    except ValueError:
        reader.problems.append(f"{direction.lower()}[{number}]: action {rule.action!r} is unknown: taken as Deny")
        action = Action.DENY
    if action is Action.PASS and reader.kind is Kind.BASELINE:
        reader.problems.append(f"{direction.lower()}[{number}]: there is nothing to pass to: taken as Deny")
        action = Action.DENY
    peers: list[tuple[int, PeerSet | Block | str]] = []
    for place, peer in enumerate(rule.peer):
        peers += ((place, one) for one in _admin_peer(direction, peer))
    if not rule.peer:
        peers.append((0, "the rule has no peers"))
    by_address = any(peer.nodes is not None or peer.networks for peer in rule.peer)
    ports = [(place, _admin_port(one, by_address=by_address)) for place, one in enumerate(rule.port)] or None
    return reader.rule(direction, number, action, peers, ports, rule.name)


def _admin_peer(direction: Direction, peer: AdminPeer) -> list[PeerSet | Block | str]:
    try:
        if peer.unknown:
            return [peer.unknown]
        if (peer.nodes is not None or peer.networks) and direction is Direction.INGRESS:
            return ["nodes and networks are peers of egress only"]
        if peer.nodes is not None:
            return [PeerSet(nodes=_exact(peer.nodes))]
        if peer.networks:
            return [_block(IPBlock(cidr=one)) for one in peer.networks]
        if peer.namespaces is None and peer.pods is None:
            return ["nothing is selected"]
        return [PeerSet(namespaces=_exact(peer.namespaces), pods=_exact(peer.pods))]
    except _UnreadableError as error:
        return [str(error)]


def _admin_port(port: AdminPort, *, by_address: bool) -> PortRange | NamedPort | str:
    if port.name and by_address:
        return f"port name {port.name!r}: nodes and networks have none, give it a number"
    if port.name:
        return _name(port.name) or NamedPort(port.name, "")
    if port.protocol not in PROTOCOLS:
        return f"protocol {port.protocol!r} is unknown: only TCP, UDP and SCTP are"
    return _range(port.protocol, port.port, port.end_port or port.port)
