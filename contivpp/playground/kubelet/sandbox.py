"""A pod's network namespace, and its connection through CNI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contivpp.playground.events import timestamp
from contivpp.playground.kubelet.cni import (
    TRY_AGAIN,
    UNAVAILABLE,
    Attachment,
    CniError,
    Network,
    Plugins,
    load,
)
from contivpp.playground.kubelet.records import Record, Records, Sandbox

Object = dict[str, Any]
NETNS: Final = Path("/run/netns")
INTERFACE: Final = "eth0"
log = logging.getLogger("kubelet")


class NamespaceError(Exception):
    """A network namespace could not be made."""


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "ip", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise NamespaceError(f"ip {' '.join(arguments)}: {said.decode(errors='replace').strip()}")


def _as_list(network: Network) -> Object:
    return {"name": network.name, "cniVersion": network.version, "plugins": list(network.plugins)}


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """Makes and removes sandboxes; the state is in the records alone.

    Attributes:
        gate: held while a new sandbox is entered into the records, and while garbage is collected: a sandbox
            that is not in the list of valid ones must not be added before the plugins have gone through it.
    """

    records: Records
    plugins: Plugins
    configuration: Path
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def create(self, record: Record, pod: Object) -> None:
        """Gives a pod a namespace and an address; the record knows of each step before it is taken.

        Raises:
            NoConfigurationError: there is no network to join.
            CniError: a plugin failed; nothing is left behind, or the record still names it.
            NamespaceError: the namespace could not be made.
        """
        network = load(self.configuration)
        name = f"cni-{uuid.uuid4()}"
        async with self.gate:
            record.sandbox = Sandbox(
                container_id=uuid.uuid4().hex * 2,
                netns=str(NETNS / name),
                network=_as_list(network),
                created=timestamp(),
            )
            self.records.save(record)
        try:
            await _ip("netns", "add", name)
            await _ip("-n", name, "link", "set", "lo", "up")
            attachment = self._attachment(record, record.sandbox, pod)
            record.sandbox.result = await self.plugins.add(network, attachment)
            if not record.sandbox.addresses:
                raise CniError(0, f"network {network.name} gave the pod no address")
        except BaseException:
            with contextlib.suppress(CniError):
                await asyncio.shield(self.remove(record))
            raise
        record.addresses = record.sandbox.addresses
        self.records.save(record)
        link = self.records.link(record)
        link.unlink(missing_ok=True)
        link.symlink_to(record.sandbox.netns)

    async def remove(self, record: Record) -> None:
        """Disconnects a pod and removes its namespace; can be repeated.

        Raises:
            CniError: a plugin failed, the record still names the sandbox: try again.
        """
        sandbox = record.sandbox
        if sandbox is None:
            return
        network = Network.parse(sandbox.network, "the network that the pod was added to")
        await self.plugins.delete(network, self._attachment(record, sandbox, None), sandbox.result)
        await self._remove_namespace(sandbox)
        record.sandbox = None
        self.records.save(record)
        self.records.link(record).unlink(missing_ok=True)

    @staticmethod
    async def _remove_namespace(sandbox: Sandbox) -> None:
        name = Path(sandbox.netns).name
        if (NETNS / name).exists():
            try:
                await _ip("netns", "delete", name)
            except NamespaceError as error:
                log.warning("%s", error)

    def is_there(self, sandbox: Sandbox) -> bool:
        """Tells whether the namespace outlived the last reboot: it is a mount, not just a file."""
        return Path(sandbox.netns).exists() and os.stat(sandbox.netns).st_dev != os.stat(NETNS).st_dev

    async def check(self, record: Record) -> bool | None:
        """Asks the plugins whether a sandbox is whole; None when they cannot tell now."""
        assert record.sandbox is not None
        if not self.is_there(record.sandbox) or not record.sandbox.result:
            return False
        network = Network.parse(record.sandbox.network, "the network that the pod was added to")
        try:
            attachment = self._attachment(record, record.sandbox, None)
            await self.plugins.check(network, attachment, record.sandbox.result)
        except CniError as error:
            log.warning("%s/%s: CHECK: %s", record.namespace, record.name, error)
            return None if error.code in (0, TRY_AGAIN, *UNAVAILABLE) else False
        return True

    def _attachment(self, record: Record, sandbox: Sandbox, pod: Object | None) -> Attachment:
        arguments = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": record.namespace,
            "K8S_POD_NAME": record.name,
            "K8S_POD_INFRA_CONTAINER_ID": sandbox.container_id,
            "K8S_POD_UID": record.uid,
        }
        # DEL must be able to succeed without the namespace, so it is named only while it is there.
        netns = sandbox.netns if pod is not None or Path(sandbox.netns).exists() else ""
        return Attachment(sandbox.container_id, netns, INTERFACE, arguments, _capabilities(pod))


def _capabilities(pod: Object | None) -> Object:
    mappings = [
        {
            "hostPort": port["hostPort"],
            "containerPort": port["containerPort"],
            "protocol": port.get("protocol", "TCP").lower(),
            **({"hostIP": port["hostIP"]} if port.get("hostIP") else {}),
        }
        for container in (pod["spec"]["containers"] if pod else ())
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
    return {"portMappings": mappings} if mappings else {}
