"""`contiv-playground demo | exec | logs | ssh`: trying out a playground from the controller.

`demo` ends with code 0 only when every pod was reached from everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from contivpp.playground.client import Client, ClientError, KubeconfigError
from contivpp.playground.demo.cluster import DemoError, kubeconfig, locate, ready_nodes, ready_pods
from contivpp.playground.demo.reach import KINDS, LINKS, Host, Pod, Result, measure
from contivpp.playground.demo.ssh import Ssh, SshError

_LOGS: Final = "/var/lib/contiv-playground-kubelet/logs"
_COLOURS: Final = dict(zip(KINDS, ("green", "cyan", "yellow"), strict=True))
_ROUND: Final = 2.0


def _cell(result: Result | None) -> str:
    if result is None:
        return "[dim]-[/]"
    if result.good:
        return f"[{_COLOURS[result.kind]}]{result.milliseconds:.2f} ms[/]"
    ping = "ping" if result.milliseconds is not None else "no ping"
    http = "HTTP" if result.served else f"no HTTP{f' ({result.answer})' if result.answer != '-' else ''}"
    return f"[bold red]{ping}, {http}[/]"


def table(hosts: Sequence[Host], pods: Sequence[Pod], results: Sequence[Result]) -> Table:
    """All sources against all pods."""
    found = {(result.source, result.target.name): result for result in results}
    legend = ", ".join(f"[{_COLOURS[kind]}]{kind}[/]" for kind in KINDS)
    made = Table(title="ping (and HTTP) from the row to the column", caption=legend)
    made.add_column("from")
    for pod in pods:
        made.add_column(f"{pod.name}\n{pod.node}\n{pod.address}", justify="right")
    sources: list[Pod | Host] = [*pods, *hosts]
    for source in sources:
        where = f"{source.name} ({source.node})" if isinstance(source, Pod) else f"{source.name} (host)"
        made.add_row(where, *(_cell(found.get((source.name, pod.name))) for pod in pods))
    return made


async def _demo(options: argparse.Namespace, console: Console) -> int:
    ssh = Ssh(options.files)
    async with Client.load(kubeconfig(options.files)) as client:
        console.print(f"Waiting for {options.nodes} nodes to be Ready ...")
        hosts = await ready_nodes(client, options.nodes, options.timeout)
        console.print(f"Waiting for {options.pods} pods to be Ready ...")
        names = [f"demo-{number}" for number in range(1, options.pods + 1)]
        pods = await ready_pods(client, names, options.timeout)
    results = await measure(ssh, hosts, pods)
    end = asyncio.get_running_loop().time() + options.settle
    rounds = 1
    while not all(result.good for result in results) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_ROUND)
        rounds += 1
        results = await measure(ssh, hosts, pods)
    console.print(table(hosts, pods, results))
    if rounds > 1:
        console.print(f"This is round {rounds}: the first ones had failures.")
    bad = 0
    for kind in KINDS:
        of_kind = [result for result in results if result.kind == kind]
        failed = sum(not result.good for result in of_kind)
        bad += failed or not of_kind
        colour = "red" if failed or not of_kind else "green"
        said = f"{len(of_kind) - failed} of {len(of_kind)} reached" if of_kind else "there was no such pair"
        console.print(f"  {kind}: [{colour}]{said}[/]")
    if bad:
        return 1
    config = kubeconfig(options.files)
    console.print("\nNext, make a seventh pod and ask it from another node:", style="bold")
    console.print(f"  kubectl --kubeconfig {config} run seventh --image=web", soft_wrap=True)
    console.print(f"  kubectl --kubeconfig {config} get pods -o wide", soft_wrap=True)
    console.print("  contiv-playground exec demo-1 -- ping -c 3 ADDRESS-OF-SEVENTH", soft_wrap=True)
    return 0


async def _enter(options: argparse.Namespace) -> tuple[str, str]:
    """The machine's address and what its shell is to run, for exec, logs and ssh."""
    async with Client.load(kubeconfig(options.files)) as client:
        if options.command == "ssh":
            host = (await client.get("nodes", ("", options.node)))["status"]["addresses"][0]["address"]
            return str(host), " ".join(options.words)
        pod, address = await locate(client, options.namespace, options.pod)
    if options.command == "logs":
        container = options.container or pod["spec"]["containers"][0]["name"]
        tail = ["-f"] if options.follow else []
        file = f"{_LOGS}/{options.namespace}_{options.pod}_{container}.log"
        return address, shlex.join(["tail", "-n", "+1", *tail, file])
    if pod["spec"].get("hostNetwork"):
        return address, shlex.join(options.words)
    netns = f"--net={LINKS}/{options.namespace}_{options.pod}.netns"
    return address, shlex.join(["nsenter", netns, "--", *options.words])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("demo", "make six pods and show who reaches whom"),
        ("exec", "run a command in a pod's network namespace"),
        ("logs", "print what a pod's process has printed"),
        ("ssh", "open a shell on a node, or run a command there"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--files", type=Path, default=Path(".playground"), help="folder of key and kubeconfig")
        if name == "demo":
            command.add_argument("--nodes", type=int, default=3)
            command.add_argument("--pods", type=int, default=6)
            command.add_argument("--timeout", type=float, default=180, help="seconds to wait for Ready")
            command.add_argument("--settle", type=float, default=20, help="seconds in which failures are asked again")
        elif name == "ssh":
            command.add_argument("node")
            command.add_argument("words", nargs=argparse.REMAINDER)
        else:
            command.add_argument("-n", "--namespace", default="default")
            command.add_argument("pod")
        if name == "logs":
            command.add_argument("-c", "--container", default="")
            command.add_argument("-f", "--follow", action="store_true")
        if name == "exec":
            command.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    options = parser.parse_args(arguments)
    if options.command in ("exec", "ssh"):
        options.words = options.words[1:] if options.words[:1] == ["--"] else options.words
        if options.command == "exec" and not options.words:
            parser.error("exec needs a command: contiv-playground exec POD -- COMMAND")
    return options


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    options = _parse(arguments)
    options.files = options.files.absolute()
    try:
        if options.command == "demo":
            return asyncio.run(_demo(options, Console()))
        address, script = asyncio.run(_enter(options))
    except (DemoError, SshError, ClientError, KubeconfigError) as error:
        print(f"contiv-playground: {error}", file=sys.stderr)
        return 1
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    Ssh(options.files).replace(address, script or "exec bash -l", terminal=terminal)
    return 1
