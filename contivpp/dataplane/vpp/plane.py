"""The VPP data plane of one node: the client, its descriptors, and what they need of VPP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from contivpp.dataplane.counters import InterfaceCounters
from contivpp.dataplane.emptying import remove_all
from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.checks import TYPES, checked
from contivpp.dataplane.vpp.contract.model import joined, load
from contivpp.dataplane.vpp.descriptors import (
    acl,
    addressing,
    arp,
    bridging,
    crossing,
    dhcp,
    interfaces,
    l3crossing,
    memif,
    observed,
    punting,
    receiving,
    routing,
    source_nat,
    srv6,
    tables,
    translation,
)
from contivpp.dataplane.vpp.descriptors.driver import Driver
from contivpp.dataplane.vpp.descriptors.optional import OptionalDescriptor
from contivpp.dataplane.vpp.stats import VppStats
from contivpp.dataplane.vpp.tracing.tracer import tracer
from contivpp.dataplane.vpp.values.dhcp import DhcpLease
from contivpp.dataplane.vpp.watching import Watch
from contivpp.scheduler.api import Descriptor

FAMILIES: Final[tuple[ModuleType, ...]] = (
    tables,
    memif,
    interfaces,
    observed,
    addressing,
    receiving,
    routing,
    bridging,
    crossing,
    l3crossing,
    arp,
    punting,
    dhcp,
    acl,
    translation,
    source_nat,
    srv6,
)
"""The modules of descriptors, each after those whose values its own stand on: emptying goes the other way.

Each has `NEEDS`, its part of the contract, and `descriptors`. One that a VPP may do without has
`OPTIONAL` as well, and `PLUGIN`, the file name of the plugin that has its messages, unless that is VPP itself.
"""


def is_optional(family: ModuleType) -> bool:
    """Whether a VPP without a family will do."""
    return getattr(family, "OPTIONAL", False)


NEEDS: Final = joined([load("core"), *(family.NEEDS for family in FAMILIES if not is_optional(family))])
"""What a VPP is refused without."""


class VppDataplane:
    """The VPP of one node.

    Attributes:
        ready: set whenever a VPP was reached that has all that is needed; who clears it learns of the next one.
        reached: when that was, of the monotonic clock.
        client: for what is asked of VPP beside what the descriptors do.
        driver: knows the interfaces by name and number.
        stats: what VPP counts.
        tracer: follows packets.
    """

    name = "vpp"

    def __init__(
        self,
        socket: Path,
        *,
        timeout: float = 10.0,
        link_key: Callable[[str], str] | None = None,
        stats_socket: Path | None = None,
    ) -> None:
        """Takes what it needs.

        Args:
            socket: VPP's API socket.
            timeout: after how many seconds without an answer it counts as hung.
            link_key: the key that is available while the kernel has a link with a name; None when nobody says that.
            stats_socket: where VPP hands out its statistics; beside the API socket by default.
        """
        self.ready = asyncio.Event()
        self.reached = 0.0
        self._connections = 0
        self.client = Vpp(socket, contract=NEEDS, appeared=self._appeared, timeout=timeout)
        self.driver = Driver(self.client, link_key=link_key)
        self.stats = VppStats(
            stats_socket or socket.with_name("stats.sock"),
            names=self.driver.known_names,
            version=lambda: self.client.version if not self.client.problem else "",
            devices=lambda: self._watch.devices,
        )
        self.tracer = tracer(self.driver)
        self._watch = Watch(self.driver)
        self._descriptors: tuple[Descriptor, ...] = tuple(
            descriptor for family in FAMILIES for descriptor in _descriptors(family, self.driver)
        )

    def descriptors(self) -> Sequence[Descriptor]:
        """What makes values real."""
        return self._descriptors

    def value_types(self) -> Mapping[str, tuple[type, ...]]:
        """The types of the values that can be asked for, by the prefix of their keys."""
        return TYPES

    def check(self, value: Any) -> Any:
        """A value from outside in the form in which `retrieve` gives it back.

        Raises:
            ValueError: VPP would not take it; names the field and the remedy.
        """
        return checked(value)

    @property
    def problem(self) -> str:
        """Why VPP cannot be used; "" when it can."""
        return self.client.problem

    async def run(self) -> None:
        """The root task: stays connected, listens, and has the statistics at hand."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.client.run(), name="vpp-client")
            tasks.create_task(self._watch.run(), name="vpp-watch")
            tasks.create_task(self.stats.run(), name="vpp-stats")

    def watch_interfaces(self) -> AsyncIterator[Mapping[str, Any | None]]:
        """Values that VPP shows of interfaces (their states, devices, leases) by key, and then every difference.

        They are for `Scheduler.notify`. Of what was not taken yet only the last counts.
        """
        return self._watch.news()

    async def read_leases(self) -> Sequence[DhcpLease] | None:
        """All DHCP leases of now; None when VPP went away meanwhile."""
        try:
            await self.driver.prepare()
            return await dhcp.leases(self.driver)
        except VppError:
            return None

    def watch_leases(self) -> AsyncIterator[tuple[DhcpLease, ...]]:
        """All DHCP leases once there are any, and again whenever they changed, for ever; also those from before."""
        return self._watch.leases()

    async def remove_everything(self, *, patience: float = 3.0) -> tuple[int, str]:
        """Takes out of VPP all that was ever put there, when it can be reached within `patience` seconds.

        Returns:
            How many values went, and what was left with the reason, "" for nothing.
        """
        running = asyncio.create_task(self.run(), name="vpp")
        try:
            async with asyncio.timeout(patience):
                await self.ready.wait()
            removed, problems = await remove_all(self._descriptors)
            return removed, "; ".join(problems)
        except TimeoutError:
            return 0, self.problem
        except VppError as error:
            return 0, str(error)
        finally:
            running.cancel()
            await asyncio.wait([running])

    def status(self) -> dict[str, Any]:
        """How VPP is, for people: the reason why it cannot be used in "problem", and since when it runs.

        "connections" is how often this process has reached a VPP, "start_time" in seconds since the epoch (0 unknown).
        """
        return {
            "connected": not self.problem,
            "problem": self.problem,
            "version": self.client.version,
            "connections": self._connections,
            "start_time": self.stats.started(),
        }

    def interface_counters(self) -> Sequence[InterfaceCounters]:
        """What the interfaces of ours carried; empty when it cannot be read."""
        return self.stats.interface_counters()

    async def _appeared(self) -> None:
        self.reached = time.monotonic()
        self._connections += 1
        self.stats.appeared()
        self._watch.appeared(self.client.connection)
        self.ready.set()


def _descriptors(family: ModuleType, driver: Driver) -> Iterator[Descriptor]:
    for descriptor in family.descriptors(driver):
        if is_optional(family):
            yield OptionalDescriptor(descriptor, driver, needs=family.NEEDS, plugin=getattr(family, "PLUGIN", ""))
        else:
            yield descriptor
