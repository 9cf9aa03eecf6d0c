"""Files and folders of a machine as they are to be: plan says what differs, apply makes it so.

A file is written beside its place and renamed, so whatever interrupts this, it is the old one or the new one. A plan
is made in one look and changes nothing. Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

STATES = ("file", "directory", "link", "absent")
SECRET = "(a secret)"  # noqa: S105 - what is shown in its place


class FilesError(Exception):
    """A file cannot be as it is to be; the message names it."""


@dataclass(frozen=True)
class Wanted:
    """One path as it is to be.

    Attributes:
        content: of a file, with its last line's end; of a link, where it leads to.
        state: file, directory, link or absent; what is absent goes with everything in it.
        secret: whether its content stays out of every diff.
        validate: a command that has to accept a new content; %s stands for the file that holds it.
    """

    path: str
    content: str = ""
    state: str = "file"
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secret: bool = False
    validate: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Wanted:
        """Reads what Ansible was told of one path.

        Raises:
            FilesError: a mode that is none.
        """
        state = given.get("state") or "file"
        text = str(given.get("mode") or ("0755" if state == "directory" else "0644"))
        try:
            mode = int(text, 8)
        except ValueError:
            raise FilesError("%s: %r is not a mode; write it as %r" % (given["path"], text, "0644")) from None
        kept = {name: given[name] for name in ("content", "owner", "group", "secret", "validate") if given.get(name)}
        return cls(path=given["path"], state=state, mode=mode, **kept)


@dataclass(frozen=True)
class Change:
    """What differs at one path; `before` and `after` say how, as text.

    Attributes:
        kind: created, changed, removed, or attributes where only the owner or the mode differ.
    """

    wanted: Wanted
    kind: str
    before: str
    after: str

    def diff(self) -> dict[str, str]:
        """As Ansible shows it."""
        return {
            "before_header": self.wanted.path,
            "after_header": self.wanted.path,
            "before": self.before,
            "after": self.after,
        }


def plan(wanted: Iterable[Wanted], root: str = "/") -> list[Change]:
    """What differs from what is wanted, in the given order; changes nothing.

    Raises:
        FilesError: something of another kind is in the place of a file or a folder.
    """
    return [change for one in wanted for change in [_change(one, os.path.join(root, one.path.lstrip("/")))] if change]


def apply(changes: Iterable[Change], root: str = "/") -> None:
    """Makes every change; a new content that has a validation is accepted before any file is touched.

    Raises:
        FilesError: a content was refused, or a path cannot be written.
    """
    todo = list(changes)
    for change in todo:
        validate(change)
    for change in todo:
        path = os.path.join(root, change.wanted.path.lstrip("/"))
        try:
            _make(change, path)
        except (OSError, KeyError) as error:
            raise FilesError("%s cannot be made: %s" % (change.wanted.path, error)) from error


def validate(change: Change) -> None:
    """Has a new content accepted by the program that will read it, where that is there already.

    Raises:
        FilesError: it is refused; the message is the program's.
    """
    words = shlex.split(change.wanted.validate)
    if not words or change.kind not in ("created", "changed") or shutil.which(words[0]) is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, os.path.basename(change.wanted.path))
        with open(path, "w", encoding="utf-8") as file:
            file.write(change.wanted.content)
        done = subprocess.run(
            [path if word == "%s" else word for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise FilesError(
            "%s is refused by %s: %s" % (change.wanted.path, words[0], done.stdout.decode(errors="replace").strip())
        )


def digest(path: str) -> str:
    """What tells one state of a file from another: the place that a link leads to, or the content; "" without one."""
    try:
        if os.path.islink(path):
            return "-> " + os.readlink(path)
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _change(wanted: Wanted, path: str) -> Change | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        if wanted.state == "absent":
            return None
        return Change(wanted, "created", "", _shown(wanted, wanted.content))
    if wanted.state == "absent":
        return Change(wanted, "removed", "present\n", "")
    fits = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}[wanted.state]
    if not fits(status.st_mode):
        raise FilesError("%s is there and is no %s: take it away" % (wanted.path, wanted.state))
    if wanted.state != "directory":
        before = os.readlink(path) if wanted.state == "link" else _read(path)
        if before != wanted.content:
            return Change(wanted, "changed", _shown(wanted, before), _shown(wanted, wanted.content))
    if wanted.state == "link":
        return None
    now = "%s:%s %04o" % (_user(status.st_uid), _group(status.st_gid), stat.S_IMODE(status.st_mode))
    then = "%s:%s %04o" % (wanted.owner, wanted.group, wanted.mode)
    return Change(wanted, "attributes", now + "\n", then + "\n") if now != then else None


def _make(change: Change, path: str) -> None:
    wanted = change.wanted
    if change.kind == "removed":
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        return
    if wanted.state == "link":
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path + ".new"):
            os.unlink(path + ".new")
        os.symlink(wanted.content, path + ".new")
        os.rename(path + ".new", path)
        return
    owner, group = pwd.getpwnam(wanted.owner).pw_uid, grp.getgrnam(wanted.group).gr_gid
    if wanted.state == "directory":
        os.makedirs(path, exist_ok=True)
        os.chown(path, owner, group)
        os.chmod(path, wanted.mode)
        return
    if change.kind == "attributes":
        os.chown(path, owner, group)
        os.chmod(path, wanted.mode)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # mkstemp's file is its owner's alone until it has its own mode.
    handle, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".contiv-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(wanted.content)
            os.fchown(file.fileno(), owner, group)
            os.fchmod(file.fileno(), wanted.mode)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _shown(wanted: Wanted, content: str) -> str:
    if wanted.state == "directory":
        return "a folder\n"
    if wanted.state == "link":
        return "-> %s\n" % content
    return "%s %s\n" % (SECRET, hashlib.sha256(content.encode()).hexdigest()[:8]) if wanted.secret else content


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
