"""The agent's event loop: one event at a time, from what happened to what the data plane should be.

Each event changes the state that the controller owns (the view, the pods' addresses, this node's identity),
then the affected units are rendered and the difference goes to the scheduler as one transaction. Connecting a
pod is all or nothing: when its transaction fails the view is put back and rendered again. Anything else is
best effort, and what failed is retried by the scheduler and mended by a healing resync. An unknown exception
ends the loop, and with it the daemon: systemd starts it again from a clean slate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contivpp.agent.changes import Change, OwnNodeChange, WorldChange
from contivpp.agent.desired import Desired
from contivpp.agent.events import (
    ClusterChanged,
    ClusterRead,
    Event,
    ExternalConfigChanged,
    HealingWanted,
    HostChanged,
    PodAdded,
    PodDeleted,
    PodsKept,
)
from contivpp.agent.identity import Wanted
from contivpp.agent.node_address import choose_node_address
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.view import View
from contivpp.scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)

QUEUE_LIMIT = 1000
HISTORY_LIMIT = 500


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One handled event, for people: times in seconds since the epoch, errors by key."""

    seq: int
    name: str
    start: float
    end: float
    changes: int
    errors: Mapping[str, str]


class Controller:
    """Owns the view and turns events into transactions."""

    def __init__(
        self,
        *,
        view: View,
        desired: Desired,
        scheduler: Scheduler,
        pods: PodRegistry,
        publish: Callable[[Wanted], None],
        healing_delay: float = 5.0,
    ) -> None:
        """Takes what the controller owns and drives.

        Args:
            view: the state that features render from; only this object changes it.
            desired: the features.
            scheduler: what applies the difference.
            pods: the sandboxes of this node and their addresses.
            publish: told what etcd should say of this node.
            healing_delay: seconds between a failure and the resync that mends it.
        """
        self.view = view
        self.desired = desired
        self.scheduler = scheduler
        self.pods = pods
        self.ready = asyncio.Event()
        self.history: deque[EventRecord] = deque(maxlen=HISTORY_LIMIT)
        self._publish = publish
        self._healing_delay = healing_delay
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LIMIT)
        self._cluster_read = False
        self._data_plane_read = False
        self._host: tuple[tuple[str, str, int], ...] = ()
        self._healing: asyncio.Task[None] | None = None
        self._seq = 0

    async def push(self, event: Event) -> None:
        """Gives the controller an event; waits while too many are waiting already."""
        await self._queue.put(event)

    async def run(self) -> None:
        """Handles events for ever."""
        try:
            while True:
                await self.handle(await self._queue.get())
        finally:
            if self._healing is not None:
                self._healing.cancel()

    async def handle(self, event: Event) -> None:
        """Handles one event, whole."""
        start = time.time()
        match event:
            case ClusterRead(records=records, source=source, external=external):
                log.info("read the cluster from %s: %s", source, _counts(records))
                self.view.replace_records({kind: dict(items) for kind, items in records.items()})
                self._cluster_read = True
                changes = self.desired.external.take(ExternalConfigChanged("db", external, whole=True))
                changed, errors = await self._commit([WorldChange(), *self._refresh_own(), *changes], "cluster read")
            case ClusterChanged(changes=news):
                changed, errors = await self._cluster_changed(news)
            case HostChanged(addresses=addresses):
                self._host = addresses
                changed, errors = await self._commit(self._refresh_own(), "host addresses changed")
            case PodAdded() | PodDeleted() | PodsKept():
                changed, errors = await self._pods_changed(event)
            case ExternalConfigChanged():
                changed, errors = await self._external_changed(event)
            case HealingWanted(reason=reason):
                changed, errors = await self._heal(reason)
        self._seq += 1
        self.history.append(EventRecord(self._seq, type(event).__name__, start, time.time(), changed, dict(errors)))

    def why_not_ready(self) -> str:
        """One sentence on what the agent waits for; empty when it is in sync."""
        view = self.view
        if self.ready.is_set():
            return ""
        if not self._cluster_read:
            return "the agent has not read the cluster's state from etcd yet"
        if not view.own.id:
            return f"node {view.own.name} has no ID yet: is it registered in Kubernetes, and does KSR run?"
        if not view.own.addresses:
            return (
                f"no address of node {view.own.name} is known: none of its links has the configured address "
                f"or one of those that Kubernetes knows ({', '.join(view.own.management) or 'none'})"
            )
        return "the agent is synchronising the data plane"

    # ---- the cluster and this node

    async def _cluster_changed(self, news: Iterable[tuple[str, str, Any | None]]) -> tuple[int, Mapping[str, str]]:
        changes: list[Change] = []
        about_us = False
        for kind, record_id, record in news:
            changes.extend(self.view.put_record(kind, record_id, record))
            about_us = about_us or kind in ("node", "vppnode")
            if kind == "pod" and record is None:
                self.pods.record_deleted(self.view, record_id)
        if about_us:
            changes.extend(self._refresh_own())
        return await self._commit(changes, "cluster changed")

    def _refresh_own(self) -> list[Change]:
        """Works out anew who this node is; returns the change, if it is one."""
        view = self.view
        if not self._cluster_read:
            return []
        node_id = view.published_id(view.own.name) or view.own.id
        management = view.management_addresses(view.own.name)
        known = view.record("node", view.own.name) is not None
        address, mtu = "", 0
        if node_id:
            address, mtu = choose_node_address(view.config, view.plan, node_id, management, self._host)
        moved = view.set_own(
            id=node_id,
            management=management,
            addresses=(address,) if address else view.own.addresses,
            mtu=mtu or view.own.mtu,
        )
        if node_id:
            self.pods.rebuild(view)
        if known or node_id:
            published = view.record("vppnode", str(node_id)) if node_id else None
            self._publish(Wanted(view.own.name, node_id, view.own.addresses, published))
        else:
            log.info("waiting for Kubernetes to know node %s", view.own.name)
        return [OwnNodeChange()] if moved else []

    async def _external_changed(self, event: ExternalConfigChanged) -> tuple[int, Mapping[str, str]]:
        if event.done is not None and event.done.done():  # whoever asked has given up waiting
            return 0, {}
        changes = self.desired.external.take(event)
        result = await self._commit(changes, f"external configuration of {event.source} changed")
        if event.done is not None and not event.done.done():
            event.done.set_result(None)
        return result

    # ---- pods

    async def _pods_changed(self, event: PodAdded | PodDeleted | PodsKept) -> tuple[int, Mapping[str, str]]:
        if event.done.done():  # whoever asked has given up waiting
            return 0, {}
        try:
            match event:
                case PodAdded(sandbox=sandbox):
                    return await self.pods.connect(self, sandbox, event.done)
                case PodDeleted(sandbox=sandbox):
                    leaving = self.pods.find(self.view, sandbox)
                case PodsKept(valid=valid):
                    leaving = [
                        pod
                        for pod in self.view.pods.values()
                        if (pod.sandbox.container_id, pod.sandbox.interface) not in valid
                    ]
            changes = self.pods.disconnect(self.view, leaving)
            result = await self._commit(changes, "pods disconnected")
        except Exception as error:
            if not event.done.done():
                event.done.set_exception(error)
            raise
        if not event.done.done():
            event.done.set_result(None)
        return result

    # ---- transactions

    async def transact(
        self, changes: Sequence[Change], description: str, *, revert: bool = False
    ) -> tuple[int, Mapping[str, str]]:
        """Renders what `changes` affect and applies the difference.

        Returns:
            How many values differed, and the errors by key.
        """
        difference = self.desired.update(changes, self.view)
        if not self._data_plane_read:
            if not self._may_start():
                return len(difference), {}
            return await self._first_resync()
        if not difference:
            return 0, {}
        result = await self.scheduler.commit(difference, description=description, revert_on_failure=revert)
        return len(difference), result.errors

    async def _commit(self, changes: Sequence[Change], description: str) -> tuple[int, Mapping[str, str]]:
        changed, errors = await self.transact(changes, description)
        if errors:
            self._schedule_healing(f"{description}: {_some(errors)}")
        return changed, errors

    def _may_start(self) -> bool:
        """Only once it is known what should be there may anything be removed."""
        return self._cluster_read and bool(self.view.own.id) and bool(self.view.own.addresses)

    async def _first_resync(self) -> tuple[int, Mapping[str, str]]:
        self.desired.resync(self.view)
        values = self.desired.values()
        result = await self.scheduler.resync(values, description="start-up")
        self._data_plane_read = True
        log.info("in sync: %d values, %d operations, %d errors", len(values), result.executed, len(result.errors))
        self.ready.set()
        if result.errors:
            self._schedule_healing(f"start-up: {_some(result.errors)}")
        return len(values), result.errors

    async def _heal(self, reason: str) -> tuple[int, Mapping[str, str]]:
        log.info("healing after %s", reason)
        if not self._data_plane_read:
            return 0, {}
        self.desired.resync(self.view)
        result = await self.scheduler.resync(self.desired.values(), description=f"healing after {reason}")
        if result.errors:
            log.warning("healing left %d errors: %s", len(result.errors), _some(result.errors))
        return result.executed, result.errors

    def _schedule_healing(self, reason: str) -> None:
        log.warning("%s; healing in %.0f s", reason, self._healing_delay)
        if self._healing is None or self._healing.done():
            self._healing = asyncio.create_task(self._heal_later(reason), name="healing")

    async def _heal_later(self, reason: str) -> None:
        await asyncio.sleep(self._healing_delay)
        await self.push(HealingWanted(reason))


def _counts(records: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{len(items)} {kind}" for kind, items in sorted(records.items())) or "nothing"


def _some(errors: Mapping[str, str], limit: int = 3) -> str:
    shown = [f"{key}: {error}" for key, error in list(errors.items())[:limit]]
    more = len(errors) - len(shown)
    return "; ".join(shown) + (f" and {more} more" if more > 0 else "")
