"""What a run says while it goes on: a line per task that did something, and on a terminal what every host is at.

Lines go to standard error, so that the report alone is on standard output.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contivpp.netctl.deployment.events import Event, HostStarted, PlayStarted, Status, TaskEnded

_STYLES: Final = {
    Status.CHANGED: "yellow",
    Status.FAILED: "bold red",
    Status.UNREACHABLE: "bold red",
}
_QUIET: Final = (Status.OK, Status.SKIPPED)


class Hosts:
    """What every host is at and what was done on it so far; knows no screen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.tasks: dict[str, str] = {}
        self.since: dict[str, float] = {}
        self.counts: dict[str, Counter[Status]] = {}

    def take(self, event: Event) -> str:
        """Notes an event; returns the line that it is worth, or ""."""
        match event:
            case PlayStarted(name):
                return name
            case HostStarted(host, task):
                self.tasks[host], self.since[host] = task, self._clock()
                self.counts.setdefault(host, Counter())
            case TaskEnded():
                self.counts.setdefault(event.host, Counter())[event.status] += 1
                self.tasks[event.host] = ""
                if event.status not in _QUIET and not (event.status is Status.FAILED and event.ignored):
                    return _line(event)
        return ""

    def seconds(self, host: str) -> float:
        """How long a host has been at its task."""
        return self._clock() - self.since.get(host, self._clock())


class Progress:
    """Shows a run; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._hosts = Hosts()
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Takes one event."""
        line = self._hosts.take(event)
        if isinstance(event, PlayStarted):
            self._console.print(Text(line, style="bold"), soft_wrap=True)
        elif line and isinstance(event, TaskEnded):
            self._console.print(Text(f"  {line}", style=_STYLES.get(event.status, "")), soft_wrap=True)

    def _table(self) -> Table:
        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for host in sorted(self._hosts.tasks):
            counts, task = self._hosts.counts[host], self._hosts.tasks[host]
            done = f"{counts.total()} done, {counts[Status.CHANGED]} changed"
            at = f"{task} ({self._hosts.seconds(host):.0f} s)" if task else ""
            grid.add_row(Text(host, style="bold"), Text(done), Text(at, style="dim"))
        return grid


def _line(event: TaskEnded) -> str:
    said = f"{event.host}: {event.task}"
    if event.status is Status.CHANGED:
        return said
    first = event.message.splitlines()[0] if event.message else ""
    return f"{said}: {event.status.value.upper()}: {first}"
