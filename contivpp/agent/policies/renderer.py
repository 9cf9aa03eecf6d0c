"""What policies ask of a data plane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from contivpp.agent.view import LocalPod, OwnNode
from contivpp.model.addressplan import AddressPlan
from contivpp.policies.model import Member, PeerSet, Tables

MembersOf = Callable[[PeerSet], Iterable[Member]]
"""Who is in a set that rules speak of."""


class PolicyRenderer(Protocol):
    """Enforces policies as values of one data plane; every method is a pure function.

    Attributes:
        writes_peers_out: whether what a pod renders to holds the members of its sets; otherwise every member is a
            value of its own, and a pod does not change with them.
    """

    writes_peers_out: bool

    def base(self, plan: AddressPlan) -> Mapping[str, Any]:
        """What is needed once, whatever policies and pods there are."""
        ...

    def pod(
        self, pod: LocalPod, tables: Tables, own: OwnNode, plan: AddressPlan, members: MembersOf
    ) -> Mapping[str, Any]:
        """What enforces the tables of a local pod; they may be empty."""
        ...

    def peer_set(self, peers: PeerSet, plan: AddressPlan) -> Mapping[str, Any]:
        """A set that rules speak of, without its members."""
        ...

    def member(self, peers: PeerSet, member: Member, plan: AddressPlan) -> Mapping[str, Any]:
        """One member of such a set."""
        ...
