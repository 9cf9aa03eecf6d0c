"""Cross-connects of packets, by VPP's plugin for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    hop_of,
    is_add,
    path_of,
)
from contivpp.dataplane.vpp.values.crossing import L3CrossConnect
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, OperationKind, Outcome

OPTIONAL: Final = True
PLUGIN: Final = "l3xc_plugin.so"
NEEDS: Final = load("l3crossing")
"""What is used of VPP here."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (L3CrossConnectDescriptor(driver),)


class L3CrossConnectDescriptor(DriverDescriptor):
    """Where all packets of an interface leave."""

    name = "vpp-l3-cross-connect"
    prefix = L3CrossConnect.prefix

    def dependencies(self, key: str, value: L3CrossConnect) -> Iterable[Dependency]:
        """Both interfaces."""
        yield Dependency("interface", interface_key(value.interface))
        yield Dependency("other interface", interface_key(value.to))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update is made anew, because VPP goes on with the old way out until that changes itself."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            number = self._driver.interfaces.number(value.interface)
            found: list[Request] = []
            if operation.kind is not OperationKind.CREATE:
                found.append(("l3xc_del", {"sw_if_index": number, "is_ip6": value.version == 6}))
            if is_add(operation):
                path = path_of(self._driver.interfaces.number(value.to), value.via, value.version)
                fields = {"sw_if_index": number, "is_ip6": value.version == 6, "n_paths": 1, "paths": [path]}
                found.append(("l3xc_update", {"l3xc": fields}))
            return found

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX", "INVALID_VALUE"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every cross-connect between interfaces of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("l3xc_dump", sw_if_index=NO_INTERFACE):
            for path in item.l3xc.paths[:1]:
                if (value := self._value(item.l3xc, path)) is not None:
                    found[value.key] = Observed(value)
        return found

    def _value(self, item: Any, path: Any) -> L3CrossConnect | None:
        """VPP leaves the IP version of the cross-connect out; the path has it."""
        interfaces = self._driver.interfaces
        name, to = interfaces.name(item.sw_if_index), interfaces.name(path.sw_if_index)
        return L3CrossConnect(name, 6 if path.proto else 4, to, hop_of(path)) if name and to else None
