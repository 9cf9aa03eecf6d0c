"""The policies of a cluster as one node needs them: the tables of its own pods, and the peer sets that they use.

Everything here follows from the cluster's records and the names of the local pods, and is kept up to date by what
changes: a policy asks the local pods of its namespace, a pod the sets that may hold it. Nothing is worked out for pods
of other nodes. `replace` is the same from the beginning, and gives the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.model import keys
from contivpp.model.bulk import building
from contivpp.model.pod import on_host_network
from contivpp.policies.facts import PodFacts, facts_of, is_peer
from contivpp.policies.members import Moves, PeerSets, Pods
from contivpp.policies.model import FREE, Kind, PeerSet, Tables
from contivpp.policies.processor import may_select, tables_of
from contivpp.policies.reading import ReadPolicy, read_admin_policy, read_policy
from contivpp.policies.selectors import Anchored, LabelIndex, labels_of, readable

KINDS: Final = ("pod", "namespace", "node", "policy", *keys.ADMIN_POLICIES)
"""The kinds of records that matter to policies."""
_ADMIN: Final = {"adminnetworkpolicy": Kind.ADMIN, "baselineadminnetworkpolicy": Kind.BASELINE}


@dataclass(slots=True)
class Moved:
    """What is another one than before.

    Attributes:
        pods: local pods whose tables changed, by "namespace/name".
        sets: sets that are used now and were not, or the other way round.
        members: that came into a set or left it.
        problems: whether policies were read or forgotten, and with them what is wrong with them.
    """

    pods: dict[str, None] = field(default_factory=dict)
    sets: dict[PeerSet, None] = field(default_factory=dict)
    members: Moves = field(default_factory=dict)
    problems: bool = False

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.pods or self.sets or self.members or self.problems)


class PolicyIndex:
    """Tables and sets of one node; whoever changes the cluster's records, or the node's pods, says so here."""

    def __init__(self) -> None:
        """An empty cluster."""
        self._pods = Pods()
        self._namespaces = LabelIndex()
        self._nodes: dict[str, Any] = {}
        self._policies: dict[str, Any] = {}
        self._in_namespace: dict[str, Anchored[str]] = {}
        self._admin: dict[tuple[Kind, str], ReadPolicy] = {}
        self._read: dict[str, ReadPolicy] = {}
        self._problems: dict[tuple[str, str], tuple[str, ...]] = {}
        self._local: dict[str, Tables] = {}
        self._local_in: dict[str, set[str]] = {}
        self.sets = PeerSets(self._pods, self._namespaces, self._nodes)

    @classmethod
    def of(cls, records: Mapping[str, Mapping[str, Any]], local: Iterable[str]) -> PolicyIndex:
        """The index of a cluster, by kind and ID of record, and of the pods that are local."""
        index = cls()
        with building():
            for kind in KINDS:
                for record_id, record in records.get(kind, {}).items():
                    index._store(kind, record_id, record)
            for pod in local:
                index.set_local(pod, there=True)
        return index

    # ---- reading

    def tables(self, pod: str) -> Tables:
        """The tables of a local pod by "namespace/name"."""
        return self._local.get(pod, FREE)

    def local(self) -> Iterable[str]:
        """Every local pod."""
        return self._local

    def facts(self, pod: str) -> PodFacts:
        """What is known of any pod."""
        return facts_of(pod, self._pods.get(pod))

    def tables_of(self, pod: str) -> Tables:
        """The tables of any pod of the cluster that has a sandbox, worked out anew."""
        record = self._pods.get(pod)
        if record is not None and on_host_network(record):
            return FREE
        facts = facts_of(pod, record)
        return tables_of(facts, self._namespaces.labels.get(facts.namespace), self._concerning(facts))

    def selecting(self, pod: str) -> list[ReadPolicy]:
        """The policies that speak of a pod, sorted by kind and ID."""
        facts = self.facts(pod)
        namespace = self._namespaces.labels.get(facts.namespace)
        found = [one for one in self._concerning(facts) if may_select(one, facts, namespace)]
        return sorted(found, key=lambda one: (list(Kind).index(one.kind), one.priority, one.id))

    def policies(self) -> Iterator[ReadPolicy]:
        """Every policy of the cluster; reading them all takes its time."""
        yield from self._admin.values()
        for policy_id in self._policies:
            yield self._reading(policy_id)

    def problems(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """What is wrong with the policies that could matter here, by kind of record and ID.

        Those are the administrator's, and those of namespaces with local pods.
        """
        return dict(self._problems)

    def selected(self, policy: ReadPolicy) -> list[str]:
        """The pods that a policy speaks of, wherever they are, sorted."""
        if policy.namespace:
            pods = [facts_of(pod_id, pod) for pod_id, pod in self._pods.items(policy.namespace) if is_peer(pod)]
        else:
            pods = [facts_of(pod_id, pod) for pod_id, pod in self._pods.items() if is_peer(pod)]
        return sorted(one.id for one in pods if may_select(policy, one, self._namespaces.labels.get(one.namespace)))

    # ---- changing

    def put(self, kind: str, record_id: str, record: Any | None) -> Moved:
        """Takes a record, or with None its end; returns what is another one now."""
        moved = Moved()
        if kind not in KINDS:
            return moved
        before, problems = self._stored(kind, record_id), self._problems
        asked = dict.fromkeys(self._asked(kind, record_id))
        self._store(kind, record_id, record)
        asked |= dict.fromkeys(self._asked(kind, record_id))
        match kind:
            case "pod":
                self.sets.pod_changed(record_id.partition("/")[0], before, record, moved.members)
            case "namespace":
                self.sets.namespace_changed(record_id, self._namespaces.labels.get(record_id), moved.members)
            case "node":
                self.sets.node_changed(before, record, moved.members)
        for pod in asked:
            self._work_out(pod, moved)
        moved.problems = problems is not self._problems
        return moved

    def set_local(self, pod: str, *, there: bool) -> Moved:
        """A pod is one of this node's now, or is not any more."""
        moved = Moved()
        namespace = pod.partition("/")[0]
        problems = self._problems
        if there:
            self._local_in.setdefault(namespace, set()).add(pod)
            for policy_id in self._in_namespace.get(namespace, ()):
                self._reading(policy_id)
            self._local.setdefault(pod, FREE)
            self._work_out(pod, moved)
        elif pod in self._local:
            self._exchange(self._local.pop(pod), FREE, moved)
            moved.pods[pod] = None
            pods = self._local_in[namespace]
            pods.discard(pod)
            if not pods:
                del self._local_in[namespace]
                for policy_id in self._in_namespace.get(namespace, ()):
                    self._read.pop(policy_id, None)
                    self._note("policy", policy_id, ())
        moved.problems = problems is not self._problems
        return moved

    def _stored(self, kind: str, record_id: str) -> Any | None:
        match kind:
            case "pod":
                return self._pods.get(record_id)
            case "node":
                return self._nodes.get(record_id)
        return None

    def _store(self, kind: str, record_id: str, record: Any | None) -> None:
        match kind:
            case "pod":
                self._pods.put(record_id, record)
            case "namespace":
                self._namespaces.put(record_id, None if record is None else labels_of(record.label))
            case "node" if record is None:
                self._nodes.pop(record_id, None)
            case "node":
                self._nodes[record_id] = record
            case "policy":
                self._store_policy(record_id, record)
            case _:
                if record is None:
                    self._admin.pop((_ADMIN[kind], record_id), None)
                    self._note(kind, record_id, ())
                else:
                    policy = read_admin_policy(_ADMIN[kind], record_id, record)
                    self._admin[_ADMIN[kind], record_id] = policy
                    self._note(kind, record_id, policy.problems)

    def _store_policy(self, policy_id: str, record: Any | None) -> None:
        namespace = sys.intern(policy_id.partition("/")[0])
        self._read.pop(policy_id, None)
        self._note("policy", policy_id, ())
        before = self._policies.pop(policy_id, None)
        if before is not None:
            owners = self._in_namespace[namespace]
            owners.remove(_subject(before), policy_id)
            if not owners:
                del self._in_namespace[namespace]
        if record is not None:
            self._policies[policy_id] = record
            self._in_namespace.setdefault(namespace, Anchored()).add(_subject(record), policy_id)

    def _asked(self, kind: str, record_id: str) -> Iterable[str]:
        """The local pods whose tables may depend on a record, as it is stored now."""
        match kind:
            case "pod":
                return [record_id] if record_id in self._local else []
            case "namespace":
                return self._local_in.get(record_id, ()) if self._admin else ()
            case "node":
                return ()
            case "policy":
                local = self._local_in.get(record_id.partition("/")[0], ())
                if record_id not in self._policies or not local:
                    return ()  # what nobody here needs is not read
                policy = self._reading(record_id)
                return [pod for pod in local if may_select(policy, self.facts(pod), None)]
        return self._local

    def _work_out(self, pod: str, moved: Moved) -> None:
        before, after = self._local[pod], self.tables_of(pod)
        if before != after:
            self._exchange(before, after, moved)
            self._local[pod] = after
            moved.pods[pod] = None

    def _exchange(self, before: Tables, after: Tables, moved: Moved) -> None:
        wanted, had = dict.fromkeys(after.peer_sets()), dict.fromkeys(before.peer_sets())
        for peers in wanted:
            if peers not in had and self.sets.use(peers, moved.members):
                moved.sets[peers] = None
        for peers in had:
            if peers not in wanted and self.sets.release(peers, moved.members):
                moved.sets[peers] = None

    def _concerning(self, pod: PodFacts) -> Iterator[ReadPolicy]:
        """The policies that may speak of a pod, by their anchors."""
        yield from self._admin.values()
        if (owners := self._in_namespace.get(pod.namespace)) is not None:
            for policy_id in owners if pod.labels is None else owners.candidates(pod.labels):
                yield self._reading(policy_id)

    def _reading(self, policy_id: str) -> ReadPolicy:
        if (read := self._read.get(policy_id)) is None:
            read = self._read[policy_id] = read_policy(policy_id, self._policies[policy_id])
            self._note("policy", policy_id, read.problems)
        return read

    def _note(self, kind: str, record_id: str, problems: tuple[str, ...]) -> None:
        """Keeps what is wrong with a policy; another mapping says that something is another one."""
        if problems != self._problems.get((kind, record_id), ()):
            self._problems = {key: said for key, said in self._problems.items() if key != (kind, record_id)}
            if problems:
                self._problems[kind, record_id] = problems


def _subject(record: Any) -> Any:
    """The selector of pods of a policy, as far as it can be read."""
    return readable(getattr(record, "pods", None))[0]
