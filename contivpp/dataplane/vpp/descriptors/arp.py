"""Proxy ARP, and the limits of what VPP remembers of neighbours."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.addressing import table_key
from contivpp.dataplane.vpp.values.arp import NeighbourLimits, ProxyArp, ProxyArpRange
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

OPTIONAL: Final = True
NEEDS: Final = load("arp")
"""What is used of VPP here."""
_VERSIONS: Final[tuple[Literal[4, 6], ...]] = (4, 6)


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return ProxyArpRangeDescriptor(driver), ProxyArpDescriptor(driver), NeighbourLimitsDescriptor(driver)


class ProxyArpRangeDescriptor(DriverDescriptor):
    """Addresses that VPP answers for."""

    name = "vpp-proxy-arp-range"
    prefix = ProxyArpRange.prefix

    def dependencies(self, key: str, value: ProxyArpRange) -> Iterable[Dependency]:
        """The table."""
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, 4))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            proxy = {
                "table_id": value.vrf,
                "low": ipaddress.ip_address(value.first).packed,
                "hi": ipaddress.ip_address(value.last).packed,
            }
            return [("proxy_arp_add_del", {"is_add": is_add(operation), "proxy": proxy})]

        return await self._driver.apply(operations, requests, gone=("NO_SUCH_ENTRY", "NO_SUCH_FIB"), updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every range: nobody else asks for any in a node's VPP."""
        values = [
            ProxyArpRange(str(item.proxy.low), str(item.proxy.hi), item.proxy.table_id)
            for item in await self._driver.connection.dump("proxy_arp_dump")
        ]
        return {value.key: Observed(value) for value in values}


class ProxyArpDescriptor(DriverDescriptor):
    """Interfaces on which VPP answers for others."""

    name = "vpp-proxy-arp"
    prefix = ProxyArp.prefix

    def dependencies(self, key: str, value: ProxyArp) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            number = self._driver.interfaces.number(operation.value.interface)
            return [("proxy_arp_intfc_enable_disable", {"sw_if_index": number, "enable": is_add(operation)})]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",), updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Those of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("proxy_arp_intfc_dump"):
            if name := self._driver.interfaces.name(item.sw_if_index):
                value = ProxyArp(name)
                found[value.key] = Observed(value)
        return found


class NeighbourLimitsDescriptor(DriverDescriptor):
    """The limits of one IP version; without a value they are those that VPP starts with."""

    name = "vpp-neighbour-limits"
    prefix = NeighbourLimits.prefix

    def dependencies(self, key: str, value: NeighbourLimits) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: it asks for what VPP starts with.
        """
        if value == NeighbourLimits(value.version):
            raise ValueError("these are the limits that VPP starts with: leave them out, or choose others")
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value if is_add(operation) else NeighbourLimits(operation.value.version)
            fields = {
                "af": 0 if value.version == 4 else 1,
                "max_number": value.most,
                "max_age": value.age,
                "recycle": value.recycle,
            }
            return [("ip_neighbor_config", fields)]

        return await self._driver.apply(operations, requests)

    async def retrieve(self) -> Mapping[str, Observed]:
        """What differs from how VPP starts."""
        found: dict[str, Observed] = {}
        for version in _VERSIONS:
            reply = await self._driver.connection.call("ip_neighbor_config_get", af=0 if version == 4 else 1)
            value = NeighbourLimits(version, reply.max_number, reply.max_age, bool(reply.recycle))
            if value != NeighbourLimits(version):
                found[value.key] = Observed(value)
        return found
