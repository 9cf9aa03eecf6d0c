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
_DEVICE: Final = re.compile(r"^(\S+)\s+(\d+)\s", re.MULTILINE)
_ATTACHED: Final = "host-"  # how VPP's names of interfaces of AF_PACKET begin
_FEW: Final = 20
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
        self.devices: dict[int, int] = {}
        self._attached: dict[int, str] = {}
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
        self._attached, self.devices = {}, {}
        await self._look_at_devices(connection, {item.sw_if_index: item for item in items})

    async def _look(self, connection: Connection, numbers: Iterable[int]) -> None:
        order = sorted(numbers)
        requests: list[Request] = [("sw_interface_dump", {"sw_if_index": number}) for number in order]
        answers = await self._driver.dumps(requests)
        found = {number: items[0] if items else None for number, items in zip(order, answers, strict=True)}
        self._take({number: {} if item is None else seen(item) for number, item in found.items()})
        await self._look_at_devices(connection, found)

    async def _look_at_devices(self, connection: Connection, found: Mapping[int, Any | None]) -> None:
        """Which numbers devices of AF_PACKET have, that came or went: only VPP's command line says it."""
        names = {number: "" if item is None else str(item.interface_name) for number, item in found.items()}
        names = {number: name for number, name in names.items() if self._attached.get(number, "") != name}
        for number in names:
            self._attached.pop(number, None)
            self.devices.pop(number, None)
        names = {number: name for number, name in names.items() if name.startswith(_ATTACHED)}
        if not names:
            return
        asked = sorted(names.values()) if len(names) <= _FEW else []
        try:
            said = await cli.run(connection, " ".join(("show hardware-interfaces brief", *asked)))
        except VppDown:
            raise
        except VppError as error:
            log.debug("the numbers of VPP's devices are not known: %s", error)
            return
        devices = dict(_DEVICE.findall(said))
        self._attached |= names
        self.devices |= {number: int(devices[name]) for number, name in names.items() if name in devices}

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
