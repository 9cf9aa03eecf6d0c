"""Rule tables: what may come to a pod, and what may leave it, in the words of no data plane.

A table is a sequence of tiers, and a packet that no tier decides on is allowed. Within a tier the first rule that
matches decides: Allow and Deny are final, Pass goes on to the next tier; when no rule matches, the tier says what
then (Pass, or Deny where the pod is isolated). Kubernetes' tiers are, in this order: AdminNetworkPolicies by
priority, NetworkPolicies, the BaselineAdminNetworkPolicy. An empty table is one that nobody needs to look at.

A table is about connections, not about packets: it is asked once with the address of who opened the connection,
the address and port that it leads to after services were translated, and holds for both directions of its
packets. Whatever enforces it lets a pod reach itself, lets its own node reach it, and lets pass what IP itself needs
(neighbour discovery, errors about connections that are allowed).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from contivpp.model import codec
from contivpp.model.labels import LabelSelector
from contivpp.policies.selectors import in_words

LAST_PORT: Final = 65535
PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_ID_DIGITS: Final = 20
_ALL: Final = LabelSelector()


class Action(StrEnum):
    """What a rule does with what it matches."""

    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"  # noqa: S105


class Direction(StrEnum):
    """As a pod sees it."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Kind(StrEnum):
    """Kinds of policies; each makes a tier."""

    ADMIN = "AdminNetworkPolicy"
    POLICY = "NetworkPolicy"
    BASELINE = "BaselineAdminNetworkPolicy"


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports `first` to `last` of TCP, UDP or SCTP; all of them are 0 to 65535."""

    protocol: str
    first: int = 0
    last: int = LAST_PORT

    @property
    def whole(self) -> bool:
        """Whether it is every port of the protocol."""
        return (self.first, self.last) == (0, LAST_PORT)


@dataclass(frozen=True, slots=True)
class Block:
    """Addresses of a subnet without those of some of its parts; all as text, in normal form."""

    cidr: str
    excepts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.cidr} except {', '.join(self.excepts)}" if self.excepts else self.cidr


class Member(NamedTuple):
    """An address in a peer set, with a protocol and a port in one of named ports."""

    address: str
    protocol: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PeerSet:
    """Pods, or nodes, by what they are; rules of many pods share one. Equal ones have the same `id`.

    Attributes:
        namespace: only the pods in it; "" leaves it to `namespaces`.
        namespaces: the pods in namespaces that match; None where `namespace` says it.
        pods: which pods of those.
        nodes: addresses of nodes that match, and no pods at all; None for pods.
        block: only those whose addresses are in it.
        port: the name of a port: then members are the addresses with that port of theirs; "" for addresses alone.
        protocol: of that port; "" for any.
        id: stands for all of it.
    """

    namespace: str = ""
    namespaces: LabelSelector | None = None
    pods: LabelSelector = _ALL
    nodes: LabelSelector | None = None
    block: Block | None = None
    port: str = ""
    protocol: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        """Works out the ID."""
        parts = [self.namespace, self.port, self.protocol, str(self.block or "")]
        for selector in (self.namespaces, self.pods, self.nodes):
            parts.append("" if selector is None else codec.encode(selector).decode())
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_ID_DIGITS]
        object.__setattr__(self, "id", digest)

    def __eq__(self, other: object) -> bool:
        """Whether they are the same peers."""
        return isinstance(other, PeerSet) and other.id == self.id

    def __hash__(self) -> int:
        """By ID."""
        return hash(self.id)

    def __str__(self) -> str:
        """As people would say it."""
        if self.nodes is not None:
            return f"nodes {in_words(self.nodes)}"
        where = f"namespace {self.namespace}" if self.namespace else f"namespaces {in_words(self.namespaces or _ALL)}"
        words = f"pods {in_words(self.pods)} in {where}"
        if self.block is not None:
            words += f" within {self.block}"
        return f"port {self.port} of {words}" if self.port else words


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule comes from.

    Attributes:
        policy: "namespace/name", or the name of what has no namespace.
        rule: its place in the policy's list of that direction, from 0.
        name: of the rule, if it has one.
    """

    kind: Kind
    policy: str
    rule: int
    name: str = ""

    def __str__(self) -> str:
        """As people name it."""
        return f"{self.kind} {self.policy}, rule {self.rule}" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a connection must be like, and what is done with it.

    Attributes:
        peers: any of them; None for everybody, and nobody when it is empty.
        ports: any of them; None for everything, also what has no ports. Peers that are sets of named ports bring
            theirs along, and the rule has None.
    """

    action: Action
    peers: tuple[PeerSet | Block, ...] | None
    ports: tuple[PortRange, ...] | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class Tier:
    """Rules in order; `otherwise` is Pass or Deny."""

    kind: Kind
    rules: tuple[Rule, ...]
    otherwise: Action
    isolating: tuple[str, ...] = ()
    """The policies that isolate the pod, by ID, sorted; only where `otherwise` is Deny."""


Table = tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """Both tables of a pod."""

    ingress: Table = ()
    egress: Table = ()

    def of(self, direction: Direction) -> Table:
        """The table of a direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def peer_sets(self) -> Iterator[PeerSet]:
        """Every set that the rules speak of; some more than once."""
        for table in (self.ingress, self.egress):
            for tier in table:
                for rule in tier.rules:
                    for peer in rule.peers or ():
                        if isinstance(peer, PeerSet):
                            yield peer


FREE: Final = Tables()
"""A pod that no policy speaks of."""
