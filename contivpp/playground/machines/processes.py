"""The processes of one machine, held together by a control group of its own.

A machine gets the group contiv-playground/NAME in the hierarchies that systemd uses. It serves three ends:
machines that shared a group would manage, and kill, each other's services; the group is the list of what
belongs to a machine, whoever its parent is by now; and it is empty exactly when nothing of it is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from contivpp.playground.machines.plan import MachinesError

GROUP = "contiv-playground"
# systemd takes this as the wish to power off, whatever state the machine is in.
POWER_OFF = signal.SIGRTMIN + 4
_POLL = 0.05


def hierarchies(mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """Finds the control group hierarchies in which systemd keeps its units: v2, v1's name=systemd, or both.

    Raises:
        MachinesError: There is none.
    """
    found = []
    for line in mounts.read_text().splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(target))
    if not found:
        raise MachinesError("no control group hierarchy is mounted that systemd can use (cgroup2 or name=systemd)")
    return found


class Processes:
    """All processes of the machine called `name`."""

    def __init__(self, name: str, roots: Sequence[Path] | None = None) -> None:
        self._groups = [root / GROUP / name for root in (hierarchies() if roots is None else roots)]

    def enter(self) -> None:
        """Makes the groups and moves the calling process into them."""
        for group in self._groups:
            group.mkdir(parents=True, exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def list(self) -> set[int]:
        """Returns the process IDs of everything that runs in the machine, its supervisor included."""
        found: set[int] = set()
        for group in self._groups:
            # Groups come and go while they are walked through; os.walk passes over what has gone.
            for folder, _, _ in os.walk(group):
                with contextlib.suppress(OSError):
                    found.update(map(int, (Path(folder) / "cgroup.procs").read_text().split()))
        return found

    def init(self) -> int | None:
        """Returns the process ID, as seen from here, of the machine's process 1."""
        return next((process for process in sorted(self.list()) if _id_inside(process) == 1), None)

    def stop(self, *, patience: float) -> bool:
        """Powers the machine off, and after `patience` seconds kills what is left of it.

        Returns:
            Whether anything ran at all.

        Raises:
            MachinesError: Something survived even that.
        """
        if not self.list():
            self._remove_groups()
            return False
        init = self.init()
        if init is not None:
            _signal(init, POWER_OFF)
            _wait(lambda: self.init() is None, patience)
        for process in self.list():
            _signal(process, signal.SIGTERM)
        if not _wait(lambda: not self.list(), patience=2):
            for process in self.list():
                _signal(process, signal.SIGKILL)
            if not _wait(lambda: not self.list(), patience):
                raise MachinesError(f"processes of {self._groups[0].name} cannot be ended: {sorted(self.list())}")
        self._remove_groups()
        return True

    def _remove_groups(self) -> None:
        for group in self._groups:
            inner = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
            for folder in (*inner, group.parent):
                # The parent stays as long as other machines are in it.
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _id_inside(process: int) -> int | None:
    """Returns a process's ID in its innermost PID namespace, or nothing when it has none but ours."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return int(ids[-1]) if len(ids) > 1 else None


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def _wait(condition: Callable[[], bool], patience: float) -> bool:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True
