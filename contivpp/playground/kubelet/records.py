"""What the kubelet stand-in must not forget: one file per pod, written before and after every step.

With these files a restarted kubelet finds its pods' processes again and leaves them alone, and knows what
a CNI DEL needs for a pod whose ADD was cut off.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import msgspec

Object = dict[str, Any]
log = logging.getLogger("kubelet")


class Sandbox(msgspec.Struct, kw_only=True):
    """A pod's network namespace. `result` is the CNI result, empty until ADD has succeeded.

    `network` is the configuration list that ADD was given, for a DEL after the file has changed.
    """

    container_id: str
    netns: str
    network: Object = {}
    result: Object = {}
    created: str = ""

    @property
    def addresses(self) -> list[str]:
        """The pod's addresses, without prefix length."""
        return [entry["address"].split("/")[0] for entry in self.result.get("ips") or ()]


class Container(msgspec.Struct, kw_only=True):
    """One container's process. `start_time` (of /proc) tells it from another with the same ID.

    `exit_code` is None as long as it runs.
    """

    id: str
    pid: int
    start_time: int
    started: str
    started_at: float
    restarts: int = 0
    ready_file: str = ""
    exit_file: str = ""
    exit_code: int | None = None
    finished: str = ""


class Record(msgspec.Struct, kw_only=True):
    """One pod. `done` means that it has ended for good and its sandbox is gone, `addresses` what it had."""

    namespace: str
    name: str
    uid: str
    host_network: bool = False
    sandbox: Sandbox | None = None
    containers: dict[str, Container] = {}
    addresses: list[str] = []
    done: bool = False


class Records:
    """The files of all pods."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "pods"
        self.logs = state / "logs"
        for folder in (self.folder, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def _file(self, uid: str) -> Path:
        return self.folder / f"{uid}.json"

    def load(self) -> list[Record]:
        """Reads every file; one that cannot be read is named in the log and left where it is."""
        found = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(file.read_bytes(), type=Record))
            except (msgspec.DecodeError, OSError) as error:
                log.error("%s cannot be read, its pod is lost: %s", file, error)
        return found

    def save(self, record: Record) -> None:
        """Writes a pod's file, whole or not at all."""
        file = self._file(record.uid)
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(record))
        os.replace(part, file)

    def delete(self, record: Record) -> None:
        """Forgets a pod."""
        self._file(record.uid).unlink(missing_ok=True)
        for file in self.folder.glob(f"{record.uid}.*"):
            file.unlink(missing_ok=True)
        link = self.link(record)
        link.unlink(missing_ok=True)

    def scratch(self, uid: str, container_id: str, what: str) -> Path:
        """A small file that belongs to one run of a container."""
        return self.folder / f"{uid}.{container_id[:12]}.{what}"

    def log_file(self, record: Record, container: str) -> Path:
        """Where a container's output goes."""
        return self.logs / f"{record.namespace}_{record.name}_{container}.log"

    def link(self, record: Record) -> Path:
        """A name for the pod's network namespace that people and `contiv-playground exec` can guess."""
        return self.folder / f"{record.namespace}_{record.name}.netns"
