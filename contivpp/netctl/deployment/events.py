"""What ansible-runner tells of a run, as records: a task began, a task ended on a host, the run ended.

Events that nobody here needs, and those of later versions that nobody knows, are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Status(StrEnum):
    """How a task ended on a host."""

    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class PlayStarted:
    """A play begins."""

    name: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task begins, on all its hosts; `role` is "" outside of one."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class HostStarted:
    """A host begins with the task."""

    host: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded:
    """A task ended on a host.

    Attributes:
        action: the module.
        results: what it answered: one mapping, or one per item of a loop.
        message: why it failed; "" otherwise.
        ignored: whether the run goes on in spite of a failure.
    """

    host: str
    task: str
    role: str
    action: str
    status: Status
    results: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    message: str = ""
    ignored: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HostCounts:
    """What a run did on a host, in tasks."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    rescued: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run is over."""

    hosts: Mapping[str, HostCounts]


Event = PlayStarted | TaskStarted | HostStarted | TaskEnded | RunEnded
_ENDS: Final = {
    "runner_on_ok": Status.OK,
    "runner_on_failed": Status.FAILED,
    "runner_on_unreachable": Status.UNREACHABLE,
    "runner_on_skipped": Status.SKIPPED,
}
_COUNTS: Final = {
    "ok": "ok",
    "changed": "changed",
    "failed": "failures",
    "unreachable": "dark",
    "rescued": "rescued",
}


def read(event: Mapping[str, Any]) -> Event | None:
    """One event of ansible-runner, or None when it says nothing that is needed."""
    data = event.get("event_data") or {}
    match event.get("event"):
        case "playbook_on_play_start":
            return PlayStarted(str(data.get("play") or data.get("name") or ""))
        case "playbook_on_task_start" | "playbook_on_handler_task_start":
            return TaskStarted(_task(data), str(data.get("role") or ""))
        case "runner_on_start":
            return HostStarted(str(data.get("host") or ""), _task(data))
        case "playbook_on_stats":
            return RunEnded(dict(_counts(data)))
        case str() as name if name in _ENDS:
            return _ended(_ENDS[name], data)
    return None


def _task(data: Mapping[str, Any]) -> str:
    """The task's own name, without the role's, which ansible-runner puts before it."""
    name, role = str(data.get("task") or data.get("name") or ""), str(data.get("role") or "")
    return name.removeprefix(f"{role} : ") if role else name


def _ended(status: Status, data: Mapping[str, Any]) -> TaskEnded:
    result = data.get("res") or {}
    if status is Status.OK and result.get("changed"):
        status = Status.CHANGED
    return TaskEnded(
        host=str(data.get("host") or ""),
        task=_task(data),
        role=str(data.get("role") or ""),
        action=str(data.get("task_action") or "").rpartition(".")[2],
        status=status,
        results=tuple(one for one in result.get("results") or (result,) if isinstance(one, Mapping)),
        message=_message(result) if status in (Status.FAILED, Status.UNREACHABLE) else "",
        ignored=bool(data.get("ignore_errors")),
        seconds=float(data.get("duration") or 0),
    )


def _message(result: Mapping[str, Any]) -> str:
    """The reason of a failure; that of the first item that failed in a loop."""
    bad = next((one for one in result.get("results") or () if isinstance(one, Mapping) and one.get("failed")), result)
    for name in ("msg", "stderr", "stdout", "censored"):
        if text := str(bad.get(name) or "").strip():
            return text
    return "no reason was given"


def _counts(data: Mapping[str, Any]) -> Iterator[tuple[str, HostCounts]]:
    hosts = sorted({host for name in _COUNTS.values() for host in data.get(name) or ()})
    for host in hosts:
        yield host, HostCounts(**{ours: (data.get(name) or {}).get(host, 0) for ours, name in _COUNTS.items()})
