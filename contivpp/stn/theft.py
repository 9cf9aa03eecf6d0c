"""Taking a NIC and giving it back: two lists of steps, each of which may be repeated from its beginning.

Who calls this has written to the journal what the NIC was, and that the steps begin. A run that ends in the middle, by
an error or because everything died, is mended by giving the NIC back from the start, whatever had been done.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from contivpp.stn import managers
from contivpp.stn.drivers import DriverError, Drivers
from contivpp.stn.journal import SavedNic
from contivpp.stn.machine import Machine, MachineError
from contivpp.stn.managers import Manager
from contivpp.stn.services import Services

log = logging.getLogger(__name__)

HOST_LINK: Final = "vpp1"
"""The host's end of the link that joins it to VPP, as the agent names it."""
APPEARING: Final = 20.0
DRESSING: Final = 8.0
SETTLING: Final = 10.0


class Theft:
    """Knows the steps."""

    def __init__(
        self,
        machine: Machine,
        drivers: Drivers,
        services: Services,
        others: Sequence[Manager],
        *,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        """Takes what is worked with; `reached` is told before each step, by name."""
        self._machine = machine
        self._drivers = drivers
        self._services = services
        self._others = others
        self._reached = reached

    def steal(self, nic: SavedNic, *, restart: bool = True) -> None:
        """Takes the NIC from the kernel.

        Args:
            nic: as it is in the journal.
            restart: whether VPP runs already, and has to look at its devices again.

        Raises:
            Exception: of whatever a step works with; the NIC has to be given back.
        """
        if nic.is_device:
            self._steal_device(nic, restart=restart)
            return
        self._silence(nic)
        self._hold_off(nic)
        self._reached("deaf")
        self._machine.deafen(nic.name)
        self._machine.set_ipv6(nic.name, off=True)
        self._machine.set_merging(nic.name, on=False)
        self._reached("strip")
        self._machine.strip(nic)
        self._reached("up")
        self._machine.set_up(nic.name, up=True)

    def _steal_device(self, nic: SavedNic, *, restart: bool) -> None:
        """All that takes time is done before the node is away, or while VPP comes up."""
        self._reached("prepare")
        self._drivers.prepare(nic.pci, nic.driver)
        if restart:
            self._reached("vpp-ends")
            self._services.end_vpp()
        self._silence(nic)
        self._reached("driver")
        self._drivers.give(nic.pci, nic.driver)
        if restart:
            self._reached("vpp")
            self._services.start_vpp()
        self._hold_off(nic)

    def _silence(self, nic: SavedNic) -> None:
        """Before anybody is held off, so that nobody has a way to say anything by it."""
        if self._machine.link(nic.name) is not None:
            self._reached("down")
            self._machine.set_up(nic.name, up=False)

    def _hold_off(self, nic: SavedNic) -> None:
        self._reached("managers")
        managers.hold_off(self._others, nic.name, nic.managers)

    def give_back(self, nic: SavedNic, *, elapsed: float, running: bool = True) -> list[str]:
        """Gives the NIC back to the kernel with all that it had.

        Args:
            nic: as it is in the journal.
            elapsed: seconds since then.
            running: whether VPP and the agent may be running, and are to run afterwards.

        Returns:
            What did not work and matters less, one sentence each.

        Raises:
            Exception: of whatever a step works with; it is to be tried again.
        """
        if nic.is_device:
            self._reached("prepare-back")
            with contextlib.suppress(DriverError):  # then it is said when the driver is changed
                self._drivers.prepare(nic.pci, nic.kernel_driver)
        if running:
            self._reached("services")
            self._services.end()
        self._reached("host-link")
        self._machine.remove_link(HOST_LINK)
        self._machine.take_from_others(nic)
        if nic.is_device:
            self._reached("driver-back")
            self._drivers.give(nic.pci, nic.kernel_driver)
            self._machine.await_link(nic, APPEARING)
        else:
            self._reached("hearing")
            self._machine.let_hear()
            self._machine.set_ipv6(nic.name, off=nic.ipv6_off)
            self._machine.set_merging(nic.name, on=nic.merging)
        self._reached("up-again")
        self._machine.make_like(nic)
        self._machine.set_up(nic.name, up=True)
        self._reached("addresses")
        lacking = self._machine.clothe(nic, elapsed=elapsed, within=DRESSING)
        self._reached("managers-back")
        problems = [*lacking.values(), *managers.let_go(self._others, nic.name, nic.managers)]
        if running:
            self._reached("services-again")
            self._services.start()
        if nic.managers and not nic.dhcp:
            self._reached("settle")
            problems += self._machine.keep_clothed(nic, elapsed=elapsed, within=SETTLING, without=lacking)
        self._reached("given-back")
        return problems

    def mend(self, nic: SavedNic, *, elapsed: float) -> list[str]:
        """Puts back what somebody has taken off the NIC since; returns what that was.

        Raises:
            MachineError: it cannot be put back.
        """
        missing = self._machine.missing(nic)
        if missing:
            self._machine.set_up(nic.name, up=True)
            lacking = self._machine.clothe(nic, elapsed=elapsed, within=1.0)
            if lacking:
                raise MachineError("; ".join(lacking.values()))
        return missing
