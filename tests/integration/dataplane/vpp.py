"""A real VPP for tests, in a network namespace of its own; where it is installed VPP_PREFIX says, or PATH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from tests.patience import PATIENCE

CONFIG = """unix {{ nodaemon log {folder}/vpp.log full-coredump cli-listen {folder}/cli.sock poll-sleep-usec {sleep} }}
socksvr {{ socket-name {folder}/api.sock }}
statseg {{ socket-name {folder}/stats.sock size 32M }}
memory {{ main-heap-size {heap} }}
buffers {{ buffers-per-numa 8192 }}
plugins {{ plugin dpdk_plugin.so {{ disable }} {without} }}
{of_plugins}
{more}
"""
OF_PLUGINS = {
    "cnat": "cnat { session-max 262144 session-cleanup-timeout 0.01 session-max-port-retries 0 }",
    "acl": "acl-plugin { reclassify sessions 1 }",
}
"""What services and policies need; why: docs/vpp-services.md and docs/vpp-policies.md. VPP refuses it without them."""


def prefix() -> Path | None:
    """Where VPP is installed; None when it is not."""
    if named := os.environ.get("VPP_PREFIX"):
        return Path(named)
    program = shutil.which("vpp")
    return Path(program).resolve().parent.parent if program else None


class AnyVpp(Protocol):
    """A VPP that a test can do to what happens to one."""

    socket: Path

    def start(self) -> None: ...

    def end(self, number: signal.Signals = signal.SIGKILL) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def dead_ends(self) -> int: ...


class RealVpp:
    """One VPP that can be killed, frozen and started again."""

    def __init__(
        self, folder: Path, *, netns: str = "", without: tuple[str, ...] = (), heap: str = "256M", more: str = ""
    ) -> None:
        found = prefix()
        if found is None or not (found / "bin" / "vpp").exists():
            pytest.skip(f"there is no VPP ({found or 'VPP_PREFIX is not set'}): install one and name it in VPP_PREFIX")
        self._prefix = found
        self._netns = netns
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.socket = folder / "api.sock"
        folder.mkdir(parents=True, exist_ok=True)
        disabled = " ".join(f"plugin {name}_plugin.so {{ disable }}" for name in without)
        of_plugins = "\n".join(text for name, text in OF_PLUGINS.items() if name not in without)
        (folder / "startup.conf").write_text(
            CONFIG.format(
                folder=folder,
                sleep=int(100 * PATIENCE),
                heap=heap,
                without=disabled,
                of_plugins=of_plugins,
                more=more,
            )
        )

    def start(self) -> None:
        """Starts it, and waits until it listens on its API socket."""
        self.socket.unlink(missing_ok=True)
        command = [str(self._prefix / "bin" / "vpp"), "-c", str(self.folder / "startup.conf")]
        if self._netns:
            command = ["ip", "netns", "exec", self._netns, *command]
        libraries = ":".join(str(path) for path in self._prefix.glob("lib*") if path.is_dir())
        multiarch = ":".join(str(path.parent) for path in self._prefix.glob("lib*/*/libvlib.so"))
        environment = {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{multiarch}"}
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        deadline = time.monotonic() + 30 * PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"VPP did not start: {(self.folder / 'output').read_text()[-3000:]}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it, however it stands."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)
            self._process = None

    def freeze(self) -> None:
        """Stops it from answering."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def dead_ends(self) -> int:
        """How many paths of routes lead nowhere."""
        return self.cli("show", "fib", "paths").count("unresolved")

    def cli(self, *words: str) -> str:
        """What vppctl says to a command."""
        command = [str(self._prefix / "bin" / "vppctl"), "-s", str(self.folder / "cli.sock"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10 * PATIENCE).stdout


@contextlib.asynccontextmanager
async def connected(vpp: AnyVpp) -> AsyncIterator[VppDataplane]:
    """The driver, connected to a VPP that runs."""
    plane = VppDataplane(vpp.socket, timeout=2)
    running = asyncio.create_task(plane.run())
    try:
        async with asyncio.timeout(20 * PATIENCE):
            await plane.ready.wait()
        yield plane
    finally:
        running.cancel()
        await asyncio.wait([running])


def keyed(values: list[Any]) -> dict[str, Any]:
    """Values by their keys."""
    return {value.key: value for value in values}


async def found(plane: VppDataplane) -> dict[str, Any]:
    """Everything of ours that VPP has, by key."""
    answers = await asyncio.gather(*(one.retrieve() for one in plane.descriptors()))
    return {key: item.value for answer in answers for key, item in answer.items() if not item.foreign}
