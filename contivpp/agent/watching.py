"""From the data planes to the controller and the scheduler: what changes by itself."""

from __future__ import annotations

from collections.abc import Iterable

from contivpp.agent.controller import Controller
from contivpp.agent.events import DataPlaneAppeared, DownstreamResyncWanted, HostChanged, Lease, LeasesRead, NicStolen
from contivpp.agent.stolen import StolenNic
from contivpp.dataplane.linux.host import HostAddress
from contivpp.dataplane.linux.plane import LinuxDataplane
from contivpp.dataplane.linux.values import LinkName, link_name_key
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.dhcp import DhcpLease


async def host(plane: LinuxDataplane, controller: Controller, *, attaching: bool) -> None:
    """Tells the controller of addresses, and once it is in sync the scheduler of links that come and go.

    Routes of ours have the host's addresses as sources, or lead over its links: the kernel drops them together.

    Args:
        plane: the kernel.
        controller: who is told.
        attaching: whether something else is attached to the host's links.
    """
    told: set[str] = set()
    gone: set[str] = set()
    before: tuple[HostAddress, ...] = ()
    async for addresses in plane.watch_host():
        await controller.push(HostChanged(addresses))
        moved = addresses == before or _only_addresses(addresses) != _only_addresses(before)
        before = addresses
        if moved and controller.ready.is_set():
            await controller.push(DownstreamResyncWanted("the host's addresses changed, and routes depend on them"))
        if not attaching:
            continue
        names = {link for link, _, _ in addresses}
        if not controller.ready.is_set():
            gone |= names  # the first resync may or may not see them
            continue
        gone |= told
        news: dict[str, LinkName | None] = {link_name_key(name): None for name in gone - names}
        news |= {link_name_key(name): LinkName(name) for name in names - told}
        told, gone = names, set()
        if news:
            await controller.scheduler.notify(news)


def _only_addresses(found: Iterable[HostAddress]) -> list[HostAddress]:
    """Without the links that have none."""
    return [one for one in found if one[1]]


async def vpp(plane: VppDataplane, controller: Controller) -> None:
    """Tells the controller of every VPP that appears, and which leases it has."""
    while True:
        await plane.ready.wait()
        plane.ready.clear()
        since = plane.reached
        leases = await plane.read_leases()
        given = None if leases is None else _leases(leases)
        await controller.push(DataPlaneAppeared("VPP", since, given))


async def vpp_leases(plane: VppDataplane, controller: Controller) -> None:
    """Tells the controller of the leases whenever they change."""
    async for leases in plane.watch_leases():
        await controller.push(LeasesRead(_leases(leases)))


async def stolen_nic(nic: StolenNic, controller: Controller) -> None:
    """Tells the controller of the NIC that was stolen; ends with an error when it goes back."""
    async for stolen in nic.watch():
        await controller.push(NicStolen(stolen))


async def vpp_interfaces(plane: VppDataplane, controller: Controller) -> None:
    """Tells the scheduler what VPP says of its interfaces, once that is in sync."""
    async for news in plane.watch_interfaces():
        await controller.ready.wait()
        await controller.scheduler.notify(news)


def _leases(leases: Iterable[DhcpLease]) -> tuple[Lease, ...]:
    return tuple(Lease(lease.interface, lease.address, lease.router) for lease in leases)
