"""contiv-stn: steals the only NIC of a node for VPP, and gives it back whatever happens."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from contivpp.daemon import logs

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

_SOCKET = Path("/run/contiv/stn.sock")
_JOURNAL = Path("/var/lib/contiv-stn/journal.json")
_TAKING = 90.0
"""Seconds that a client waits for a NIC to be taken or given back."""

Socket = Annotated[Path, typer.Option("--socket", "-s", help="Where the daemon listens.")]
JournalFile = Annotated[Path, typer.Option(help="What must not be forgotten.")]
NoIommu = Annotated[bool, typer.Option(help="Lets VFIO go without an IOMMU: the NIC can write to all memory.")]
VppUnit = Annotated[str, typer.Option(help="Unit of VPP; empty for none.")]
AgentUnit = Annotated[str, typer.Option(help="Unit of the agent; empty for none.")]
NicName = Annotated[str, typer.Argument(help="Name of the NIC; by default the one that is meant anyway.")]
Level = Annotated[str, typer.Option(help="debug, info, warning or error")]


@app.command()
def run(
    socket: Socket = _SOCKET,
    journal: JournalFile = _JOURNAL,
    node_ip: Annotated[str, typer.Option(help="The node's address; by default its NIC has the default route.")] = "",
    probe: Annotated[list[str] | None, typer.Option(help="An address that is as good as the gateway; several.")] = None,
    vpp_socket: Annotated[Path, typer.Option(help="Of VPP's binary API.")] = Path("/run/vpp/api.sock"),
    agent_url: Annotated[str, typer.Option(help="Of the agent's probes.")] = "http://127.0.0.1:9999",
    vpp_unit: VppUnit = "contiv-vpp.service",
    agent_unit: AgentUnit = "contiv-agent.service",
    coming_up: Annotated[float, typer.Option(help="Seconds for all to be well after the NIC was taken.")] = 60.0,
    grace: Annotated[float, typer.Option(help="Seconds for which VPP or the agent may be missing later.")] = 30.0,
    unreachable: Annotated[float, typer.Option(help="Seconds for which the gateway may be silent later.")] = 30.0,
    no_iommu: NoIommu = False,
    log_level: Level = "info",
) -> None:
    """Runs the daemon until it is told to stop; a NIC that is confirmed stays with VPP."""
    from contivpp.stn import program  # noqa: PLC0415 - grpc takes its time; the other commands do without
    from contivpp.stn.pci import PciDrivers  # noqa: PLC0415
    from contivpp.stn.watch import Limits  # noqa: PLC0415

    logs.configure("contiv-stn", log_level)
    settings = program.Settings(
        socket=socket,
        journal=journal,
        node_ip=node_ip,
        probe=probe or (),
        vpp_socket=vpp_socket,
        agent_url=agent_url,
        vpp_unit=vpp_unit,
        agent_unit=agent_unit,
        limits=Limits(coming_up, grace, unreachable),
    )
    tools = program.tools_of(settings, PciDrivers(no_iommu=no_iommu))
    raise typer.Exit(asyncio.run(program.run(settings, tools)))


@app.command()
def boot(
    journal: JournalFile = _JOURNAL,
    vpp_unit: VppUnit = "contiv-vpp.service",
    agent_unit: AgentUnit = "contiv-agent.service",
    no_iommu: NoIommu = False,
    log_level: Level = "info",
) -> None:
    """While the machine starts: takes a NIC again that was confirmed, and leaves any other to the kernel."""
    from contivpp.stn import program  # noqa: PLC0415
    from contivpp.stn.boot import start  # noqa: PLC0415
    from contivpp.stn.pci import PciDrivers  # noqa: PLC0415

    logs.configure("contiv-stn", log_level)
    settings = program.Settings(socket=_SOCKET, journal=journal, vpp_unit=vpp_unit, agent_unit=agent_unit)
    tools = program.tools_of(settings, PciDrivers(no_iommu=no_iommu))
    start(tools.store, tools.machine, tools.drivers, tools.theft, tools.others, boot=tools.boot)


@app.command()
def steal(
    nic: NicName = "",
    socket: Socket = _SOCKET,
    driver: Annotated[str, typer.Option(help="Driver for user space, or af_packet; by default what fits.")] = "",
    dhcp: Annotated[bool, typer.Option(help="VPP asks for the address by DHCP.")] = False,
    confirm_within: Annotated[int, typer.Option(help="Seconds for somebody to confirm; 0: health is enough.")] = 0,
    delay: Annotated[float, typer.Option(help="Seconds to begin later; the command ends at once then.")] = 0.0,
    force: Annotated[bool, typer.Option(help="Also a NIC that is not the node's, and without VPP and agent.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only says what the NIC is, and whether it may be taken.")] = False,
) -> None:
    """Takes a NIC; it goes back unless VPP, the agent and the gateway are well in time."""
    request: dict[str, Any] = {
        "driver": driver,
        "dhcp_enabled": dhcp,
        "confirm_seconds": confirm_within,
        "delay_milliseconds": round(delay * 1000),
        "force": force,
        "dry_run": dry_run,
    }
    _ask(lambda client: client.steal(nic, timeout=_TAKING, **request), socket)


@app.command()
def confirm(nic: NicName = "", socket: Socket = _SOCKET) -> None:
    """Says that the node is reached by way of VPP: the NIC is kept."""
    _ask(lambda client: client.confirm(nic), socket)


@app.command()
def release(
    nic: NicName = "",
    socket: Socket = _SOCKET,
    dry_run: Annotated[bool, typer.Option(help="Only says what would be given back.")] = False,
) -> None:
    """Gives the NIC back to the kernel, with all that it had."""
    _ask(lambda client: client.release(nic, timeout=_TAKING, dry_run=dry_run), socket)


@app.command()
def state(nic: NicName = "", socket: Socket = _SOCKET) -> None:
    """Says what is known of the NIC."""
    _ask(lambda client: client.state(nic), socket)


def _ask(call: Any, socket: Path) -> None:
    """Asks the daemon; prints its answer as JSON."""
    from contivpp.daemon.stn.client import NicState, StnClient, StnError  # noqa: PLC0415

    async def answer() -> NicState:
        asked: Coroutine[Any, Any, NicState] = call(StnClient(socket))
        return await asked

    try:
        found = asyncio.run(answer())
    except StnError as error:
        print(f"contiv-stn: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    print(json.dumps(asdict(found), indent=2))


def main() -> None:
    """Runs the program."""
    app()


if __name__ == "__main__":
    main()
