"""A service of systemd that runs what is there now: enabled, started, and restarted when what it uses has changed.

Whether it has is decided by what is, not by what was done a moment ago: the contents that a service was started with
are noted, and a run that was interrupted between the change and the restart is mended by the next one. A service that
somebody else started is compared by times: what was changed after its start is newer than what it knows.
Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Iterable, Mapping

from .managed_files import digest

NOTES = "/run/contiv-services"
"""Gone with a reboot, as the processes are that it speaks of."""
UNITS = "/etc/systemd/system"
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "InvocationID",
    "ExecMainStartTimestampMonotonic",
)
_LINES = 15
Command = Callable[..., str]


class UnitError(Exception):
    """systemd did not do what it was told; the message names the unit and how it ended."""


def path_of(name: str) -> str:
    """Where the file of a unit of ours is."""
    return os.path.join(UNITS, name + ".service")


def run(*words: str) -> str:
    """Runs a command that has to work.

    Raises:
        UnitError: it did not, or is not there.
    """
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError as error:
        raise UnitError("%s cannot be run: %s" % (words[0], error)) from error
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        raise UnitError("%s: %s" % (" ".join(words), said))
    return said


@dataclass(frozen=True)
class Found:
    """A unit as systemd sees it; `since` is when its process began, in seconds since the epoch."""

    known: bool
    active: bool
    enabled: bool
    stale: bool
    invocation: str
    since: float

    @classmethod
    def read(cls, name: str, command: Command = run) -> Found:
        """Asks systemd."""
        said = command("systemctl", "show", "--property=" + ",".join(_PROPERTIES), name + ".service")
        values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        began = int(values.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        return cls(
            known=values.get("LoadState") == "loaded",
            active=values.get("ActiveState") in ("active", "activating", "reloading"),
            enabled=values.get("UnitFileState") == "enabled",
            stale=values.get("NeedDaemonReload") == "yes",
            invocation=values.get("InvocationID", ""),
            since=time.time() - time.monotonic() + began,
        )


@dataclass(frozen=True)
class Plan:
    """What is to be done, in order (enable, start, restart, stop, disable, remove, reload), and why it is restarted."""

    actions: tuple[str, ...]
    reasons: tuple[str, ...] = ()


def plan(
    found: Found, state: str, *, there: bool = True, newer: Iterable[str] = (), changed: Iterable[str] = ()
) -> Plan:
    """Plans what a unit needs; pure.

    Args:
        found: as it is.
        state: started, to run now and after a boot; stopped; or absent.
        there: whether its file is.
        newer: paths that it uses and that are not those it was started with.
        changed: paths that a run in check mode would have changed.
    """
    if state == "started":
        reasons = tuple(sorted({*newer, *changed})) if found.active else ()
        actions = ["reload"] if found.stale or not found.known else []
        actions += [] if found.enabled else ["enable"]
        actions += ["restart"] if reasons else [] if found.active else ["start"]
        return Plan(tuple(actions), reasons)
    actions = ["stop"] if found.active else []
    actions += ["disable"] if found.enabled else []
    actions += ["remove", "reload"] if state == "absent" and there else []
    return Plan(tuple(actions))


def newer(found: Found, uses: Iterable[str], note: Mapping[str, object]) -> list[str]:
    """The paths that are not what a running service was started with; a file that came or went is one as well.

    Args:
        found: the service.
        uses: what it reads when it starts.
        note: what `remember` wrote when it was started here.
    """
    if not found.active:
        return []
    digests = note.get("digests")
    if note.get("invocation") != found.invocation or not isinstance(digests, dict):
        digests = {}
    return [
        path
        for path in uses
        if (
            digests[path] != digest(path)
            if path in digests
            else os.path.lexists(path) and os.lstat(path).st_ctime > found.since
        )
    ]


def recall(name: str, folder: str = NOTES) -> dict[str, object]:
    """What was noted when a service was started here; nothing where it was not."""
    try:
        with open(os.path.join(folder, name + ".json"), encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}


def remember(name: str, invocation: str, digests: Mapping[str, str], folder: str = NOTES) -> None:
    """Notes what a service was started with."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name + ".json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"invocation": invocation, "digests": dict(digests)}, file)
    os.rename(path + ".new", path)


def forget(name: str, folder: str = NOTES) -> None:
    """Removes the note of a service that is no more."""
    try:
        os.unlink(os.path.join(folder, name + ".json"))
        os.rmdir(folder)
    except OSError:
        pass  # there was none, or others have theirs


def apply(name: str, planned: Plan, uses: Iterable[str], command: Command = run, notes: str = NOTES) -> None:
    """Does what was planned; what a service is started with is noted.

    Raises:
        UnitError: it did not start; the message has the last words of its journal.
    """
    for action in planned.actions:
        if action == "reload":
            command("systemctl", "daemon-reload")
        elif action == "remove":
            os.unlink(path_of(name))
            forget(name, notes)
        elif action in ("start", "restart"):
            # Read before, so that what changes meanwhile counts as not yet known to it.
            digests = {path: digest(path) for path in uses}
            try:
                command("systemctl", action, name + ".service")
            except UnitError as error:
                raise UnitError("%s did not start: %s\n%s" % (name, error, _last_words(name, command))) from error
            remember(name, Found.read(name, command).invocation, digests, notes)
        else:
            command("systemctl", action, name + ".service")


def _last_words(name: str, command: Command) -> str:
    try:
        return command("journalctl", "--no-pager", "--output=cat", "--lines=%d" % _LINES, "--unit", name)
    except UnitError:
        return ""
