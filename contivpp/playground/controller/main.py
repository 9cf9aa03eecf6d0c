"""`contiv-playground controller`: the stand-in for kube-scheduler and kube-controller-manager."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from contivpp.playground.client import Client, KubeconfigError
from contivpp.playground.controller.controller import Controller
from contivpp.playground.service import notify


async def _run(kubeconfig: Path) -> None:
    async with Client.load(kubeconfig) as client:
        task = asyncio.create_task(Controller(client).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        notify("READY=1")
        try:
            await task
        except asyncio.CancelledError:
            notify("STOPPING=1")


def main(arguments: Sequence[str]) -> int:
    """Runs until it is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="contiv-playground controller", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(options.kubeconfig))
    except KubeconfigError as error:
        print(f"contiv-playground controller: {error}", file=sys.stderr)
        return 1
    return 0
