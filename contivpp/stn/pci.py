"""Changes of drivers on a real machine, by `contivpp.host.drivers`."""

from __future__ import annotations

from contivpp.host import drivers, nics
from contivpp.host.drivers import Change
from contivpp.host.system import HostError, System
from contivpp.stn.drivers import DriverError


class PciDrivers:
    """Devices of the PCI bus."""

    def __init__(self, system: System | None = None, *, no_iommu: bool = False) -> None:
        """Takes the machine, and whether VFIO may go without an IOMMU."""
        self._system = system or System()
        self._no_iommu = no_iommu
        self._prepared: dict[tuple[str, str], Change] = {}

    def refusals(self, pci: str, driver: str) -> list[str]:
        """See `Drivers.refusals`."""
        if driver not in drivers.USER_SPACE:
            return [f"{driver} is no driver for user space: one of {', '.join(drivers.USER_SPACE)}"]
        try:
            nic = nics.read(self._system).find(pci)
        except HostError as error:
            return error.problems
        return drivers.problems(nic, driver, drivers.read(self._system), no_iommu=self._no_iommu)

    def prepare(self, pci: str, driver: str) -> None:
        """See `Drivers.prepare`."""
        try:
            change = self._plan(pci, driver)
            drivers.load(self._system, change)
        except HostError as error:
            raise DriverError("; ".join(error.problems)) from error
        self._prepared[pci, driver] = change

    def give(self, pci: str, driver: str) -> None:
        """See `Drivers.give`. What was prepared is done as it was planned then, once."""
        try:
            change = self._prepared.pop((pci, driver), None) or self._plan(pci, driver)
            drivers.apply(self._system, change)
        except HostError as error:
            raise DriverError("; ".join(error.problems)) from error

    def _plan(self, pci: str, driver: str) -> Change:
        nic = nics.read(self._system).find(pci)
        return drivers.plan(nic, driver, drivers.read(self._system), no_iommu=self._no_iommu)
