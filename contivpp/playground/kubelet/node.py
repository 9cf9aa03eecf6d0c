"""The Node object: registration, conditions, heartbeats."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contivpp.playground.client import Client, ClientError
from contivpp.playground.events import timestamp
from contivpp.playground.kubelet.cni import CniError, NoConfigurationError, Plugins, load

Object = dict[str, Any]
log = logging.getLogger("kubelet")
LEASES: Final = "apis/coordination.k8s.io/v1/leases"
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_SECONDS: Final = 40
HEARTBEAT: Final = 10.0
_FULL_REPORT: Final = 60.0
_IMPATIENT: Final = 1.0
# An agent that is restarted is back within this time, and the node was never unready.
_PATIENCE: Final = 15.0
VERSION: Final = "v1.32.4-playground"


@dataclass(slots=True)
class NodeReporter:
    """Keeps one Node object true."""

    name: str
    address: str
    client: Client
    plugins: Plugins
    configuration: Path
    labels: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _ready_at: float | None = None
    _problem: str = "the network has not been asked yet"
    _written: Object = field(default_factory=dict)
    _written_at: float = 0.0

    async def run(self) -> None:
        """Registers the node, and reports for ever."""
        while True:
            network = await self._network_problem()
            try:
                await self._report(network)
                await self._renew()
            except ClientError as error:
                log.warning("node %s could not be reported: %s", self.name, error)
            await asyncio.sleep(_IMPATIENT if network else HEARTBEAT)

    async def _network_problem(self) -> str:
        """Why pods cannot be connected; "" when they can, or could a moment ago."""
        now = self.clock()
        try:
            await self.plugins.status(load(self.configuration))
        except (NoConfigurationError, CniError) as error:
            self._problem = f"container runtime network not ready: {error}"
            recently = self._ready_at is not None and now - self._ready_at < _PATIENCE
            gone = isinstance(error, NoConfigurationError)
            return "" if recently and not gone else self._problem
        self._ready_at = now
        return ""

    async def _report(self, problem: str) -> None:
        try:
            node = await self.client.get("nodes", ("", self.name))
        except ClientError as error:
            if error.code != 404:
                raise
            node = await self.client.create("nodes", self._object())
            log.info("registered node %s with address %s", self.name, self.address)
        missing = {k: v for k, v in self._labels().items() if (node["metadata"].get("labels") or {}).get(k) != v}
        if missing:
            await self.client.merge("nodes", ("", self.name), {"metadata": {"labels": missing}})
        conditions = self._conditions(node, problem)
        status = self._status()
        current = node.get("status") or {}
        steady = [_without_heartbeat(c) for c in current.get("conditions") or ()]
        same = steady == [_without_heartbeat(c) for c in conditions]
        same = same and all(current.get(k) == v for k, v in status.items())
        if same and self.clock() - self._written_at < _FULL_REPORT:
            return
        await self.client.merge("nodes", ("", self.name), {"status": {**status, "conditions": conditions}}, "status")
        self._written_at = self.clock()
        if not same:
            log.info("node %s is %s", self.name, f"not ready: {problem}" if problem else "ready")

    def _labels(self) -> dict[str, str]:
        return {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            **self.labels,
        }

    def _object(self) -> Object:
        return {"metadata": {"name": self.name, "labels": self._labels()}, "spec": {}}

    def _status(self) -> Object:
        processors = str(os.cpu_count() or 1)
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki"
        amounts = {"cpu": processors, "memory": memory, "pods": "110"}
        return {
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "capacity": amounts,
            "allocatable": amounts,
            "nodeInfo": {
                "machineID": _read("/etc/machine-id"),
                "systemUUID": _read("/etc/machine-id"),
                "bootID": _read("/proc/sys/kernel/random/boot_id"),
                "kernelVersion": platform.release(),
                "osImage": _os_image(),
                "containerRuntimeVersion": "contiv-playground://1",
                "kubeletVersion": VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": self._labels()["kubernetes.io/arch"],
            },
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        }

    def _conditions(self, node: Object, problem: str) -> list[Object]:
        before = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}
        now = timestamp()
        wanted = [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "False", "KubeletNotReady", problem)
            if problem
            else ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ]
        return [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": before[kind]["lastTransitionTime"]
                if before.get(kind, {}).get("status") == status
                else now,
            }
            for kind, status, reason, message in wanted
        ]

    async def _renew(self) -> None:
        stamp = timestamp().replace("Z", ".000000Z")
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp}
        key = (LEASE_NAMESPACE, self.name)
        try:
            await self.client.merge(LEASES, key, {"spec": spec})
        except ClientError as error:
            if error.code != 404:
                raise
            lease = {"metadata": {"name": self.name, "namespace": LEASE_NAMESPACE}, "spec": spec}
            await self.client.create(LEASES, lease)


def _without_heartbeat(condition: Object) -> Object:
    return {k: v for k, v in condition.items() if k != "lastHeartbeatTime"}


def _read(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    lines = _read("/etc/os-release").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found.get("PRETTY_NAME", "Linux").strip('"')
