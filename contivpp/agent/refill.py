"""An etcd that lost everything, while KSR and the agents fill it again.

An empty etcd says that there are no other nodes. An agent that believed it would take down what carries packets to
them, and build it up again seconds later. So a state without a single Kubernetes node, after one that had some, is
not believed: the agent goes on with what it knows until there are nodes again and nothing has changed for a while.
Nodes that Kubernetes has again, and whose agent has not published itself again, keep the ID that they had.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contivpp.model import codec, keys
from contivpp.model.vppnode import VppNode
from contivpp.store.types import Change, KeyValue, Snapshot

QUIET: Final = 2.0
"""Seconds without a change after which an etcd counts as filled again."""

_NODES: Final = keys.prefix("node")
_IDS: Final = keys.prefix("vppnode")


class Refill:
    """The nodes that were believed in last, and the state that is not believed yet."""

    def __init__(self, own_name: str) -> None:
        """Knows of no node; `own_name` is of this one, which publishes itself."""
        self._own_name = own_name
        self._nodes: set[str] = set()
        self._ids: dict[str, KeyValue] = {}
        self._doubted: dict[str, KeyValue] | None = None
        self._revision = 0

    @property
    def doubts(self) -> bool:
        """Whether there is a state that is not believed."""
        return self._doubted is not None

    @property
    def has_nodes(self) -> bool:
        """Whether the state that is not believed could be: some nodes are in it."""
        return self._doubted is not None and any(key.startswith(_NODES) for key in self._doubted)

    def take(self, snapshot: Snapshot) -> bool:
        """Takes a whole state; False when it is not to be believed."""
        nodes = {key for key in snapshot.items if key.startswith(_NODES)}
        if self._nodes and not nodes:
            self._doubted, self._revision = dict(snapshot.items), snapshot.revision
            return False
        self._doubted = None
        self._nodes = nodes
        self._ids = {key: item for key, item in snapshot.items.items() if key.startswith(_IDS)}
        return True

    def apply(self, revision: int, changes: Iterable[Change]) -> None:
        """Takes changes of the state that was taken last, believed or not."""
        if self._doubted is not None:
            self._revision = revision
            for change in changes:
                _apply(self._doubted, change)
            return
        for change in changes:
            if change.key.startswith(_IDS):
                _apply(self._ids, change)
            elif change.key.startswith(_NODES):
                (self._nodes.discard if change.value is None else self._nodes.add)(change.key)

    def believe(self) -> Snapshot:
        """The state that was not believed, with the IDs that it lacks; from now on it is what is known."""
        assert self._doubted is not None
        items = self._doubted
        there = {_name_of(item) for key, item in items.items() if key.startswith(_IDS)} | {self._own_name}
        known = {key[len(_NODES) :] for key in items if key.startswith(_NODES)}
        for key, item in self._ids.items():
            if key not in items and (name := _name_of(item)) in known and name not in there:
                items[key] = item
        snapshot = Snapshot(self._revision, items)
        self.take(snapshot)
        return snapshot


def _apply(items: dict[str, KeyValue], change: Change) -> None:
    if change.value is None:
        items.pop(change.key, None)
    else:
        items[change.key] = KeyValue(change.key, change.value, change.create_revision, change.mod_revision)


def _name_of(item: KeyValue) -> str:
    try:
        return codec.decode(VppNode, item.value, key=item.key).name
    except codec.DecodeError:
        return ""
