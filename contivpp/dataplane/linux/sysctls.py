"""Settings of the node's network namespace; what they were before is kept in a file, and comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.netlink import entered
from contivpp.dataplane.linux.values import Sysctl
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome

_PROC = Path("/proc/sys")


class SysctlDescriptor:
    """Settings that were changed here, by the record of what they were."""

    name = "linux-sysctl"
    prefix = Sysctl.prefix

    def __init__(self, kernel: Kernel, record: Path) -> None:
        """Takes the node's kernel and the file that remembers former values."""
        self._kernel = kernel
        self._record = record

    def dependencies(self, key: str, setting: Sysctl) -> Iterable[Dependency]:
        """None."""
        return ()

    def derived(self, key: str, setting: Sysctl) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Writes or restores one after the other."""
        return [self._one(operation) for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        """The present value of every setting that was changed here; those of a link go with the link."""
        found = {}
        for name in self._former():
            with contextlib.suppress(OSError):
                value = Sysctl(name, self._read(name))
                found[value.key] = Observed(value)
        return found

    def _one(self, operation: Operation) -> Outcome:
        name: str = operation.value.name
        former = self._former()
        try:
            if operation.kind is OperationKind.DELETE:
                if name in former:
                    with contextlib.suppress(FileNotFoundError):  # gone with its link
                        self._write(name, former[name])
                    del former[name]
                    self._remember(former)
                return DONE
            if name not in former:
                self._remember({**former, name: self._read(name)})
            self._write(name, operation.value.value)
        except OSError as error:
            return Outcome(error=f"{name}: {error.strerror}")
        return DONE

    def _former(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _remember(self, former: Mapping[str, str]) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._record.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(former))
        fresh.replace(self._record)

    def _read(self, name: str) -> str:
        with entered(self._kernel.netns):
            return _file(name).read_text().strip()

    def _write(self, name: str, value: str) -> None:
        with entered(self._kernel.netns):
            _file(name).write_text(value)


def _file(name: str) -> Path:
    return _PROC / name.replace(".", "/")
