"""Policies on VPP: two access lists per pod, for what comes from its interface and for what goes to it.

A pod has both for as long as it lives, and its interface names them and never changes; a policy changes rules within.
What makes a pod reachable waits for its interface's lists. Rules "reflect": a connection that is let in or
out has its replies let pass by whatever other list. VPP knows no sets, so the peers are written out, neighbouring
addresses together. VPP knows no tiers either: where a rule of a tier passes, what the following tiers say of its
connections is written in its place. What was tried and why it is so: docs/vpp-policies.md.

VPP makes a connection of whichever packet comes first. So where a direction has no table, only the packet that opens
a TCP connection does: what a pod still sends on one that its other table forbids from now on passes, but makes no
connection of it again, and it is cut.

VPP sees no ports of SCTP, nor can it then tell who opened an association. Nothing is opened by that: a rule that allows
single ports of it matches nothing, one that denies them, or passes, denies all of SCTP to its peers, and what is
allowed passes without "reflect", so that both tables of a pod must allow a peer.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contivpp.agent.policies.renderer import MembersOf
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule
from contivpp.model.addressplan import EVERYTHING, AddressPlan
from contivpp.policies.blocks import ranges, subnets, version_of
from contivpp.policies.model import LAST_PORT, Action, Block, Direction, Member, PeerSet, PortRange, Rule, Table, Tables
from contivpp.scheduler.api import by_key

DENY: Final = "policy/deny"
_TCP: Final = "TCP"
_SCTP: Final = "SCTP"
_NUMBERS: Final = {"": 0, _TCP: 6, "UDP": 17, _SCTP: 132}
_OPENING: Final = (0x12, 0x02)
"""Of the flags SYN and ACK, the first one alone: mask and value."""
_ICMP: Final = {4: 1, 6: 58}
_TYPES: Final = {4: ((3, 3), (11, 12)), 6: ((1, 4), (133, 137))}
"""Errors about connections; of IPv6 also what finds neighbours and routers."""
_CODES: Final = (0, 255)
_ALL_PORTS: Final = (0, LAST_PORT)


@dataclass(frozen=True, slots=True)
class _Match:
    """Connections to or from a subnet, of a protocol ("" for any), on ports."""

    subnet: str
    protocol: str = ""
    ports: tuple[int, int] = _ALL_PORTS

    def within(self, other: _Match) -> _Match | None:
        """What is in both."""
        mine, theirs = ipaddress.ip_network(self.subnet), ipaddress.ip_network(other.subnet)
        if mine.version != theirs.version or not mine.overlaps(theirs):
            return None
        if self.protocol and other.protocol and self.protocol != other.protocol:
            return None
        ports = max(self.ports[0], other.ports[0]), min(self.ports[1], other.ports[1])
        if ports[0] > ports[1]:
            return None
        subnet = mine if mine.prefixlen >= theirs.prefixlen else theirs
        return _Match(str(subnet), self.protocol or other.protocol, ports)


class VppPolicies:
    """Renders policies for VPP's access lists."""

    writes_peers_out = True

    def __init__(self, interface_of: Callable[[str], str]) -> None:
        """Takes how VPP's interface of a sandbox is called, by the sandbox's container."""
        self._interface_of = interface_of

    def base(self, plan: AddressPlan) -> Mapping[str, Any]:
        """The list that ends all others."""
        return by_key(Acl(DENY, tuple(AclRule("deny", one, one) for one in EVERYTHING.values())))

    def pod(
        self, pod: LocalPod, tables: Tables, own: OwnNode, plan: AddressPlan, members: MembersOf
    ) -> Mapping[str, Any]:
        """Both lists of a pod, and their place."""
        name = f"policy/{hashlib.sha256(str(pod.id).encode()).hexdigest()[:20]}"
        versions = [family.version for family in plan.families]
        addresses = {version_of(one): one for one in pod.addresses if version_of(one) in versions}
        hosts = [*own.host, *own.management]
        hosts += [str(family.host_link_linux(own.id)) for family in plan.families if own.id]
        lists = []
        for direction, way in ((Direction.EGRESS, "in"), (Direction.INGRESS, "out")):
            free = [*addresses.values(), *(hosts if direction is Direction.INGRESS else ())]
            decided = [(_Match(_only(one)), Action.ALLOW) for one in dict.fromkeys(free)]
            table = tables.of(direction)
            rules = [*_errors(versions), *_rules(direction, addresses, decided, middle=True)]
            rules += _rules(direction, addresses, _flattened(table, members), middle=bool(table))
            lists.append(Acl(f"{name}/{way}", tuple(dict.fromkeys(rules))))
        inbound, outbound = lists
        interface = self._interface_of(pod.sandbox.container_id)
        return by_key(*lists, AclList(interface, (inbound.name, DENY), (outbound.name, DENY)))

    def peer_set(self, peers: PeerSet, plan: AddressPlan) -> Mapping[str, Any]:
        """Nothing: peers are written out."""
        return {}

    def member(self, peers: PeerSet, member: Member, plan: AddressPlan) -> Mapping[str, Any]:
        """Nothing."""
        return {}


def _only(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _errors(versions: Sequence[int]) -> Iterator[AclRule]:
    for version in versions:
        everybody = EVERYTHING[version]
        for types in _TYPES[version]:
            yield AclRule("permit", everybody, everybody, _ICMP[version], types, _CODES)


def _rules(
    direction: Direction, addresses: Mapping[int, str], decided: Iterable[tuple[_Match, Action]], *, middle: bool
) -> Iterator[AclRule]:
    """What is decided of the connections of a pod, as rules for its own addresses and no others.

    Args:
        direction: of the connections.
        addresses: of the pod by IP version.
        decided: in order.
        middle: whether a packet in the middle of a TCP connection makes it one that is known, and not only its first.
    """
    for match, action in decided:
        version = version_of(match.subnet)
        if version not in addresses:
            continue
        ends = (match.subnet, _only(addresses[version]))
        source, destination = ends if direction is Direction.INGRESS else ends[::-1]
        if action is Action.DENY:
            yield AclRule("deny", source, destination, _NUMBERS[match.protocol], destination_ports=match.ports)
            continue
        if match.protocol in ("", _SCTP):
            yield AclRule("permit", source, destination, _NUMBERS[_SCTP])
        if match.protocol in ("", _TCP) and not middle:
            ports = match.ports
            yield AclRule("reflect", source, destination, _NUMBERS[_TCP], destination_ports=ports, tcp_flags=_OPENING)
            yield AclRule("permit", source, destination, _NUMBERS[_TCP], destination_ports=ports)
        if match.protocol != _SCTP:
            yield AclRule("reflect", source, destination, _NUMBERS[match.protocol], destination_ports=match.ports)


def _flattened(table: Table, members: MembersOf) -> list[tuple[_Match, Action]]:
    """Decisions in order, of which the first one that matches counts; the last ones are about everything."""
    everything = [_Match(one) for one in EVERYTHING.values()]
    if not table:
        return [(one, Action.ALLOW) for one in everything]
    tier, following = table[0], _flattened(table[1:], members)
    found: list[tuple[_Match, Action]] = []
    for rule in tier.rules:
        for match, action in _matches(rule, members):
            found += _decided(match, action, following)
    for one in everything:
        found += _decided(one, tier.otherwise, following)
    return found


def _decided(match: _Match, action: Action, following: Iterable[tuple[_Match, Action]]) -> list[tuple[_Match, Action]]:
    if action is not Action.PASS:
        return [(match, action)]
    return [(both, then) for one, then in following if (both := match.within(one)) is not None]


def _matches(rule: Rule, members: MembersOf) -> Iterator[tuple[_Match, Action]]:
    """What a rule speaks of, and what it does with it."""
    ports = [_expressible(one, rule.action) for one in rule.ports or ()]
    if rule.ports is None:
        ports = [("", _ALL_PORTS, rule.action)]
    for subnet in EVERYTHING.values() if rule.peers is None else _subnets(rule.peers, members):
        yield from ((_Match(subnet, protocol, numbers), action) for protocol, numbers, action in filter(None, ports))
    for peers in rule.peers or ():
        if isinstance(peers, PeerSet) and peers.port:
            for one in sorted(members(peers)):
                found = _expressible(PortRange(one.protocol, one.port, one.port), rule.action)
                if found is not None:
                    yield _Match(_only(one.address), found[0], found[1]), found[2]


def _expressible(ports: PortRange, action: Action) -> tuple[str, tuple[int, int], Action] | None:
    """Ports as VPP can match them, and what is done with them: nothing is opened by ports that it does not see."""
    if ports.protocol != _SCTP or ports.whole:
        return ports.protocol, (ports.first, ports.last), action
    return None if action is Action.ALLOW else (ports.protocol, _ALL_PORTS, Action.DENY)


def _subnets(peers: Iterable[PeerSet | Block], members: MembersOf) -> Iterator[str]:
    """Everybody of all peers without named ports, in as few subnets as there can be."""
    blocks = []
    for one in peers:
        if isinstance(one, Block):
            blocks.append(one)
        elif not one.port:
            blocks += (Block(_only(member.address)) for member in members(one))
    for version in EVERYTHING:
        yield from subnets(ranges(one for one in blocks if version_of(one.cidr) == version), version)
