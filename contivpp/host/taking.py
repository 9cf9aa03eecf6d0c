"""A NIC taken from the kernel for VPP, and given back as it was.

Before the first change everything about the NIC is on the disk: its driver, its link with addresses and routes, and
what VFIO was allowed. Taking verifies the driver before the next boot is told; giving back tells the next boot first,
so a run that is interrupted leaves a machine on which the same run goes on. What was there before we came is what
comes back, also when that is a driver of user space that somebody else chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from . import boot, drivers, nics, returning, uses
from .drivers import KERNEL, USER_SPACE, Change, Kernel
from .links import Link
from .nics import Inventory, Nic
from .state import Memory
from .system import HostError, System
from .uses import Use

SUBJECT = "nics"
NO_IOMMU_ORDER = "noiommu"
VFIO_MEMORY = "vfio"


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        nic: its PCI address, name or MAC address.
        driver: one of `drivers.CHOICES`.
        present: false to give the NIC back as it was.
        no_iommu: whether VFIO may go without an IOMMU.
        at_boot: whether it is to be so after a reboot.
        together: all that VFIO is to get, by any of their names: they may share a group, as the ports of a card do.
    """

    nic: str
    driver: str = drivers.VFIO
    present: bool = True
    no_iommu: bool = False
    at_boot: bool = True
    together: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Everything that a plan is made from."""

    inventory: Inventory
    kernel: Kernel
    uses: tuple[Use, ...]
    session: str
    memory: Mapping[str, Any]
    orders: Mapping[str, str]
    orders_are_whole: bool
    holders: Mapping[str, tuple[str, ...]]
    """The programs that drive NICs from user space, by the NICs' addresses."""


@dataclass(frozen=True)
class Plan:
    """What has to be done.

    Attributes:
        nic: as it is; None for one that is gone for good and only has to be forgotten.
        change: of its driver.
        origin: how it was before anybody changed it, to be remembered; None where nothing is to be.
        restore: the links to put back on it.
        orders: all that the next boot is to do with NICs.
        forget: whether it is as it was, when all is done.
        changed: whether there is anything to do at all.
    """

    address: str
    nic: Nic | None
    change: Change | None
    origin: Mapping[str, Any] | None
    restore: tuple[Link, ...]
    orders: Mapping[str, str]
    forget: bool
    changed: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def steps(self) -> list[str]:
        """What will be done to the kernel, in words."""
        return [str(step) for step in self.change.steps] if self.change else []


def read(system: System, *, node_ip: str = "", session: str = "") -> Found:
    """Reads the machine.

    Raises:
        HostError: it cannot be read.
    """
    memory = Memory(system, SUBJECT).all()
    known = {address: origin["links"][0]["name"] for address, origin in memory.items() if origin["links"]}
    orders = boot.read(system, SUBJECT)
    inventory = nics.read(system, node_ip=node_ip, known=known)
    return Found(
        inventory=inventory,
        kernel=drivers.read(system),
        uses=uses.read(system),
        session=session,
        memory=memory,
        orders=orders,
        orders_are_whole=boot.is_whole(system, SUBJECT, orders),
        holders={nic.address: uses.holders(system, nic) for nic in inventory.nics if nic.driver in USER_SPACE},
    )


def taken(found: Found) -> dict[str, list[str]]:
    """The addresses of the NICs that are not as they were, each with all names that it may be asked for by."""
    return {
        address: [
            address,
            *([address[len("0000:") :]] if address.startswith("0000:") else []),
            *(text.lower() for link in origin["links"] for text in (link["name"], link["mac"])),
        ]
        for address, origin in sorted(found.memory.items())
    }


def plan(found: Found, wanted: Wanted) -> Plan:
    """Plans; pure.

    Raises:
        HostError: the NIC is not there, or cannot be taken, with all reasons.
    """
    if not wanted.present:
        return _giving_back(found, wanted)
    nic = found.inventory.find(wanted.nic)
    origin = found.memory.get(nic.address)
    if wanted.driver == KERNEL and origin is not None and origin["driver"] not in USER_SPACE:
        return _giving_back(found, wanted)
    together = _addresses(found, wanted.together)
    refused = drivers.problems(nic, wanted.driver, found.kernel, no_iommu=wanted.no_iommu, together=together)
    if wanted.driver in USER_SPACE and nic.driver not in USER_SPACE:
        refused += uses.against(nic, found.uses, session=found.session)
    if refused:
        raise HostError(*refused)
    change = drivers.plan(nic, wanted.driver, found.kernel, no_iommu=wanted.no_iommu, together=together)
    _see_that_nobody_drives(found, nic, change)
    without_iommu = wanted.driver == drivers.VFIO and not nic.iommu_group
    orders = {address: order for address, order in found.orders.items() if address != nic.address}
    if wanted.at_boot and wanted.driver in USER_SPACE:
        orders[nic.address] = "%s %s" % (wanted.driver, NO_IOMMU_ORDER) if without_iommu else wanted.driver
    changed = bool(change.steps) or orders != dict(found.orders) or not found.orders_are_whole
    remember = None
    if changed and origin is None:
        remember = {"driver": nic.driver, "override": nic.override, "links": [link.as_dict() for link in nic.links]}
    taken = bool(change.steps) and wanted.driver in USER_SPACE and nic.driver not in USER_SPACE
    return Plan(
        address=nic.address,
        nic=nic,
        change=change,
        origin=remember,
        restore=(),
        orders=orders,
        forget=False,
        changed=changed,
        before=_shown(nic.driver, found.orders.get(nic.address, ""), nic.links),
        after=_shown(
            change.after if change.after != KERNEL or change.steps else nic.driver,
            orders.get(nic.address, ""),
            () if taken else nic.links,
        ),
    )


def apply(system: System, planned: Plan) -> None:
    """Does what is planned, and verifies it.

    Raises:
        HostError: it could not be done; the NIC has the driver, addresses and routes that it had.
    """
    memory, change = Memory(system, SUBJECT), planned.change
    if planned.forget:
        _give_back(system, planned, memory)
        return
    if planned.origin is not None:
        kernel = drivers.read(system)
        Memory(system, VFIO_MEMORY).remember("kernel", {"no_iommu": kernel.no_iommu, "loaded": sorted(kernel.loaded)})
        memory.remember(planned.address, dict(planned.origin))
    if change is not None:
        try:
            drivers.apply(system, change)
        except HostError as error:
            raise HostError(*error.problems, *_undo(system, planned, memory)) from None
    boot.write(system, SUBJECT, planned.orders)
    wrong = verify(system, planned)
    if wrong:
        raise HostError(*wrong)


def verify(system: System, planned: Plan) -> list[str]:
    """What is not as planned, now."""
    wrong = []
    if planned.change is not None and not drivers.is_there(system, planned.change):
        wrong.append(
            "%s has the driver %s and is to have %s: somebody took it at once, driverctl say"
            % (planned.address, drivers.driver_of(system, planned.address) or "none", planned.change.after)
        )
    if not boot.is_whole(system, SUBJECT, planned.orders):
        wrong.append("what the next boot is to do is not in %s: see who else writes there" % boot.FOLDER)
    return wrong


def _giving_back(found: Found, wanted: Wanted) -> Plan:
    address = _remembered(found, wanted.nic)
    if address is None:
        try:
            address = found.inventory.find(wanted.nic).address
        except HostError:
            address = wanted.nic  # it is gone, and nobody knows it: there is nothing to give back
    origin = found.memory.get(address)
    nic = next((one for one in found.inventory.nics if one.address == address), None)
    orders = {other: order for other, order in found.orders.items() if other != address}
    driver, order = nic.driver if nic else "", found.orders.get(address, "")
    there = nic.links if nic else ()
    if origin is None:
        shown = _shown(driver, order, there)
        changed = orders != dict(found.orders)
        after = _shown(driver, "", there)
        return Plan(address, nic, None, None, (), orders, changed, changed, shown, after)
    restore = tuple(Link.from_dict(link) for link in origin["links"])
    change = None
    if nic is not None:
        back = KERNEL if origin["driver"] not in ("", *USER_SPACE) else origin["driver"]
        change = drivers.plan(nic, back, found.kernel, no_iommu=True, override=origin["override"])
        _see_that_nobody_drives(found, nic, change)
    return Plan(
        address=address,
        nic=nic,
        change=change,
        origin=None,
        restore=restore if nic is not None else (),
        orders=orders,
        forget=True,
        changed=True,
        before=_shown(driver, order, there),
        after=_shown(origin["driver"] if nic else "", "", restore if nic else ()),
    )


def _give_back(system: System, planned: Plan, memory: Memory) -> None:
    boot.write(system, SUBJECT, planned.orders)
    problems: list[str] = []
    if planned.change is not None:
        drivers.apply(system, planned.change)
        problems += returning.bring_back(system, planned.address, planned.restore)
    if problems:
        raise HostError(*problems, "run it again, or remove %s to leave it so" % memory.path)
    _forget(system, planned.address, memory)


def _forget(system: System, address: str, memory: Memory) -> None:
    """Forgets a NIC; before the last one, takes back what VFIO was allowed for them."""
    if set(memory.all()) == {address}:
        _tidy_up(system)
    memory.forget(address)


def _tidy_up(system: System) -> None:
    kernel = Memory(system, VFIO_MEMORY)
    before = kernel.all().get("kernel")
    if before is None:
        return
    if not before["no_iommu"]:
        drivers.set_no_iommu(system, False)
    for module in USER_SPACE:
        if module not in before["loaded"]:
            system.run("modprobe", "-r", "-q", module)  # who uses it keeps it
    kernel.forget("kernel")


def _undo(system: System, planned: Plan, memory: Memory) -> list[str]:
    """After a driver did not take the NIC and the old one has it again: its link is a new one."""
    origin = memory.all().get(planned.address)
    problems: list[str] = []
    if planned.nic is not None and planned.nic.links:
        problems = returning.bring_back(system, planned.address, planned.nic.links)
    if not problems and planned.origin is not None and origin is not None:
        _forget(system, planned.address, memory)
    return problems


def _see_that_nobody_drives(found: Found, nic: Nic, change: Change) -> None:
    """Unbinding would wait until the program lets go, and so would everybody who waits for us."""
    programs = found.holders.get(nic.address, ())
    if programs and any(step.path.endswith("/unbind") for step in change.steps):
        raise HostError(
            "%s drives %s (%s) now: stop it first, or take the NIC out of its configuration and restart it"
            % (", ".join(programs), nic.name or "the NIC", nic.address)
        )


def _addresses(found: Found, words: Iterable[str]) -> set[str]:
    """The addresses of NICs; one that is not there is refused when its own turn comes."""
    addresses = set()
    for word in words:
        try:
            addresses.add(found.inventory.find(word).address)
        except HostError:
            continue
    return addresses


def _remembered(found: Found, word: str) -> str | None:
    """The address of a NIC that we changed, by any of its names."""
    wanted = word.strip().lower()
    return next((address for address, names in taken(found).items() if wanted in names), None)


def _shown(driver: str, order: str, there: tuple[Link, ...]) -> dict[str, Any]:
    return {
        "driver": driver,
        "at_boot": order,
        "links": {
            link.name: {
                "addresses": [one.cidr for one in link.addresses if not one.comes_by_itself],
                "routes": [one.destination for one in link.routes if not one.comes_by_itself],
            }
            for link in there
        },
    }
