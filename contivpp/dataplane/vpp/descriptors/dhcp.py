"""DHCP clients. What they are given is VPP's to put on the interface; `leases` reads it for whoever wants to know.

VPP tells of a new lease on the connection that asked for the client, and of nothing else: not of one that ended, and
not to an agent that was started since. So leases are read again and again (`watching`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver, DriverDescriptor, Request, is_add
from contivpp.dataplane.vpp.values.dhcp import DhcpClient, DhcpLease
from contivpp.dataplane.vpp.values.interfaces import interface_key
from contivpp.scheduler.api import Dependency, Descriptor, Observed, Operation, Outcome

OPTIONAL: Final = True
PLUGIN: Final = "dhcp_plugin.so"
NEEDS: Final = load("dhcp")
"""What is used of VPP here."""
_BOUND: Final = 2  # DHCP_CLIENT_STATE_API_BOUND


def descriptors(driver: Driver) -> tuple[Descriptor, ...]:
    """One of each kind."""
    return DhcpClientDescriptor(driver), DhcpLeaseDescriptor(driver)


async def leases(driver: Driver) -> list[DhcpLease]:
    """What the clients on interfaces of ours have now; nothing from a VPP without DHCP."""
    if driver.lacks(NEEDS):
        return []
    found = []
    for item in await driver.connection.dump("dhcp_client_dump"):
        lease, name = item.lease, driver.interfaces.name(item.client.sw_if_index)
        if name and lease.state == _BOUND and lease.mask_width:
            router = "" if lease.router_address.is_unspecified else str(lease.router_address)
            found.append(DhcpLease(name, f"{lease.host_address}/{lease.mask_width}", router))
    return sorted(found, key=lambda lease: lease.interface)


class DhcpClientDescriptor(DriverDescriptor):
    """Clients; nothing of one can be changed."""

    name = "vpp-dhcp-client"
    prefix = DhcpClient.prefix

    def dependencies(self, key: str, value: DhcpClient) -> Iterable[Dependency]:
        """The interface."""
        yield Dependency("interface", interface_key(value.interface))

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One pipeline."""

        def requests(operation: Operation) -> list[Request]:
            value = operation.value
            client = {
                "sw_if_index": self._driver.interfaces.number(value.interface),
                "hostname": value.hostname,
                "want_dhcp_event": True,
                "set_broadcast_flag": value.broadcast,
            }
            return [("dhcp_client_config", {"is_add": is_add(operation), "client": client})]

        gone = ("INVALID_SW_IF_INDEX", "INVALID_VALUE")
        return await self._driver.apply(operations, requests, gone=gone, updates=False)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every client on an interface of ours."""
        await self._driver.read_interfaces()
        found: dict[str, Observed] = {}
        for item in await self._driver.connection.dump("dhcp_client_dump"):
            if name := self._driver.interfaces.name(item.client.sw_if_index):
                value = DhcpClient(name, item.client.hostname, bool(item.client.set_broadcast_flag))
                found[value.key] = Observed(value)
        return found


class DhcpLeaseDescriptor(DriverDescriptor):
    """What clients were given: seen, and never made."""

    name = "vpp-dhcp-lease"
    prefix = DhcpLease.prefix

    def dependencies(self, key: str, value: DhcpLease) -> Iterable[Dependency]:
        """None.

        Raises:
            ValueError: always: nobody can ask for a lease.
        """
        raise ValueError("a lease is the DHCP server's to give: ask for a client")

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Nothing can be done."""
        return [Outcome(error="a lease is the DHCP server's to give", retriable=False)] * len(operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """The leases of now."""
        await self._driver.read_interfaces()
        return {lease.key: Observed(lease, foreign=True) for lease in await leases(self._driver)}
