"""A real etcd for each test that asks for one, on free ports of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.store.config import EtcdConfig
from tests.patience import PATIENCE


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Etcd:
    """One etcd that can be stopped, killed, wiped, frozen and started again at the same address."""

    def __init__(
        self,
        folder: Path,
        *,
        arguments: tuple[str, ...] = (),
        trust: ssl.SSLContext | None = None,
        name: str = "one",
    ) -> None:
        scheme = "http" if trust is None else "https"
        self._trust = trust
        self.folder = folder
        self.name = name
        client, peer = free_ports(2)
        self.endpoint = f"127.0.0.1:{client}"
        self.peer = f"http://127.0.0.1:{peer}"
        self.members = f"{name}={self.peer}"
        self._url = f"{scheme}://{self.endpoint}"
        self.arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> EtcdConfig:
        """How to reach it."""
        return EtcdConfig(
            endpoints=(self.endpoint,),
            insecure_transport=True,
            operation_timeout=2.0,
            dial_timeout=0.5,
            reconnect_interval=0.2,
        )

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Starts it; a member of several answers only when most of them run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("etcd", "--name", self.name, "--data-dir", str(self.folder / "data"), "--log-level", "error"),
                    *("--listen-client-urls", self._url, "--advertise-client-urls", self._url),
                    *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
                    *("--initial-cluster", self.members, "--unsafe-no-fsync"),
                    *self.arguments,
                ],
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Waits until it answers and knows a leader."""
        assert self._process is not None
        deadline = time.monotonic() + 20 * PATIENCE
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"etcd did not start: {(self.folder / 'log').read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=1, context=self._trust) as answer:
                    if b"true" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.05)

    def control(self, *arguments: str) -> str:
        """What etcdctl says."""
        command = ["etcdctl", "--endpoints", self.endpoint, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def save(self, file: Path) -> None:
        """Writes a snapshot of everything to a file that may be there already."""
        file.unlink(missing_ok=True)
        self.control("snapshot", "save", str(file))

    def restore(self, file: Path) -> None:
        """Ends it, and puts back what it held when the snapshot was saved."""
        self.wipe()
        where = ("--name", self.name, "--data-dir", str(self.folder / "data"))
        peers = ("--initial-cluster", self.members, "--initial-advertise-peer-urls", self.peer)
        self.control("snapshot", "restore", str(file), *where, *peers)

    def stop(self) -> None:
        """Ends it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stops it from answering; all its threads have stopped when this returns."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        """Lets it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Ends it, and forgets all it held."""
        self.kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """A running etcd with nothing in it."""
    server = Etcd(tmp_path / "etcd")
    try:
        server.start()
        yield server
    finally:
        server.kill()
