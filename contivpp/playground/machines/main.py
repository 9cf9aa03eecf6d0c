"""`contiv-playground machines`: every step of building and removing a playground's machines.

Each step changes only what is not yet as it should be, prints one JSON object with `changed`, and can be
asked with --check what it would do. A step that cannot be done prints one sentence and ends with code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contivpp.playground.machines import bridge, node, plan
from contivpp.playground.machines.image import Image
from contivpp.playground.machines.plan import DEFAULT_STATE, Machine, MachinesError, Network
from contivpp.playground.machines.shell import run

KEY = "id_ed25519"
KNOWN_HOSTS = "known_hosts"
Result = dict[str, object]


def _image(options: argparse.Namespace) -> Result:
    image = Image(options.state)
    if image.is_built():
        return {"changed": False}
    if not options.check:
        image.build()
    return {"changed": True}


def _network(options: argparse.Namespace) -> Result:
    network = Network.parse(options.bridge, options.subnet)
    plan.check(network, plan.subnets_in_use())
    if bridge.is_there(network):
        return {"changed": False}
    if not options.check:
        bridge.make(network)
    return {"changed": True}


def _check(options: argparse.Namespace) -> Result:
    network = Network.parse(options.bridge, options.subnet)
    plan.check(network, plan.subnets_in_use())
    return {"changed": False}


def _key(options: argparse.Namespace) -> Result:
    key = options.files / KEY
    if key.is_file() and key.with_suffix(".pub").is_file():
        return {"changed": False}
    if not options.check:
        options.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "contiv-playground", "-f", key])
    return {"changed": True}


def _machine(options: argparse.Namespace) -> Result:
    network = Network.parse(options.bridge, options.subnet)
    machine = Machine.parse(options.name, options.address, network)
    subject, changes = node.Node(options.name, options.state), []
    if not subject.is_created():
        changes.append("created")
        if not options.check:
            subject.create(Image(options.state).root)
    if subject.is_created():
        different = subject.differences(machine, (options.files / f"{KEY}.pub").read_text())
        changes += [f"wrote /{name}" for name in different]
        if different and not options.check:
            subject.configure(different)
    if not subject.is_running():
        changes.append("started")
        if not options.check:
            subject.start(network)
    if not options.check:
        subject.wait(options.address, timeout=options.timeout)
        if _remember(options.files / KNOWN_HOSTS, options.address, subject.host_key()):
            changes.append("host key")
    return {"changed": bool(changes), "changes": changes}


def _remember(known_hosts: Path, address: str, key: str) -> bool:
    line = f"{address} {key}"
    lines = known_hosts.read_text().splitlines() if known_hosts.is_file() else []
    if line in lines:
        return False
    kept = [other for other in lines if other.split()[:1] != [address]]
    known_hosts.write_text("\n".join([*kept, line]) + "\n")
    return True


def _down(options: argparse.Namespace) -> Result:
    changes = []
    for machine in node.created(options.state):
        changes.append(f"removed {machine.name}")
        if not options.check:
            machine.remove()
    if options.check:
        if (Path("/sys/class/net") / options.bridge / "bridge").exists():
            changes.append(f"removed {options.bridge}")
    elif bridge.remove(options.bridge):
        changes.append(f"removed {options.bridge}")
    image = Image(options.state)
    if options.purge and (options.state.exists()):
        changes.append(f"removed {options.state}")
        if not options.check:
            image.remove()
            (options.state / "nodes").rmdir() if (options.state / "nodes").exists() else None
            if not any(options.state.iterdir()):
                options.state.rmdir()
    return {"changed": bool(changes), "changes": changes}


def _status(options: argparse.Namespace) -> Result:
    machines = {
        machine.name: "running" if machine.is_running() else "stopped" for machine in node.created(options.state)
    }
    return {"changed": False, "image": Image(options.state).is_built(), "machines": machines}


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], Result], str]] = {
    "check": (_check, "refuse a subnet that the machine uses"),
    "key": (_key, "make the ssh key of the playground"),
    "image": (_image, "build the base image"),
    "network": (_network, "make the bridge"),
    "machine": (_machine, "create, configure and start one machine, and wait for it"),
    "status": (_status, "say what is there"),
    "down": (_down, "stop and remove everything but the base image"),
}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground machines", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of image and machines")
    parser.add_argument(
        "--files", type=Path, default=Path(".playground"), help="folder of ssh key and known hosts"
    )
    parser.add_argument("--bridge", default="contivpg0")
    parser.add_argument("--subnet", default="10.210.0.0/24")
    parser.add_argument("--check", action="store_true", help="change nothing, say what would be changed")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == "machine":
            command.add_argument("name")
            command.add_argument("--address", required=True)
            command.add_argument("--timeout", type=float, default=90)
        if name == "down":
            command.add_argument("--purge", action="store_true", help="remove the base image too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Runs one step; returns the exit code."""
    options = _parse(arguments)
    try:
        if os.geteuid() and options.command not in ("check", "status"):
            raise MachinesError("building a playground needs root")
        result = _COMMANDS[options.command][0](options)
    except MachinesError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0
