"""The sockets of shared memory interfaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.memif import MemifSocket
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

OPTIONAL: Final = True
PLUGIN: Final = "memif_plugin.so"
NEEDS: Final = load("memif")
"""What is used of VPP here."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (MemifSocketDescriptor(driver),)


class MemifSocketDescriptor(DriverDescriptor):
    """Sockets; VPP has number 0 without being asked."""

    name = "vpp-memif-socket"
    prefix = MemifSocket.prefix

    def dependencies(self, key: str, value: MemifSocket) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: it is VPP's own.
        """
        if not value.number:
            raise ValueError("memif socket 0 is there without being asked for")
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; VPP never gives a number another path."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {"is_add": is_add(operation), "socket_id": value.number, "socket_filename": value.path}
            return [("memif_socket_filename_add_del_v2", fields)]

        return await self._driver.apply(operations, requests, updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every socket but VPP's own: nobody else makes any in a node's VPP."""
        values = [
            MemifSocket(item.socket_id, item.socket_filename)
            for item in await self._driver.connection.dump("memif_socket_filename_dump")
            if item.socket_id
        ]
        return {value.key: Observed(value) for value in values}
