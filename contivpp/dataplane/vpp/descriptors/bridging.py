"""Bridge domains, their members, and the MACs behind these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import TAG, Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("bridging")
"""What is used of VPP here."""
_NORMAL: Final = 0  # L2_API_PORT_TYPE_NORMAL
_BVI: Final = 1


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (BridgeDomainDescriptor(driver), BridgeMemberDescriptor(driver), ForwardingDescriptor(driver))


class BridgeDomainDescriptor(DriverDescriptor):
    """Switches; their tag says that they are ours, and their name."""

    name = "vpp-bridge-domain"
    prefix = BridgeDomain.prefix

    def dependencies(self, key: str, value: BridgeDomain) -> Iterable[Dependency]:
        """None."""
        return ()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""
        return await self._driver.apply(operations, self._requests, gone=("NO_SUCH_ENTRY",), updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every domain with our tag."""
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("bridge_domain_dump"):
            if item.bd_tag.startswith(TAG):
                value = BridgeDomain(item.bd_tag.removeprefix(TAG), item.bd_id, bool(item.flood), bool(item.learn))
                found[value.key] = Observed(value)
        return found

    @staticmethod
    def _requests(operation: Operation) -> list[Request]:
        value = operation.value
        fields = {
            "bd_id": value.number,
            "flood": value.flood,
            "uu_flood": value.flood,
            "forward": True,
            "learn": value.learn,
            "bd_tag": TAG + value.name,
            "is_add": is_add(operation),
        }
        return [("bridge_domain_add_del_v2", fields)]


class BridgeMemberDescriptor(DriverDescriptor):
    """Interfaces in bridge domains."""

    name = "vpp-bridge-member"
    prefix = BridgeMember.prefix

    def dependencies(self, key: str, value: BridgeMember) -> Iterable[Dependency]:
        """The domain and the interface."""
        yield Dependency("bridge domain", BridgeDomain.prefix + value.domain)
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {
                "rx_sw_if_index": self._driver.interfaces.number(value.interface),
                "bd_id": value.number,
                "port_type": _BVI if value.routed else _NORMAL,
                "shg": value.group,
                "enable": is_add(operation),
            }
            return [("sw_interface_set_l2_bridge", fields)]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX", "NO_SUCH_ENTRY"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The members of our domains that are interfaces of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("bridge_domain_dump"):
            if not item.bd_tag.startswith(TAG):
                continue
            for member in item.sw_if_details:
                if name := self._driver.interfaces.name(member.sw_if_index):
                    routed = member.sw_if_index == item.bvi_sw_if_index
                    value = BridgeMember(item.bd_tag.removeprefix(TAG), item.bd_id, name, routed, member.shg)
                    found[value.key] = Observed(value)
        return found


class ForwardingDescriptor(DriverDescriptor):
    """Static entries: which MAC is behind which member."""

    name = "vpp-fdb"
    prefix = VppForwardingEntry.prefix

    def dependencies(self, key: str, value: VppForwardingEntry) -> Iterable[Dependency]:
        """The interface, as a member."""
        yield Dependency("bridge member", BridgeMember.prefix + value.interface)

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an entry for another member replaces the old one."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {
                "mac": value.mac,
                "bd_id": value.number,
                "sw_if_index": self._driver.interfaces.number(value.interface),
                "is_add": is_add(operation),
                "static_mac": True,
            }
            return [("l2fib_add_del", fields)]

        return await self._driver.apply(operations, requests, gone=("NO_SUCH_ENTRY", "INVALID_SW_IF_INDEX"))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The static entries of our domains for interfaces of ours."""
        connection = self._driver.connection
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for domain in await connection.dump("bridge_domain_dump"):
            if not domain.bd_tag.startswith(TAG):
                continue
            for item in await connection.dump("l2_fib_table_dump", bd_id=domain.bd_id):
                name = self._driver.interfaces.name(item.sw_if_index)
                if name and item.static_mac and not item.bvi_mac:
                    value = VppForwardingEntry(domain.bd_id, str(item.mac), name)
                    found[value.key] = Observed(value)
        return found
