"""Entry point of `contiv-playground`: one sub-command for every stand-in, and one for the machines.

These programs stand in for Kubernetes on a machine that has none; a real deployment uses none of them.
Each sub-command is imported when it is asked for, so that none pays for what another needs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import cast

_COMMANDS = {
    "apiserver": ("contivpp.playground.apiserver.main", "the stand-in for the Kubernetes API server"),
    "kubelet": ("contivpp.playground.kubelet.main", "the stand-in for the kubelet"),
    "controller": (
        "contivpp.playground.controller.main",
        "the stand-in for scheduler and controller manager",
    ),
    "machines": (
        "contivpp.playground.machines.main",
        "builds, starts and stops the machines of a playground",
    ),
}


def _usage() -> str:
    width = max(map(len, _COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in _COMMANDS.items()]
    return "\n".join(["usage: contiv-playground COMMAND [options]", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one sub-command with the arguments that follow its name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in _COMMANDS:
        asked_for_help = bool(words) and words[0] in ("-h", "--help")
        print(_usage(), file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    module = importlib.import_module(_COMMANDS[words[0]][0])
    command = cast("Callable[[Sequence[str]], int]", module.main)
    return command(words[1:])


if __name__ == "__main__":
    sys.exit(main())
