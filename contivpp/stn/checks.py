"""What stands against stealing a NIC, each with its remedy; and what is written down before it begins."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from contivpp.host.links import canonical
from contivpp.stn import managers
from contivpp.stn.drivers import Drivers
from contivpp.stn.journal import AF_PACKET, MAIN, SavedNic
from contivpp.stn.machine import Link, Machine
from contivpp.stn.managers import Manager

DRIVER = "vfio-pci"
"""What a NIC with a PCI device is given to, when nobody says anything else."""


class RefusedStealError(Exception):
    """The NIC is not taken, and nothing was changed; one sentence per reason."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        name: of the NIC; "" is the one that carries the node's address.
        driver: `AF_PACKET`, or a driver for user space; "" chooses.
        dhcp: whether the address is to be asked for by DHCP, whatever it looks like now.
        force: whether a NIC is taken that does not carry the node's address.
    """

    name: str = ""
    driver: str = ""
    dhcp: bool = False
    force: bool = False


def saved_nic(
    wanted: Wanted,
    machine: Machine,
    drivers: Drivers,
    others: Sequence[Manager],
    *,
    node_ip: str,
    now: float,
) -> SavedNic:
    """The NIC as it is, if it may be taken.

    Args:
        wanted: what is asked for.
        machine: its links.
        drivers: who changes drivers.
        others: who else configures NICs.
        node_ip: the node's address; "" when only its default route says which NIC that is.
        now: the time, by the clock of `SavedNic.saved_at`.

    Raises:
        RefusedStealError: it may not, with all reasons.
    """
    carriers = _carriers(machine, node_ip)
    name = wanted.name or (carriers[0] if len(carriers) == 1 else "")
    if not name:
        what = f"the node's address {node_ip}" if node_ip else "the default route"
        raise RefusedStealError(f"no NIC was named, and {_how_many(carriers)} {what}: name one")
    link = machine.link(name)
    if link is None:
        there = ", ".join(one for one in machine.names() if one != "lo") or "none"
        raise RefusedStealError(f"there is no NIC {name} here, only {there}: correct the name")
    driver = wanted.driver or (DRIVER if link.pci else AF_PACKET)
    reasons = list(_reasons(link, driver, machine, drivers))
    if name not in carriers and not wanted.force:
        what = f"the node's address {node_ip}" if node_ip else "the default route"
        reasons.append(
            f"{name} does not carry {what}, so nothing is gained by stealing it: give it to VPP as it is "
            "(nodeConfig.mainVPPInterface), or take it with force"
        )
    if reasons:
        raise RefusedStealError("; ".join(reasons))
    addresses = machine.addresses(name)
    return SavedNic(
        name=name,
        index=link.index,
        mac=link.mac,
        mtu=link.mtu,
        pci=link.pci,
        kernel_driver=link.driver,
        driver=driver,
        dhcp=wanted.dhcp or any(one.valid and not one.automatic and ":" not in one.text for one in addresses),
        ipv6_off=machine.ipv6_is_off(name),
        merging=machine.merges(name),
        addresses=addresses,
        routes=machine.routes(name),
        managers=managers.notes_of(others, name),
        saved_at=now,
    )


def gateways_of(nic: SavedNic) -> list[str]:
    """Where the default routes of a NIC lead, IPv4 first; without link-local ones, which nobody reaches through VPP."""
    found = {
        hop.via: None for route in nic.routes if not route.to and route.table == MAIN for hop in route.hops if hop.via
    }
    usable = [one for one in found if not ipaddress.ip_address(one).is_link_local]
    return sorted(usable, key=lambda one: ipaddress.ip_address(one).version)


def _reasons(link: Link, driver: str, machine: Machine, drivers: Drivers) -> list[str]:
    reasons = []
    if link.stacked:
        reasons.append(
            f"{link.name} belongs to {', '.join(link.stacked)}, which cannot be put back together: use a NIC "
            "without bonds, bridges and VLANs"
        )
    if not any(not one.automatic for one in machine.addresses(link.name)):
        reasons.append(f"{link.name} has no address, so there is nothing to take over: give it one, or bind it to VPP")
    if driver == AF_PACKET:
        return reasons
    if not link.pci:
        return [*reasons, f"{link.name} has no PCI device, and {driver} takes nothing else: use {AF_PACKET}"]
    return [*reasons, *drivers.refusals(link.pci, driver)]


def _carriers(machine: Machine, node_ip: str) -> tuple[str, ...]:
    if not node_ip:
        return machine.default_links()
    wanted = canonical(node_ip)
    return tuple(
        name for name in machine.names() if any(one.text.partition("/")[0] == wanted for one in machine.addresses(name))
    )


def _how_many(carriers: Sequence[str]) -> str:
    return f"{' and '.join(carriers)} have" if carriers else "none has"
