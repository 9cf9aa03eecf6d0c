"""Changes of drivers on a real machine, by `contivpp.host.drivers`."""

from __future__ import annotations

from contivpp.host import drivers, nics
from contivpp.host.system import HostError, System
from contivpp.stn.drivers import DriverError


class PciDrivers:
    """Devices of the PCI bus."""

    def __init__(self, system: System | None = None, *, no_iommu: bool = False) -> None:
        """Takes the machine, and whether VFIO may go without an IOMMU."""
        self._system = system or System()
        self._no_iommu = no_iommu

    def refusals(self, pci: str, driver: str) -> list[str]:
        """See `Drivers.refusals`."""
        if driver not in drivers.USER_SPACE:
            return [f"{driver} is no driver for user space: one of {', '.join(drivers.USER_SPACE)}"]
        try:
            nic = nics.read(self._system).find(pci)
        except HostError as error:
            return error.problems
        return drivers.problems(nic, driver, drivers.read(self._system), no_iommu=self._no_iommu)

    def give(self, pci: str, driver: str) -> None:
        """See `Drivers.give`."""
        try:
            nic = nics.read(self._system).find(pci)
            kernel = drivers.read(self._system)
            drivers.apply(self._system, drivers.plan(nic, driver, kernel, no_iommu=self._no_iommu))
        except HostError as error:
            raise DriverError("; ".join(error.problems)) from error
