"""`contiv-playground vm up | status | ssh | cut | start | down`: a virtual machine with PCI NICs.

Each command changes only what is not yet as it should be. Those that make and take away print one JSON object with
`changed`; what cannot be done is one sentence and exit code 1.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contivpp.playground.demo.ssh import Ssh
from contivpp.playground.machines import access, bridge, plan
from contivpp.playground.machines.plan import MachinesError, Network, Settings
from contivpp.playground.virtual.disk import Disk
from contivpp.playground.virtual.hardware import MODELS, Nic, nics
from contivpp.playground.virtual.machine import VirtualMachine, created

DEFAULT_STATE = Path("/var/lib/contiv-virtual")
DEFAULT_MODELS = ("virtio", "e1000e")
# Beside the playground's, so that both can be there at once.
_NETWORKS = (
    ("--bridge", "contivvm0", "--subnet", "10.211.0.0/24"),
    ("--bridge2", "contivvm1", "--subnet2", "10.211.1.0/24"),
)
_LONGEST_NAME = 8
Result = dict[str, object]


def _networks(options: argparse.Namespace) -> list[Network]:
    given = ((options.bridge, options.subnet), (options.bridge2, options.subnet2))
    return [
        Network.parse(name, subnet, settings=Settings(subnet=subnet_option, bridge=bridge_option))
        for (name, subnet), (bridge_option, _, subnet_option, _) in zip(given, _NETWORKS, strict=True)
    ]


def _cards(options: argparse.Namespace, networks: Sequence[Network]) -> list[Nic]:
    if len(options.name) > _LONGEST_NAME:
        raise MachinesError(f"the name {options.name} is too long for the names of its cables: 8 letters at most")
    addresses = [ipaddress.IPv4Interface(f"{n.subnet[options.host]}/{n.subnet.prefixlen}") for n in networks]
    places = [(network.bridge, address) for network, address in zip(networks, addresses, strict=True)]
    return nics(options.nic or DEFAULT_MODELS, places)


def _up(options: argparse.Namespace) -> Result:
    networks = _networks(options)
    cards, shares = _cards(options, networks), [share.resolve() for share in options.share]
    used = plan.subnets_in_use()
    for network in networks:
        plan.check(network, used)
    there = [bridge.is_there(network) for network in networks]
    machine, disk = VirtualMachine(options.name, options.state), Disk(options.state)
    if machine.is_created() and (machine.cards(), machine.shares()) != (cards, shares):
        raise MachinesError(f"{machine.name} was made with other NICs or shares: contiv-playground vm down first")
    changes = access.make_key(options.files, check=False)
    if not disk.is_built():
        disk.build()
        changes.append("built the disk")
    for network, is_there in zip(networks, there, strict=True):
        if not is_there:
            bridge.make(network)
            changes.append(f"made {network.bridge}")
    if not machine.is_created():
        machine.create(disk, cards, shares, access.public_key(options.files))
        changes.append("created")
    return _boot(options, machine, disk, changes)


def _boot(options: argparse.Namespace, machine: VirtualMachine, disk: Disk, changes: list[str]) -> Result:
    if not machine.is_running():
        machine.start(disk)
        changes.append("started")
    machine.wait(timeout=options.timeout)
    if access.remember(options.files, machine.address, machine.host_key()):
        changes.append("host key")
    return {"changed": bool(changes), "changes": changes, "address": machine.address}


def _start(options: argparse.Namespace) -> Result:
    machine = _existing(options)
    return _boot(options, machine, Disk(options.state), [])


def _cut(options: argparse.Namespace) -> Result:
    cut = _existing(options).cut()
    return {"changed": cut, "changes": ["cut its power"] if cut else []}


def _down(options: argparse.Namespace) -> Result:
    changes = [f"removed {machine.name}" for machine in created(options.state) if machine.remove()]
    changes += [f"removed {name}" for name in (options.bridge, options.bridge2) if bridge.remove(name)]
    if options.purge and Disk(options.state).remove():
        changes.append("removed the disk")
    for folder in (options.state / "machines", options.state):
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    return {"changed": bool(changes), "changes": changes}


def _status(options: argparse.Namespace) -> Result:
    machines = {
        machine.name: {
            "running": machine.is_running(),
            "nics": [
                {"name": n.name, "pci": n.pci, "model": n.model, "address": str(n.address)} for n in machine.cards()
            ],
        }
        for machine in created(options.state)
    }
    return {"changed": False, "disk": Disk(options.state).is_built(), "machines": machines}


def _ssh(options: argparse.Namespace) -> Result:
    terminal = not options.words and sys.stdin.isatty()
    script = shlex.join(options.words) if options.words else "exec bash -l"
    Ssh(options.files).replace(_existing(options).address, script, terminal=terminal)
    raise AssertionError("replaced by ssh")


def _existing(options: argparse.Namespace) -> VirtualMachine:
    machine = VirtualMachine(options.name, options.state)
    if not machine.is_created():
        raise MachinesError(f"there is no virtual machine {options.name}: contiv-playground vm up makes it")
    return machine


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], Result], str]] = {
    "up": (_up, "build what is missing, start the machine, and wait until its ssh server answers"),
    "status": (_status, "say what is there"),
    "ssh": (_ssh, "run a command on it, or a shell"),
    "cut": (_cut, "cut its power; what it had written stays"),
    "start": (_start, "give it power again"),
    "down": (_down, "remove every machine and the bridges, but not the disk that they start with"),
}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground vm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of disks and machines")
        command.add_argument("--files", type=Path, default=Path(".playground"), help="folder of the ssh key")
        command.add_argument("--name", default="vm1")
        if name in ("up", "down"):
            for bridge_option, bridge_name, subnet_option, subnet in _NETWORKS:
                command.add_argument(bridge_option, default=bridge_name)
                command.add_argument(subnet_option, default=subnet)
        if name in ("up", "start"):
            command.add_argument("--timeout", type=float, default=240, help="seconds for the machine to start")
        if name == "up":
            kinds = ", ".join(MODELS)
            command.add_argument("--nic", action="append", metavar="KIND", help=f"{kinds}; the first is for ssh")
            command.add_argument("--host", type=int, default=11, help="number of the machine in both subnets")
            command.add_argument(
                "--share",
                type=Path,
                action="append",
                default=[],
                help="folder that it sees at the same path; read only",
            )
        if name == "ssh":
            command.add_argument("words", nargs="*", metavar="COMMAND")
        if name == "down":
            command.add_argument("--purge", action="store_true", help="remove the disk too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    options = _parse(arguments)
    try:
        if os.geteuid() and options.command not in ("status", "ssh"):
            raise MachinesError("a virtual machine with bridges needs root")
        result = _COMMANDS[options.command][0](options)
    except MachinesError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0
