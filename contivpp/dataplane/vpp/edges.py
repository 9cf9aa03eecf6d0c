"""Many AF_PACKET sockets in one VPP: it is woken once for what arrives, instead of as long as something is there.

VPP since 25.06 takes up to 16 ready files from its epoll set at once, and when it got 16 it asks again before it reads
any. A socket that is ready until its ring is read is in every answer: with 16 of them VPP asks for ever. A file in
"edge-triggered" mode is in one answer per packet, so the question ends. VPP cannot be asked for that; but the epoll set
is the kernel's, and whoever may trace VPP may hold the same set and the same sockets (pidfd_getfd).

The set names an entry by file and number, so the socket must have VPP's number here as well. Therefore a thread does
it that has a table of open files of its own for as long as it lives; nothing of this process changes.

Woken once, VPP reads at most 255 buffers of a ring, and what is left waits for the next packet: such a socket needs a
ring that one reading empties. Failure: the sockets stay as they are, and OSError says why.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

READ_AT_ONCE: Final = 255
"""Buffers that VPP fills from one ring before it looks at others."""
_EDGE: Final = 1 << 31  # EPOLLET
_MODIFY: Final = 3  # EPOLL_CTL_MOD
_GET_FILE: Final = 438  # pidfd_getfd, on every architecture
_OWN_FILES: Final = 0x400  # CLONE_FILES
_PROC: Final = Path("/proc")
_ENTRY: Final = re.compile(r"^tfd: *(\d+) events: *([0-9a-f]+) data: *([0-9a-f]+)", re.MULTILINE)
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Event(ctypes.Structure):
    _pack_ = 1 if os.uname().machine == "x86_64" else 0
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Entry:
    """An AF_PACKET socket of another process in one of its epoll sets, both by their numbers there."""

    pid: int
    epoll: int
    file: int
    events: int
    data: int


def level_triggered(pid: int) -> list[Entry]:
    """The AF_PACKET sockets of a process that are ready as long as they are not read, in the order of their numbers.

    Raises:
        OSError: there is no such process, or it may not be looked into.
    """
    found = sorted((entry for entry in _entries(pid) if not entry.events & _EDGE), key=lambda entry: entry.file)
    if not found:
        return []
    process = os.pidfd_open(pid)
    try:
        return [entry for entry in found if _is_packet_socket(process, entry.file)]
    finally:
        os.close(process)


def wake_once(entries: Iterable[Entry]) -> None:
    """Makes sockets edge-triggered.

    Raises:
        OSError: one of them cannot be; those before it are.
    """
    wanted = list(entries)
    errors: list[OSError] = []

    def work() -> None:
        try:
            if _libc.unshare(_OWN_FILES):
                raise _error()
            above = max((one.file for one in wanted), default=0) + 1
            for entry in wanted:
                _wake_once(entry, above)
        except OSError as error:
            errors.append(error)

    collects = gc.isenabled()
    gc.disable()  # what is collected in the thread would stay open for the process
    try:
        thread = threading.Thread(target=work, name="vpp-edges")
        thread.start()
        thread.join()
    finally:
        if collects:
            gc.enable()
    if errors:
        raise errors[0]


def _entries(pid: int) -> Iterator[Entry]:
    folder = _PROC / str(pid)
    for name in os.listdir(folder / "fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(folder / "fd" / name) == "anon_inode:[eventpoll]":
                for file, events, data in _ENTRY.findall((folder / "fdinfo" / name).read_text()):
                    yield Entry(pid, int(name), int(file), int(events, 16), int(data, 16))


def _is_packet_socket(process: int, file: int) -> bool:
    """Whether that is what a process has under a number; `process` is its pidfd."""
    try:
        with socket.socket(fileno=_copy(process, file)) as copy:
            return copy.family == socket.AF_PACKET
    except OSError:  # no socket, or closed meanwhile
        return False


def _wake_once(entry: Entry, above: int) -> None:
    """Where the numbers of open files are nobody else's: what is needed beside the socket has one from `above` on."""
    process = _moved(os.pidfd_open(entry.pid), above)
    epoll = _moved(_copy(process, entry.epoll), above)
    copy = _copy(process, entry.file)
    if copy != entry.file:
        os.dup2(copy, entry.file, inheritable=False)
        os.close(copy)
    event = _Event(entry.events | _EDGE, entry.data)
    if _libc.epoll_ctl(epoll, _MODIFY, entry.file, ctypes.byref(event)):
        raise _error()
    os.close(epoll)
    os.close(process)


def _moved(number: int, above: int) -> int:
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(number)
    return moved


def _copy(process: int, file: int) -> int:
    """A number of our own for an open file of a process."""
    number = int(_libc.syscall(_GET_FILE, process, file, 0))
    if number < 0:
        raise _error()
    return number


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
