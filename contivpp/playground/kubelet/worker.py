"""One pod's life: a task that looks at what is wanted and what is, and takes the next step.

One worker per pod, steps strictly in order; whatever happens to the pod only wakes it. A step that fails is
tried again with a doubling delay. The worker ends when the pod is gone from the node and from the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contivpp.playground import events
from contivpp.playground.client import Client, ClientError
from contivpp.playground.events import timestamp
from contivpp.playground.kubelet import processes
from contivpp.playground.kubelet.cni import TRY_AGAIN, CniError, NoConfigurationError
from contivpp.playground.kubelet.records import Record
from contivpp.playground.kubelet.sandbox import NamespaceError, Sandboxes
from contivpp.playground.kubelet.status import pod_status

Object = dict[str, Any]
log = logging.getLogger("kubelet")
DEFAULT_GRACE: Final = 30
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 15.0
_FIRST_RESTART, _LONGEST_RESTART, _CALM = 10.0, 300.0, 600.0
_READY_POLL: Final = 0.05
_CHECK_AGAIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Node:
    """What every pod of a node has in common."""

    name: str
    address: str
    client: Client
    sandboxes: Sandboxes


class PodWorker:
    """Runs one pod; `pod` None means that it is to go and the API knows it no longer."""

    def __init__(self, node: Node, record: Record, pod: Object | None, *, adopted: bool) -> None:
        self.record = record
        self.pod = pod
        self._node = node
        self._records = node.sandboxes.records
        self._wake = asyncio.Event()
        self._unchecked = adopted and record.sandbox is not None
        self._delay = _FIRST_DELAY
        self._problem = ""
        self._watched: dict[str, Callable[[], None]] = {}
        self._published: Object | None = None

    @property
    def _name(self) -> str:
        return f"{self.record.namespace}/{self.record.name}"

    def update(self, pod: Object | None) -> None:
        """Tells the worker what the pod is now to be."""
        self.pod = pod
        self._wake.set()

    async def run(self) -> None:
        """Lives the pod's life."""
        try:
            while not await self._step():
                pass
        finally:
            for stop in self._watched.values():
                stop()

    async def _step(self) -> bool:
        """Takes one step, and waits for the next; returns whether the pod is gone."""
        self._wake.clear()
        pod = self.pod
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return await self._end(pod)
        wait: float | None = None
        try:
            if not self.record.done:
                wait = await self._bring_up(pod)
            self._delay, self._problem = _FIRST_DELAY, ""
        except (CniError, NoConfigurationError, NamespaceError, OSError) as error:
            wait = await self._failed(pod, error)
        if not await self._publish(pod):
            wait = min(wait or 2.0, 2.0)
        await self._sleep(wait)
        return False

    async def _sleep(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _failed(self, pod: Object, error: Exception) -> float:
        self._problem = str(error)
        log.warning("%s: %s", self._name, error)
        reason = "NetworkNotReady" if isinstance(error, NoConfigurationError) else "FailedCreatePodSandBox"
        again = isinstance(error, CniError) and error.code == TRY_AGAIN
        text = f"{'waiting for the network' if again else 'Failed to create pod sandbox'}: {error}"
        await self._event(pod, reason, text, warning=True)
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        return min(delay, 2.0) if again or reason == "NetworkNotReady" else delay

    async def _event(self, pod: Object, reason: str, text: str, *, warning: bool = False) -> None:
        component = "contiv-playground-kubelet"
        await events.record(self._node.client, pod, "Pod", reason, text, component=component, warning=warning)

    async def _bring_up(self, pod: Object) -> float | None:
        """Makes what is missing; returns in how many seconds to look again."""
        wait: float | None = None
        if pod["spec"].get("initContainers"):
            raise OSError("the playground's kubelet runs no init containers")
        if self._unchecked:
            whole = await self._node.sandboxes.check(self.record)
            if whole is None:
                wait = _CHECK_AGAIN
            else:
                self._unchecked = False
                if not whole:
                    await self._event(pod, "SandboxChanged", "Pod sandbox is not whole, it will be re-created.")
                    await self._take_down(0)
        if self.record.sandbox is not None and not self.record.sandbox.result:
            await self._take_down(0)  # an ADD was cut off, or its clean-up failed
        if self.record.sandbox is None and not self.record.host_network:
            await self._node.sandboxes.create(self.record, pod)
        return await self._containers(pod, wait)

    async def _containers(self, pod: Object, wait: float | None) -> float | None:
        policy = pod["spec"].get("restartPolicy", "Always")
        pending = [] if wait is None else [wait]
        for container in pod["spec"]["containers"]:
            name = container["name"]
            found = self.record.containers.get(name)
            if found is not None and found.exit_code is None and not processes.is_running(found):
                found.exit_code, found.finished = processes.exit_code(found), timestamp()
                self._records.save(self.record)
                log.info("%s: container %s ended with code %d", self._name, name, found.exit_code)
            if found is None:
                self._start(container, 0)
            elif found.exit_code is not None:
                if policy == "Never" or (policy == "OnFailure" and not found.exit_code):
                    continue
                due = found.started_at + _restart_delay(found.restarts) - time.time()
                if due <= 0:
                    restarts = 0 if time.time() - found.started_at > _CALM else found.restarts
                    self._start(container, restarts + 1)
                else:
                    pending.append(due)
            elif name not in self._watched:
                self._watch(name)
            found = self.record.containers[name]
            if found.exit_code is None and not processes.is_ready(found):
                pending.append(_READY_POLL)
        if all(self.record.containers[c["name"]].exit_code is not None for c in pod["spec"]["containers"]):
            await self._maybe_done(pod, policy)
        return min(pending, default=None)

    def _start(self, container: Object, restarts: int) -> None:
        name = container["name"]
        if (before := self.record.containers.get(name)) is not None:
            processes.tidy(before)
        self.record.containers[name] = processes.start(self._records, self.record, container, restarts)
        self._records.save(self.record)
        self._watch(name)

    def _watch(self, name: str) -> None:
        if name in self._watched:
            self._watched.pop(name)()
        self._watched[name] = processes.when_it_ends(self.record.containers[name], self._wake.set)

    async def _maybe_done(self, pod: Object, policy: str) -> None:
        """A pod whose containers have all ended for good needs no sandbox any more."""
        codes = [self.record.containers[c["name"]].exit_code for c in pod["spec"]["containers"]]
        if policy == "Never" or (policy == "OnFailure" and not any(codes)):
            await self._node.sandboxes.remove(self.record)
            self.record.done = True
            self._records.save(self.record)

    async def _take_down(self, grace: float) -> None:
        await processes.end(list(self.record.containers.values()), grace)
        for stop in self._watched.values():
            stop()
        self._watched.clear()
        for container in self.record.containers.values():
            processes.tidy(container)
        self.record.containers.clear()
        await self._node.sandboxes.remove(self.record)

    async def _end(self, pod: Object | None) -> bool:
        """Removes the pod from the node and then from the API; returns whether that is done."""
        grace = DEFAULT_GRACE if pod is None else pod["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE)
        try:
            await self._take_down(grace)
            if pod is not None:
                key = (self.record.namespace, self.record.name)
                await self._node.client.delete("pods", key, uid=self.record.uid, grace=0)
        except (CniError, NamespaceError, ClientError) as error:
            log.warning("%s: cannot be removed yet: %s", self._name, error)
            if pod is not None and not isinstance(error, ClientError):
                await self._event(pod, "FailedKillPod", str(error), warning=True)
            delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
            await self._sleep(delay)
            return False
        self._records.delete(self.record)
        log.info("%s: gone", self._name)
        return True

    async def _publish(self, pod: Object) -> bool:
        """Writes the status if it has changed; returns whether the API has what it should."""
        ready = {name: processes.is_ready(found) for name, found in self.record.containers.items()}
        status = pod_status(
            self.record,
            pod,
            ready=ready,
            host_address=self._node.address,
            now=timestamp(),
            problem=self._problem,
        )
        current = pod.get("status") or {}
        if all(current.get(name) == value for name, value in status.items()) or status == self._published:
            return True
        key = (self.record.namespace, self.record.name)
        try:
            patch = {"metadata": {"uid": self.record.uid}, "status": status}
            found = await self._node.client.merge("pods", key, patch, "status")
        except ClientError as error:
            log.warning("%s: the status could not be written: %s", self._name, error)
            return error.code in (404, 409)
        self._published = status
        if self.pod is pod:  # unless something newer came meanwhile
            self.pod = found
        return True


def _restart_delay(restarts: int) -> float:
    return min(_FIRST_RESTART * 2.0**restarts, _LONGEST_RESTART) if restarts else _FIRST_RESTART / 10
