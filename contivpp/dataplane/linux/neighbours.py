"""Permanent neighbours, and the forwarding entries of the VXLAN device: nothing is ever flooded or asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux import dumps, messages
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.values import ForwardingEntry, Neighbour, link_key
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome


class NeighbourDescriptor:
    """Permanent neighbours on links of ours."""

    name = "linux-neighbour"
    prefix = Neighbour.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, neighbour: Neighbour) -> Iterable[Dependency]:
        """The link."""
        yield Dependency("link", link_key(neighbour.link))

    def derived(self, key: str, neighbour: Neighbour) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One burst per namespace."""
        return self._kernel.send(
            operations,
            lambda neighbour: neighbour.link,
            lambda operation, index: messages.neighbour(
                index,
                operation.value.address,
                operation.value.mac,
                delete=operation.kind is OperationKind.DELETE,
            ),
        )

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every permanent neighbour on links of ours."""
        look = await self._kernel.look()
        names = look.names()
        found: dict[str, Observed] = {}
        for netns, tables in look.tables.items():
            for item in (item for _, items in tables.neighbours for item in items):
                link = names.get((netns, item["ifindex"]))
                if link is None or not item["state"] & messages.PERMANENT:
                    continue
                value = Neighbour(link, item.get_attr("NDA_DST"), item.get_attr("NDA_LLADDR") or "")
                found[value.key] = Observed(value)
        return found


class ForwardingDescriptor:
    """Forwarding entries of VXLAN devices of ours."""

    name = "linux-fdb"
    prefix = ForwardingEntry.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, entry: ForwardingEntry) -> Iterable[Dependency]:
        """The VXLAN device."""
        yield Dependency("link", link_key(entry.link))

    def derived(self, key: str, entry: ForwardingEntry) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One burst."""
        return self._kernel.send(
            operations,
            lambda entry: entry.link,
            lambda operation, index: messages.forwarding_entry(
                index,
                operation.value.mac,
                operation.value.destination,
                delete=operation.kind is OperationKind.DELETE,
            ),
        )

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every entry of VXLAN devices of ours."""
        names = (await self._kernel.look()).names()
        found: dict[str, Observed] = {}
        for item in self._kernel.node.dump(dumps.neighbours(socket.AF_BRIDGE)):
            link = names.get(("", item["ifindex"]))
            destination = item.get_attr("NDA_DST")
            if link is None or not destination or not item["flags"] & messages.SELF:
                continue
            value = ForwardingEntry(link, item.get_attr("NDA_LLADDR"), destination)
            found[value.key] = Observed(value)
        return found
