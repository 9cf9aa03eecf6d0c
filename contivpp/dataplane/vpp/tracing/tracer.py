"""Tracing one flow in VPP: only its packets are looked at, and the trace ends whatever becomes of who began it.

VPP has one packet trace for everybody. One flow is traced at a time, with all that services may make of it; who begins
a trace ends another that somebody started by hand. It ends when it is asked for what it caught, or by itself when its
time is over, and holds few packets; should the agent be killed meanwhile, a limited number of packets of that flow is
traced, and the next trace cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contivpp.dataplane.vpp.api import cli
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver
from contivpp.dataplane.vpp.descriptors.names import NO_INTERFACE, Tag
from contivpp.dataplane.vpp.tracing.filter import VECTOR, FilterTable, tables
from contivpp.dataplane.vpp.tracing.text import Names, packets
from contivpp.model.trace import Flow, TracedPacket

log = logging.getLogger(__name__)

NEEDS: Final = load("tracing")
"""What is used of VPP here. A VPP that lacks some of it is driven all the same."""
INPUTS: Final = (
    "af-packet-input",
    "tap-input",
    "virtio-input",
    "memif-input",
    "vhost-user-input",
    "dpdk-input",
    "af_xdp-input",
    "rdma-input",
    "vmxnet3-input",
)
"""The nodes of VPP's graph by which packets come in; which of them there are depends on plugins."""
LIMIT: Final = 200
"""Packets that are kept, per input."""
LONGEST: Final = 300.0
_MEMORY: Final = 1 << 17
_PER_MATCH: Final = 1 << 10
_NO_TABLE: Final = 0xFFFFFFFF
_TABLE: Final = re.compile(r"^\[(\d+)\] table_id:(\d+) (\S+)", re.MULTILINE)
_DEVICE: Final = re.compile(r"^(\S+)\s+(\d+)\s+(?:up|down)", re.MULTILINE)


class TraceBusyError(Exception):
    """Another flow is being traced; says until when at the latest."""


class NoTraceError(Exception):
    """There is no such trace: it was never begun, or its time was over."""


@dataclass(frozen=True, slots=True)
class _Trace:
    """A trace that is running."""

    id: str
    flows: Sequence[Flow]
    connection: Connection
    ends: float


class Tracer:
    """The packet trace of one VPP."""

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        self._driver = driver
        self._lock = asyncio.Lock()
        self._running: _Trace | None = None
        self._ending: asyncio.Task[None] | None = None

    async def begin(self, flows: Sequence[Flow], seconds: float) -> str:
        """Traces a flow from now on, for so many seconds at most; returns the name of the trace.

        Args:
            flows: the flow, and what may become of it on the way: of the same protocol and IP version.
            seconds: after which it ends by itself.

        Raises:
            TraceBusyError: another one is under way.
            VppError: VPP is away, or cannot do that.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._running is not None and not self._running.connection.closed.is_set():
                left = self._running.ends - loop.time()
                raise TraceBusyError(f"another flow is being traced here, for {max(left, 0):.0f} s more at most")
            connection = self._driver.connection
            if missing := self._driver.lacks(NEEDS):
                raise VppError(f"this VPP cannot trace one flow: it lacks {', '.join(missing)}")
            seconds = min(seconds, LONGEST)
            trace = _Trace(secrets.token_hex(8), flows, connection, loop.time() + seconds)
            try:
                await _switch_off(connection)
                await _switch_on(connection, flows, [f"{device}-rx" for device in self._driver.interfaces.devices])
            except BaseException:
                with contextlib.suppress(VppError):
                    await asyncio.shield(_switch_off(connection))
                raise
            self._running = trace
            self._ending = asyncio.create_task(self._end_later(trace, seconds), name="vpp-trace")
            return trace.id

    async def end(self, name: str) -> list[TracedPacket]:
        """What a trace caught; it is over, however this ends.

        Raises:
            NoTraceError: there is none of this name any more.
            VppError: VPP went away meanwhile.
        """
        async with self._lock:
            trace = self._running
            if trace is None or trace.id != name:
                raise NoTraceError("there is no such trace: its time was over, or VPP started anew")
            self._running = None
            if self._ending is not None:
                self._ending.cancel()
            try:
                text = await cli.run(trace.connection, f"show trace max {LIMIT * len(INPUTS)}")
                return packets(text, trace.flows, await _names(trace.connection))
            finally:
                await _switch_off(trace.connection)

    async def _end_later(self, trace: _Trace, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self._lock:
            if self._running is trace:
                self._running = None
                try:
                    await _switch_off(trace.connection)
                except VppError as error:
                    log.info("a trace that nobody asked for any more ended with its VPP: %s", error)


async def _switch_off(connection: Connection) -> None:
    """Ends any trace, and takes its filter away; the tables of a filter go with it."""
    await cli.run(connection, "clear trace")
    await connection.call("classify_trace_set_table", table_index=_NO_TABLE)


async def _switch_on(connection: Connection, flows: Sequence[Flow], devices: Sequence[str]) -> None:
    """Begins; `devices` are nodes of single devices, which those of VPP's native drivers have."""
    following = _NO_TABLE
    for table in tables(flows):
        following = await _add_table(connection, table, following)
    await connection.call("classify_trace_set_table", table_index=following)
    refused = []
    for node in (*INPUTS, *devices):
        try:
            await cli.run(connection, f"trace add {node} {LIMIT} filter")
        except cli.CommandError as error:
            refused.append(f"{node}: {error}")
    if len(refused) == len(INPUTS) + len(devices):
        raise VppError(f"this VPP traces no packets: {'; '.join(refused)}")


async def _add_table(connection: Connection, table: FilterTable, following: int) -> int:
    answer = await connection.call(
        "classify_add_del_table",
        is_add=True,
        table_index=_NO_TABLE,
        nbuckets=2,
        memory_size=_MEMORY + _PER_MATCH * len(table.matches),
        skip_n_vectors=table.skip,
        match_n_vectors=len(table.mask) // VECTOR,
        next_table_index=following,
        miss_next_index=_NO_TABLE,
        mask_len=len(table.mask),
        mask=table.mask,
    )
    number = int(answer.new_table_index)
    for match in table.matches:
        await connection.call(
            "classify_add_del_session",
            is_add=True,
            table_index=number,
            hit_next_index=_NO_TABLE,
            opaque_index=_NO_TABLE,
            match_len=len(match),
            match=match,
        )
    return number


async def _names(connection: Connection) -> Names:
    numbers, own = {}, {}
    for item in await connection.dump("sw_interface_dump", sw_if_index=NO_INTERFACE):
        logical = tag.name if (tag := Tag.read(item.tag)) is not None else item.interface_name
        numbers[item.sw_if_index] = own[item.interface_name] = logical
    found = {}
    for version, command in ((4, "show ip table"), (6, "show ip6 table")):
        for index, _, name in _TABLE.findall(await cli.run(connection, command)):
            found[version, int(index)] = name
    devices = _DEVICE.findall(await cli.run(connection, "show hardware-interfaces brief"))
    return Names(numbers, {int(number): name for name, number in devices}, own, found)
