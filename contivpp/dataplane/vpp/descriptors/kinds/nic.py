"""NICs that VPP has from its start: adopted, never made, and given back as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind, flags_request, is_up, mtu_request, tag_request
from contivpp.dataplane.vpp.descriptors.names import ADOPTED, Interfaces, Tag
from contivpp.dataplane.vpp.values.nic import Nic
from contivpp.dataplane.vpp.values.observed import PCI, device_key, pci_name_of
from contivpp.scheduler.api import Dependency


class NicKind(Kind):
    """The tag keeps the MTU and the state that the NIC had before."""

    type = Nic
    family = ""
    adopts = True

    def dependencies(self, value: Nic, driver: Driver) -> Iterable[Dependency]:
        """The device, whenever VPP has it."""
        yield Dependency("device", device_key(value.device))

    def existing(self, value: Nic, driver: Driver) -> int | None:
        """The number of the device, which nobody else may have adopted."""
        item = _device(value.device, driver.interfaces)
        if item is None:
            raise VppError(f"VPP has no interface {value.device}: bind the NIC, and restart VPP")
        if (tag := Tag.read(item.tag)) is not None:
            raise VppError(f"{value.device} is {tag.name} already: one NIC has one name")
        return int(item.sw_if_index)

    def memo(self, value: Nic, interfaces: Interfaces) -> str:
        """How it was, and by what it was asked for if that was not its name."""
        item = _device(value.device, interfaces)
        assert item is not None
        asked = f" {value.device.removeprefix(PCI)}" if value.device.startswith(PCI) else ""
        return f"{ADOPTED}{item.mtu[0]} {'up' if is_up(item) else 'down'}{asked}"

    def delete(self, value: Nic, interfaces: Interfaces) -> list[Request]:
        """As it was, and without a tag."""
        number = interfaces.number(value.name)
        mtu, state, *_ = interfaces.tag(value.name).memo.removeprefix(ADOPTED).split()
        return [mtu_request(number, int(mtu)), flags_request(number, up=state == "up"), tag_request(number, "")]

    def value(self, tag: Tag, item: Any, details: Any | None, interfaces: Interfaces) -> Nic | None:
        """By its memo."""
        if not tag.memo.startswith(ADOPTED):
            return None
        _, _, *asked = tag.memo.removeprefix(ADOPTED).split()
        return Nic(tag.name, PCI + asked[0] if asked else item.interface_name, item.mtu[0])


def _device(name: str, interfaces: Interfaces) -> Any | None:
    if name.startswith(PCI):
        found = (item for known, item in sorted(interfaces.devices.items()) if pci_name_of(known) == name)
        return next(found, None)
    return interfaces.devices.get(name)
