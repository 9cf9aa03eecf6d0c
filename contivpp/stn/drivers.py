"""Which driver has the NIC's device: what contiv-stn asks of whoever changes that."""

from __future__ import annotations

from typing import Protocol


class DriverError(Exception):
    """A device cannot have a driver; one sentence with the remedy."""


class Drivers(Protocol):
    """Changes drivers; nothing of it outlives a restart of the machine."""

    def refusals(self, pci: str, driver: str) -> list[str]:
        """Why a device cannot have a driver for user space, each with its remedy; nothing is changed."""
        ...

    def prepare(self, pci: str, driver: str) -> None:
        """Does beforehand what `give` would lose time with: it loads the driver. Nobody notices.

        Raises:
            DriverError: it cannot be loaded.
        """
        ...

    def give(self, pci: str, driver: str) -> None:
        """Gives a device to a driver; one that has it already is no error.

        Raises:
            DriverError: it did not take it.
        """
        ...
