"""What happens to the NIC while the machine starts, before anybody configures the network.

A NIC that was stolen and confirmed in the last run is taken again at once: VPP and the agent find everything as it was,
and nobody's configuration flickers. It has to be confirmed again, by health. If the last run did not get that far, the
NIC stays with the kernel, and the daemon puts back what is missing once the network has been configured: so a machine
that dies of the theft does so once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from contivpp.stn import managers
from contivpp.stn.drivers import Drivers
from contivpp.stn.journal import Journal, SavedNic, Store
from contivpp.stn.keeper import FAILURES
from contivpp.stn.machine import Machine
from contivpp.stn.managers import Manager
from contivpp.stn.theft import Theft

log = logging.getLogger(__name__)

APPEARING = 30.0


def start(
    store: Store,
    machine: Machine,
    drivers: Drivers,
    theft: Theft,
    others: Sequence[Manager],
    *,
    boot: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Does it; what cannot be done is left to the daemon.

    Args:
        store: the journal's file.
        machine: the links of the node.
        drivers: who changes drivers.
        theft: the steps.
        others: who else configures NICs.
        boot: which run of the machine this is.
        clock: in seconds.
        sleep: waits.

    Returns:
        The phase that the NIC is in now; "" when there is nothing to do.

    Raises:
        JournalError: what the last run did cannot be read.
    """
    journal = store.load()
    if journal is None or journal.phase == "returned" or journal.boot == boot:
        return ""
    name = journal.nic.name
    if journal.phase != "confirmed":
        log.warning("%s was %s when the machine went down: it stays with the kernel", name, journal.phase)
        return _leave(journal, f"the machine went down before {name} was confirmed", store, drivers, boot=boot)
    nic = msgspec.structs.replace(
        journal.nic, managers={one.name: journal.nic.managers.get(one.name, []) for one in others if one.concerns(name)}
    )
    taking = msgspec.structs.replace(
        journal, phase="stealing", nic=nic, boot=boot, word=False, deadline=0.0, reason="", again=False
    )
    store.save(taking)
    try:
        _await(nic, machine, clock=clock, sleep=sleep)
        theft.steal(nic, restart=False)
    except FAILURES as error:
        log.error("%s could not be taken again: %s", name, error)
        for problem in managers.let_go(others, name, nic.managers):
            log.warning("%s", problem)
        return _leave(taking, f"{name} could not be taken when the machine started: {error}", store, drivers, boot=boot)
    store.save(msgspec.structs.replace(taking, phase="stolen"))
    log.info("%s is taken again", name)
    return "stolen"


def _leave(journal: Journal, reason: str, store: Store, drivers: Drivers, *, boot: str) -> str:
    """To the kernel, as far as that needs a driver; the daemon does the rest."""
    nic = journal.nic
    store.save(msgspec.structs.replace(journal, phase="releasing", reason=reason, boot=boot))
    if nic.is_device:
        try:
            drivers.give(nic.pci, nic.kernel_driver)
        except FAILURES as error:
            log.error("%s", error)
    return "releasing"


def _await(nic: SavedNic, machine: Machine, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Until the kernel has found the NIC, or for a while: it may be late."""
    deadline = clock() + APPEARING
    while clock() < deadline:
        there = machine.has_device(nic.pci) if nic.pci else machine.link(nic.name) is not None
        if there:
            return
        sleep(0.1)
