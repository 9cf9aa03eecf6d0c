"""Who is in which peer set: kept up to date by what changes, and by nothing else.

Only sets that somebody uses are kept. A change of a pod asks the sets whose namespaces hold it and whose selector may
match its labels, before and after; a change of a namespace's labels asks the selectors of namespaces, each once, and
then those of its pods only where the answer changed. A namespace that nobody has reflected yet is matched by the
empty selector alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from contivpp.model.labels import LabelSelector
from contivpp.model.node import Node
from contivpp.model.pod import Pod
from contivpp.policies.facts import is_peer, named_ports, node_addresses, pod_addresses, pod_labels, within
from contivpp.policies.model import Member, PeerSet
from contivpp.policies.selectors import EVERYTHING, Anchored, LabelIndex, matches

Moves = dict[tuple[PeerSet, Member], None]
"""Members that came or went, in the order in which they did."""


@dataclass(slots=True)
class _Group:
    """The sets whose namespaces are chosen by one selector; `namespaces` None for all."""

    selector: LabelSelector
    namespaces: set[str] | None
    sets: Anchored[PeerSet] = field(default_factory=Anchored)

    def covers(self, namespace: str) -> bool:
        return self.namespaces is None or namespace in self.namespaces


class Pods:
    """Every pod of the cluster by namespace, and who has which label."""

    def __init__(self) -> None:
        """Empty."""
        self.by_namespace: dict[str, dict[str, Pod]] = {}
        self.by_label = LabelIndex()

    def put(self, pod_id: str, pod: Pod | None) -> None:
        """Takes a pod by "namespace/name", or with None its end."""
        namespace = pod_id.partition("/")[0]
        if pod is None:
            pods = self.by_namespace.get(namespace, {})
            pods.pop(pod_id, None)
            if not pods:
                self.by_namespace.pop(namespace, None)
        else:
            self.by_namespace.setdefault(namespace, {})[pod_id] = pod
        self.by_label.put(pod_id, None if pod is None else pod_labels(pod))

    def get(self, pod_id: str) -> Pod | None:
        """A pod by "namespace/name"."""
        return self.by_namespace.get(pod_id.partition("/")[0], {}).get(pod_id)

    def of(self, namespace: str) -> Iterable[Pod]:
        """The pods of a namespace."""
        return self.by_namespace.get(namespace, {}).values()

    def items(self, namespace: str = "") -> Iterator[tuple[str, Pod]]:
        """Pods with their IDs, of a namespace or of all."""
        for found in [self.by_namespace.get(namespace, {})] if namespace else self.by_namespace.values():
            yield from found.items()


class PeerSets:
    """The sets in use, with their members."""

    def __init__(self, pods: Pods, namespaces: LabelIndex, nodes: Mapping[str, Node]) -> None:
        """Takes the cluster; whoever changes it says so here."""
        self._pods = pods
        self._namespaces = namespaces
        self._nodes = nodes
        self._uses: dict[PeerSet, int] = {}
        self._members: dict[PeerSet, dict[Member, int]] = {}
        self._in_namespace: dict[str, Anchored[PeerSet]] = {}
        self._groups: dict[LabelSelector, _Group] = {}
        self._of_nodes: dict[PeerSet, None] = {}

    def __iter__(self) -> Iterator[PeerSet]:
        """Every set in use."""
        return iter(self._members)

    def __contains__(self, peers: PeerSet) -> bool:
        """Whether anybody uses a set."""
        return peers in self._members

    def members(self, peers: PeerSet) -> Iterable[Member]:
        """Who is in a set; nobody is in one that is not in use."""
        return self._members.get(peers, {}).keys()

    # ---- use

    def use(self, peers: PeerSet, moves: Moves) -> bool:
        """Somebody uses a set; returns whether nobody did before."""
        self._uses[peers] = self._uses.get(peers, 0) + 1
        if self._uses[peers] > 1:
            return False
        self._members[peers] = {}
        if peers.nodes is not None:
            self._of_nodes[peers] = None
            for node in self._nodes.values():
                self._count(peers, _of_node(peers, node), +1, moves)
            return True
        self._sets_with(peers).add(peers.pods, peers)
        for pod in self._candidates(peers):
            self._count(peers, _of_pod(peers, pod), +1, moves)
        return True

    def release(self, peers: PeerSet, moves: Moves) -> bool:
        """Somebody uses a set no more; returns whether nobody does now."""
        self._uses[peers] -= 1
        if self._uses[peers]:
            return False
        del self._uses[peers]
        moves.update(((peers, member), None) for member in self._members.pop(peers))
        if peers.nodes is not None:
            del self._of_nodes[peers]
            return True
        sets = self._sets_with(peers)
        sets.remove(peers.pods, peers)
        if not sets:
            if peers.namespaces is None:
                del self._in_namespace[peers.namespace]
            else:
                del self._groups[peers.namespaces]
        return True

    def _sets_with(self, peers: PeerSet) -> Anchored[PeerSet]:
        """The sets that look at the same namespaces."""
        if peers.namespaces is None:
            return self._in_namespace.setdefault(peers.namespace, Anchored())
        if (group := self._groups.get(peers.namespaces)) is None:
            everywhere = peers.namespaces == EVERYTHING
            matching = None if everywhere else self._namespaces.matching(peers.namespaces)
            group = self._groups[peers.namespaces] = _Group(peers.namespaces, matching)
        return group.sets

    def _candidates(self, peers: PeerSet) -> Iterator[Pod]:
        """The pods that may be in a set, found by whatever names the fewest."""
        if peers.namespaces is None:
            yield from self._pods.of(peers.namespace)
            return
        namespaces = self._groups[peers.namespaces].namespaces
        narrowed = self._pods.by_label.narrowed(peers.pods)
        everywhere = self._pods.by_namespace.keys()
        if narrowed is not None and len(narrowed) <= len(everywhere if namespaces is None else namespaces):
            for pod_id in narrowed:
                if namespaces is None or pod_id.partition("/")[0] in namespaces:
                    pod = self._pods.get(pod_id)
                    assert pod is not None
                    yield pod
            return
        for namespace in everywhere if namespaces is None else namespaces:
            yield from self._pods.of(namespace)

    # ---- changes

    def pod_changed(self, namespace: str, before: Pod | None, after: Pod | None, moves: Moves) -> None:
        """A pod came, went or is another one now."""
        touched: dict[PeerSet, None] = {}
        for pod in (before, after):
            if pod is not None:
                touched.update(dict.fromkeys(self._asking(namespace, pod)))
        for peers in touched:
            found = () if before is None else tuple(_of_pod(peers, before))
            wanted = () if after is None else tuple(_of_pod(peers, after))
            if found != wanted:
                self._count(peers, wanted, +1, moves)
                self._count(peers, found, -1, moves)

    def namespace_changed(self, namespace: str, labels: Mapping[str, str] | None, moves: Moves) -> None:
        """A namespace came, went (`labels` None) or has other labels."""
        for group in self._groups.values():
            if group.namespaces is None:
                continue
            wanted = labels is not None and matches(group.selector, labels)
            if wanted == (namespace in group.namespaces):
                continue
            (group.namespaces.add if wanted else group.namespaces.discard)(namespace)
            for pod in self._pods.of(namespace):
                for peers in group.sets.candidates(pod_labels(pod)):
                    self._count(peers, _of_pod(peers, pod), +1 if wanted else -1, moves)

    def node_changed(self, before: Node | None, after: Node | None, moves: Moves) -> None:
        """A node came, went or is another one now."""
        for peers in self._of_nodes:
            for node, number in ((after, +1), (before, -1)):
                if node is not None:
                    self._count(peers, _of_node(peers, node), number, moves)

    def _asking(self, namespace: str, pod: Pod) -> Iterator[PeerSet]:
        labels = pod_labels(pod)
        if (sets := self._in_namespace.get(namespace)) is not None:
            yield from sets.candidates(labels)
        for group in self._groups.values():
            if group.covers(namespace):
                yield from group.sets.candidates(labels)

    def _count(self, peers: PeerSet, members: Iterable[Member], number: int, moves: Moves) -> None:
        """One more, or one less, who brings these members into a set."""
        counts = self._members[peers]
        for member in members:
            before = counts.get(member, 0)
            after = before + number
            if after:
                counts[member] = after
            else:
                del counts[member]
            if not (before and after):
                moves[peers, member] = None


def _of_pod(peers: PeerSet, pod: Pod) -> Iterator[Member]:
    """What a pod of the right namespace brings into a set."""
    if not is_peer(pod) or not matches(peers.pods, pod_labels(pod)):
        return
    addresses = [one for one in pod_addresses(pod) if peers.block is None or within(peers.block, one)]
    if not peers.port:
        yield from map(Member, addresses)
        return
    for protocol, number in named_ports(pod).get(peers.port, ()):
        if peers.protocol in ("", protocol):
            yield from (Member(address, protocol, number) for address in addresses)


def _of_node(peers: PeerSet, node: Node) -> Iterator[Member]:
    assert peers.nodes is not None
    if matches(peers.nodes, node.labels):
        yield from map(Member, dict.fromkeys(node_addresses(node)))
