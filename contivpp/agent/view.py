"""The agent's view of the cluster and of its own node: what features render from.

Only the controller changes it, before rendering. Every lookup that a feature needs is an index kept here, so
that the cost of a change is the cost of what it touches. Nodes are known by their ID: a Kubernetes node that
has not published one is remembered, and not yet a node of the network.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from contivpp.agent.changes import Change, NodeChange, RecordChange
from contivpp.agent.pods.api import Sandbox
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.model.node import Node
from contivpp.model.vppnode import VppNode

_MANAGEMENT_TYPES = ("NodeInternalIP", "NodeExternalIP")


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """Another node, as it published itself.

    Attributes:
        addresses: by which other nodes reach it, with prefix length; tunnels end at the first one of their family.
        management: addresses that Kubernetes knows it by, without prefix length.
    """

    id: int
    name: str
    addresses: tuple[str, ...]
    management: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeNic:
    """A NIC that the data plane takes.

    Attributes:
        name: the kernel's name of a link that VPP attaches to, or VPP's name of a device that it has itself.
        addresses: with prefix length; those of the main NIC are the node's.
        dhcp: whether it asks for its IPv4 address instead.
        mtu: of the kernel's link, in bytes; 0 when it is not there.
    """

    name: str
    addresses: tuple[str, ...] = ()
    dhcp: bool = False
    mtu: int = 0

    @property
    def is_device(self) -> bool:
        """Whether VPP has it itself: names of such devices have a slash, which those of links cannot have."""
        return "/" in self.name


@dataclass(frozen=True, slots=True)
class OwnNode:
    """This node; `id` is 0 and `addresses` are empty until they are known.

    Attributes:
        mtu: of the link that has the first address, in bytes; 0 when unknown.
        main_nic: what the data plane takes as the node's NIC; None when it has none.
        other_nics: what it takes besides.
        gateways: the next hops of the data plane's own default routes, at most one per IP version.
        host: addresses by which the host itself is reached, without prefix length, sorted; only those of a host that
            is joined to the data plane by a link.
    """

    name: str
    id: int = 0
    addresses: tuple[str, ...] = ()
    management: tuple[str, ...] = ()
    mtu: int = 0
    main_nic: NodeNic | None = None
    other_nics: tuple[NodeNic, ...] = ()
    gateways: tuple[str, ...] = ()
    host: tuple[str, ...] = ()

    @property
    def asks_dhcp(self) -> bool:
        """Whether its address comes by DHCP, and may be missing for that."""
        return self.main_nic is not None and self.main_nic.dhcp


@dataclass(frozen=True, slots=True)
class LocalPod:
    """A sandbox of this node and the addresses it was given, in the order of the plan's families."""

    sandbox: Sandbox
    addresses: tuple[str, ...]

    @property
    def id(self) -> PodID:
        """The pod that the sandbox belongs to."""
        return self.sandbox.pod


@dataclass(slots=True)
class View:
    """All that features may know."""

    config: ContivConfig
    plan: AddressPlan
    own: OwnNode
    pods: dict[PodID, LocalPod] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ids_of_name: dict[str, set[int]] = field(default_factory=dict)
    _names_at: dict[str, set[str]] = field(default_factory=dict)

    # ---- reading

    def record(self, kind: str, record_id: str) -> Any | None:
        """The reflected record of `kind`, or None."""
        return self._records.get(kind, {}).get(record_id)

    def records(self, kind: str) -> Iterable[Any]:
        """All reflected records of `kind`."""
        return self._records.get(kind, {}).values()

    def node(self, node_id: int) -> RemoteNode | None:
        """Another node by its ID; None for an unknown one and for this one."""
        published: VppNode | None = self.record("vppnode", str(node_id))
        if published is None or published.name == self.own.name:
            return None
        return RemoteNode(
            id=node_id,
            name=published.name,
            addresses=tuple(published.ip_addresses) or ((published.ip_address,) if published.ip_address else ()),
            management=self.management_addresses(published.name),
        )

    def remote_nodes(self) -> Iterator[RemoteNode]:
        """All other nodes that published an ID."""
        for record_id in self._records.get("vppnode", {}):
            if (node := self.node(int(record_id))) is not None:
                yield node

    def management_addresses(self, name: str) -> tuple[str, ...]:
        """The addresses that Kubernetes knows a node by, of the plan's IP family, sorted."""
        node: Node | None = self.record("node", name)
        if node is None:
            return ()
        found = {
            entry.address for entry in node.addresses if entry.type in _MANAGEMENT_TYPES and _is_address(entry.address)
        }
        return tuple(sorted(found))

    def published_id(self, name: str) -> int:
        """The node ID that `name` published, the lowest of several, 0 when it has none."""
        return min(self._ids_of_name.get(name, ()), default=0)

    def node_at(self, management: str) -> RemoteNode | None:
        """The other node that has a management address; of several that claim it the one with the lowest ID."""
        for node_id in sorted(
            one for name in self._names_at.get(management, ()) for one in self._ids_of_name.get(name, ())
        ):
            node = self.node(node_id)
            if node is not None and node.addresses:
                return node
        return None

    def copy(self) -> View:
        """An independent view with the same contents; records themselves are frozen and shared."""
        twin = copy.copy(self)
        twin.pods = dict(self.pods)
        twin._records = {kind: dict(records) for kind, records in self._records.items()}
        twin._ids_of_name = {name: set(ids) for name, ids in self._ids_of_name.items()}
        twin._names_at = {address: set(names) for address, names in self._names_at.items()}
        return twin

    # ---- changing (the controller only)

    def replace_records(self, records: dict[str, dict[str, Any]]) -> None:
        """Takes a whole new state of the cluster, by kind and ID."""
        self._records = records
        self._ids_of_name, self._names_at = {}, {}
        for published in records.get("vppnode", {}).values():
            self._index_name(published.name, published.id, there=True)
        for name in records.get("node", {}):
            self._index_addresses(name, self.management_addresses(name), there=True)

    def put_record(self, kind: str, record_id: str, record: Any | None) -> list[Change]:
        """Takes one record, or with None its deletion; returns what that changed."""
        kept = self._records.setdefault(kind, {})
        previous = kept.get(record_id)
        if previous == record:
            return []
        names = self._names_in(kind, record_id, previous, record)
        before = {name: self.management_addresses(name) for name in names}
        if record is None:
            del kept[record_id]
        else:
            kept[record_id] = record
        management = {*before.values(), *(self.management_addresses(name) for name in names)}
        touched = tuple(sorted({address for addresses in management for address in addresses}))
        changes: list[Change] = [RecordChange(kind, record_id)]
        if kind == "vppnode":
            if previous is not None:
                self._index_name(previous.name, int(record_id), there=False)
            if record is not None:
                self._index_name(record.name, int(record_id), there=True)
            changes.append(NodeChange(int(record_id), touched))
        elif kind == "node":
            self._index_addresses(record_id, before[record_id], there=False)
            self._index_addresses(record_id, self.management_addresses(record_id), there=True)
            changes += [NodeChange(node_id, touched) for node_id in sorted(self._ids_of_name.get(record_id, ()))]
        return changes

    def set_own(self, **attributes: Any) -> bool:
        """Changes attributes of this node; returns whether any differs from before."""
        changed = replace(self.own, **attributes)
        if changed == self.own:
            return False
        self.own = changed
        return True

    @staticmethod
    def _names_in(kind: str, record_id: str, previous: Any | None, record: Any | None) -> set[str]:
        """The names of the nodes that a change of a record is about."""
        if kind == "node":
            return {record_id}
        if kind == "vppnode":
            return {published.name for published in (previous, record) if published is not None}
        return set()

    def _index_name(self, name: str, node_id: int, *, there: bool) -> None:
        _index(self._ids_of_name, name, node_id, there=there)

    def _index_addresses(self, name: str, addresses: Iterable[str], *, there: bool) -> None:
        for address in addresses:
            _index(self._names_at, address, name, there=there)


def _index(index: dict[Any, set[Any]], key: Any, member: Any, *, there: bool) -> None:
    if there:
        index.setdefault(key, set()).add(member)
    elif key in index:
        index[key].discard(member)
        if not index[key]:
            del index[key]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
