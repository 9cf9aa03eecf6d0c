"""The agent's event loop: one event at a time, from what happened to what the data plane should be.

Each event changes the state that the controller owns (the view, the pods' addresses, this node's identity),
then the affected units are rendered and the difference goes to the scheduler as one transaction. Connecting a
pod is all or nothing: when its transaction fails the view is put back and rendered again. Anything else is
best effort, and `healing` says what becomes of its failures. The order of events: `event_queue`. Nothing is
sent to the data plane before the first resync, which runs as soon as the cluster's state, this node's ID and its
address are known. An unknown exception ends the loop, and with it the daemon: systemd starts it again from a clean
slate. Told to stop, the loop finishes the event under way, removes nothing, and tells those who wait to try again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from contivpp.agent import metrics, verification
from contivpp.agent.changes import Change, OwnNodeChange, WorldChange
from contivpp.agent.desired import Desired
from contivpp.agent.event_history import EventHistory, EventRecord, Handling
from contivpp.agent.event_queue import EventQueue, Queued, refuse
from contivpp.agent.events import (
    ClusterChanged,
    ClusterRead,
    DataPlaneAppeared,
    DownstreamResyncWanted,
    Event,
    ExternalConfigChanged,
    HealingWanted,
    HostChanged,
    Lease,
    LeasesRead,
    Method,
    NicStolen,
    NodeConfigChanged,
    PodAdded,
    PodDeleted,
    PodsKept,
    ResyncWanted,
    VerificationWanted,
    answer,
    fail,
    some,
    waiter,
)
from contivpp.agent.external.config import ETCD_SOURCE
from contivpp.agent.healing import Healing, HealingConfig
from contivpp.agent.identity import Wanted
from contivpp.agent.node_address import attachment_of, choose_node_addresses, why_no_address
from contivpp.agent.node_config import KIND as NODE_CONFIG
from contivpp.agent.node_config import NodeConfigSource
from contivpp.agent.pods.registry import PodRegistry
from contivpp.agent.recorder import Recorder
from contivpp.agent.stolen import Stolen
from contivpp.agent.view import View
from contivpp.model.bulk import building
from contivpp.scheduler.scheduler import Result, Scheduler

log = logging.getLogger(__name__)

STOP_DEADLINE = 10.0
_ABOUT_US = ("node", "vppnode")

Outcome = tuple[int, Mapping[str, str]]
"""How many values differed, and the errors by key."""


class Controller:
    """Owns the view and turns events into transactions."""

    def __init__(  # noqa: PLR0913 - what it drives
        self,
        *,
        view: View,
        desired: Desired,
        scheduler: Scheduler,
        pods: PodRegistry,
        node_config: NodeConfigSource,
        publish: Callable[[Wanted], None],
        recorder: Recorder,
        history: EventHistory,
        healing: HealingConfig,
        verify: bool = False,
        obstacle: Callable[[], str] = lambda: "",
        nic_missing: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes what the controller owns and drives.

        Args:
            view: the state that features render from; only this object changes it.
            desired: the features, with `recorder` before each.
            scheduler: what applies the difference.
            pods: the sandboxes of this node and their addresses.
            node_config: which configuration counts for this node.
            publish: told what etcd should say of this node.
            recorder: knows what the features said of the event under way.
            history: where handled events are kept.
            healing: when failures are healed.
            verify: whether every event is followed by a comparison of what is with what should be.
            obstacle: why the data plane cannot be used; "" when it can. Without it nothing can be read, so the first
                resync waits for it: a restart finds everything, and does nothing.
            nic_missing: why the NIC that is to be stolen is not.
            clock: in seconds, for healing.
        """
        self.view = view
        self.desired = desired
        self.scheduler = scheduler
        self.pods = pods
        self.history = history
        self.queue = EventQueue()
        self.healing = Healing(healing, troubles=scheduler, follow=self.queue.follow, clock=clock)
        self.ready = asyncio.Event()
        self._node_config = node_config
        self._publish = publish
        self._recorder = recorder
        recorder.bind(desired)
        self._verifying = verify
        self._obstacle = obstacle
        self._nic_missing = nic_missing
        self._cluster_read = False
        self._host: tuple[tuple[str, str, int], ...] = ()
        self._leases: tuple[Lease, ...] | None = None
        self._stolen: Stolen | None = None
        self._last_resync = 0.0
        self._seq = 0
        self._record = EventRecord(seq_num=0, processing_start=0.0)
        metrics.IN_SYNC.set(0)

    # ---- the loop

    async def push(self, event: Event) -> None:
        """Gives the controller an event; see `EventQueue.push`."""
        await self.queue.push(event)

    async def run(self) -> None:
        """Handles events for ever."""
        try:
            while True:
                await self._finish(await self.queue.pop())
        finally:
            self.queue.close("the agent is stopping")

    async def step(self) -> None:
        """Handles the next event, whole; waits for one."""
        await self._handle(await self.queue.pop())

    async def _finish(self, queued: Queued) -> None:
        """Handles an event to its end, also when the loop is told to stop meanwhile."""
        handling = asyncio.create_task(self._handle(queued), name=f"event {queued.event.name}")
        try:
            await asyncio.shield(handling)
        except asyncio.CancelledError:
            if not handling.done():
                await asyncio.wait([handling], timeout=STOP_DEADLINE)
            if not handling.done():
                log.error("stopping in the middle of %s: it took too long", queued.event.describe())
                handling.cancel()
                await asyncio.wait([handling])
            elif (error := handling.exception()) is not None:
                log.error("%s failed while stopping: %s", queued.event.describe(), error, exc_info=error)
            raise

    async def _handle(self, queued: Queued) -> None:
        event = queued.event
        self._seq += 1
        record = self._record = EventRecord(
            seq_num=self._seq,
            processing_start=time.time(),
            is_follow_up=bool(queued.caused_by),
            follow_up_to=queued.caused_by,
            name=event.name,
            description=event.describe(),
            method=int(event.method),
        )
        self._recorder.start()
        self.queue.handling(self._seq)
        start, outcome = time.perf_counter(), "crashed"
        try:
            done = waiter(event)
            if done is not None and done.done():
                outcome = "skipped"  # whoever asked has given up waiting
                return
            _, errors = await self._answer(event)
            outcome = "error" if errors else "ok"
            record.txn_error = record.txn_error or _some(errors)
            if any(handling.revert for handling in record.handlers):
                outcome = "reverted"
            if self._is_to_be_verified(event, errors):
                self.queue.follow(VerificationWanted(), self._seq)
        except Exception as error:
            record.txn_error = record.txn_error or f"{type(error).__name__}: {error}"
            done = waiter(event)
            if done is not None:
                fail(done, error)
            raise
        finally:
            if outcome == "crashed":
                refuse(event, "the agent is stopping")
            self.queue.handling(None)
            record.processing_end = time.time()
            self.history.add(record)
            metrics.EVENTS.labels(event.name, outcome).inc()
            metrics.EVENT_SECONDS.labels(event.name).observe(time.perf_counter() - start)

    async def _answer(self, event: Event) -> Outcome:
        match event:
            case ClusterRead():
                return await self._cluster_was_read(event)
            case ClusterChanged(changes=changes):
                return await self._cluster_changed(changes)
            case HostChanged(addresses=addresses):
                self._host = addresses
                return await self._best_effort(self._refresh_own())
            case NicStolen(nic=nic):
                self._stolen = nic
                return await self._best_effort(self._refresh_own())
            case LeasesRead(leases=leases):
                self._leases = leases
                return await self._best_effort(self._refresh_own())
            case NodeConfigChanged():
                changed = [WorldChange()] if self._take_node_config() else []
                return await self._best_effort([*changed, *self._refresh_own()])
            case PodAdded(sandbox=sandbox, done=done):
                return await self.pods.connect(self, sandbox, done)
            case PodDeleted() | PodsKept():
                return await self._pods_deleted(event)
            case ExternalConfigChanged():
                return await self._external_changed(event)
            case HealingWanted() | ResyncWanted():
                return await self._resync_everything(event)
            case DataPlaneAppeared():
                return await self._data_plane_appeared(event)
            case DownstreamResyncWanted():
                return await self._resync_downstream(event)
            case VerificationWanted():
                return await self._verify(event)

    def why_not_ready(self) -> str:
        """One sentence on what the agent waits for; empty when it is in sync."""
        view = self.view
        if self.ready.is_set():
            return ""
        if not self._cluster_read:
            return "the agent has not read the cluster's state from etcd yet"
        if not view.own.id:
            return f"node {view.own.name} has no ID yet: is it registered in Kubernetes, and does KSR run?"
        if view.config.steals_nic and self._stolen is None:
            return self._nic_missing()
        if not view.own.addresses and not self._may_start():
            return why_no_address(view.config, view.own.name, view.own.management)
        if obstacle := self._obstacle():
            return obstacle
        return "the agent is synchronising the data plane"

    # ---- the cluster and this node

    async def _cluster_was_read(self, event: ClusterRead) -> Outcome:
        log.info("%s", event.describe())
        self.view.replace_records({kind: dict(items) for kind, items in event.records.items()})
        self._cluster_read = True
        self._take_node_config()
        external = self.desired.external.take(ExternalConfigChanged(ETCD_SOURCE, event.external, whole=True))
        return await self._best_effort([WorldChange(), *self._refresh_own(), *external])

    async def _cluster_changed(self, news: Iterable[tuple[str, str, Any | None]]) -> Outcome:
        changes: list[Change] = []
        about_us = False
        for kind, record_id, record in news:
            changes.extend(self.view.put_record(kind, record_id, record))
            about_us = about_us or kind in _ABOUT_US
            if kind == "pod" and record is None:
                self.pods.record_deleted(self.view, record_id)
            if kind == NODE_CONFIG and record_id == self.view.own.name:
                self.queue.follow(NodeConfigChanged(), self._seq)
        if about_us:
            changes.extend(self._refresh_own())
        return await self._best_effort(changes)

    def _take_node_config(self) -> bool:
        """Takes what counts for this node now; returns whether that is something else than before."""
        before = self.view.config
        self.view.config = self._node_config.choose(self.view.record(NODE_CONFIG, self.view.own.name))
        if problem := self._node_config.problem:
            self._record.handlers.append(Handling(handler=NODE_CONFIG, error=True, error_str=problem))
        return self.view.config != before

    def _refresh_own(self) -> list[Change]:
        """Works out anew who this node is; returns the change, if it is one."""
        view = self.view
        if not self._cluster_read:
            return []
        node_id = view.published_id(view.own.name) or view.own.id
        management = view.management_addresses(view.own.name)
        known = view.record("node", view.own.name) is not None
        addresses: tuple[str, ...] = ()
        mtu = 0
        if node_id:
            addresses, mtu = choose_node_addresses(
                view.config, view.plan, node_id, management, self._host, self._leases or (), self._stolen
            )
        moved = view.set_own(
            id=node_id,
            management=management,
            addresses=addresses or view.own.addresses,
            mtu=mtu or view.own.mtu,
            **attachment_of(view.config, self._host, self._leases or (), self._stolen),
        )
        if node_id:
            self.pods.rebuild(view)
        if known or node_id:
            published = view.record("vppnode", str(node_id)) if node_id else None
            self._publish(Wanted(view.own.name, node_id, view.own.addresses, published))
        else:
            log.info("waiting for Kubernetes to know node %s", view.own.name)
        return [OwnNodeChange()] if moved else []

    async def _data_plane_appeared(self, event: DataPlaneAppeared) -> Outcome:
        if event.leases is not None:
            self._leases = event.leases
        changes = self._refresh_own()
        if self.ready.is_set() and self._last_resync < event.at:
            return await self._resync_everything(event)
        return await self._best_effort(changes)

    async def _external_changed(self, event: ExternalConfigChanged) -> Outcome:
        result = await self._best_effort(self.desired.external.take(event))
        if event.done is not None:
            answer(event.done, None)
        return result

    # ---- pods

    async def _pods_deleted(self, event: PodDeleted | PodsKept) -> Outcome:
        match event:
            case PodDeleted(sandbox=sandbox):
                leaving = self.pods.find(self.view, sandbox)
            case PodsKept(valid=valid):
                leaving = [
                    pod
                    for pod in self.view.pods.values()
                    if (pod.sandbox.container_id, pod.sandbox.interface) not in valid
                ]
        result = await self._best_effort(self.pods.disconnect(self.view, leaving))
        answer(event.done, None)
        return result

    # ---- transactions

    async def transact(self, changes: Sequence[Change], description: str, *, revert: bool = False) -> Outcome:
        """Renders what `changes` affect and applies the difference, with `revert` wholly or not at all.

        Returns:
            How many values differed, and the errors by key.
        """
        if not self.ready.is_set():  # the first resync renders everything
            return await self._first_resync() if self._may_start() else (0, {})
        difference = self.desired.update(changes, self.view)
        if not difference:
            self._note({}, None)
            return 0, {}
        start = time.perf_counter()
        result = await self.scheduler.commit(difference, description=description, revert_on_failure=revert)
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - start)
        self._note(difference, result)
        return len(difference), result.errors

    async def take_back(self, changes: Sequence[Change], description: str) -> None:
        """Renders and applies what `changes` affect after the view was put back as it was before the event."""
        difference = self.desired.update(changes, self.view)
        errors: dict[str, str] = {}
        if difference:
            errors |= (await self.scheduler.commit(difference, description=description)).errors
        # The scheduler has taken the values back already; what it could not take back is in trouble, and no error here.
        errors |= {key: trouble for key, trouble in self.scheduler.troubles().items() if key in difference}
        self._record.handlers += self._recorder.handlings(difference, errors, revert=True)
        self.healing.failed(errors, caused_by=self._seq, what=description)

    async def _best_effort(self, changes: Sequence[Change]) -> Outcome:
        description = self._record.description
        was_ready = self.ready.is_set()
        changed, errors = await self.transact(changes, description)
        if errors:
            self.healing.failed(errors, caused_by=self._seq, what=description if was_ready else "start-up")
        return changed, errors

    def _may_start(self) -> bool:
        """Only once it is known what should be there may anything be removed."""
        own = self.view.own
        has_address = bool(own.addresses) or (own.asks_dhcp and self._leases is not None)
        return self._cluster_read and bool(own.id) and has_address and not self._obstacle()

    async def _first_resync(self) -> Outcome:
        self._record.method = int(Method.FULL_RESYNC)
        self._last_resync = time.monotonic()
        with building():
            self.desired.resync(self.view)
            values = self.desired.values()
            result = await self.scheduler.resync(values, description="start-up")
        self._note(values, result)
        log.info("in sync: %d values, %d operations, %d errors", len(values), result.executed, len(result.errors))
        self.ready.set()
        metrics.IN_SYNC.set(1)
        self.queue.release()
        self.healing.started()
        return len(values), result.errors

    # ---- resyncs of what is in sync already

    async def _resync_everything(self, event: HealingWanted | ResyncWanted | DataPlaneAppeared) -> Outcome:
        log.info("%s", event.describe())
        self._last_resync = time.monotonic()
        with building():
            difference = self.desired.resync(self.view)
            result = await self.scheduler.resync(self.desired.values(), description=event.describe())
        self._note(difference, result)
        self._resynced(event, result)
        return result.executed, result.errors

    async def _resync_downstream(self, event: DownstreamResyncWanted) -> Outcome:
        result = await self.scheduler.downstream_resync(description=event.describe())
        if event.done is not None:
            answer(event.done, result.seq)
        self._note({}, result)
        self.healing.compared()
        self.healing.failed(result.errors, caused_by=self._seq, what=event.describe())
        return result.executed, result.errors

    def _is_to_be_verified(self, event: Event, errors: Mapping[str, str]) -> bool:
        """After every event that left all well; what is in trouble is different, and that is known."""
        wanted = self._verifying and self.ready.is_set() and not isinstance(event, VerificationWanted)
        return wanted and not errors and not self.scheduler.troubles()

    async def _verify(self, event: VerificationWanted) -> Outcome:
        difference = self.desired.resync(self.view)
        verification.rendering(difference, self._recorder.owner_of)
        result, _ = await verification.data_plane(self.scheduler, self.desired.values())
        self._note(difference, result)
        self._resynced(event, result)
        return result.executed, result.errors

    def _resynced(self, event: Event, result: Result) -> None:
        """Everything was compared: without errors all is healed, whoever asked; with errors only healing has failed."""
        if isinstance(event, HealingWanted) or not result.errors:
            self.healing.healed(result.errors, seq=self._seq)
        else:
            self.healing.failed(result.errors, caused_by=self._seq, what=event.describe())

    def _note(self, difference: Mapping[str, Any | None], result: Result | None) -> None:
        """Into the record: what the features said, and what the scheduler made of it."""
        errors = {} if result is None else result.errors
        record = self._record
        record.handlers += self._recorder.handlings(difference, errors)
        if result is not None:
            record.txn_seq_num = result.seq
            record.txn_error = _some(errors)


def _some(errors: Mapping[str, str]) -> str:
    return some([f"{key}: {error}" for key, error in errors.items()])
