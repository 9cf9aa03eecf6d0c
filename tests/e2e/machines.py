"""Machines of a test's or a benchmark's own, beside those of the playground, from whose base image they are made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE = Path("/var/lib/contiv-playground")
PROGRAMS = Path(sys.executable).parent


class PlayError(Exception):
    """A program did not end well; the message is the end of what it said."""


@dataclass(frozen=True)
class Counts:
    """What a run of Ansible did on a host, in tasks."""

    ok: int
    changed: int
    failed: int
    unreachable: int


@dataclass(frozen=True)
class Machines:
    """Machines by name with their addresses; the first is the control plane as well.

    Attributes:
        repository: the checkout that is deployed.
        folder: of ssh keys, certificates and the inventory; made by who asks.
        name: of the bridge, and in the state folder; at most eight letters.
        subnet: that nobody else uses.
    """

    repository: Path
    folder: Path
    name: str
    subnet: str
    nodes: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Of every program that is run."""
        return {
            **os.environ,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(self.repository / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }

    @property
    def inventory(self) -> Path:
        """Where the inventory is."""
        return self.folder / "inventory" / "hosts.json"

    @contextmanager
    def up(self) -> Iterator[None]:
        """Fresh machines, taken away afterwards, and before when an earlier run was cut off."""
        self._playground("down", "--purge", f"--uplink-bridge={self.name}u")
        try:
            nodes = [f"--node={name}={address}" for name, address in self.nodes.items()]
            self._playground("up", f"--image={IMAGE}", f"--subnet={self.subnet}", *nodes)
            self._write_inventory()
            yield
        finally:
            self._playground("down", "--purge", f"--uplink-bridge={self.name}u")

    def play(self, playbook: str, *words: str, timeout: float = 1200) -> str:
        """Runs a playbook to its end; returns what it said.

        Raises:
            PlayError: it failed.
        """
        return self.run(*self.command(playbook, *words), timeout=timeout)

    def command(self, playbook: str, *words: str) -> list[str]:
        """How a playbook is run."""
        return [str(PROGRAMS / "ansible-playbook"), "-i", str(self.inventory), playbook, *words]

    def run(self, *words: str, timeout: float = 1200) -> str:
        """Runs a program in the checkout; returns what it said.

        Raises:
            PlayError: it failed.
        """
        done = subprocess.run(
            words,
            cwd=self.repository,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise PlayError(f"{' '.join(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
        return done.stdout

    def on(self, node: str, script: str) -> str:
        """Runs a script on a machine, by ssh."""
        options = ("-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "IdentitiesOnly=yes")
        return self.run("ssh", "-i", f"{self.folder}/id_ed25519", *options, f"root@{self.nodes[node]}", script)

    def _playground(self, command: str, *words: str) -> None:
        where = (f"--state=/var/lib/contiv-{self.name}", f"--files={self.folder}", f"--bridge={self.name}0")
        self.run(str(PROGRAMS / "contiv-playground"), command, *where, *words)

    def _write_inventory(self) -> None:
        first = {next(iter(self.nodes)): {}}
        groups = {
            "contivpp_control_plane": {"hosts": first},
            "contivpp_etcd": {"hosts": first},
            "contivpp_nodes": {"hosts": {name: {"ansible_host": address} for name, address in self.nodes.items()}},
        }
        ssh = f"-o UserKnownHostsFile={self.folder}/known_hosts -o IdentitiesOnly=yes"
        variables = {
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": f"{self.folder}/id_ed25519",
            "ansible_ssh_common_args": ssh,
            "playground": True,
            "playground_files": str(self.folder),
            "pki_folder": f"{self.folder}/pki",
        }
        self.inventory.parent.mkdir(exist_ok=True)
        self.inventory.write_text(json.dumps({"contivpp": {"vars": variables, "children": groups}}))


def recap(output: str) -> dict[str, Counts]:
    """What Ansible counted, by host."""
    found = {}
    for host, said in re.findall(r"^(\S+) +: (ok=.*)$", output, re.MULTILINE):
        counts = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", said)}
        found[host] = Counts(counts["ok"], counts["changed"], counts["failed"], counts["unreachable"])
    return found
