"""The tables and the addresses of interfaces."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.dhcp import leases
from contivpp.dataplane.vpp.descriptors.driver import (
    NO_INTERFACE,
    Driver,
    DriverDescriptor,
    Request,
    interface_prefix_of,
    is_add,
    replacing,
)
from contivpp.dataplane.vpp.values.addressing import (
    InterfaceAddress,
    InterfaceTable,
    Unnumbered,
    addresses_prefix,
    table_key,
)
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

NEEDS: Final = load("addressing")
"""What is used of VPP here."""


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return (
        InterfaceTableDescriptor(driver),
        AddressDescriptor(driver),
        UnnumberedDescriptor(driver),
    )


class InterfaceTableDescriptor(DriverDescriptor):
    """Which interface is in which table."""

    name = "vpp-interface-table"
    prefix = InterfaceTable.prefix

    def dependencies(self, key: str, value: InterfaceTable) -> Iterable[Dependency]:
        """The interface and the table."""
        yield Dependency("interface", interface_key(value.interface))
        if value.vrf:
            yield Dependency("table", table_key(value.vrf, value.version))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; without a table an interface is in table 0 again."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {
                "sw_if_index": self._driver.interfaces.number(value.interface),
                "is_ipv6": value.version == 6,
                "vrf_id": value.vrf if is_add(operation) else 0,
            }
            return [("sw_interface_set_table", fields)]

        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """The table of every interface of ours that is not in table 0."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        questions = [(name, version) for name in self._driver.interfaces.routed_names() for version in (4, 6)]
        replies = await self._driver.connection.batch(
            [
                (
                    "sw_interface_get_table",
                    {"sw_if_index": self._driver.interfaces.number(name), "is_ipv6": version == 6},
                )
                for name, version in questions
            ]
        )
        for (name, version), reply in zip(questions, replies, strict=True):
            if vrf := getattr(reply, "vrf_id", 0):
                value = InterfaceTable(name, vrf, 6 if version == 6 else 4)
                found[value.key] = Observed(value)
        return found


class AddressDescriptor(DriverDescriptor):
    """Addresses of interfaces."""

    name = "vpp-address"
    prefix = InterfaceAddress.prefix

    def dependencies(self, key: str, value: InterfaceAddress) -> Iterable[Dependency]:
        """The interface, in its table: with an address on it an interface cannot change the table any more."""
        version = ipaddress.ip_interface(value.address).version
        yield Dependency("interface", interface_key(value.interface))
        if value.vrf:
            yield Dependency("table", f"{InterfaceTable.prefix}{value.interface}/ip{version}")

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an address that moved to another table is made anew."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            fields = {
                "sw_if_index": self._driver.interfaces.number(value.interface),
                "is_add": is_add(operation),
                "prefix": interface_prefix_of(ipaddress.ip_interface(value.address)),
            }
            return [("sw_interface_add_del_address", fields)]

        return await self._driver.apply(
            operations, requests, gone=("INVALID_SW_IF_INDEX", "ADDRESS_NOT_FOUND_FOR_INTERFACE"), updates=False
        )

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every address of an interface of ours that has its own; what DHCP put there is VPP's own doing."""
        connection, interfaces = self._driver.connection, self._driver.interfaces
        await self._driver.read_interfaces()
        borrowed = {item.sw_if_index for item in await connection.dump("ip_unnumbered_dump", sw_if_index=NO_INTERFACE)}
        given = {(lease.interface, lease.address) for lease in await leases(self._driver)}
        places = [
            (name, {"sw_if_index": interfaces.number(name), "is_ipv6": is_ipv6})
            for name in interfaces.routed_names()
            if interfaces.number(name) not in borrowed
            for is_ipv6 in (False, True)
        ]
        lists = await self._driver.dumps([("ip_address_dump", place) for _, place in places])
        used = [(name, place, items) for (name, place), items in zip(places, lists, strict=True) if items]
        tables = await connection.batch([("sw_interface_get_table", place) for _, place, _ in used])
        found: dict[str, Observed] = {}
        for (name, _, items), table in zip(used, tables, strict=True):
            for item in items:
                value = InterfaceAddress(name, str(item.prefix), getattr(table, "vrf_id", 0))
                found[value.key] = Observed(value, foreign=(name, value.address) in given)
        return found


class UnnumberedDescriptor(DriverDescriptor):
    """Interfaces that use the addresses of another one."""

    name = "vpp-unnumbered"
    prefix = Unnumbered.prefix

    def dependencies(self, key: str, value: Unnumbered) -> Iterable[Dependency]:
        """Both interfaces, an address of the other one, its table for this one, and what the value waits for."""
        yield Dependency("interface", interface_key(value.interface))
        if value.waits_for:
            yield Dependency("guard", value.waits_for)
        for version in value.versions:
            yield Dependency(f"IPv{version} address", any_of=(addresses_prefix(value.addresses_of, version),))
            if value.vrf:
                yield Dependency(f"IPv{version} table", f"{InterfaceTable.prefix}{value.interface}/ip{version}")

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline; an update gives up the old lender first."""
        requests = functools.partial(replacing, request_of=self._request)
        return await self._driver.apply(operations, requests, gone=("INVALID_SW_IF_INDEX",))

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every interface of ours that borrows from another one of ours."""
        connection, interfaces = self._driver.connection, self._driver.interfaces
        await self._driver.read_interfaces()
        pairs = [
            (item, name, lender)
            for item in await connection.dump("ip_unnumbered_dump", sw_if_index=NO_INTERFACE)
            if (name := interfaces.name(item.sw_if_index)) and (lender := interfaces.name(item.ip_sw_if_index))
        ]
        versions = await self._versions(sorted({item.ip_sw_if_index for item, _, _ in pairs}))
        questions = [
            {"sw_if_index": item.sw_if_index, "is_ipv6": versions[item.ip_sw_if_index] == (6,)} for item, _, _ in pairs
        ]
        tables = await connection.batch([("sw_interface_get_table", question) for question in questions])
        found: dict[str, Observed] = {}
        for (item, name, lender), table in zip(pairs, tables, strict=True):
            value = Unnumbered(name, lender, getattr(table, "vrf_id", 0), versions[item.ip_sw_if_index])
            found[value.key] = Observed(value)
        return found

    async def _versions(self, lenders: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """The IP versions in which interfaces have addresses, by VPP's number of each."""
        places = [(number, version) for number in lenders for version in (4, 6)]
        lists = await self._driver.dumps(
            [("ip_address_dump", {"sw_if_index": number, "is_ipv6": version == 6}) for number, version in places]
        )
        held = {place for place, items in zip(places, lists, strict=True) if items}
        return {number: tuple(version for version in (4, 6) if (number, version) in held) for number in lenders}

    def _request(self, value: Unnumbered, *, add: bool) -> Request:
        interfaces = self._driver.interfaces
        fields = {
            "sw_if_index": interfaces.number(value.addresses_of),
            "unnumbered_sw_if_index": interfaces.number(value.interface),
            "is_add": add,
        }
        return "sw_interface_set_unnumbered", fields
