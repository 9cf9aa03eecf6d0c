"""Files that are whole or as they were before, and still there after a loss of power. Any Python from 3.8."""

from __future__ import annotations

import os


def write(path: str, text: str, *, mode: int | None = None) -> None:
    """Puts a file on the disk in one step; its folder must be there, and without a mode the process's own holds.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    part = path + ".new"
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.rename(part, path)
    _sync_folder(os.path.dirname(path))


def _sync_folder(folder: str) -> None:
    """Has the names in a folder on the disk: the rename is there after a loss of power, too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
