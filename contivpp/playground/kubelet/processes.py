"""The processes of containers: started in a network namespace, watched, ended; children of nobody we need.

A small shell in between notes the exit code in a file, so that a kubelet that was restarted meanwhile, and
is no longer the parent, can read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from contivpp.playground.events import timestamp
from contivpp.playground.kubelet import pod_server
from contivpp.playground.kubelet.records import Container, Record, Records

Object = dict[str, Any]
KILLED: Final = 137
DEFAULT_PORTS: Final = ("80/TCP",)
# The shell survives the signal that ends its child, to note how it ended.
_SHELL: Final = 'out=$1; shift; trap : TERM INT; "$@"; echo $? >"$out.part"; mv "$out.part" "$out"'


def command(container: Object) -> list[str] | None:
    """What a container says it runs; None for one that leaves it to its image."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if container.get("command") or (words and shutil.which(words[0])):
        return [str(word) for word in words]
    return None


def ports(container: Object) -> list[str]:
    """Where a container without a command listens, as NUMBER/PROTOCOL."""
    given = [f"{p['containerPort']}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ()]
    return given or list(DEFAULT_PORTS)


def start(records: Records, record: Record, container: Object, restarts: int) -> Container:
    """Starts a container's process and returns at once.

    Raises:
        OSError: it cannot be started.
    """
    identity = uuid.uuid4().hex * 2
    exit_file = records.scratch(record.uid, identity, "exit")
    ready_file: Path | None = None
    words = command(container)
    if words is None:
        ready_file = records.scratch(record.uid, identity, "ready")
        script = str(Path(pod_server.__file__))
        words = [sys.executable, "-I", "-S", script, record.name, str(ready_file), *ports(container)]
    if record.sandbox is not None:
        words = ["nsenter", f"--net={record.sandbox.netns}", "--", *words]
    with records.log_file(record, container["name"]).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _SHELL, "contiv-pod", str(exit_file), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(record, container),
            start_new_session=True,
        )
    return Container(
        id=identity,
        pid=process.pid,
        start_time=_start_time(process.pid) or 0,
        started=timestamp(),
        started_at=time.time(),
        restarts=restarts,
        ready_file=str(ready_file or ""),
        exit_file=str(exit_file),
    )


def _environment(record: Record, container: Object) -> Mapping[str, str]:
    given = {e["name"]: str(e["value"]) for e in container.get("env") or () if "value" in e}
    return {"PATH": os.environ.get("PATH", os.defpath), "HOSTNAME": record.name, **given}


def _start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none, or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def is_running(container: Container) -> bool:
    """Tells whether the process is alive, and the same one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(container.pid, os.WNOHANG)
    return _start_time(container.pid) == container.start_time


def is_ready(container: Container) -> bool:
    """Tells whether the container runs and, if it serves, listens."""
    running = container.exit_code is None and is_running(container)
    return running and (not container.ready_file or Path(container.ready_file).exists())


def exit_code(container: Container) -> int:
    """How a process that has ended did so."""
    try:
        return int(Path(container.exit_file).read_text())
    except (OSError, ValueError):
        return KILLED


def tidy(container: Container) -> None:
    """Removes what a run of a container that is over has left in the state folder."""
    for file in (container.ready_file, container.exit_file):
        if file:
            Path(file).unlink(missing_ok=True)


def when_it_ends(container: Container, call: Callable[[], object]) -> Callable[[], None]:
    """Calls back once the process has ended; returns how to stop waiting for it."""
    loop = asyncio.get_running_loop()
    try:
        handle = os.pidfd_open(container.pid)
    except ProcessLookupError:
        loop.call_soon(call)
        return lambda: None

    def stop() -> None:
        nonlocal handle
        if handle >= 0:
            loop.remove_reader(handle)
            os.close(handle)
            handle = -1

    def ended() -> None:
        stop()
        call()

    loop.add_reader(handle, ended)
    return stop


async def end(containers: Sequence[Container], grace: float) -> None:
    """Ends processes: with SIGTERM, and after `grace` seconds with SIGKILL; returns when they are gone."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        alive = [container for container in containers if is_running(container)]
        for container in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(container.pid, number)
        limit = time.monotonic() + patience
        while any(is_running(container) for container in alive):
            if time.monotonic() > limit:
                break
            await asyncio.sleep(0.02)
