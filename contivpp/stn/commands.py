"""Programs of the host, run one at a time and never for ever."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence


class CommandError(Exception):
    """A program failed; the sentence has what it said."""


Run = Callable[..., str]
"""Takes words, `timeout` in seconds and `given` on standard input; returns what was printed, or raises CommandError."""


def run(words: Sequence[str], *, timeout: float = 20.0, given: str | None = None) -> str:
    """Runs a program of the host.

    Raises:
        CommandError: it is not there, failed or took too long.
    """
    name = " ".join(words)
    try:
        done = subprocess.run(  # noqa: S603 - words of ours, no shell
            list(words), input=given, capture_output=True, text=True, check=False, timeout=timeout
        )
    except FileNotFoundError as error:
        raise CommandError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{name} did not end within {timeout:g} s") from error
    if done.returncode:
        raise CommandError(f"{name}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}")
    return done.stdout
