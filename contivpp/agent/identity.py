"""The node's ID and addresses in etcd: allocated, published, and kept there.

The controller says what should be published; this root task makes it so whenever etcd answers. An ID is asked
for only once Kubernetes knows the node: a node that was deleted must not come back by itself. The record that
the agent later acts on is the one it reads back, so there is one way in. Source: spec/agent.md 4.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any

from contivpp.model import codec, keys
from contivpp.model.vppnode import VppNode
from contivpp.store.errors import GuardFailed, PermissionDenied, StoreUnavailable
from contivpp.store.types import Batch, Guard

log = logging.getLogger(__name__)

PREFIX = keys.KSR_PREFIX + "allocatedIDs/"


class NodeIdTakenError(Exception):
    """Another node holds this node's ID; only a fresh start with a new ID can help."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What etcd should say of this node.

    Attributes:
        id: the ID the node has, 0 when it needs one.
        addresses: with prefix length.
        published: what etcd says now, None for nothing.
    """

    name: str
    id: int
    addresses: tuple[str, ...]
    published: VppNode | None


class NodeIdentity:
    """The root task that keeps this node's record in etcd right."""

    def __init__(self, store: Any, *, retry_period: float = 1.0) -> None:
        """Takes the store; `retry_period` is in seconds."""
        self._store = store
        self._retry_period = retry_period
        self._wanted: Wanted | None = None
        self._wake = asyncio.Event()

    def want(self, wanted: Wanted) -> None:
        """Says what should be published; the newest word counts."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    def reclaim(self) -> None:
        """Publishes again what etcd has lost: nobody else may be given the ID meanwhile."""
        if self._wanted is not None and self._wanted.id:
            self._wanted = replace(self._wanted, published=None)
            self._wake.set()

    async def run(self) -> None:
        """Publishes for ever.

        Raises:
            NodeIdTakenError: the ID of this node belongs to another one now.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            try:
                await self.publish(wanted)
            except (StoreUnavailable, PermissionDenied) as error:
                log.warning("cannot publish the node's record yet: %s", error)
                await asyncio.sleep(self._retry_period)
                self._wake.set()

    async def publish(self, wanted: Wanted) -> None:
        """Allocates or claims the ID and writes the record, unless etcd says all that already."""
        if not wanted.id:
            node_id = await self._store.ids.allocate(
                PREFIX,
                lambda free: codec.encode(VppNode(id=free, name=wanted.name)),
                match=lambda value: _name_of(value) == wanted.name,
            )
            log.info("node %s has ID %d", wanted.name, node_id)
            return
        record = VppNode(id=wanted.id, name=wanted.name, ip_addresses=wanted.addresses)
        if record == wanted.published:
            return
        key = f"{PREFIX}{wanted.id}"
        current = await self._store.get(key)
        if current is not None and _name_of(current.value) != wanted.name:
            message = (
                f"node ID {wanted.id} of {wanted.name} belongs to {_name_of(current.value)} now; "
                "starting again to get another"
            )
            raise NodeIdTakenError(message)
        guard = Guard.absent(key) if current is None else Guard.unchanged(key, current.mod_revision)
        try:
            await self._store.commit(Batch(puts={key: codec.encode(record)}, guards=[guard]))
        except GuardFailed:
            self._wake.set()
            return
        log.info("published node %s: ID %d, addresses %s", wanted.name, wanted.id, ", ".join(wanted.addresses))


def _name_of(value: bytes) -> str:
    try:
        return codec.decode(VppNode, value).name
    except codec.DecodeError:
        return ""
