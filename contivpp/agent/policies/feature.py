"""Network policies of this node's pods.

Units: a local pod with its tables, a peer set that tables of several pods share, and one member of such a set: a
pod that comes up somewhere, or has another label, is one value in every set that it enters or leaves, however
large the set is. What there is, is in `View.policies`, and what is wrong with policies is noted when the base is.

A pod is never reachable before its policies are in place: what a pod's tables render to is part of the transaction
that connects it, which is taken back as a whole when any of it fails, and comes first in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contivpp.agent.changes import Change, LocalPodChange, OwnNodeChange, PolicyChange, WorldChange
from contivpp.agent.refusals import Refusals
from contivpp.model.keys import PodID
from contivpp.policies.model import Member, PeerSet

if TYPE_CHECKING:
    from contivpp.agent.policies.renderer import PolicyRenderer
    from contivpp.agent.view import View


@dataclass(frozen=True, slots=True)
class BaseUnit:
    """What is needed once."""


@dataclass(frozen=True, slots=True)
class PodPoliciesUnit:
    """One pod of this node."""

    pod: PodID


@dataclass(frozen=True, slots=True)
class PeerSetUnit:
    """A set of peers."""

    peers: PeerSet


@dataclass(frozen=True, slots=True)
class MemberUnit:
    """One member of a set of peers."""

    peers: PeerSet
    member: Member


Unit = BaseUnit | PodPoliciesUnit | PeerSetUnit | MemberUnit


class PoliciesFeature:
    """Who may talk to the pods of this node, and to whom they may."""

    name = "policies"

    def __init__(self, renderer: PolicyRenderer, refusals: Refusals | None = None) -> None:
        """Takes the data plane's way to enforce it, and whom to tell of policies that cannot be read as a whole."""
        self._renderer = renderer
        self._refusals = refusals or Refusals()
        self._noted: set[tuple[str, str]] = set()

    def units(self, view: View) -> Iterable[Unit]:
        """The base, the local pods, the sets that their tables use, and all members of those."""
        yield BaseUnit()
        yield from map(PodPoliciesUnit, view.pods)
        if self._renderer.writes_peers_out:
            return
        for peers in view.policies.sets:
            yield PeerSetUnit(peers)
            yield from (MemberUnit(peers, member) for member in view.policies.sets.members(peers))

    def affected(self, change: Change, view: View) -> Iterable[Unit]:
        """What the index of policies says, and a pod that has another address or interface."""
        match change:
            case LocalPodChange(pod=pod):
                yield PodPoliciesUnit(pod)
            case PolicyChange(moved=moved):
                if moved.problems:
                    yield BaseUnit()
                for text in moved.pods:
                    namespace, _, name = text.partition("/")
                    yield PodPoliciesUnit(PodID(name=name, namespace=namespace))
                if self._renderer.writes_peers_out:
                    yield from self._users(dict.fromkeys(peers for peers, _ in moved.members), view)
                    return
                yield from map(PeerSetUnit, moved.sets)
                yield from (MemberUnit(peers, member) for peers, member in moved.members)
            case OwnNodeChange():
                yield from map(PodPoliciesUnit, view.pods)
            case WorldChange():
                yield from self.units(view)

    def render(self, unit: Unit, view: View) -> Mapping[str, Any]:
        """Nothing for a pod that is gone, a set that nobody uses, and who is no member."""
        plan, sets = view.plan, view.policies.sets
        match unit:
            case BaseUnit():
                self._note(view)
                return self._renderer.base(plan)
            case PodPoliciesUnit(pod=pod_id):
                pod = view.pods.get(pod_id)
                if pod is None:
                    return {}
                return self._renderer.pod(pod, view.policies.tables(str(pod_id)), view.own, plan, sets.members)
            case PeerSetUnit(peers=peers):
                return self._renderer.peer_set(peers, plan) if peers in sets else {}
            case MemberUnit(peers=peers, member=member):
                return self._renderer.member(peers, member, plan) if member in sets.members(peers) else {}

    def _users(self, changed: Mapping[PeerSet, None], view: View) -> Iterable[PodPoliciesUnit]:
        """The pods whose tables speak of any of these sets."""
        if changed:
            for pod in view.pods:
                if any(peers in changed for peers in view.policies.tables(str(pod)).peer_sets()):
                    yield PodPoliciesUnit(pod)

    def _note(self, view: View) -> None:
        problems = view.policies.problems()
        for kind, record_id in sorted(self._noted | problems.keys()):
            self._refusals.note(kind, record_id, problems.get((kind, record_id), ()))
        self._noted = set(problems)
