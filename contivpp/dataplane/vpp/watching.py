"""News from VPP: interfaces that come, go, rise and fall, and what DHCP clients were given.

VPP's event says that something happened to an interface, and not reliably what: the interface is looked at again. News
are kept until somebody takes them, the last of each key only, so nobody need hurry. DHCP leases are read again every
few seconds besides: see `descriptors.dhcp`. What was seen of one VPP is compared with what the next one has.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from contivpp.dataplane.vpp.api import cli
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError
from contivpp.dataplane.vpp.descriptors import dhcp
from contivpp.dataplane.vpp.descriptors.driver import Driver, Request
from contivpp.dataplane.vpp.descriptors.observed import seen
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.dhcp import DhcpLease

log = logging.getLogger(__name__)

LEASE_PERIOD: Final = 5.0
_DEVICE: Final = re.compile(r"^(host-\S+)\s+(\d+)\s", re.MULTILINE)
_SETTLE: Final = 0.02  # a burst of events counts as one
_AGAIN: Final = 0.5
_LEASES: Final = -1  # the place of leases among the numbers of interfaces
Seen = Mapping[int, Mapping[str, Any]]
"""Values by key, by the number of the interface that they come from."""


class Watch:
    """What VPP says by itself.

    Attributes:
        devices: of interfaces that are attached with AF_PACKET, by number: the numbers of their devices.
    """

    def __init__(self, driver: Driver, *, lease_period: float = LEASE_PERIOD) -> None:
        """Takes the VPP of the node, and how often leases are read, in seconds."""
        self._driver = driver
        self._lease_period = lease_period
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()
        self._seen: dict[int, Mapping[str, Any]] = {}
        self.devices: Mapping[int, int] = {}
        self._known: frozenset[int] = frozenset()
        self._news: dict[str, Any | None] = {}
        self._has_news = asyncio.Event()
        self._leases: tuple[DhcpLease, ...] = ()
        self._has_leases = asyncio.Event()

    def appeared(self, connection: Connection) -> None:
        """Notes a new connection, to be listened to."""
        self._connections.put_nowait(connection)

    async def run(self) -> None:
        """Listens for ever."""
        while True:
            connection = await self._connections.get()
            while not connection.closed.is_set():
                try:
                    await self._listen(connection)
                except VppError as error:  # what was looked at went away meanwhile: everything is looked at again
                    log.debug("listening to VPP again: %s", error)
                    await asyncio.sleep(_AGAIN)

    async def news(self) -> AsyncIterator[Mapping[str, Any | None]]:
        """What is there now by key, and then every difference; None for what is gone. One caller only."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            news, self._news = self._news, {}
            yield news

    async def leases(self) -> AsyncIterator[tuple[DhcpLease, ...]]:
        """All leases as soon as they are known, and again whenever they changed. One caller only."""
        while True:
            await self._has_leases.wait()
            self._has_leases.clear()
            yield self._leases

    # ---- listening

    async def _listen(self, connection: Connection) -> None:
        await connection.call("want_interface_events", enable_disable=1, pid=os.getpid())
        await self._look_at_everything(connection)
        await self._look_at_leases(connection)
        while events := await _burst(connection, self._lease_period):
            numbers = {event.sw_if_index for event in events if type(event).__name__ == "sw_interface_event"}
            await self._look(connection, numbers - {0})
            await self._look_at_leases(connection)

    async def _look_at_everything(self, connection: Connection) -> None:
        items = await connection.dump("sw_interface_dump")
        gone: dict[int, Mapping[str, Any]] = {number: {} for number in self._seen if number != _LEASES}
        self._take(gone | {item.sw_if_index: seen(item) for item in items})
        await self._look_at_devices(connection, items)

    async def _look(self, connection: Connection, numbers: Iterable[int]) -> None:
        order = sorted(numbers)
        requests: list[Request] = [("sw_interface_dump", {"sw_if_index": number}) for number in order]
        found = await self._driver.dumps(requests)
        self._take({number: seen(items[0]) if items else {} for number, items in zip(order, found, strict=True)})
        if any(not items or items[0].sw_if_index not in self._known for items in found):
            await self._look_at_devices(connection, await connection.dump("sw_interface_dump"))

    async def _look_at_devices(self, connection: Connection, items: Iterable[Any]) -> None:
        """Which number the device of every interface has: only VPP's command line says it."""
        numbers = {str(item.interface_name): int(item.sw_if_index) for item in items}
        self._known = frozenset(numbers.values())
        try:
            said = await cli.run(connection, "show hardware-interfaces brief")
        except VppDown:
            raise
        except VppError as error:
            log.debug("the numbers of VPP's devices are not known: %s", error)
            said = ""
        devices = _DEVICE.findall(said)
        self.devices = {numbers[name]: int(device) for name, device in devices if name in numbers}

    async def _look_at_leases(self, connection: Connection) -> None:
        await self._driver.prepare()
        leases = tuple(await dhcp.leases(self._driver))
        values: list[Any] = [*leases]
        for lease in leases:
            number = self._driver.interfaces.number(lease.interface)
            table = await connection.call("sw_interface_get_table", sw_if_index=number, is_ipv6=False)
            values.append(InterfaceAddress(lease.interface, lease.address, table.vrf_id))
        self._take({_LEASES: {value.key: value for value in values}})
        if leases != self._leases:
            self._leases = leases
            self._has_leases.set()

    def _take(self, found: Seen) -> None:
        """Takes what is there now of some interfaces, and notes how it differs."""
        before = {key: value for number in found for key, value in self._seen.get(number, {}).items()}
        after = {key: value for values in found.values() for key, value in values.items()}
        for number, values in found.items():
            if values:
                self._seen[number] = values
            else:
                self._seen.pop(number, None)
        self._news |= {key: None for key in before if key not in after}
        self._news |= {key: value for key, value in after.items() if before.get(key) != value}
        if self._news:
            self._has_news.set()


async def _burst(connection: Connection, period: float) -> list[Any]:
    """The events that come together, one that says nothing after `period` seconds; none when VPP is gone."""
    waiting = [asyncio.ensure_future(connection.events.get()), asyncio.ensure_future(connection.closed.wait())]
    try:
        await asyncio.wait(waiting, timeout=period, return_when=asyncio.FIRST_COMPLETED)
        if connection.closed.is_set():
            return []
        if not waiting[0].done():
            return [None]
        await asyncio.sleep(_SETTLE)
        events = [waiting[0].result()]
        while not connection.events.empty():
            events.append(connection.events.get_nowait())
        return events
    finally:
        for one in waiting:
            one.cancel()
