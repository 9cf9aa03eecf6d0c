"""VPP's statistics, read where VPP keeps them: a segment of memory that it shares with whoever asks on a socket.

Nothing is asked of VPP to read it, so a reading costs VPP nothing and a hung VPP delays nobody. VPP changes the
directory in place: it says that it is at it, and counts the changes. So a reading is made from a quiet moment to the
next look at the count, and made again when the two differ. The memory of a VPP that ended stays readable for whoever
has it open; its counters stand still.

Layout, version 2, in the byte order of the machine; pointers are those of VPP, and count from `base`:

    header    version, base, epoch (count of changes), in progress, directory    8 bytes each
    directory a vector of entries: type (4 bytes, 4 unused), value (8 bytes), name (128 bytes, ended by zero)
    vector    its length in 4 bytes, 8 bytes before its first element

An entry's value is a number, or a pointer to a vector with one vector of counters per thread, or, for a symbolic link,
the number of another entry and the position in its counters.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

T = TypeVar("T")

VERSION: Final = 2
_CONNECTING: Final = 1.0
_TRIES: Final = 200
_HEADER: Final = struct.Struct("=QQQQQ")
_ENTRY: Final = struct.Struct("=I4xQ128s")
_LENGTH: Final = struct.Struct("=I")
_POINTER: Final = struct.Struct("=Q")
_LENGTH_BEFORE: Final = 8
_NUMBERS: Final = frozenset({1, 9})  # a scalar, a gauge
_SIMPLE: Final = 2
_COMBINED: Final = 3
_LINK: Final = 6


class StatsError(Exception):
    """The statistics cannot be read; says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the directory: its position, its type, and its value as it was when the directory was read."""

    position: int
    kind: int
    value: int


class Segment:
    """The open statistics of one VPP; `open` opens them."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        """Takes the memory.

        Raises:
            StatsError: it has another layout.
        """
        self._memory = memory
        self._size = len(memory)
        self._epoch = -1
        self._directory: dict[str, Entry] = {}
        self._links: dict[tuple[str, str], dict[int, str]] = {}
        version = self._header()[0]
        if version != VERSION:
            raise StatsError(f"VPP's statistics have layout {version}, and {VERSION} is understood here")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Asks VPP for its segment; blocks for a second at the most.

        Raises:
            StatsError: nobody answers, or in another layout.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(_CONNECTING)
                connection.connect(str(path))
                _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        except TimeoutError:
            raise StatsError(f"nobody answers on {path}: is VPP hung?") from None
        except OSError as error:
            raise StatsError(f"{path}: {error.strerror or error}: has VPP's startup.conf a section statseg?") from error
        if not descriptors:
            raise StatsError(f"{path}: no memory came with the answer: is this VPP's stats socket?")
        try:
            return cls(mmap.mmap(descriptors[0], os.fstat(descriptors[0]).st_size, prot=mmap.PROT_READ))
        except (OSError, ValueError) as error:
            raise StatsError(f"{path}: its memory cannot be read: {error}") from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self) -> None:
        """Gives the memory back."""
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def read(self, reading: Callable[[Self], T]) -> T:
        """What `reading` finds at a moment at which VPP changed nothing of the layout.

        Raises:
            StatsError: no such moment was met; VPP was ended or stopped in the middle of a change.
        """
        for _ in range(_TRIES):
            _, _, epoch, in_progress, _ = self._header()
            if in_progress:
                os.sched_yield()
                continue
            try:
                if epoch != self._epoch:
                    self._directory, self._links = self._read_directory(), {}
                    self._epoch = epoch
                result = reading(self)
            except (StatsError, struct.error):  # may come of a change in between; else it comes again
                if self._settled(epoch):
                    raise
                continue
            if self._settled(epoch):
                return result
        raise StatsError("VPP was changing its statistics at every look")

    # ---- for readings

    def names(self, prefix: str) -> Mapping[str, Entry]:
        """The entries whose names start with a prefix, by name."""
        return {name: entry for name, entry in self._directory.items() if name.startswith(prefix)}

    def number(self, name: str) -> int | None:
        """A scalar or a gauge; None when there is none of this name."""
        entry = self._directory.get(name)
        if entry is None or entry.kind not in _NUMBERS:
            return None
        directory = self._header()[4]
        return int(_ENTRY.unpack_from(self._memory, self._offset(directory) + entry.position * _ENTRY.size)[1])

    def simple(self, name: str) -> list[int]:
        """Counters by position, summed over all threads; empty when there are none of this name."""
        entry = self._directory.get(name)
        return [] if entry is None or entry.kind != _SIMPLE else _sum(self._threads(entry.value, 1))

    def combined(self, name: str) -> list[tuple[int, int]]:
        """Packets and bytes by position, summed over all threads."""
        entry = self._directory.get(name)
        if entry is None or entry.kind != _COMBINED:
            return []
        flat = _sum(self._threads(entry.value, 2))
        return list(zip(flat[::2], flat[1::2], strict=True))

    def links(self, prefix: str, target: str) -> Mapping[int, str]:
        """The names after a prefix that are links to counters of `target`, by the position that they link to."""
        if (prefix, target) not in self._links:
            self._links[prefix, target] = self._find_links(prefix, target)
        return self._links[prefix, target]

    def _find_links(self, prefix: str, target: str) -> dict[int, str]:
        entry = self._directory.get(target)
        if entry is None:
            return {}
        return {
            one.value >> 32: name.removeprefix(prefix)
            for name, one in self.names(prefix).items()
            if one.kind == _LINK and one.value & 0xFFFFFFFF == entry.position
        }

    # ---- inside

    def _header(self) -> tuple[int, int, int, int, int]:
        return _HEADER.unpack_from(self._memory)

    def _settled(self, epoch: int) -> bool:
        _, _, now, in_progress, _ = self._header()
        return not in_progress and now == epoch

    def _offset(self, pointer: int) -> int:
        offset: int = pointer - self._header()[1]
        if not _LENGTH_BEFORE <= offset < self._size:
            raise StatsError(f"VPP's statistics point to {offset} of {self._size} bytes")
        return offset

    def _vector(self, pointer: int, element: int) -> bytes:
        """A copy of a vector; a null pointer is an empty one."""
        if not pointer:
            return b""
        offset = self._offset(pointer)
        length = _LENGTH.unpack_from(self._memory, offset - _LENGTH_BEFORE)[0] * element
        if offset + length > self._size:
            raise StatsError(f"a vector of VPP's statistics ends behind their {self._size} bytes")
        return bytes(self._memory[offset : offset + length])

    def _read_directory(self) -> dict[str, Entry]:
        found = {}
        entries = _ENTRY.iter_unpack(self._vector(self._header()[4], _ENTRY.size))
        for position, (kind, value, name) in enumerate(entries):
            if name[0] and not name.startswith(_UNUSED):
                text = name[: name.index(0)].decode(errors="replace")
                found[text] = Entry(position, kind, value)
        return found

    def _threads(self, pointer: int, width: int) -> Iterable[array.array[int]]:
        for (thread,) in _POINTER.iter_unpack(self._vector(pointer, _POINTER.size)):
            yield array.array("Q", self._vector(thread, _POINTER.size * width))


_UNUSED: Final = (b"/interfaces/", b"/nodes/")
"""Links of which there are thousands, to counters that are read whole."""


def _sum(threads: Iterable[array.array[int]]) -> list[int]:
    total: list[int] = []
    for counters in threads:
        longer = len(counters) - len(total)
        total += [0] * longer
        total = [a + b for a, b in zip(total, counters, strict=False)] + total[len(counters) :]
    return total
