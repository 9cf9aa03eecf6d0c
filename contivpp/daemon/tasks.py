"""A daemon is a list of named root tasks: any of them ending ends the daemon, in order.

SIGTERM and SIGINT end it well. A task that raises is named in the log, and the exit code tells systemd to start
the daemon again from a clean slate.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Mapping
from typing import Any

log = logging.getLogger(__name__)

STOPPED = 0
FAILED = 1


async def run(tasks: Mapping[str, Coroutine[Any, Any, Any]]) -> int:
    """Runs root tasks until one ends or a signal comes; the rest are cancelled, last one first.

    Returns:
        The exit code: 0 after a signal, 1 when a task ended or raised.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = {asyncio.create_task(task, name=name): name for name, task in tasks.items()}
    waiting = asyncio.create_task(stopping.wait(), name="signal")
    notify("READY=1")
    try:
        done, _ = await asyncio.wait([*running, waiting], return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        code = STOPPED
        for task in done - {waiting}:
            code = FAILED
            error = task.exception() if not task.cancelled() else None
            if error is not None:
                log.critical("task %s failed: %s", running[task], error, exc_info=error)
            else:
                log.critical("task %s ended", running[task])
        return code
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        waiting.cancel()
        for task in reversed(running):
            task.cancel()
            await asyncio.wait([task])


def notify(state: str) -> None:
    """Tells systemd how the daemon is; does nothing when systemd did not ask."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)
        except OSError as error:
            log.warning("cannot tell systemd %s: %s", state, error)
