"""`contiv-playground up | status | down`: the machines of a playground.

Each command changes only what is not yet as it should be, prints one JSON object with `changed`, and can be
asked with --check what it would do. What cannot be done is one sentence and exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contivpp.playground.machines import access, bridge, node, plan
from contivpp.playground.machines.image import Image
from contivpp.playground.machines.plan import DEFAULT_STATE, Machine, MachinesError, Network

DEFAULT_MACHINES = ("node1=10.210.0.11", "node2=10.210.0.12", "node3=10.210.0.13")
DEFAULT_UPLINK_BRIDGE = "contivpg1"
Result = dict[str, object]


def _up(options: argparse.Namespace) -> Result:
    network = Network.parse(options.bridge, options.subnet, options.uplink_bridge)
    machines = [_machine(text, network) for text in options.node or DEFAULT_MACHINES]
    # Everything that can be refused is refused before anything is made.
    plan.check(network, plan.subnets_in_use())
    for machine in machines:
        node.Node(machine.name, options.state).check(network)
    bridge_is_there, uplink_is_there = bridge.is_there(network), bridge.uplink_is_there(network)
    changes = access.make_key(options.files, check=options.check)
    image = Image(options.image or options.state)
    if not image.is_built():
        changes.append("built the base image")
        if not options.check:
            image.build()
    if not bridge_is_there:
        changes.append(f"made {network.bridge}")
        if not options.check:
            bridge.make(network)
    if not uplink_is_there:
        changes.append(f"made {network.uplink_bridge}")
        if not options.check:
            bridge.make_uplink(network)
    for machine in machines:
        changes += _start(machine, network, image, options)
    for machine in machines if not options.check else ():
        subject, address = node.Node(machine.name, options.state), str(machine.address.ip)
        subject.wait(address, timeout=options.timeout)
        if access.remember(options.files, address, subject.host_key()):
            changes.append(f"{machine.name}: host key")
    return {"changed": bool(changes), "changes": changes}


def _machine(text: str, network: Network) -> Machine:
    name, equals, address = text.partition("=")
    if not equals:
        raise MachinesError(f"a machine is written NAME=ADDRESS, not {text!r}")
    return Machine.parse(name, address, network)


def _start(machine: Machine, network: Network, image: Image, options: argparse.Namespace) -> list[str]:
    """Creates, configures and starts a machine; returns what that changed, and does not wait for it."""
    subject, changes = node.Node(machine.name, options.state), []
    if not subject.is_created():
        changes.append("created")
        if not options.check:
            subject.create(image.root, network)
    if subject.is_created():
        different = subject.differences(machine, access.public_key(options.files))
        changes += [f"wrote /{name}" for name in different]
        if different and not options.check:
            subject.configure(different)
    if not subject.is_running():
        changes.append("started")
        if not options.check:
            subject.start(network)
    return [f"{machine.name}: {change}" for change in changes]


def _down(options: argparse.Namespace) -> Result:
    changes = []
    for machine in node.created(options.state):
        changes.append(f"removed {machine.name}")
        if not options.check:
            machine.remove()
    for name in (options.bridge, options.uplink_bridge or DEFAULT_UPLINK_BRIDGE):
        if options.check:
            if (Path("/sys/class/net") / name / "bridge").exists():
                changes.append(f"removed {name}")
        elif bridge.remove(name):
            changes.append(f"removed {name}")
    kubeconfig = options.files / "kubeconfig"
    if kubeconfig.exists():
        changes.append("removed the kubeconfig")
        if not options.check:
            kubeconfig.unlink()
    if options.purge and options.state.exists():
        changes.append(f"removed {options.state}")
        if not options.check:
            Image(options.state).remove()
            for folder in (options.state / "nodes", options.state):
                if folder.exists() and not any(folder.iterdir()):
                    folder.rmdir()
    return {"changed": bool(changes), "changes": changes}


def _status(options: argparse.Namespace) -> Result:
    machines = {
        machine.name: "running" if machine.is_running() else "stopped" for machine in node.created(options.state)
    }
    uplinks = {machine.name: machine.uplink_bridge() for machine in node.created(options.state)}
    return {
        "changed": False,
        "image": Image(options.image or options.state).is_built(),
        "machines": machines,
        "uplinks": uplinks,
    }


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], Result], str]] = {
    "up": (_up, "build what is missing, start what does not run, and wait until every machine answers"),
    "status": (_status, "say what is there"),
    "down": (_down, "stop and remove everything but the base image"),
}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of image and machines")
        command.add_argument("--image", type=Path, help="folder of the image, where another playground has it already")
        command.add_argument("--files", type=Path, default=Path(".playground"), help="folder of the ssh key")
        command.add_argument("--bridge", default="contivpg0")
        command.add_argument(
            "--uplink-bridge", default="", help="of the machines' second NICs, which they have with it"
        )
        command.add_argument("--check", action="store_true", help="change nothing, say what would be changed")
        if name == "up":
            command.add_argument("--subnet", default="10.210.0.0/24")
            command.add_argument("--node", action="append", metavar="NAME=ADDRESS", help="may be repeated")
            command.add_argument("--timeout", type=float, default=90, help="seconds for a machine to start")
        if name == "down":
            command.add_argument("--purge", action="store_true", help="remove the base image too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Runs one step; returns the exit code."""
    options = _parse(arguments)
    try:
        if os.geteuid() and options.command != "status" and not options.check:
            raise MachinesError("building a playground needs root")
        result = _COMMANDS[options.command][0](options)
    except MachinesError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0
