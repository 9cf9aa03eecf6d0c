"""One machine: its root folder, made from the base image, and the systemd-nspawn that runs it.

A folder per machine below the state folder holds `root`, `machine.json` (written last, when the copy is
whole: a copy that was cut off is made again) and `console.log`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from contivpp.playground.machines.plan import UPLINK, Machine, MachinesError, Network, uplink_of
from contivpp.playground.machines.processes import Processes
from contivpp.playground.machines.shell import run

# Sorts before systemd's 80-container-host0.network, which would ask for an address by DHCP.
_NETWORK_FILE = "etc/systemd/network/10-contiv-playground.network"
_UPLINK_FILE = "etc/systemd/network/10-contiv-playground-uplink.network"
_AUTHORIZED_KEYS = "root/.ssh/authorized_keys"
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
_SSH = 22
# systemd-nspawn ends with this code when the machine asks for a reboot, and leaves the rest to its caller.
# It makes the second NIC at every start, and leaves it to others to put the host's end where it belongs.
_SUPERVISOR = """
nic=$1 bridge=$2
shift 2
join() {
    for try in $(seq 300); do
        ip link set "$nic" master "$bridge" up 2>/dev/null && return
        sleep 0.1
    done
}
while :; do
    [ -z "$bridge" ] || join &
    systemd-nspawn "$@"
    [ $? -eq 133 ] || exit
done
"""


class Node:
    """The machine called `name`, whether it exists yet or not."""

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.folder = state / "nodes" / name
        self.root = self.folder / "root"
        self.processes = Processes(name)
        self._record = self.folder / "machine.json"

    def is_created(self) -> bool:
        """Tells whether the machine's root folder is whole."""
        return self._record.is_file()

    def is_running(self) -> bool:
        """Tells whether the machine's own process 1 is alive."""
        return self.processes.init() is not None

    def uplink_bridge(self) -> str:
        """The bridge that its second NIC was made for; "" when it has none, or is not there."""
        return str(json.loads(_read(self._record) or "{}").get("uplink", ""))

    def check(self, network: Network) -> None:
        """Refuses a machine that was made for another data plane.

        Raises:
            MachinesError: It has a second NIC and is to have none, or the other way round.
        """
        made_for = self.uplink_bridge()
        if self.is_created() and made_for != network.uplink_bridge:
            has = "with a second NIC, for VPP" if made_for else "without a second NIC, for the kernel's data plane"
            raise MachinesError(f"{self.name} was made {has}: make cluster-down first, a new one takes two minutes")

    def create(self, image: Path, network: Network) -> None:
        """Copies the base image; what an earlier copy left unfinished is thrown away."""
        self.processes.stop(patience=10)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        run(["cp", "--archive", "--reflink=auto", image, self.root])
        (self.root / "etc/machine-id").write_text(uuid.uuid4().hex + "\n")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", self.root / _HOST_KEY])
        self._record.write_text(json.dumps({"name": self.name, "uplink": network.uplink_bridge}))

    def differences(self, machine: Machine, public_key: str) -> dict[str, str]:
        """Returns the files of the machine that are not yet as they should be, with what they should hold."""
        wanted = _identity(machine, public_key)
        return {name: text for name, text in wanted.items() if _read(self.root / name) != text}

    def configure(self, files: Mapping[str, str]) -> None:
        """Writes files of the machine; one that lives with an old address or name is stopped."""
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(mode=0o700 if name == _AUTHORIZED_KEYS else 0o755, parents=True, exist_ok=True)
            file.write_text(text)
        if set(files) - {_AUTHORIZED_KEYS}:
            self.stop()

    def host_key(self) -> str:
        """Returns the machine's public ssh key, as type and value."""
        return " ".join((self.root / f"{_HOST_KEY}.pub").read_text().split()[:2])

    def start(self, network: Network) -> None:
        """Starts the machine, in a session and a control group of its own, and returns at once."""
        self.processes.stop(patience=5)  # what a machine that died halfway may have left
        nic = uplink_of(self.name)
        command = [
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
            *(f"--machine={self.name}", f"--directory={self.root}", f"--network-bridge={network.bridge}"),
            *((f"--network-veth-extra={nic}:{UPLINK}",) if network.uplink_bridge else ()),
            *(
                "--capability=all",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
                "--console=pipe",
            ),
        ]
        if shutil.which(command[0]) is None:
            raise MachinesError("systemd-nspawn is not installed: apt-get install systemd-container")
        with (self.folder / "console.log").open("ab") as log:
            subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _SUPERVISOR, "contiv-playground", nic, network.uplink_bridge, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                start_new_session=True,
                preexec_fn=self.processes.enter,  # noqa: PLW1509 - this program has one thread
            )

    def stop(self) -> bool:
        """Powers the machine off; returns whether it ran."""
        return self.processes.stop(patience=20)

    def remove(self) -> bool:
        """Stops the machine and removes its folder; returns whether there was anything."""
        stopped = self.stop()
        there = self.folder.exists()
        if there:
            shutil.rmtree(self.folder)
        for lock in self.folder.glob(".#root.lck"):
            lock.unlink()
        return stopped or there

    def wait(self, address: str, *, timeout: float) -> None:
        """Waits until the machine's ssh server answers.

        Raises:
            MachinesError: It does not within `timeout` seconds, or the machine died meanwhile.
        """
        end = time.monotonic() + timeout
        while not ssh_answers(address):
            if not self.processes.list():
                raise MachinesError(f"{self.name} ended while it was starting: see {self._last_words()}")
            if time.monotonic() > end:
                raise MachinesError(
                    f"{self.name} does not answer on {address} port {_SSH} after {timeout:g} s:"
                    f" see {self._last_words()}"
                )
            time.sleep(0.1)

    def _last_words(self) -> str:
        log = self.folder / "console.log"
        return f"{log}\n{_read(log)[-1000:]}"


def created(state: Path) -> list[Node]:
    """Lists the machines of which anything is left on disk."""
    folder = state / "nodes"
    return [Node(path.name, state) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def _identity(machine: Machine, public_key: str) -> dict[str, str]:
    network = (
        "# Made by the playground.\n"
        "[Match]\nName=host0\n\n"
        f"[Network]\nAddress={machine.address}\nIPv6AcceptRA=no\nLLDP=no\nEmitLLDP=no\n"
    )
    # Up and otherwise left alone, where it is there at all: VPP has its own address on it.
    uplink = (
        "# Made by the playground.\n"
        f"[Match]\nName={UPLINK}\n\n"
        "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\nEmitLLDP=no\nConfigureWithoutCarrier=yes\n"
    )
    return {
        "etc/hostname": f"{machine.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{machine.address.ip} {machine.name}\n",
        _NETWORK_FILE: network,
        _UPLINK_FILE: uplink,
        _AUTHORIZED_KEYS: public_key.strip() + "\n",
    }


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def ssh_answers(address: str) -> bool:
    """Tells whether an ssh server speaks at an address."""
    try:
        with socket.create_connection((address, _SSH), timeout=1) as connection:
            connection.settimeout(1)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
