"""The agent's view of the cluster and of its own node: what features render from.

Only the controller changes it, before rendering. Every lookup that a feature needs is an index kept here, so
that the cost of a change is the cost of what it touches. Nodes are known by their ID: a Kubernetes node that
has not published one is remembered, and not yet a node of the network.
"""

from __future__ import annotations

import copy
import functools
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from contivpp.agent.changes import (
    Change,
    FrontendsChange,
    LocalPodChange,
    NodeChange,
    OwnZoneChange,
    PolicyChange,
    RecordChange,
)
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.services.claims import Claims
from contivpp.agent.stolen import Stolen
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.model.node import Node
from contivpp.model.vppnode import VppNode
from contivpp.policies.index import Moved, PolicyIndex

_REMEMBERED = 16384  # addresses that were parsed
_ZONE = "topology.kubernetes.io/zone"
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

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """Both, without prefix length, sorted."""
        return _all_of(self.addresses, self.management)


@dataclass(frozen=True, slots=True)
class NodeNic:
    """A NIC that the data plane takes.

    Attributes:
        name: the kernel's name of a link that VPP attaches to, or VPP's name of a device that it has itself.
        addresses: with prefix length; those of the main NIC are the node's.
        dhcp: whether it asks for its IPv4 address instead.
        mtu: of the kernel's link, in bytes; 0 when it is not there.
        device: what `values.nic.Nic` calls a device whose name is not known; "" when `name` is it.
        mac: that of VPP on a link; "" lets the address plan say it.
    """

    name: str
    addresses: tuple[str, ...] = ()
    dhcp: bool = False
    mtu: int = 0
    device: str = ""
    mac: str = ""

    @property
    def is_device(self) -> bool:
        """Whether VPP has it itself: names of such devices have a slash, which those of links cannot have."""
        return "/" in self.name or bool(self.device)


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
        stolen: the NIC, if it was the host's own: the host has the same addresses then, behind the data plane.
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
    stolen: Stolen | None = None

    @property
    def asks_dhcp(self) -> bool:
        """Whether its address comes by DHCP, and may be missing for that."""
        return self.main_nic is not None and self.main_nic.dhcp

    @property
    def node_port_addresses(self) -> tuple[str, ...]:
        """Addresses at which node ports answer, without prefix length, sorted."""
        return _all_of(self.addresses, self.management)


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
    claims: Claims = field(default_factory=Claims)
    policies: PolicyIndex = field(default_factory=PolicyIndex)
    _pods: dict[PodID, LocalPod] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _ids_of_name: dict[str, set[int]] = field(default_factory=dict)
    _names_at: dict[str, set[str]] = field(default_factory=dict)
    _ids_at: dict[str, set[int]] = field(default_factory=dict)

    # ---- reading

    @property
    def pods(self) -> Mapping[PodID, LocalPod]:
        """The sandboxes of this node; `put_pod` and `remove_pod` change them."""
        return self._pods

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
            addresses=_published(published),
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

    def own_zone(self) -> str:
        """The zone that this node is in, "" for none."""
        return self.zone_of(self.own.name)

    def zone_of(self, name: str) -> str:
        """The zone that a node is in, "" for none."""
        return _zone_of(self.record("node", name))

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

    def node_publishing(self, address: str) -> RemoteNode | None:
        """The other node that published an address, without prefix length; of several the one with the lowest ID."""
        for node_id in sorted(self._ids_at.get(address, ())):
            if (node := self.node(node_id)) is not None:
                return node
        return None

    def node_port_addresses(self) -> tuple[str, ...]:
        """The addresses of all nodes, without prefix length, sorted."""
        others = {address for node in self.remote_nodes() for address in node.all_addresses}
        return tuple(sorted({*others, *self.own.node_port_addresses}))

    def copy(self) -> View:
        """An independent view with the same contents; records themselves are frozen and shared."""
        twin = copy.copy(self)
        twin._pods = dict(self._pods)
        twin.claims = self.claims.copy()
        twin._records = {kind: dict(records) for kind, records in self._records.items()}
        twin.policies = PolicyIndex.of(twin._records, map(str, twin._pods))
        twin._ids_of_name = {name: set(ids) for name, ids in self._ids_of_name.items()}
        twin._names_at = {address: set(names) for address, names in self._names_at.items()}
        twin._ids_at = {address: set(ids) for address, ids in self._ids_at.items()}
        return twin

    # ---- changing (the controller only)

    def put_pod(self, pod: LocalPod) -> list[Change]:
        """Takes a sandbox, in place of what the pod had; returns what that changed."""
        self._pods[pod.id] = pod
        return [LocalPodChange(pod.id), *_moved(self.policies.set_local(str(pod.id), there=True))]

    def remove_pod(self, pod: PodID) -> list[Change]:
        """Forgets the sandbox of a pod, if it has one; returns what that changed."""
        self._pods.pop(pod, None)
        return [LocalPodChange(pod), *_moved(self.policies.set_local(str(pod), there=False))]

    def replace_records(self, records: dict[str, dict[str, Any]]) -> None:
        """Takes a whole new state of the cluster, by kind and ID."""
        self._records = records
        self.claims = Claims(records.get("service", {}))
        self._ids_of_name, self._names_at, self._ids_at = {}, {}, {}
        for published in records.get("vppnode", {}).values():
            self._index_published(published, there=True)
        for name in records.get("node", {}):
            self._index_addresses(name, self.management_addresses(name), there=True)
        self.policies = PolicyIndex.of(records, map(str, self._pods))

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
        touched = {address for addresses in management for address in addresses}
        changes: list[Change] = [RecordChange(kind, record_id), *_moved(self.policies.put(kind, record_id, record))]
        if kind == "service":
            rivals, addresses = self.claims.put(record_id, record, self.node_port_addresses)
            if rivals or addresses:
                changes.append(FrontendsChange(rivals, addresses))
        if kind == "node" and record_id == self.own.name and _zone_of(previous) != _zone_of(record):
            changes.append(OwnZoneChange())
        if kind == "vppnode":
            for published, there in ((previous, False), (record, True)):
                if published is not None:
                    self._index_published(published, there=there)
                    touched.update(map(_bare, _published(published)))
            changes.append(NodeChange(int(record_id), tuple(sorted(touched))))
        elif kind == "node":
            self._index_addresses(record_id, before[record_id], there=False)
            self._index_addresses(record_id, self.management_addresses(record_id), there=True)
            ids = sorted(self._ids_of_name.get(record_id, ()))
            for one in ids:
                touched.update(map(_bare, _published(self._records["vppnode"][str(one)])))
            changes += [NodeChange(node_id, tuple(sorted(touched))) for node_id in ids]
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

    def _index_published(self, published: VppNode, *, there: bool) -> None:
        _index(self._ids_of_name, published.name, published.id, there=there)
        for address in _published(published):
            _index(self._ids_at, _bare(address), published.id, there=there)

    def _index_addresses(self, name: str, addresses: Iterable[str], *, there: bool) -> None:
        for address in addresses:
            _index(self._names_at, address, name, there=there)


def _moved(moved: Moved) -> list[Change]:
    return [PolicyChange(moved)] if moved else []


def _index(index: dict[Any, set[Any]], key: Any, member: Any, *, there: bool) -> None:
    if there:
        index.setdefault(key, set()).add(member)
    elif key in index:
        index[key].discard(member)
        if not index[key]:
            del index[key]


def _all_of(*addresses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({_bare(address) for some in addresses for address in some}))


def _published(node: VppNode) -> tuple[str, ...]:
    return tuple(node.ip_addresses) or ((node.ip_address,) if node.ip_address else ())


@functools.lru_cache(_REMEMBERED)
def _bare(address: str) -> str:
    """An address without its prefix length."""
    return str(ipaddress.ip_interface(address).ip)


def _zone_of(node: Node | None) -> str:
    return "" if node is None else node.labels.get(_ZONE, "")


@functools.lru_cache(_REMEMBERED)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
