"""Entry point of `contiv-netctl`: options, one command per view, exit codes.

The global options may stand before or after the command. Exit codes: 0 all is well, 1 something is wrong in
what was asked about, 2 usage or configuration, 3 etcd cannot be read; those of `deploy` and its like are in
`deployment.commands`. Source: spec/cluster.md 3.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from contivpp.netctl import ipam as ipam_view
from contivpp.netctl import nodes as nodes_view
from contivpp.netctl import ping as ping_view
from contivpp.netctl import pods as pods_view
from contivpp.netctl import policies as policies_view
from contivpp.netctl import render
from contivpp.netctl import services as services_view
from contivpp.netctl import status as status_view
from contivpp.netctl import trace as trace_view
from contivpp.netctl import vpp as vpp_view
from contivpp.netctl import vppdump as vppdump_view
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, read_cluster
from contivpp.netctl.deployment import commands as deployment
from contivpp.netctl.errors import ExitCode, NetctlError, StoreError, UsageError
from contivpp.netctl.http_config import HttpClientConfig
from contivpp.netctl.render import Output
from contivpp.netctl.report import Report
from contivpp.store.config import EtcdConfig, EtcdConfigError
from contivpp.store.errors import StoreError as StoreFailure

_RETRY_PERIOD: Final = 1.0

app = typer.Typer(
    name="contiv-netctl",
    help="Looks at a Contiv-VPP network, and deploys it. Exit codes: 0 all is well, 1 something is wrong, 2 usage or "
    "configuration, 3 etcd cannot be read, 4 there is something to change (plan), 5 not wanted, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EtcdOption = Annotated[
    Path | None,
    typer.Option("--etcd-config", envvar="ETCD_CONFIG", help="etcd.conf: how to reach etcd.", show_default=False),
]
HttpOption = Annotated[
    Path | None,
    typer.Option(
        "--http-client-config",
        envvar="HTTP_CLIENT_CONFIG",
        help="http.client.conf: how to ask agents.",
        show_default=False,
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The form of the answer.")]
NodeArgument = Annotated[
    str | None, typer.Argument(metavar="[NODE]", help="Name, ID or address of a node; all when left out.")
]


@dataclass(slots=True)
class Settings:
    """The options of one run."""

    etcd_config: Path | None = None
    http_config: Path | None = None


@app.callback()
def settings(context: typer.Context, etcd_config: EtcdOption = None, http_client_config: HttpOption = None) -> None:
    """Keeps the global options that stand before the command."""
    context.obj = Settings(etcd_config, http_client_config)


@app.command()
def nodes(
    context: typer.Context,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Every node, and whether its agent is alive."""
    _run(context, etcd_config, http_client_config, output, _of_cluster(nodes_view.view))


@app.command()
def pods(
    context: typer.Context,
    node: NodeArgument = None,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """The pods of every node, with their interfaces."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await pods_view.view(cluster, agents, node=node)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command()
def ipam(
    context: typer.Context,
    node: NodeArgument = None,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """The subnets of every node."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await ipam_view.view(cluster, agents, node=node)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command()
def policies(
    context: typer.Context,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Every policy with the pods that it selects, and whether the nodes have them in place."""

    async def view(store: Any, agents: Agents, config: EtcdConfig) -> Report:
        return await policies_view.view(store, agents)

    _run(context, etcd_config, http_client_config, output, view)


policy = typer.Typer(help="What policies decide.", no_args_is_help=True)
app.add_typer(policy, name="policy")


@policy.command("explain")
def policy_explain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="POD", help="[namespace/]name, from where")],
    destination: Annotated[str, typer.Argument(metavar="POD", help="[namespace/]name, to where")],
    port: Annotated[
        str | None, typer.Option("--port", "-p", metavar="PORT[/PROTOCOL]", help="80/tcp; all when left out.")
    ] = None,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Whether one pod may connect to another, and which policy and rule say so."""

    async def view(store: Any, agents: Agents, config: EtcdConfig) -> Report:
        return await policies_view.explain(store, agents, source, destination, port)

    _run(context, etcd_config, http_client_config, output, view)


@app.command()
def services(
    context: typer.Context,
    service: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="[namespace/]name; all when left out.")
    ] = None,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Where services answer, where that leads, and which nodes have it programmed."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await services_view.view(cluster, agents, service=service)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command()
def status(
    context: typer.Context,
    wait: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Wait up to so long for all to be well.")] = 0,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """The health of etcd, the reflector and every agent, and what to do next."""

    async def view(store: Any, agents: Agents, config: EtcdConfig) -> Report:
        deadline = time.monotonic() + wait
        while True:
            report = await status_view.view(store, agents, endpoints=config.endpoints)
            if report.code is ExitCode.GOOD or time.monotonic() + _RETRY_PERIOD > deadline:
                return report
            await asyncio.sleep(_RETRY_PERIOD)

    _run(context, etcd_config, http_client_config, output, view)


@app.command()
def ping(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(metavar="POD", help="[namespace/]name, from where")] = None,
    destination: Annotated[str | None, typer.Argument(metavar="POD", help="[namespace/]name, to where")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every pod to every other pod.")] = False,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=100, help="Packets per ping.")] = ping_view.COUNT,
    node: Annotated[str | None, typer.Option("--node", help="With --all, pairs with one pod on that node.")] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=0, help="With --all, so many at the most; 0 for all.")] = 0,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Pings one pod from another, or with --all every pod from every other."""
    if everything == (source is not None):
        raise typer.BadParameter("give two pods, or --all", param_hint="POD POD")
    if not everything and destination is None:
        raise typer.BadParameter("give a second pod", param_hint="POD POD")

    async def view(cluster: Cluster, agents: Agents) -> Report:
        if source is None or destination is None:
            return await ping_view.view_all(cluster, agents, count=count, node=node, limit=pairs)
        return await ping_view.view(cluster, agents, source, destination, count=count)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command(context_settings={"ignore_unknown_options": True})
def vppcli(
    context: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name, ID or address of a node.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="As VPP's own command line takes it.")],
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """Has a node's VPP carry out a command, and shows what it says."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await vpp_view.command(cluster, agents, node, command)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command()
def vppdump(
    context: typer.Context,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name, ID or address of a node.")],
    kind: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="routes, interfaces ...; all when left out.")
    ] = None,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """What a node's VPP holds, with the names of pods and nodes."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await vppdump_view.view(cluster, agents, node, kind)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


@app.command()
def trace(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="POD", help="[namespace/]name, from where")],
    destination: Annotated[
        str, typer.Argument(metavar="TARGET", help="[namespace/]name, svc/[namespace/]name or an address, to where")
    ],
    port: Annotated[
        str | None,
        typer.Option("--port", metavar="80/tcp", help="When left out: a ping, or the only port of a service."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=20, help="Probes.")] = trace_view.COUNT,
    wait: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, max=30, help="To wait for each answer.")
    ] = trace_view.TIMEOUT,
    output: OutputOption = Output.TABLE,
    etcd_config: EtcdOption = None,
    http_client_config: HttpOption = None,
) -> None:
    """The path of a pod's packets through the nodes, and where and why one is dropped."""

    async def view(cluster: Cluster, agents: Agents) -> Report:
        return await trace_view.view(cluster, agents, source, destination, port=port, count=count, timeout=wait)

    _run(context, etcd_config, http_client_config, output, _of_cluster(view))


deployment.register(app)

View = Callable[[Any, Agents, EtcdConfig], Awaitable[Report]]


def _of_cluster(view: Callable[[Cluster, Agents], Awaitable[Report]]) -> View:
    async def with_store(store: Any, agents: Agents, config: EtcdConfig) -> Report:
        return await view(await read_cluster(store), agents)

    return with_store


def _run(
    context: typer.Context, etcd_config: Path | None, http_config: Path | None, output: Output, view: View
) -> None:
    """Runs a view and ends the program with its exit code."""
    given: Settings = context.obj
    out, err = render.consoles()
    try:
        report = asyncio.run(_report(etcd_config or given.etcd_config, http_config or given.http_config, view))
        render.show(report, output, out=out, err=err)
        code = report.code
    except NetctlError as error:
        err.print(Text.assemble(("Error: ", "bold red"), str(error)), soft_wrap=True)
        code = error.code
    raise typer.Exit(int(code))


async def _report(etcd_config: Path | None, http_config: Path | None, view: View) -> Report:
    try:
        config = EtcdConfig.load(etcd_config) if etcd_config else EtcdConfig.parse(None, source="the defaults")
    except EtcdConfigError as error:
        raise UsageError(str(error)) from error
    http = HttpClientConfig.load(http_config) if http_config else HttpClientConfig()
    from contivpp.store.client import Store  # noqa: PLC0415 - it takes longer to import than --help to print

    try:
        async with await Store.open(config) as store, Agents(http) as agents:
            return await view(store, agents, config)
    except StoreFailure as error:
        raise StoreError(f"{error}; is etcd running, and is this the right one (--etcd-config)?") from error


def main() -> None:
    """Runs the program."""
    app()


if __name__ == "__main__":
    main()
