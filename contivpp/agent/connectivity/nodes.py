"""Connectivity of this node and to the other nodes of the cluster.

One remote node is one unit. It renders to what carries packets to that node and to nothing else, so a node
that joins changes nothing that belongs to another. Until both ends have published an address there is nothing
to render, and that is not an error: the change that brings the address renders it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contivpp.agent.changes import Change, NodeChange, OwnNodeChange, WorldChange
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.view import View


@dataclass(frozen=True, slots=True)
class OwnNodeUnit:
    """This node; there is one."""


@dataclass(frozen=True, slots=True)
class RemoteNodeUnit:
    """One other node."""

    node_id: int


@dataclass(frozen=True, slots=True)
class AddressUnit:
    """One address that Kubernetes knows another node by, or that it published; two nodes may claim the same one."""

    address: str


class OwnNodeFeature:
    """What this node needs by itself."""

    name = "own-node"

    def __init__(self, renderer: ConnectivityRenderer) -> None:
        """Takes the data plane's way to express it."""
        self._renderer = renderer

    def units(self, view: View) -> Iterable[OwnNodeUnit]:
        """The one unit."""
        return (OwnNodeUnit(),)

    def affected(self, change: Change, view: View) -> Iterable[OwnNodeUnit]:
        """Only this node's own addresses and ID matter."""
        match change:
            case OwnNodeChange() | WorldChange():
                yield OwnNodeUnit()

    def render(self, unit: OwnNodeUnit, view: View) -> Mapping[str, Any]:
        """Nothing until the node has an ID, and an address or the means to ask for one."""
        if not view.own.id or not (view.own.addresses or view.own.asks_dhcp):
            return {}
        return self._renderer.own_node(view.own, view.plan)


class RemoteNodesFeature:
    """What reaches every other node."""

    name = "remote-nodes"

    def __init__(self, renderer: ConnectivityRenderer) -> None:
        """Takes the data plane's way to express it."""
        self._renderer = renderer

    def units(self, view: View) -> Iterable[RemoteNodeUnit | AddressUnit]:
        """One unit per node that published an ID, and one per address of theirs."""
        addresses: set[str] = set()
        for node in view.remote_nodes():
            yield RemoteNodeUnit(node.id)
            addresses.update(node.all_addresses)
        yield from map(AddressUnit, sorted(addresses))

    def affected(self, change: Change, view: View) -> Iterable[RemoteNodeUnit | AddressUnit]:
        """The node that changed; all of them when this node did, for every tunnel has a new near end."""
        match change:
            case NodeChange(id=node_id, addresses=addresses):
                yield RemoteNodeUnit(node_id)
                yield from map(AddressUnit, addresses)
            case OwnNodeChange() | WorldChange():
                yield from self.units(view)

    def render(self, unit: RemoteNodeUnit | AddressUnit, view: View) -> Mapping[str, Any]:
        """Nothing while either end lacks an address or Kubernetes does not know the node."""
        if not view.own.id or not view.own.addresses:
            return {}
        if isinstance(unit, AddressUnit):
            if (owner := view.node_at(unit.address)) is not None:
                stolen = view.own.stolen is not None
                return self._renderer.management_address(unit.address, owner, view.plan, stolen=stolen)
            publisher = view.node_publishing(unit.address)
            if publisher is None or not publisher.management:
                return {}
            return self._renderer.published_address(unit.address, publisher, view.own, view.plan)
        node = view.node(unit.node_id)
        if node is None or not node.addresses or not node.management:
            return {}
        return self._renderer.remote_node(node, view.own, view.plan)
