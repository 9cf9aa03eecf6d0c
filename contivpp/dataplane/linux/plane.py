"""The Linux data plane of one node: its descriptors, its addresses, and the way back to how it was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contivpp.dataplane.counters import InterfaceCounters
from contivpp.dataplane.emptying import remove_all
from contivpp.dataplane.linux import counters, host
from contivpp.dataplane.linux.addresses import AddressDescriptor
from contivpp.dataplane.linux.checks import checked
from contivpp.dataplane.linux.ends import Ends
from contivpp.dataplane.linux.health import HealthDescriptor
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.links import LinkDescriptor
from contivpp.dataplane.linux.names import LinkNameDescriptor
from contivpp.dataplane.linux.neighbours import ForwardingDescriptor, NeighbourDescriptor
from contivpp.dataplane.linux.nft.conntrack import Conntrack
from contivpp.dataplane.linux.nft.descriptor import NftDescriptor
from contivpp.dataplane.linux.nft.library import Nftables
from contivpp.dataplane.linux.nft.reading import TableReader
from contivpp.dataplane.linux.nft.service_descriptor import ServiceDescriptor
from contivpp.dataplane.linux.routes import RouteDescriptor
from contivpp.dataplane.linux.rules import RuleDescriptor
from contivpp.dataplane.linux.sysctls import SysctlDescriptor
from contivpp.dataplane.linux.tracing.tracer import tracer
from contivpp.dataplane.linux.values import TYPES
from contivpp.scheduler.api import Descriptor

_PING_TIMES = re.compile(r"time=([0-9.]+) ms")
_PING_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")
_PING_INTERVAL = 0.2


class RemovalError(Exception):
    """Something of ours could not be taken away; names each."""


class LinuxDataplane:
    """The kernel of one node.

    Attributes:
        tracer: follows packets.
    """

    name = "linux"

    def __init__(self, state_dir: Path, *, netns: str = "", attaching: bool = False) -> None:
        """Takes what it needs.

        Args:
            state_dir: the folder for what must be remembered.
            netns: the node's namespace; "" is this process's.
            attaching: whether something else is attached to links of the node by their kernel names: then every link
                is known, also those without an address.
        """
        self._kernel = Kernel(netns, ends=Ends(state_dir / "ends.json"))
        self._attaching = attaching
        self._nftables = Nftables(netns)
        self.tracer = tracer(self._nftables, netns)
        table = TableReader(self._nftables)
        self._health = HealthDescriptor(netns)
        self._descriptors: tuple[Descriptor, ...] = (
            SysctlDescriptor(self._kernel, state_dir / "sysctl.json"),
            LinkDescriptor(self._kernel),
            *((LinkNameDescriptor(self._kernel),) if attaching else ()),
            AddressDescriptor(self._kernel),
            ForwardingDescriptor(self._kernel),
            NeighbourDescriptor(self._kernel),
            RouteDescriptor(self._kernel),
            RuleDescriptor(self._kernel),
            NftDescriptor(self._nftables, table),
            ServiceDescriptor(self._nftables, table, Conntrack(netns)),
            self._health,
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
            ValueError: the kernel would not take it; names the field and the remedy.
        """
        return checked(value)

    async def start(self) -> None:
        """Nothing to connect to: the kernel is there."""

    async def close(self) -> None:
        """Closes the sockets; everything that was made stays, but for a trace."""
        await self.tracer.close()
        self._health.close()
        self._nftables.close()
        self._kernel.close()

    async def host_addresses(self) -> tuple[host.HostAddress, ...]:
        """The node's own global addresses, without ours; see `host.addresses`."""
        return host.addresses(self._kernel, bare=self._attaching)

    def watch_host(self) -> AsyncIterator[tuple[host.HostAddress, ...]]:
        """`host_addresses` now and on every change, for ever."""
        return host.watch(self._kernel, bare=self._attaching)

    async def link_index(self, name: str) -> int:
        """The index of a link by its kernel name, 0 when there is none."""
        for link in self._kernel.links():
            if link.get_attr("IFLA_IFNAME") == name:
                return int(link["index"])
        return 0

    def interface_counters(self) -> list[InterfaceCounters]:
        """What the node's links of ours carried; a pod's is the node's end of its pair."""
        return counters.read(self._kernel)

    async def ping(self, netns: str, address: str, count: int) -> dict[str, Any]:
        """Sends ICMP echo requests from a namespace.

        Returns:
            "transmitted", "received", and "rtt_ms" with "min", "avg" and "max" when anything came back.
        """
        arguments = ["ping", "-n", "-c", str(count), "-i", str(_PING_INTERVAL), "-W", "1", address]
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={netns}", "--", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        times = [float(found) for found in _PING_TIMES.findall(text)]
        counts = _PING_COUNTS.search(text)
        if counts is None:
            return {"transmitted": 0, "received": 0, "error": text.strip()}
        result: dict[str, Any] = {"transmitted": int(counts[1]), "received": int(counts[2])}
        if times:
            result["rtt_ms"] = {"min": min(times), "avg": sum(times) / len(times), "max": max(times)}
        return result

    async def remove_everything(self) -> int:
        """Takes away all that was ever made on this node, and restores what was changed.

        Returns:
            How many values went.

        Raises:
            RemovalError: what could not be removed, with the kernel's reasons.
        """
        removed, problems = await remove_all(self._descriptors)
        if problems:
            raise RemovalError("; ".join(problems))
        return removed
