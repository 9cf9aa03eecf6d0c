"""Policies on the Linux data plane: nftables sets, and chains that only the packets of their pod see.

Every packet of a connection, in both directions, is judged by what opened it: connection tracking knows the address
that it came from and the address that it leads to, after services were translated and before a source is. So
replies pass because their connection is allowed, and an established connection that a new table forbids is cut with
its next packet, whichever way that goes; there is no state to be kept, and a restart of the agent changes nothing.

One verdict map per direction and IP version leads to the chains of a pod: a packet costs two look-ups, and only what is
to or from a pod with tables costs more. A tier is a chain. What is allowed returns, for the other end may be a
local pod as well. Packets that the node itself sends see no chain, so its probes always reach its pods; what pods send
to the node is judged in the input hook. Neighbour discovery is not tracked and passes; so do errors about
connections. A packet that belongs to no connection, though it should, is judged by its own addresses and matches no
address or port of a rule.

No pod sends from another address than its own: what it may do is found by that address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.policies.renderer import MembersOf
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.linux.nft.policy_names import WAYS
from contivpp.dataplane.linux.nft.values import NftChain, NftElement, NftSet
from contivpp.model.addressplan import AddressPlan
from contivpp.policies.blocks import BITS, ranges, texts, version_of
from contivpp.policies.model import Action, Block, Direction, Member, PeerSet, PortRange, Rule, Table, Tables
from contivpp.scheduler.api import by_key

_IP: Final = {4: "ip", 6: "ip6"}
_TYPE: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
_OWN: Final = "policy/own"
_LINKS: Final = "policy/links"
_WAYS: Final = {Direction.EGRESS: WAYS["egress"], Direction.INGRESS: WAYS["ingress"]}
_OPENER: Final = {4: "ct original ip saddr", 6: "ct original ip6 saddr"}
_TARGET: Final = {4: "ct reply ip saddr", 6: "ct reply ip6 saddr"}
_PEER: Final = {Direction.INGRESS: _OPENER, Direction.EGRESS: _TARGET}
_LINK_LOCAL: Final = "fe80::/10"
_ERRORS: Final = "meta l4proto { icmp, icmpv6 } ct state related accept"
_HOOK: Final = "type filter hook {} priority 0; policy accept"


class LinuxPolicies:
    """Renders policies for nftables."""

    writes_peers_out = False

    def base(self, plan: AddressPlan) -> Mapping[str, Any]:
        """The maps from pods to chains, and the two hooks."""
        values: list[Any] = [NftSet(_LINKS, "type ifname", holds="elements")]
        forward, to_node = [_ERRORS], [_ERRORS]
        for version in _versions(plan):
            own = f"{_OWN}{version}"
            values.append(NftSet(own, f"type ifname . {_TYPE[version]}", holds="elements"))
            values += [
                NftSet(f"policy/{way}{version}", f"type {_TYPE[version]} : verdict", holds="elements")
                for way in _WAYS.values()
            ]
            ip = _IP[version]
            for rules in (forward, to_node):
                if version == 6:
                    rules.append(f"iifname @{_LINKS} ip6 saddr {_LINK_LOCAL} accept")
                rules.append(f"iifname @{_LINKS} iifname . {ip} saddr != @{own} drop")
                rules.append(f"{_OPENER[version]} vmap @policy/from{version}")
                rules.append(f"ct state invalid {ip} saddr vmap @policy/from{version}")
            forward.append(f"{_TARGET[version]} vmap @policy/to{version}")
            forward.append(f"ct state invalid {ip} daddr vmap @policy/to{version}")
        values.append(NftChain("policy/forward", tuple(forward), _HOOK.format("forward")))
        values.append(NftChain("policy/input", tuple(to_node), _HOOK.format("input")))
        return by_key(*values)

    def pod(
        self, pod: LocalPod, tables: Tables, own: OwnNode, plan: AddressPlan, members: MembersOf
    ) -> Mapping[str, Any]:
        """The chains of a pod, what leads to them, and the addresses that are its own."""
        link = pod_names(pod.sandbox.container_id).host_interface
        addresses = [(version_of(address), address) for address in pod.addresses]
        addresses = [(version, address) for version, address in addresses if version in _versions(plan)]
        values: list[Any] = [NftElement(_LINKS, link)]
        values += [NftElement(f"{_OWN}{version}", f"{link} . {address}") for version, address in addresses]
        for direction, way in _WAYS.items():
            if table := tables.of(direction):
                name = f"policy/{way}/{digest_of(str(pod.id))}"
                values += _chains(name, direction, table, addresses, _versions(plan))
                values += [
                    NftElement(f"policy/{way}{version}", address, f"jump {name}/0") for version, address in addresses
                ]
        return by_key(*values)

    def peer_set(self, peers: PeerSet, plan: AddressPlan) -> Mapping[str, Any]:
        """One set per IP version."""
        ports = " . inet_proto . inet_service" if peers.port else ""
        return by_key(
            *(
                NftSet(_set_name(peers, version), f"type {_TYPE[version]}{ports}", holds="elements")
                for version in _versions(plan)
            )
        )

    def member(self, peers: PeerSet, member: Member, plan: AddressPlan) -> Mapping[str, Any]:
        """One element of the set of the address's version."""
        version = version_of(member.address)
        if version not in _versions(plan):
            return {}
        key = member.address
        if member.protocol:
            key += f" . {member.protocol.lower()} . {member.port}"
        return by_key(NftElement(_set_name(peers, version), key))


def _versions(plan: AddressPlan) -> Sequence[int]:
    return [family.version for family in plan.families]


def digest_of(pod: str) -> str:
    """What stands for a pod in the names of its chains."""
    return hashlib.sha256(pod.encode()).hexdigest()[:20]


def _set_name(peers: PeerSet, version: int) -> str:
    return f"policy/peers/{peers.id}/{version}"


def _chains(
    name: str, direction: Direction, table: Table, addresses: Iterable[tuple[int, str]], versions: Sequence[int]
) -> Iterator[NftChain]:
    """One chain per tier; a pod reaches itself before anything is asked."""
    for number, tier in enumerate(table):
        following = f"goto {name}/{number + 1}" if number + 1 < len(table) else "return"
        verdicts = {Action.ALLOW: "return", Action.DENY: "drop", Action.PASS: following}
        rules = [] if number else [f"{_PEER[direction][version]} {address} return" for version, address in addresses]
        for rule in tier.rules:
            rules += (f"{match}{verdicts[rule.action]}" for match in _matches(direction, rule, versions))
        rules.append(verdicts[tier.otherwise])
        yield NftChain(f"{name}/{number}", tuple(rules))


def _matches(direction: Direction, rule: Rule, versions: Sequence[int]) -> Iterator[str]:
    """What packets must be like, any of them; each ends with a space, or is empty for everything."""
    ports = tuple(_port_matches(rule.ports))
    if rule.peers is None:
        yield from ports
        return
    for version in versions:
        key = _PEER[direction][version]
        for peers in rule.peers:
            if isinstance(peers, PeerSet):
                name = _set_name(peers, version)
                if peers.port:
                    ip = _IP[version]
                    yield f"ct direction original {ip} daddr . meta l4proto . th dport @{name} "
                    yield f"ct direction reply {ip} saddr . meta l4proto . th sport @{name} "
                else:
                    yield from (f"{key} @{name} {port}" for port in ports)
        blocks = [one for one in rule.peers if isinstance(one, Block) and version_of(one.cidr) == version]
        if found := ranges(blocks):
            whole = found == [(0, (1 << BITS[version]) - 1)]
            address = f"meta nfproto ipv{version}" if whole else f"{key} {{ {', '.join(texts(found, version))} }}"
            yield from (f"{address} {port}" for port in ports)


def _port_matches(ports: Sequence[PortRange] | None) -> Iterator[str]:
    """Ports of connections: those that the packets of who opened it go to, and the answers come from."""
    if ports is None:
        yield ""
        return
    for protocol in dict.fromkeys(one.protocol for one in ports):
        name = protocol.lower()
        found = [one for one in ports if one.protocol == protocol]
        if any(one.whole for one in found):
            yield f"meta l4proto {name} "
            continue
        texts = ", ".join(str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in found)
        yield f"ct direction original {name} dport {{ {texts} }} "
        yield f"ct direction reply {name} sport {{ {texts} }} "
