"""Entry point of `contiv-playground`: one sub-command for every stand-in, and one for the machines.

These programs stand in for Kubernetes on a machine that has none; a real deployment uses none of them.
Each sub-command is imported when it is asked for, so that none pays for what another needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import cast

# Module, what it does, and whether it wants to know under which name it was called.
_COMMANDS = {
    "up": ("contivpp.playground.machines.main", "builds the machines of a playground and starts them", True),
    "down": ("contivpp.playground.machines.main", "takes the machines away, with everything they brought", True),
    "status": ("contivpp.playground.machines.main", "says which machines there are", True),
    "vm": (
        "contivpp.playground.virtual.main",
        "a virtual machine with PCI NICs, for what a container cannot have",
        False,
    ),
    "demo": ("contivpp.playground.demo.main", "makes six pods and shows who reaches whom", True),
    "exec": ("contivpp.playground.demo.main", "runs a command in a pod's network namespace", True),
    "logs": ("contivpp.playground.demo.main", "prints what a pod's process has printed", True),
    "ssh": ("contivpp.playground.demo.main", "opens a shell on a node", True),
    "apiserver": ("contivpp.playground.apiserver.main", "the stand-in for the Kubernetes API server", False),
    "kubelet": ("contivpp.playground.kubelet.main", "the stand-in for the kubelet", False),
    "controller": ("contivpp.playground.controller.main", "the stand-in for scheduler and controllers", False),
}


def _usage() -> str:
    width = max(map(len, _COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what, _) in _COMMANDS.items()]
    return "\n".join(["usage: contiv-playground COMMAND [options]", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command with the arguments that follow its name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in _COMMANDS:
        asked_for_help = bool(words) and words[0] in ("-h", "--help")
        print(_usage(), file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    name, _, named = _COMMANDS[words[0]]
    command = cast("Callable[[Sequence[str]], int]", importlib.import_module(name).main)
    return command(words if named else words[1:])


if __name__ == "__main__":
    sys.exit(main())
