"""What a run would change, read from its check mode: services, settings, software and files, host by host.

The modules of this project say in fields what they would do; for all others the task's name has to do. What packets
notice of it is `effects`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from contivpp.netctl.deployment.events import Status, TaskEnded

_UNITS: Final = "/etc/systemd/system/"
_CONFIGURATIONS: Final = (".conf", ".conflist")


class Kind(StrEnum):
    """What kind of thing changes."""

    SERVICE = "service"
    SETTING = "setting"
    SOFTWARE = "software"
    NIC = "nic"
    FILE = "file"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that would change on a host.

    Attributes:
        subject: a service, a package, a NIC, a file, a task.
        what: the setting's name, or what is done: start, restart, created, ...
        before: a setting's value, a version, or a NIC's driver; "" where there is none.
        reason: for a restart, what it is because of.
    """

    host: str
    kind: Kind
    subject: str
    what: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A host where the check itself failed, and why."""

    host: str
    task: str
    message: str


def changes(ended: Iterable[TaskEnded]) -> list[Change]:
    """All that would change, once each, in the order of the run; a task that says nothing of itself is named."""
    found = (change for one in ended if one.status is Status.CHANGED for change in _of_task(one))
    return list(dict.fromkeys(found))


def failures(ended: Iterable[TaskEnded]) -> list[Failure]:
    """What failed, and was not meant to be tried only."""
    bad = (Status.FAILED, Status.UNREACHABLE)
    return [Failure(one.host, one.task, one.message) for one in ended if one.status in bad and not one.ignored]


def _of_task(ended: TaskEnded) -> Iterator[Change]:
    read = _MODULES.get(ended.action)
    changed = [result for result in ended.results if result.get("changed")]
    found = [change for result in changed for change in (read or _nothing)(ended, result)]
    if found:
        yield from found
    else:
        yield Change(host=ended.host, kind=Kind.OTHER, subject=ended.task)


def _nothing(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    yield from ()


def _service(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    name = str(_argument(result, "name") or _item(result) or ended.task)
    reasons = ", ".join(os.path.basename(path) for path in result.get("reasons") or ())
    for action in result.get("actions") or ():
        if action != "reload":
            reason = reasons if action == "restart" else ""
            yield Change(host=ended.host, kind=Kind.SERVICE, subject=name, what=action, reason=reason)


def _files(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    diffs = {diff.get("after_header"): diff for diff in _diffs(result)}
    for path, what in (result.get("changes") or {}).items():
        diff = diffs.get(path, {})
        before, after = str(diff.get("before") or ""), str(diff.get("after") or "")
        settings = _settings(path, before, after) if what == "changed" else None
        if settings is None:
            yield Change(host=ended.host, kind=Kind.FILE, subject=path, what=what)
            continue
        for name, (then, now) in settings.items():
            yield Change(host=ended.host, kind=Kind.SETTING, subject=path, what=name, before=then, after=now)


def _startup_conf(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    path = str(_argument(result, "path") or "startup.conf")
    for name, change in (result.get("changes") or {}).items():
        before, after = _text(change.get("before")), _text(change.get("after"))
        yield Change(host=ended.host, kind=Kind.SETTING, subject=path, what=name, before=before, after=after)


def _packages(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    before, after = result.get("before") or {}, result.get("after") or {}
    for name in sorted({*before, *after}):
        what = "install" if name not in before else "replace" if name in after else "remove"
        versions = {"before": _text(before.get(name)), "after": _text(after.get(name))}
        yield Change(host=ended.host, kind=Kind.SOFTWARE, subject=name, what=what, **versions)


def _package(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    diff = next(iter(_diffs(result)), {})
    before, after = (str(diff.get(name) or "").strip() for name in ("before", "after"))
    what = "replace" if before else "install"
    yield Change(host=ended.host, kind=Kind.SOFTWARE, subject="contivpp", what=what, before=before, after=after)


def _nic(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    name = str(_argument(result, "nic") or _item(result) or result.get("address") or ended.task)
    before, after = result.get("before") or {}, result.get("after") or {}
    drivers = {"before": _text(before.get("driver")), "after": _text(after.get("driver"))}
    what = "give back" if after.get("links") else "take"
    if drivers["before"] == drivers["after"]:
        what = "next boot"
    elif what == "take":
        carried = [one for link in (before.get("links") or {}).values() for one in link.get("addresses") or ()]
        what += f" from {', '.join(carried)}" if carried else ""
    yield Change(host=ended.host, kind=Kind.NIC, subject=name, what=what, **drivers)


def _stolen(ended: TaskEnded, result: Mapping[str, Any]) -> Iterator[Change]:
    what = {"begin": "steal", "release": "give back"}.get(str(_argument(result, "action")))
    name = str((result.get("nic") or {}).get("name") or _argument(result, "nic") or "the node's own")
    if what:
        yield Change(host=ended.host, kind=Kind.NIC, subject=name, what=what)


_MODULES: Final = {
    "contivpp_nic": _nic,
    "contivpp_stn": _stolen,
    "contivpp_service": _service,
    "contivpp_files": _files,
    "contivpp_startup_conf": _startup_conf,
    "contivpp_packages": _packages,
    "contivpp_package": _package,
}


def _settings(path: str, before: str, after: str) -> dict[str, tuple[str, str]] | None:
    """The settings of a configuration in YAML that differ, by their paths; None for what is no configuration."""
    if path.startswith(_UNITS) or not path.endswith(_CONFIGURATIONS):
        return None
    try:
        then, now = yaml.safe_load(before) or {}, yaml.safe_load(after) or {}
    except yaml.YAMLError:
        return None
    if not isinstance(then, dict) or not isinstance(now, dict):
        return None
    old, new = dict(_flat(then)), dict(_flat(now))
    return {
        name: (old.get(name, ""), new.get(name, "")) for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    }


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Leaves by their paths; items of a list that name a node go by it, others by their number."""
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name))
    elif isinstance(tree, list) and tree:
        for number, value in enumerate(tree):
            name = value.get("nodeName", number) if isinstance(value, dict) else number
            yield from _flat(value, f"{path}[{name}]")
    elif path:
        yield path, _text(tree)


def _diffs(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    diff = result.get("diff") or []
    return [one for one in (diff if isinstance(diff, list) else [diff]) if isinstance(one, Mapping)]


def _argument(result: Mapping[str, Any], name: str) -> Any:
    return ((result.get("invocation") or {}).get("module_args") or {}).get(name)


def _item(result: Mapping[str, Any]) -> Any:
    item = result.get("item")
    return item.get("name") if isinstance(item, Mapping) else item


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
