"""A station as seen from the tests: a process that serves and asks in some network namespace, reached by pipes."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import tempfile
import threading
import zipapp
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

PORT = 7000
_GRACE = 20.0
_SOURCE = Path(__file__).parent / "station"


class StationError(Exception):
    """A station ended, or could not carry out what it was told; the message says what it said."""


@functools.cache
def archive() -> bytes:
    """The program, which needs nothing but Python's standard library."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "station"
        zipapp.create_archive(_SOURCE, file, filter=lambda path: path.suffix == ".py")
        return file.read_bytes()


class Running:
    """Something that a station is doing."""

    def __init__(self, station: Station, number: int) -> None:
        self._station = station
        self._number = number
        self.answered: Future[Any] = Future()
        self.begun: Future[None] = Future()

    def begin(self, seconds: float = _GRACE) -> Running:
        """Waits until it has the connection that it goes on with, and returns itself.

        Raises:
            StationError: it ended instead; the message says what came of it.
        """
        self.begun.result(seconds)
        return self

    def end(self, answer: Any = None, error: Exception | None = None) -> None:
        """Notes what came of it."""
        if not self.begun.done():
            self.begun.set_exception(error or StationError(f"ended before it had begun: {answer}"))
        if error is not None:
            self.answered.set_exception(error)
        else:
            self.answered.set_result(answer)

    def stop(self, seconds: float = _GRACE) -> Any:
        """Tells it to end, and returns what came of it."""
        self._station.say({"id": self._number, "stop": True})
        return self.answered.result(seconds)

    def result(self, seconds: float = _GRACE) -> Any:
        """What came of it, once it ends by itself."""
        return self.answered.result(seconds)


class Station:
    """One process; `command` starts the program where it belongs, without its arguments."""

    def __init__(self, name: str, command: Sequence[str], port: int = PORT) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*command, name, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._lock = threading.Lock()
        self._number = 0
        self._running: dict[int, Running] = {0: Running(self, 0)}
        self._ready = self._running[0]
        threading.Thread(target=self._listen, name=f"station {name}", daemon=True).start()

    def wait_until_ready(self, seconds: float = 30) -> None:
        """Waits until it listens."""
        self._ready.result(seconds)

    def start(self, what: str, **arguments: Any) -> Running:
        """Starts something that goes on for a while."""
        with self._lock:
            self._number += 1
            number = self._number
            running = self._running[number] = Running(self, number)
        self.say({"id": number, "do": what, **arguments})
        return running

    def ask(self, what: str, *, seconds: float = _GRACE, **arguments: Any) -> Any:
        """Has something done, and returns what came of it.

        Raises:
            StationError: it could not be done.
            TimeoutError: it took longer than so many seconds.
        """
        return self.start(what, **arguments).result(seconds)

    def say(self, message: dict[str, Any]) -> None:
        """Sends a line.

        Raises:
            StationError: the station has ended.
        """
        assert self._process.stdin is not None
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise StationError(f"station {self.name} has ended: {error}") from error

    def close(self) -> None:
        """Ends it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(_GRACE)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            for line in self._process.stdout:
                message = json.loads(line)
                if message.get("begun"):
                    self._running[message["id"]].begun.set_result(None)
                    continue
                running = self._running.pop(message["id"])
                if "problem" in message:
                    running.end(error=StationError(f"{self.name}: {message['problem']}"))
                else:
                    running.end(message["answer"])
            said = self._process.stderr.read()[-2000:]
        except (OSError, ValueError) as error:
            said = str(error)
        for running in list(self._running.values()):
            running.end(error=StationError(f"station {self.name} has ended: {said}"))
