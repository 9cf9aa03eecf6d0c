"""What a change of a machine may replace, kept before it and put back when the change does not work.

A snapshot is one archive with a list of what was looked for. Putting it back makes those paths what they were: what was
changed is as before, and what came since is gone. Folders that a link leads to are not part of it; whoever replaces
them leaves the old one where it is. Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tarfile
from typing import Any, Sequence

from . import durable

FOLDER = "/var/lib/contiv-rollout"
_ARCHIVE = "snapshot.tar"
_RECORD = "snapshot.json"


class SnapshotError(Exception):
    """There is no snapshot, or it cannot be put back; the message says what is missing."""


def record(folder: str = FOLDER) -> dict[str, Any] | None:
    """What a snapshot was taken for and of: {"purpose": text, "patterns": paths, "bytes": of the archive}, or None."""
    try:
        with open(os.path.join(folder, _RECORD), encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return None


def save(purpose: str, patterns: Sequence[str], *, root: str = "/", folder: str = FOLDER) -> None:
    """Takes a snapshot of all that the patterns match; the record comes last, and makes it count."""
    drop(folder)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, _ARCHIVE), "wb") as archive:
        os.fchmod(archive.fileno(), 0o600)
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in _matches(patterns, root):
                tar.add(os.path.join(root, path), arcname=path)
        archive.flush()
        os.fsync(archive.fileno())
        size = archive.tell()
    kept = {"purpose": purpose, "patterns": list(patterns), "bytes": size}
    durable.write(os.path.join(folder, _RECORD), json.dumps(kept))


def differences(*, root: str = "/", folder: str = FOLDER) -> list[str]:
    """The paths that are not as in the snapshot: changed, gone or new.

    Raises:
        SnapshotError: there is none.
    """
    with _Opened(folder) as (tar, patterns):
        members = {member.name: member for member in tar.getmembers()}
        different = [name for name, member in members.items() if not _same(tar, member, os.path.join(root, name))]
        now = {path for top in _matches(patterns, root) for path in _all_below(root, top)}
        return sorted({*different, *(now - set(members))})


def restore(*, root: str = "/", folder: str = FOLDER) -> list[str]:
    """Makes everything as in the snapshot, which stays; returns the paths that were not.

    Raises:
        SnapshotError: there is none, or a link would lead to what is no more.
    """
    different = differences(root=root, folder=folder)
    with _Opened(folder) as (tar, _):
        # It is our own archive; later Pythons would take modes and owners from it.
        tar.extraction_filter = lambda member, path: member
        members = {member.name: member for member in tar.getmembers()}
        for member in members.values():
            target = os.path.join(root, os.path.dirname(member.name), member.linkname)
            if member.name in different and member.issym() and not os.path.exists(target):
                raise SnapshotError("/%s led to %s, which is no more" % (member.name, member.linkname))
        for name in sorted(different, reverse=True):
            _remove(os.path.join(root, name), also_folders=name not in members)
        for name in sorted(set(different) & set(members)):
            if not (members[name].isdir() and os.path.isdir(os.path.join(root, name))):
                tar.extract(members[name], root, numeric_owner=True)
            else:
                os.chmod(os.path.join(root, name), members[name].mode)
                os.chown(os.path.join(root, name), members[name].uid, members[name].gid)
    return different


def drop(folder: str = FOLDER) -> bool:
    """Forgets a snapshot; returns whether there was one."""
    there = record(folder) is not None
    for name in (_RECORD, _ARCHIVE):
        if os.path.exists(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)
    return there


class _Opened:
    def __init__(self, folder: str) -> None:
        known = record(folder)
        if known is None:
            raise SnapshotError("there is no snapshot in %s" % folder)
        self._patterns, self._path = list(known["patterns"]), os.path.join(folder, _ARCHIVE)
        self._bytes = known.get("bytes")

    def __enter__(self) -> tuple[tarfile.TarFile, list[str]]:
        try:
            # What was cut off between two files looks whole: those that it lacks would be taken for new, and removed.
            if self._bytes is not None and os.stat(self._path).st_size != self._bytes:
                raise tarfile.ReadError("it is not as long as it was")
            self._tar = tarfile.open(self._path)
        except (OSError, tarfile.TarError) as error:
            raise SnapshotError("%s is damaged (%s): nothing was put back" % (self._path, error)) from None
        return self._tar, self._patterns

    def __exit__(self, *_: object) -> None:
        self._tar.close()


def _matches(patterns: Sequence[str], root: str) -> list[str]:
    found = {path for pattern in patterns for path in glob.glob(os.path.join(root, pattern.lstrip("/")))}
    return sorted(os.path.relpath(path, root) for path in found)


def _all_below(root: str, top: str) -> list[str]:
    path = os.path.join(root, top)
    if os.path.islink(path) or not os.path.isdir(path):
        return [top]
    inner = [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, names in os.walk(path)
        for name in [*folders, *names]
    ]
    return [top, *inner]


def _same(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bool:
    if not os.path.lexists(path):
        return False
    status = os.lstat(path)
    if member.issym():
        return os.path.islink(path) and os.readlink(path) == member.linkname
    if (status.st_mode & 0o7777, status.st_uid, status.st_gid) != (member.mode, member.uid, member.gid):
        return False
    if member.isdir():
        return os.path.isdir(path) and not os.path.islink(path)
    content = tar.extractfile(member)
    if content is None or os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return content.read() == file.read()


def _remove(path: str, *, also_folders: bool) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        if also_folders:
            shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
