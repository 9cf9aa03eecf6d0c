"""The machine as this package meets it: files below a root folder, programs, and time.

All three are parameters, so that a test needs neither root nor a kernel: it gives a folder that holds a recorded
sysfs, and plays what the kernel would make of what is written there. Whatever the machine refuses becomes a `HostError`
that names the file or the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from . import durable

PROGRAM_SECONDS = 60


class HostError(Exception):
    """What cannot be had on this machine; `problems` has a sentence with the remedy for each reason."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Answer:
    """What a program said: its exit code, its output, and its error output."""

    code: int
    output: str = ""
    error: str = ""


def run_program(words: Sequence[str]) -> Answer:
    """Runs a program; one that is missing or does not end in time answers with the code of a shell."""
    try:
        done = subprocess.run(list(words), capture_output=True, check=False, timeout=PROGRAM_SECONDS)
    except OSError as error:
        return Answer(127, "", "%s: %s" % (words[0], error.strerror))
    except subprocess.TimeoutExpired:
        return Answer(124, "", "%s did not end within %d s" % (words[0], PROGRAM_SECONDS))
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def write_file(path: str, text: str) -> None:
    """Writes to a file of the kernel, all at once: each write is a command to it."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


class System:
    """One machine. Paths are absolute ones of that machine."""

    def __init__(
        self,
        root: str = "/",
        *,
        run: Callable[[Sequence[str]], Answer] = run_program,
        write: Callable[[str, str], None] = write_file,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Takes where the machine's files are, who runs programs, who writes to the kernel, and who waits."""
        self.root = root
        self._run = run
        self._write = write
        self.pause = pause

    def path(self, *parts: str) -> str:
        """Where a file of the machine is."""
        return os.path.join(self.root, *(part.lstrip("/") for part in parts))

    def exists(self, path: str) -> bool:
        """Tells whether there is such a file, folder or link."""
        return os.path.lexists(self.path(path))

    def names(self, path: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is none."""
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def read(self, path: str) -> str | None:
        """The text of a file without white space around it; None where it is not there or cannot be read.

        Many files of sysfs are there and answer with an error where they say nothing: a link that is down has no speed.
        """
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The whole number that a file holds; None where it holds none."""
        try:
            return int(self.read(path) or "")
        except ValueError:
            return None

    def target(self, path: str) -> str:
        """The last name of what a symbolic link points to; "" where there is none."""
        return os.path.basename(self.full_target(path))

    def full_target(self, path: str) -> str:
        """What a symbolic link points to; "" where there is none, or it may not be read."""
        try:
            return os.readlink(self.path(path))
        except OSError:
            return ""

    def command(self, path: str, text: str) -> None:
        """Writes to a file of the kernel.

        Raises:
            HostError: the kernel refuses.
        """
        try:
            self._write(self.path(path), text)
        except OSError as error:
            raise HostError(
                "%s does not take %r: %s" % (path, text.strip(), error.strerror or error.__class__.__name__)
            ) from None

    def save(self, path: str, text: str, mode: int = 0o644) -> None:
        """Puts a file on the disk in one step, with the folders above it; it is there after a loss of power.

        Raises:
            HostError: it cannot be written.
        """
        place = self.path(path)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            durable.write(place, text, mode=mode)
        except OSError as error:
            raise HostError("%s cannot be written: %s" % (path, error.strerror)) from None

    def link(self, path: str, target: str) -> None:
        """Makes a symbolic link, with the folders above it; one that is there already is replaced.

        Raises:
            HostError: it cannot be made.
        """
        place = self.path(path)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if os.path.lexists(place):
                os.unlink(place)
            os.symlink(target, place)
        except OSError as error:
            raise HostError("%s cannot be made: %s" % (path, error.strerror)) from None

    def remove(self, path: str) -> None:
        """Removes a file, and the folders of ours that it was alone in; none is fine."""
        place = self.path(path)
        try:
            os.unlink(place)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostError("%s cannot be removed: %s" % (path, error.strerror)) from None
        folder = os.path.dirname(path)
        while "contiv" in folder:
            try:
                os.rmdir(self.path(folder))
            except OSError:
                return  # others are in there
            folder = os.path.dirname(folder)

    def remove_folder(self, path: str) -> None:
        """Removes a folder when it is empty."""
        try:
            os.rmdir(self.path(path))
        except OSError:
            return

    def run(self, *words: str) -> Answer:
        """Runs a program, whatever comes of it."""
        return self._run(words)

    def must(self, *words: str) -> str:
        """The output of a program.

        Raises:
            HostError: it fails.
        """
        done = self._run(words)
        if done.code != 0:
            said = (done.error or done.output).strip() or "it ended with %d" % done.code
            raise HostError("%s failed: %s" % (" ".join(words), said))
        return done.output

    def asked(self, *words: str) -> list[dict[str, Any]]:
        """What iproute2 says as JSON.

        Raises:
            HostError: it fails.
        """
        try:
            return list(json.loads(self.must("ip", "-json", *words) or "[]"))
        except ValueError:
            raise HostError("ip -json %s did not answer in JSON: install a later iproute2" % " ".join(words)) from None

    def wait(self, condition: Callable[[], bool], *, tries: int, seconds: float) -> bool:
        """Asks again and again whether something is so; false when it never was."""
        for attempt in range(tries):
            if condition():
                return True
            if attempt + 1 < tries:
                self.pause(seconds)
        return False
