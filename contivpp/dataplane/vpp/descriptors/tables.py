"""Routing tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.addressing import Table
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("tables")
"""What is used of VPP here."""
NO_NUMBER: Final = 0xFFFFFFFF
"""What the tables have instead that VPP makes for itself, such as those of segment routing."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (TableDescriptor(driver),)


class TableDescriptor(DriverDescriptor):
    """Routing tables other than the first."""

    name = "vpp-table"
    prefix = Table.prefix

    def dependencies(self, key: str, value: Table) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: table 0 is VPP's own.
        """
        if not value.vrf:
            raise ValueError("table 0 is there without being asked for")
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; VPP never renames a table."""

        def requests(operation: Operation) -> list[Request]:
            return [_table_request(operation.value, add=is_add(operation))]

        return await self._driver.apply(operations, requests, gone=("NO_SUCH_FIB",), updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every table but the first ones, and those that VPP makes for itself and gives no number."""
        values = [
            Table(item.table.table_id, 6 if item.table.is_ip6 else 4, item.table.name)
            for item in await self._driver.connection.dump("ip_table_dump")
            if item.table.table_id not in (0, NO_NUMBER)
        ]
        return {value.key: Observed(value) for value in values}


def _table_request(value: Table, *, add: bool) -> Request:
    table = {"table_id": value.vrf, "is_ip6": value.version == 6, "name": value.name}
    return "ip_table_add_del_v2", {"table": table, "create_mfib": True, "is_add": add}
