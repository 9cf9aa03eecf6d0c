"""contiv-stn with a pretended driver layer, run as a process of its own: what a NIC with a device does in a namespace.

Giving the device to user space moves the link into another namespace, and back; a link comes back with another index,
down and bare, as a real one does. Every step and every writing of the journal is an event; the process can be told to
kill itself at one of them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from contivpp.daemon import logs
from contivpp.stn import boot, program
from contivpp.stn.commands import run
from contivpp.stn.drivers import DriverError
from contivpp.stn.journal import Journal, Store
from contivpp.stn.machine import Link, Machine
from contivpp.stn.managers import all_managers
from contivpp.stn.services import Services
from contivpp.stn.theft import Theft
from contivpp.stn.watch import Limits

PCI = "0000:00:03.0"
OF_SYSTEMD = ("networkctl", "systemctl", "nmcli")


class Events:
    """Counts what happens, writes it down, and ends the process at one of them."""

    def __init__(self, log: Path, kill_at: int) -> None:
        self._log = log
        self._kill_at = kill_at
        self._number = 0

    def __call__(self, what: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{what}\n")
        if self._number == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._number += 1


class EventfulStore(Store):
    """Each writing is two events: before it, and after it."""

    def __init__(self, path: Path, events: Events) -> None:
        super().__init__(path)
        self._events = events

    def save(self, journal: Journal) -> None:
        self._events(f"before {journal.phase}")
        super().save(journal)
        self._events(f"after {journal.phase}")

    def forget(self) -> None:
        self._events("before nothing")
        super().forget()
        self._events("after nothing")


class DeviceMachine(Machine):
    """Its NIC has a device."""

    def __init__(self, nic: str, parked: str, **options: Any) -> None:
        super().__init__(**options)
        self._nic = nic
        self._parked = parked

    def link(self, name: str) -> Link | None:
        link = super().link(name)
        return dataclasses.replace(link, pci=PCI, driver="e1000e") if link is not None and name == self._nic else link

    def has_device(self, pci: str) -> bool:
        return pci == PCI


class PretendedDrivers:
    """Moves the link to the namespace `parked` and back to that of the process `node`."""

    def __init__(self, nic: str, node: str, parked: str, broken: str) -> None:
        self._nic, self._node, self._parked, self._broken = nic, node, parked, broken

    def refusals(self, pci: str, driver: str) -> list[str]:
        return []

    def prepare(self, pci: str, driver: str) -> None:
        """Nothing has to be loaded."""

    def give(self, pci: str, driver: str) -> None:
        if driver == self._broken:
            raise DriverError(f"{driver} did not take {pci}")
        taking = driver == "vfio-pci"
        here, there = (self._node, self._parked) if taking else (self._parked, self._node)
        if not self._has(here, self._nic):
            return
        index = self._ip("-json", "link", "show", "dev", self._nic, netns=here)[0]["ifindex"]
        self._ip("link", "set", "dev", self._nic, "netns", there, netns=here)
        if taking:  # its index is somebody else's when it comes back
            filler = ("name", f"filler{index}", "index", str(index), "type", "veth", "peer", "name", f"other{index}")
            self._ip("link", "add", *filler, netns=here)

    def _has(self, netns: str, name: str) -> bool:
        return (
            subprocess.run(
                ["ip", "-n", netns, "link", "show", "dev", name], capture_output=True, check=False
            ).returncode
            == 0
        )

    def _ip(self, *words: str, netns: str) -> Any:
        done = subprocess.run(["ip", "-n", netns, *words], capture_output=True, check=False, text=True)
        if done.returncode:
            raise DriverError(f"ip {' '.join(words)}: {done.stderr}")
        return json.loads(done.stdout) if "-json" in words else None


def main() -> None:
    """Reads what to do from the JSON object that is the only argument."""
    given = json.loads(sys.argv[1])
    logs.configure("contiv-stn", "debug")
    folder = Path(given["folder"])
    events = Events(folder / "events", given.get("kill_at", -1))

    def command(words: list[str], **options: Any) -> str:
        if words[0] in OF_SYSTEMD:
            with (folder / "commands").open("a") as file:
                file.write(f"{' '.join(words)}\n")
            return ""
        return run(words, **options)

    root = folder / "root"
    device = given["mode"] == "device"
    machine = DeviceMachine("eth0", given["parked"], run=command) if device else Machine(run=command)
    drivers = PretendedDrivers("eth0", given["node"], given["parked"], given.get("broken", ""))
    others = all_managers(root, command)
    theft = Theft(machine, drivers, Services("vpp", "agent", command), others, reached=events)
    store = EventfulStore(folder / "journal.json", events)
    tools = program.Tools(store, machine, drivers, others, theft, given["boot"])
    if given["command"] == "boot":
        boot.start(store, machine, drivers, theft, others, boot=given["boot"])
        return
    settings = program.Settings(
        socket=folder / "stn.sock",
        journal=store.path,
        node_ip=given.get("node_ip", ""),
        probe=given.get("probe", ()),
        vpp_socket=Path(given.get("vpp_socket", folder / "vpp.sock")),
        agent_url=f"http://127.0.0.1:{given['port']}",
        limits=Limits(*given["limits"]),
    )
    raise SystemExit(asyncio.run(program.run(settings, tools)))


if __name__ == "__main__":
    main()
