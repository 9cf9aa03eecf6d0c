"""Debian packages of a machine: what differs, brought in, and taken back to what was there before.

What was there before the first change is noted before it, so a run that was interrupted and one that takes everything
back both know it. Services that packages bring are masked before they are there: they never start, not even for a
moment. dpkg that was cut off is mended first. Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Mapping

from . import durable

NOTES = "/var/lib/contiv-packages"
LISTS = "/var/lib/apt/lists"
SOURCES = "/etc/apt/sources.list.d"
LISTS_ARE_FRESH = 3600
_LAST = 2000
Command = Callable[..., str]


class PackagesError(Exception):
    """Packages cannot be had or read; the message has what apt said."""


def run(*words: str, good: tuple[int, ...] = (0,)) -> str:
    """Runs a program and returns what it printed.

    Raises:
        PackagesError: it ended with another code than the good ones.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False)
    said = done.stdout.decode(errors="replace")
    if done.returncode not in good:
        raise PackagesError("%s: %s" % (" ".join(words[:4]), said.strip()[-_LAST:]))
    return said


@dataclass(frozen=True)
class Plan:
    """What is to be installed: `arguments` for apt, and the versions of each package before and after."""

    arguments: tuple[str, ...]
    before: Mapping[str, str]
    after: Mapping[str, str]


def plan(wanted: Mapping[str, str], files: Mapping[str, str], installed: Mapping[str, str]) -> Plan:
    """Plans what is missing or has another version; pure.

    Args:
        wanted: versions by package; "" for any.
        files: of packages that come from files, the path of each.
        installed: versions by package of what is completely installed.
    """
    different = sorted(
        name for name, version in wanted.items() if (version or installed.get(name, "")) != installed.get(name)
    )
    arguments = tuple(
        files.get(name) or ("%s=%s" % (name, wanted[name]) if wanted[name] else name) for name in different
    )
    return Plan(
        arguments,
        {name: installed[name] for name in different if name in installed},
        {name: wanted[name] or "newest" for name in different},
    )


def in_folder(folder: str, command: Command = run) -> tuple[dict[str, str], dict[str, str]]:
    """The packages in a folder: their versions and their files.

    Raises:
        PackagesError: a file that is no package, or a package that is there twice.
    """
    versions: dict[str, str] = {}
    files: dict[str, str] = {}
    for path in sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb")):
        said = command("dpkg-deb", "--show", "--showformat=${Package} ${Version}", path)
        name, _, version = said.strip().partition(" ")
        if name in versions:
            raise PackagesError("%s and %s are both %s: keep one of them" % (files[name], path, name))
        versions[name], files[name] = version, path
    return versions, files


def read(names: list[str], command: Command = run) -> dict[str, str]:
    """The versions of those packages that are completely installed."""
    if not names:
        return {}
    said = command(
        "dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status} ${Version}\n", *names, good=(0, 1)
    )
    lines = [line.split() for line in said.splitlines()]
    return {words[0]: words[2] for words in lines if len(words) == 3 and words[1] == "installed"}


def note_of(name: str, folder: str = NOTES) -> dict[str, dict[str, str]]:
    """What was there before: {"before": versions by package, "masked": services}; a version of "" is none.

    Raises:
        PackagesError: the note is damaged.
    """
    path = os.path.join(folder, name + ".json")
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PackagesError(
            "%s is damaged (%s), and it says which packages were there before: repair it, or remove it to keep them all"
            % (path, error)
        ) from None


def install(
    note: str, planned: Plan, services: list[str], *, from_files: bool, command: Command = run, folder: str = NOTES
) -> None:
    """Brings in what was planned.

    Args:
        note: under which name what was there before is noted.
        planned: what to install.
        services: that the packages bring and that are never to start; those of packages that were there are left alone.
        from_files: whether all of them are files, so that no list of what can be had is needed.
        command: runs a program.
        folder: of the notes.

    Raises:
        PackagesError: apt could not.
    """
    noted = note_of(note, folder)
    before = {**{name: planned.before.get(name, "") for name in planned.after}, **noted.get("before", {})}
    masked = noted.get("masked", {})
    if not any(before.values()):
        masked = {**masked, **{service: "" for service in services}}
    _keep(note, {"before": before, "masked": masked}, folder)
    for service in sorted(masked):
        command("systemctl", "mask", service + ".service")
    if command("dpkg", "--audit").strip():
        command("dpkg", "--configure", "-a")
    if not from_files and not _is_fresh():
        command("apt-get", "update", "--quiet")
    options = ("--yes", "--quiet", "--no-install-recommends", "--allow-downgrades", "-o", "DPkg::Lock::Timeout=120")
    command("apt-get", "install", *options, *planned.arguments)


def remove(note: str, *, command: Command = run, folder: str = NOTES) -> None:
    """Takes back what was brought in and was not there before; other versions than before stay as they are.

    What others need that came since stays with them.

    Raises:
        PackagesError: apt could not.
    """
    noted = note_of(note, folder)
    if command("dpkg", "--audit").strip():
        command("dpkg", "--configure", "-a")
    gone = removable(noted, read(sorted(noted.get("before", {})), command), command)
    if gone:
        command("apt-get", "purge", "--yes", "--quiet", "-o", "DPkg::Lock::Timeout=120", *gone)
    for service in sorted(noted.get("masked", {})):
        command("systemctl", "unmask", service + ".service")
    path = os.path.join(folder, note + ".json")
    if os.path.exists(path):
        os.unlink(path)
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)


def surplus(noted: Mapping[str, Mapping[str, str]], installed: Mapping[str, str]) -> list[str]:
    """The packages that were brought in and are still there; pure."""
    return sorted(name for name, version in noted.get("before", {}).items() if not version and name in installed)


def removable(
    noted: Mapping[str, Mapping[str, str]], installed: Mapping[str, str], command: Command = run
) -> list[str]:
    """Those of them that nobody needs who is not one of them: apt would take who does away as well.

    Raises:
        PackagesError: apt does not say what it would do.
    """
    gone = surplus(noted, installed)
    while gone:
        others = _purged(gone, command) - set(gone)
        if not others:
            break
        kept = [name for name in gone if _purged([name], command) & others] or gone
        gone = [name for name in gone if name not in kept]
    return gone


def _purged(names: list[str], command: Command) -> set[str]:
    """All that would go with some packages."""
    said = command("apt-get", "--simulate", "purge", *names)
    return {name.partition(":")[0] for name in re.findall(r"^(?:Purg|Remv) (\S+)", said, re.MULTILINE)}


def _keep(name: str, content: Mapping[str, object], folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    durable.write(os.path.join(folder, name + ".json"), json.dumps(content, sort_keys=True))


def _is_fresh(lists: str = LISTS, sources: str = SOURCES) -> bool:
    """Whether apt's lists are young, and younger than what says where they come from."""
    try:
        read = os.stat(lists).st_mtime
        said = [
            os.stat(sources).st_mtime,
            *(os.stat(os.path.join(sources, name)).st_mtime for name in os.listdir(sources)),
        ]
    except OSError:
        return False
    return max(said) < read and time.time() - read < LISTS_ARE_FRESH and any("_" in name for name in os.listdir(lists))
