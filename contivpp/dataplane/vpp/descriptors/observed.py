"""What VPP says of its interfaces; `watching` tells what changes, and here it is read whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor
from contivpp.dataplane.vpp.descriptors.names import Tag, is_device
from contivpp.dataplane.vpp.values.observed import DeviceName, InterfaceState, pci_name_of
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("observed")
"""What is used of VPP here."""
_CARRIES: Final = 3  # IF_STATUS_API_FLAG_ADMIN_UP and IF_STATUS_API_FLAG_LINK_UP


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (
        ObservingDescriptor(driver, "vpp-interface-state", InterfaceState),
        ObservingDescriptor(driver, "vpp-device", DeviceName),
    )


def seen(item: Any) -> dict[str, Any]:
    """The values that one interface of VPP's list gives rise to, by key."""
    values: list[Any] = []
    if (tag := Tag.read(item.tag)) is not None:
        values.append(InterfaceState(tag.name, "UP" if item.flags & _CARRIES == _CARRIES else "DOWN"))
    if is_device(item):
        values.append(DeviceName(item.interface_name))
        if pci := pci_name_of(item.interface_name):
            values.append(DeviceName(pci))
    return {value.key: value for value in values}


class ObservingDescriptor(DriverDescriptor):
    """Values that are there to be seen."""

    def __init__(self, driver: Driver, name: str, kind: type[Any]) -> None:
        """Takes the VPP of the node, and the type of the values."""
        super().__init__(driver)
        self.name = name
        self.prefix: str = kind.prefix
        self._type = kind

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: always: nobody can ask for what is only seen.
        """
        raise ValueError("this is seen, and cannot be asked for")

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Nothing can be done."""
        return [Outcome(error="this is seen, and cannot be asked for", retriable=False)] * len(operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """What there is now."""
        await self._driver.read_interfaces()
        return {
            key: Observed(value, foreign=True)
            for item in self._driver.interfaces.details
            for key, value in seen(item).items()
            if isinstance(value, self._type)
        }
