"""The agent's side of the CNI: requests become events, and wait for the controller's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from contivpp.agent.controller import Controller
from contivpp.agent.events import PodAdded, PodDeleted, PodsKept
from contivpp.agent.pods.api import (
    Attachment,
    BrokenAttachmentError,
    NotReadyError,
    Sandbox,
    UnknownSandboxError,
)


class ControlledPodNetwork:
    """Implements `contivpp.agent.pods.api.PodNetwork` with the controller."""

    def __init__(self, controller: Controller, *, start_deadline: float = 10.0) -> None:
        """Takes the controller; `start_deadline` is how many seconds an ADD waits for a starting agent."""
        self._controller = controller
        self._start_deadline = start_deadline

    async def add(self, sandbox: Sandbox) -> Attachment:
        """Connects a sandbox, or answers again what it answered for it before."""
        await self._wait_until_ready(f"pod {sandbox.pod}")
        known = self._controller.view.pods.get(sandbox.pod)
        if known is not None and known.sandbox == sandbox:
            return self._controller.pods.attachment(self._controller.view, known)
        done: asyncio.Future[Attachment] = asyncio.get_running_loop().create_future()
        await self._controller.push(PodAdded(sandbox, done))
        return await done

    async def delete(self, sandbox: Sandbox) -> None:
        """Disconnects a sandbox; one that is not known has nothing to disconnect."""
        await self._wait_until_ready(f"container {sandbox.container_id}")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._controller.push(PodDeleted(sandbox, done))
        await done

    async def check(self, sandbox: Sandbox) -> Attachment:
        """Compares what the scheduler made of the sandbox with what the data plane holds now."""
        await self._wait_until_ready(f"pod {sandbox.pod}")
        controller = self._controller
        pod = controller.view.pods.get(sandbox.pod)
        if pod is None or pod.sandbox.container_id != sandbox.container_id:
            message = f"pod {sandbox.pod}: container {sandbox.container_id} was never connected"
            raise UnknownSandboxError(message)
        wanted = list(controller.pods.keys_of(controller, pod))
        there = await controller.scheduler.observe(wanted)
        desired = controller.desired.values()
        broken = [key for key in wanted if there.get(key) != desired.get(key)]
        if broken:
            message = f"pod {sandbox.pod}: not as it was made: {', '.join(broken)}"
            raise BrokenAttachmentError(message)
        return controller.pods.attachment(controller.view, pod)

    async def collect_garbage(self, valid: Collection[tuple[str, str]]) -> None:
        """Disconnects every sandbox that the runtime does not name any more."""
        await self._wait_until_ready("garbage collection")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._controller.push(PodsKept(frozenset(valid), done))
        await done

    async def status(self) -> None:
        """Ready means in sync at least once."""
        if not self._controller.ready.is_set():
            raise NotReadyError(self._why_not_ready())

    async def _wait_until_ready(self, who: str) -> None:
        try:
            async with asyncio.timeout(self._start_deadline):
                await self._controller.ready.wait()
        except TimeoutError:
            raise NotReadyError(f"{who}: {self._why_not_ready()}") from None

    def _why_not_ready(self) -> str:
        return self._controller.why_not_ready()
