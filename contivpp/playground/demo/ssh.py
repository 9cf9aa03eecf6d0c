"""Running commands on the machines of a playground."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from contivpp.playground.machines.access import KEY, KNOWN_HOSTS

_UNREACHABLE = 255


class SshError(Exception):
    """A machine cannot be reached, or a command on it failed."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """The way to the machines; `files` is the folder with the key."""

    files: Path

    def command(self, address: str, *, terminal: bool = False) -> list[str]:
        """The ssh command for a machine, without what it is to run there."""
        return [
            "ssh",
            *("-i", str(self.files / KEY), "-o", f"UserKnownHostsFile={self.files / KNOWN_HOSTS}"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
            *("-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"),
            *(["-t"] if terminal else []),
            f"root@{address}",
        ]

    async def run(self, address: str, script: str) -> str:
        """Runs a script with the machine's shell; returns what it printed.

        Raises:
            SshError: the machine cannot be reached, or the script failed.
        """
        process = await asyncio.create_subprocess_exec(
            *self.command(address),
            "sh -s",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate(script.encode())
        if process.returncode:
            what = "cannot be reached" if process.returncode == _UNREACHABLE else "a command failed"
            raise SshError(f"{address}: {what}: {said.decode(errors='replace').strip()}")
        return out.decode(errors="replace")

    def replace(self, address: str, script: str, *, terminal: bool) -> None:
        """Becomes ssh, running a line of shell on a machine; does not return."""
        command = [*self.command(address, terminal=terminal), "--", script]
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted here
