"""File systems of huge pages, for programs that want files of them: each a mount unit of systemd.

A folder that is one already, of the right page size, is left to who mounted it. What is ours goes with the wish for it,
and so does the folder that was made for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .state import Memory
from .system import HostError, System

MOUNTS = "/proc/self/mountinfo"
UNITS = "/etc/systemd/system"
PREFIX = "mount "
"""What a mount's name in the memory begins with."""

UNIT_TEXT = """# Written by Ansible: it goes when nobody asks for it any more.
[Unit]
Description=Contiv-VPP: huge pages of %(size)s
DefaultDependencies=no
Before=sysinit.target

[Mount]
What=hugetlbfs
Where=%(path)s
Type=hugetlbfs
Options=mode=0755,pagesize=%(size)s

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Mount:
    """One that is there: its folder, and the size of its pages."""

    path: str
    kilobytes: int


@dataclass(frozen=True)
class Plan:
    """What has to be mounted and unmounted, and all that is to be there of ours, by folder with the size in text."""

    mount: tuple[str, ...]
    unmount: tuple[str, ...]
    wanted: Mapping[str, str]
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.mount or self.unmount)


def read(system: System, default_kilobytes: int) -> tuple[Mount, ...]:
    """The file systems of huge pages that are mounted."""
    found: dict[str, Mount] = {}
    for line in (system.read(MOUNTS) or "").splitlines():
        before, _, after = line.partition(" - ")
        words, what = before.split(), after.split()
        if len(words) < 5 or not what or what[0] != "hugetlbfs":
            continue
        size = re.search(r"pagesize=(\d+)([KMG])", what[-1])
        kilobytes = int(size.group(1)) << {"K": 0, "M": 10, "G": 20}[size.group(2)] if size else default_kilobytes
        found[words[4]] = Mount(words[4], kilobytes)  # the last one hides those below
    return tuple(found[path] for path in sorted(found))


def plan(
    there: Sequence[Mount],
    wanted: Sequence[tuple[str, str]],
    memory: Mapping[str, Any],
    default_kilobytes: int,
    sizes: Sequence[int],
) -> Plan:
    """Plans; pure.

    Args:
        there: what is mounted.
        wanted: folders with the sizes of pages; "" is the usual one.
        memory: what is remembered of the mounts that are ours.
        default_kilobytes: the usual size.
        sizes: those that the machine has, in kilobytes.

    Raises:
        HostError: a folder has pages of another size, or cannot be one.
    """
    from .hugepages import kilobytes_of, size_text

    problems: list[str] = []
    ours = {name[len(PREFIX) :] for name in memory if name.startswith(PREFIX)}
    now = {mount.path: mount.kilobytes for mount in there}
    asked: dict[str, int] = {}
    for path, size in wanted:
        kilobytes = kilobytes_of(size) if size else default_kilobytes
        if not re.fullmatch(r"(/[^/\s]+)+", path):
            problems.append("%r is not an absolute path without a slash at its end: correct it" % path)
        elif kilobytes not in sizes:
            problems.append("this host has no pages of %s to mount on %s: choose another size" % (size, path))
        elif now.get(path, kilobytes) != kilobytes and path not in ours:
            problems.append("%s has pages of %s: choose another folder" % (path, size_text(now[path])))
        asked[path] = kilobytes
    if problems:
        raise HostError(*problems)
    remount = {path for path in ours if path in asked and now.get(path, asked[path]) != asked[path]}
    mine = {path: size_text(kilobytes) for path, kilobytes in asked.items() if path in ours or path not in now}
    shown = sorted(ours | set(asked))
    return Plan(
        mount=tuple(sorted(path for path in asked if path not in now or path in remount)),
        unmount=tuple(sorted((ours - set(asked)) | remount)),
        wanted=mine,
        before={path: size_text(now[path]) for path in shown if path in now},
        after={path: size_text(asked[path]) for path in shown if path in asked},
    )


def apply(system: System, planned: Plan, memory: Memory) -> None:
    """Does what is planned.

    Raises:
        HostError: systemd refuses.
    """
    for path in planned.unmount:
        unit = unit_name(path)
        system.run("systemctl", "stop", unit)
        for place in (_wanted_path(unit), "%s/%s" % (UNITS, unit)):
            system.remove(place)
        if path not in planned.wanted:
            if memory.all().get(PREFIX + path, {}).get("made"):
                system.remove_folder(path)
            memory.forget(PREFIX + path)
    for path in planned.mount:
        unit = unit_name(path)
        memory.remember(PREFIX + path, {"made": not system.exists(path)})
        system.save("%s/%s" % (UNITS, unit), UNIT_TEXT % {"size": planned.wanted[path], "path": path})
        system.link(_wanted_path(unit), "%s/%s" % (UNITS, unit))
    if planned.changed:
        system.must("systemctl", "daemon-reload")
    for path in planned.mount:
        system.must("systemctl", "start", unit_name(path))


def verify(system: System, planned: Plan) -> list[str]:
    """What is not as planned, now."""
    there = {mount.path for mount in read(system, 0)}
    return ["%s has not got its huge pages: see systemctl status %s" % (path, unit_name(path)) for path in planned.mount
            if path not in there]  # fmt: skip


def unit_name(path: str) -> str:
    """The name that systemd wants for the mount of a folder."""
    letters = []
    for place, letter in enumerate(path.strip("/")):
        if letter == "/":
            letters.append("-")
        elif re.match(r"[A-Za-z0-9:_]", letter) or (letter == "." and place > 0):
            letters.append(letter)
        else:
            letters += ["\\x%02x" % byte for byte in letter.encode()]
    return "".join(letters) + ".mount"


def _wanted_path(unit: str) -> str:
    return "%s/sysinit.target.wants/%s" % (UNITS, unit)
