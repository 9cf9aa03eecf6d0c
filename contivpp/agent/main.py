"""contiv-agent: makes one node part of the network, or with `reset` takes everything off it again."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from contivpp.agent import settings
from contivpp.daemon import logs

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=False)

_STATE = Path("/var/lib/contiv")
_SOCKET = Path("/run/contiv/cni.sock")
BAD_SETTINGS = 2

StateDir = Annotated[Path, typer.Option(help="Folder for what the agent must remember.", envvar="CONTIV_STATE_DIR")]
VppSocket = Annotated[Path, typer.Option(help="Of VPP's binary API.", envvar="VPP_API_SOCKET")]
NodeNetns = Annotated[str, typer.Option(help="Path of the network namespace that is the node; its own when empty.")]


@app.command()
def run(
    microservice_label: Annotated[
        str, typer.Option(envvar="MICROSERVICE_LABEL", help="The node's name in Kubernetes.")
    ] = socket.gethostname(),
    contiv_config: Annotated[Path | None, typer.Option(envvar="CONTIV_CONFIG", help="contiv.conf")] = None,
    controller_config: Annotated[Path | None, typer.Option(envvar="CONTROLLER_CONFIG", help="controller.conf")] = None,
    etcd_config: Annotated[Path | None, typer.Option(envvar="ETCD_CONFIG", help="etcd.conf")] = None,
    http_config: Annotated[Path | None, typer.Option(envvar="HTTP_CONFIG", help="http.conf")] = None,
    state_dir: StateDir = _STATE,
    cni_socket: Annotated[Path, typer.Option(help="Where the CNI plugin asks.")] = _SOCKET,
    config_socket: Annotated[
        Path | None, typer.Option(help="Where other programs configure; config.sock beside the CNI socket by default.")
    ] = None,
    vpp_socket: VppSocket = settings.VPP_SOCKET,
    vpp_stats_socket: Annotated[
        Path | None,
        typer.Option(
            envvar="VPP_STATS_SOCKET", help="Of VPP's statistics; stats.sock beside the API socket by default."
        ),
    ] = None,
    node_netns: NodeNetns = "",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Runs the agent until it is told to stop; the network stays as it is."""
    try:
        logs.configure("contiv-agent", log_level)
        wanted = settings.load(
            node_name=microservice_label,
            contiv_config=contiv_config,
            controller_config=controller_config,
            etcd_config=etcd_config,
            http_config=http_config,
            state_dir=state_dir,
            cni_socket=cni_socket,
            config_socket=config_socket,
            vpp_socket=vpp_socket,
            vpp_stats_socket=vpp_stats_socket,
            netns=node_netns,
        )
    except (settings.SettingsError, ValueError) as error:
        print(f"contiv-agent: {error}", file=sys.stderr)
        raise typer.Exit(BAD_SETTINGS) from error
    from contivpp.agent import program  # noqa: PLC0415 - grpc takes its time; --help does not need it

    gc.freeze()
    raise typer.Exit(asyncio.run(program.run(wanted)))


@app.command()
def check(
    microservice_label: Annotated[str, typer.Option(envvar="MICROSERVICE_LABEL", help="The node's name.")] = "node",
    contiv_config: Annotated[Path | None, typer.Option(help="contiv.conf")] = None,
    controller_config: Annotated[Path | None, typer.Option(help="controller.conf")] = None,
) -> None:
    """Says what is wrong in the files that are named, and changes nothing."""
    try:
        settings.load(
            node_name=microservice_label,
            contiv_config=contiv_config,
            controller_config=controller_config,
            etcd_config=None,
            http_config=None,
            state_dir=_STATE,
            cni_socket=_SOCKET,
        )
    except settings.SettingsError as error:
        print(f"contiv-agent: {error}", file=sys.stderr)
        raise typer.Exit(BAD_SETTINGS) from error


@app.command()
def reset(
    state_dir: StateDir = _STATE, vpp_socket: VppSocket = settings.VPP_SOCKET, node_netns: NodeNetns = ""
) -> None:
    """Takes off this node everything that the agent ever made, and forgets it."""
    from contivpp.dataplane.linux.plane import LinuxDataplane, RemovalError  # noqa: PLC0415
    from contivpp.dataplane.vpp.plane import VppDataplane  # noqa: PLC0415

    async def remove() -> int:
        removed, left = 0, ""
        if vpp_socket.exists():
            removed, left = await VppDataplane(vpp_socket).remove_everything()
        if left:
            print(f"contiv-agent: what is in VPP stays until it ends: {left}", file=sys.stderr)
        plane = LinuxDataplane(state_dir, netns=node_netns)
        try:
            return removed + await plane.remove_everything()
        finally:
            await plane.close()

    try:
        removed = asyncio.run(remove())
    except RemovalError as error:
        print(f"contiv-agent: not everything could be removed: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    for name in ("agent.db", "agent.db-wal", "agent.db-shm", "sysctl.json", "ends.json"):
        (state_dir / name).unlink(missing_ok=True)
    print(f"removed {removed} values")


def main() -> None:
    """Runs the program; without a command it is `run`."""
    if len(sys.argv) == 1 or (sys.argv[1].startswith("--") and sys.argv[1] != "--help"):
        sys.argv.insert(1, "run")
    app()


if __name__ == "__main__":
    main()
