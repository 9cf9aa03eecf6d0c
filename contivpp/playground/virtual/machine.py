"""One virtual machine: its disk, and the QEMU that runs it.

A folder per machine below the state folder holds `disk`, `machine.json` (written last, when the disk is whole),
`console.log` and what QEMU is started with. The cables are QEMU's own: they are gone when it is, however it ended.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contivpp.playground.machines.node import ssh_answers
from contivpp.playground.machines.plan import MachinesError
from contivpp.playground.machines.processes import Processes
from contivpp.playground.machines.shell import run
from contivpp.playground.virtual import hardware
from contivpp.playground.virtual.disk import Disk
from contivpp.playground.virtual.hardware import Nic

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
_POLL = 0.2
_LAST_WORDS = 1500


class VirtualMachine:
    """The machine called `name`, whether it exists yet or not."""

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.folder = state / "machines" / name
        self._processes = Processes(name)
        self._record = self.folder / "machine.json"

    def is_created(self) -> bool:
        """Tells whether its disk is whole."""
        return self._record.is_file()

    def is_running(self) -> bool:
        """Tells whether it has power."""
        return bool(self._processes.list())

    def cards(self) -> list[Nic]:
        """The NICs that it was made with."""
        return [
            Nic(card["model"], card["bridge"], ipaddress.IPv4Interface(card["address"]), position)
            for position, card in enumerate(self._recorded("cards"))
        ]

    def shares(self) -> list[Path]:
        """The folders of this machine that it was made to read."""
        return [Path(share) for share in self._recorded("shares")]

    @property
    def address(self) -> str:
        """Where its ssh server answers: the first NIC's address."""
        return str(self.cards()[0].address.ip)

    def create(self, disk: Disk, cards: Sequence[Nic], shares: Sequence[Path], public_key: str) -> None:
        """Makes its disk from the first one, with its own names, addresses and keys on it."""
        self.remove()
        own = self.folder / "own"
        (own / Path(_HOST_KEY).parent).mkdir(parents=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", own / _HOST_KEY])
        for path, text in _identity(self.name, cards, shares, public_key).items():
            (own / path).parent.mkdir(parents=True, exist_ok=True)
            (own / path).write_text(text)
        run(["cp", "--sparse=always", disk.file, self.folder / "disk"])
        put(self.folder / "disk", own)
        for nic in cards:
            script = hardware.plug(self.folder, nic)
            script.write_text(f'#!/bin/sh\nexec ip link set "$1" master {nic.bridge} up\n')
            script.chmod(0o755)
        made = [{"model": nic.model, "bridge": nic.bridge, "address": str(nic.address)} for nic in cards]
        self._record.write_text(json.dumps({"cards": made, "shares": [str(share) for share in shares]}))

    def host_key(self) -> str:
        """Returns its public ssh key, as type and value."""
        return " ".join((self.folder / "own" / f"{_HOST_KEY}.pub").read_text().split()[:2])

    def start(self, disk: Disk) -> None:
        """Gives it power, in a session and a control group of its own, and returns at once."""
        if shutil.which(hardware.PROGRAM) is None:
            raise MachinesError(f"{hardware.PROGRAM} is not installed: apt-get install qemu-system-x86")
        command = hardware.command(
            machine=self.name,
            folder=self.folder,
            disk=self.folder / "disk",
            kernel=disk.kernel,
            initial=disk.initial,
            cards=self.cards(),
            shares=self.shares(),
        )
        with (self.folder / "qemu.log").open("ab") as log:
            subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=self._processes.enter,  # noqa: PLW1509 - this program has one thread
            )

    def cut(self) -> bool:
        """Cuts its power, as a plug that is pulled; what it had written stays. Returns whether it ran."""
        return self._processes.stop(patience=5)

    def remove(self) -> bool:
        """Cuts its power and removes its folder; returns whether there was anything."""
        ran = self.cut()
        there = self.folder.exists()
        if there:
            shutil.rmtree(self.folder)
        return ran or there

    def wait(self, *, timeout: float) -> None:
        """Waits until its ssh server answers.

        Raises:
            MachinesError: It does not within `timeout` seconds, or QEMU ended meanwhile.
        """
        end = time.monotonic() + timeout
        while not ssh_answers(self.address):
            if not self.is_running():
                raise MachinesError(f"{self.name} ended while it was starting: {_end_of(self.folder / 'qemu.log')}")
            if time.monotonic() > end:
                console = self.folder / "console.log"
                raise MachinesError(
                    f"{self.name} does not answer on {self.address} port 22 after {timeout:g} s:"
                    f" see {console}\n{_end_of(console)}"
                )
            time.sleep(_POLL)

    def _recorded(self, what: str) -> list[Any]:
        found: list[Any] = json.loads(self._record.read_text())[what] if self.is_created() else []
        return found


def created(state: Path) -> list[VirtualMachine]:
    """Lists the machines of which anything is left on disk."""
    folder = state / "machines"
    return [VirtualMachine(path.name, state) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def put(disk: Path, folder: Path) -> None:
    """Writes every file of a folder onto a disk, with root as its owner and its mode; what was there is replaced.

    Done without a mount, so that nothing has to be undone when it is cut off.

    Raises:
        MachinesError: A file did not get there.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    # To make a folder that is there would damage the disk; to ask for one that is not says nothing.
    folders = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_dir()]
    requests = [f"mkdir /{path}" for path in folders if not run(["debugfs", "-R", f"stat /{path}", disk])]
    for file in files:
        inside = file.relative_to(folder)
        requests += [f"rm /{inside}", f"write {file} /{inside}"]
        requests += [f"sif /{inside} {field} 0" for field in ("uid", "gid")]
    script = folder.with_suffix(".debugfs")
    script.write_text("\n".join(requests) + "\n")
    run(["debugfs", "-w", "-f", script, disk])
    for file in files:
        if run(["debugfs", "-R", f"cat /{file.relative_to(folder)}", disk]) != file.read_text():
            raise MachinesError(f"/{file.relative_to(folder)} could not be written to {disk}")


def _identity(name: str, cards: Sequence[Nic], shares: Sequence[Path], public_key: str) -> Mapping[str, str]:
    files = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{cards[0].address.ip} {name}\n",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/fstab": "/dev/vda / ext4 defaults 0 0\n" + "".join(map(_mount, shares)),
        "root/.ssh/authorized_keys": public_key.strip() + "\n",
    }
    for nic in cards:
        # The kernel calls a NIC by another name while a program drives it, so its MAC says which it is.
        files[f"etc/systemd/network/10-{nic.name}.network"] = (
            "# Made with the machine.\n"
            f"[Match]\nMACAddress={nic.mac}\nType=ether\n\n"
            f"[Network]\nAddress={nic.address}\nIPv6AcceptRA=no\nLLDP=no\n"
        )
    return files


def _mount(share: Path) -> str:
    # One below /tmp is mounted when that was cleared for the boot.
    order = "nofail,x-systemd.after=systemd-tmpfiles-setup.service"
    options = f"ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144,{order}"
    return f"{hardware.tag_of(share)} {share} 9p {options} 0 0\n"


def _end_of(log: Path) -> str:
    try:
        return log.read_text(errors="replace")[-_LAST_WORDS:]
    except FileNotFoundError:
        return ""
