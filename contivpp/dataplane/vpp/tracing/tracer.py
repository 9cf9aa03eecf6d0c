"""Tracing one flow in VPP: only its packets are looked at, and few are kept.

VPP has one packet trace for everybody: who begins one ends another that somebody started by hand. Should the agent be
killed meanwhile, a limited number of packets of that flow is traced, and the next trace cleans up.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contivpp.dataplane.tracing import LIMIT, TraceError, Tracer
from contivpp.dataplane.vpp.api import cli
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.model import load
from contivpp.dataplane.vpp.descriptors.driver import Driver
from contivpp.dataplane.vpp.descriptors.names import NO_INTERFACE, Tag
from contivpp.dataplane.vpp.tracing.filter import VECTOR, FilterTable, tables
from contivpp.dataplane.vpp.tracing.text import Names, packets
from contivpp.model.trace import Flow, TracedPacket

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
_MEMORY: Final = 1 << 17
_PER_MATCH: Final = 1 << 10
_NO_TABLE: Final = 0xFFFFFFFF
_TABLE: Final = re.compile(r"^\[(\d+)\] table_id:(\d+) (\S+)", re.MULTILINE)
_DEVICE: Final = re.compile(r"^(\S+)\s+(\d+)\s+(?:up|down)", re.MULTILINE)


def tracer(driver: Driver) -> Tracer:
    """Traces in the VPP of a node."""

    async def start(flows: Sequence[Flow]) -> _VppCapture:
        try:
            return await _start(driver, flows)
        except VppError as error:
            raise TraceError(str(error)) from error

    return Tracer(start)


async def _start(driver: Driver, flows: Sequence[Flow]) -> _VppCapture:
    connection = driver.connection
    if missing := driver.lacks(NEEDS):
        raise VppError(f"this VPP cannot trace one flow: it lacks {', '.join(missing)}")
    try:
        await _switch_off(connection)
        await _switch_on(connection, flows, [f"{device}-rx" for device in driver.interfaces.devices])
    except BaseException:
        with contextlib.suppress(VppError):
            await asyncio.shield(_switch_off(connection))
        raise
    return _VppCapture(connection, flows)


@dataclass(frozen=True, slots=True)
class _VppCapture:
    """VPP's packet trace while it is switched on for a flow."""

    connection: Connection
    flows: Sequence[Flow]

    @property
    def lost(self) -> bool:
        """Whether that VPP is gone."""
        return self.connection.closed.is_set()

    async def packets(self) -> list[TracedPacket]:
        """What VPP prints, understood."""
        try:
            text = await cli.run(self.connection, f"show trace max {LIMIT * len(INPUTS)}")
            return packets(text, self.flows, await _names(self.connection))
        except VppError as error:
            raise TraceError(str(error)) from error

    async def stop(self) -> None:
        """Switches it off."""
        try:
            await _switch_off(self.connection)
        except VppError as error:
            raise TraceError(str(error)) from error


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
