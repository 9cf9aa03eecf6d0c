"""contiv-stn, put together: what it owns, and its root tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contivpp.daemon import tasks
from contivpp.stn.commands import run as run_command
from contivpp.stn.drivers import Drivers
from contivpp.stn.journal import Store
from contivpp.stn.keeper import Keeper
from contivpp.stn.machine import Machine
from contivpp.stn.managers import Manager, all_managers
from contivpp.stn.probes import NodeProbes, boot_id
from contivpp.stn.server import StnServer
from contivpp.stn.services import Services
from contivpp.stn.theft import Theft
from contivpp.stn.watch import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the daemon is told.

    Attributes:
        socket: where it listens.
        journal: its file.
        node_ip: the node's address; "" lets the default route say which NIC is the node's.
        probe: addresses that are as good as the gateway to tell whether the node is reached.
        vpp_socket: of VPP's binary API, which is all that is asked of it.
        agent_url: of the agent's probes.
        vpp_unit: the unit of VPP, `agent_unit` of the agent; "" for none.
    """

    socket: Path
    journal: Path
    node_ip: str = ""
    probe: Sequence[str] = ()
    vpp_socket: Path = Path("/run/vpp/api.sock")
    agent_url: str = "http://127.0.0.1:9999"
    vpp_unit: str = "contiv-vpp.service"
    agent_unit: str = "contiv-agent.service"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Tools:
    """What works on the node."""

    store: Store
    machine: Machine
    drivers: Drivers
    others: Sequence[Manager]
    theft: Theft
    boot: str


def tools_of(settings: Settings, drivers: Drivers) -> Tools:
    """For the node that this runs on."""
    machine, others = Machine(), all_managers()
    services = Services(settings.vpp_unit, settings.agent_unit, run_command)
    theft = Theft(machine, drivers, services, others)
    return Tools(Store(settings.journal), machine, drivers, others, theft, boot_id())


def keeper_of(settings: Settings, tools: Tools) -> Keeper:
    """Who keeps the NIC."""
    return Keeper(
        tools.store,
        tools.machine,
        tools.drivers,
        tools.theft,
        tools.others,
        NodeProbes(settings.vpp_socket, settings.agent_url),
        limits=settings.limits,
        boot=tools.boot,
        node_ip=settings.node_ip,
        extra_probes=settings.probe,
    )


async def run(settings: Settings, tools: Tools) -> int:
    """Runs the daemon until a signal comes or a root task ends.

    Returns:
        The exit code.
    """
    keeper = keeper_of(settings, tools)
    server = StnServer(keeper, settings.socket)
    await keeper.recover()  # the NIC comes first
    return await tasks.run({"server": server.run(), "keeper": keeper.run()})
