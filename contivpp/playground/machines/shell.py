"""Running the machine's own tools, with their last words in the error when they fail."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from contivpp.playground.machines.plan import MachinesError

_LAST_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Runs a command and returns what it printed.

    Raises:
        MachinesError: It is not installed, failed, or took longer than `timeout` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603
            words, check=False, capture_output=True, text=True, env=environment, timeout=timeout
        )
    except FileNotFoundError as error:
        raise MachinesError(f"{words[0]} is not installed: apt-get install {_package_of(words[0])}") from error
    except subprocess.TimeoutExpired as error:
        raise MachinesError(f"{' '.join(words)} did not end within {timeout:g} s") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise MachinesError(f"{' '.join(words)} failed with exit code {done.returncode}: {said}")
    return done.stdout


def _package_of(program: str) -> str:
    packages = {
        "debugfs": "e2fsprogs",
        "ip": "iproute2",
        "mke2fs": "e2fsprogs",
        "ssh-keygen": "openssh-client",
        "systemd-nspawn": "systemd-container",
    }
    return packages.get(program, program)
