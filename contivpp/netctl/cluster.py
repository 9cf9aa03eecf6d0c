"""What etcd says of the cluster: nodes, pods, the reflector's trace. Source: spec/cluster.md 0.2, 3.1.

A record that does not decode is one problem in the answer and hurts nothing else.
"""

from __future__ import annotations

import asyncio
import difflib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from contivpp.model import keys
from contivpp.model.codec import DecodeError
from contivpp.model.node import AddressType, Node
from contivpp.model.pod import Pod
from contivpp.model.vppnode import VppNode
from contivpp.netctl.errors import UsageError
from contivpp.store.types import Snapshot

_REACHABLE: Final = (AddressType.INTERNAL_IP, AddressType.EXTERNAL_IP)


class Reader(Protocol):
    """What is needed of the store."""

    async def get_prefix(self, prefix: str) -> Snapshot:
        """Everything under a prefix."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """A node, as Kubernetes and its agent have written it.

    Attributes:
        id: 0 while the agent has no ID.
        addresses: near ends of its tunnels with prefix length.
        management: addresses at which its agent is asked, InternalIP first.
        registered: whether Kubernetes knows it.
    """

    id: int
    name: str
    addresses: tuple[str, ...] = ()
    management: tuple[str, ...] = ()
    registered: bool = True

    @property
    def vpp_ip(self) -> str:
        """The first address of its tunnels."""
        return self.addresses[0] if self.addresses else ""

    @property
    def host_ip(self) -> str:
        """The address at which its agent is asked first."""
        return self.management[0] if self.management else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster at one moment.

    Attributes:
        nodes: by ID; those without one last, by name.
        pods: by namespace and name.
        problems: records that could not be read.
    """

    nodes: tuple[ClusterNode, ...]
    pods: tuple[Pod, ...]
    problems: tuple[str, ...] = ()

    def node(self, wanted: str) -> ClusterNode:
        """A node by name, ID or address; an address that nobody has is taken as it is.

        Raises:
            UsageError: there is no such node.
        """
        for node in self.nodes:
            if wanted in (node.name, str(node.id), *node.management) or wanted in map(_bare, node.addresses):
                return node
        if _is_address(wanted):
            return ClusterNode(id=0, name=wanted, management=(wanted,), registered=False)
        names = [node.name for node in self.nodes]
        raise UsageError(f"there is no node {wanted}; {_suggestion(wanted, names)}")

    def selected(self, wanted: str | None) -> tuple[ClusterNode, ...]:
        """The one node that was asked for, or all."""
        return self.nodes if wanted is None else (self.node(wanted),)

    def pod(self, wanted: str) -> Pod:
        """A pod by "[namespace/]name".

        Raises:
            UsageError: there is no such pod.
        """
        namespace, slash, name = wanted.rpartition("/")
        namespace = namespace if slash else "default"
        for pod in self.pods:
            if (pod.namespace, pod.name) == (namespace, name):
                return pod
        names = [pod_name(pod) for pod in self.pods]
        raise UsageError(f"there is no pod {namespace}/{name}; {_suggestion(f'{namespace}/{name}', names)}")

    def node_of(self, pod: Pod) -> ClusterNode | None:
        """Where a pod runs; None while it is not scheduled, or on a node that is gone."""
        hosts = {pod.host_ip_address, *pod.host_ip_addresses} - {""}
        for node in self.nodes:
            if node.name == pod.node_name or (not pod.node_name and hosts & set(node.management)):
                return node
        return None


def pod_name(pod: Pod) -> str:
    """The form used everywhere people read it."""
    return f"{pod.namespace}/{pod.name}"


async def read_cluster(store: Reader) -> Cluster:
    """Reads the cluster.

    Raises:
        StoreUnavailable: etcd does not answer.
    """
    ids, nodes, pods = await asyncio.gather(
        *(store.get_prefix(keys.prefix(kind)) for kind in ("vppnode", "node", "pod"))
    )
    problems: list[str] = []
    published = _records("vppnode", ids, problems)
    registered = {node.name: node for node in _records("node", nodes, problems)}
    return Cluster(
        nodes=_merged(published, registered, problems),
        pods=tuple(sorted(_records("pod", pods, problems), key=lambda pod: (pod.namespace, pod.name))),
        problems=tuple(problems),
    )


def _records(kind: str, snapshot: Snapshot, problems: list[str]) -> list[Any]:
    found = []
    for item in snapshot.items.values():
        if keys.parse_record_key(item.key) is None:
            continue
        try:
            found.append(keys.decode_record(kind, item.value, key=item.key))
        except DecodeError as error:
            problems.append(f"{error}; skipped, write or delete the record")
    return found


def _merged(
    published: Sequence[VppNode], registered: Mapping[str, Node], problems: list[str]
) -> tuple[ClusterNode, ...]:
    nodes: dict[str, ClusterNode] = {}
    for record in sorted(published, key=lambda record: record.id):
        node = registered.get(record.name)
        if record.name in nodes:
            first = nodes[record.name].id
            problems.append(f"node {record.name} has two IDs, {first} and {record.id}; delete the unused record")
            continue
        nodes[record.name] = ClusterNode(
            id=record.id,
            name=record.name,
            addresses=record.ip_addresses or ((record.ip_address,) if record.ip_address else ()),
            management=_management(node) if node is not None else (),
            registered=node is not None,
        )
    for name in sorted(registered.keys() - nodes.keys()):
        nodes[name] = ClusterNode(id=0, name=name, management=_management(registered[name]))
    return tuple(nodes.values())


def _management(node: Node) -> tuple[str, ...]:
    return tuple(item.address for kind in _REACHABLE for item in node.addresses if item.type == kind)


def _bare(address: str) -> str:
    return address.partition("/")[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _suggestion(wanted: str, names: Sequence[str]) -> str:
    if not names:
        return "etcd holds none: is contiv-ksr running, and is this the right etcd (--etcd-config)?"
    close = difflib.get_close_matches(wanted, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names[:10])}"
