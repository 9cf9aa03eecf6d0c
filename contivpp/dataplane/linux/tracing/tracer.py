"""Tracing one flow in the kernel: nftables marks its packets, and tells all that they meet.

Whoever else traces in the same namespace hears the same messages, and is left alone: what was not marked here is not
looked at. Few packets are kept. The mark ends with the socket, so nothing is left of an agent that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contivpp.dataplane.linux.netlink import KernelError, NamespaceGoneError, Netlink, entered
from contivpp.dataplane.linux.nft.library import Nftables, NftError
from contivpp.dataplane.linux.tracing import filter as marks
from contivpp.dataplane.linux.tracing.messages import TraceMessage, read
from contivpp.dataplane.linux.tracing.steps import told
from contivpp.dataplane.linux.tracing.surroundings import look
from contivpp.dataplane.tracing import LIMIT, TraceError, Tracer
from contivpp.model.trace import Flow, TracedPacket

log = logging.getLogger(__name__)

MOST_MESSAGES: Final = 500
"""Of one packet."""
_NETLINK_NETFILTER: Final = 12
_GROUP: Final = 9  # NFNLGRP_NFTRACE
_RECEIVE_BUFFER: Final = 4 << 20
_RECEIVE: Final = 1 << 16
_SO_RCVBUFFORCE: Final = 33


def tracer(nftables: Nftables, netns: str = "") -> Tracer:
    """Traces in a node's network namespace; `nftables` reads there."""

    async def start(flows: Sequence[Flow]) -> _KernelCapture:
        capture = _KernelCapture(nftables, netns)
        try:
            await capture.start(flows)
        except BaseException as error:
            await asyncio.shield(capture.stop())
            if isinstance(error, (NftError, NamespaceGoneError, OSError)):
                raise TraceError(f"nftables cannot trace here: {error}") from error
            raise
        return capture

    return Tracer(start)


@dataclass(slots=True)
class Sightings:
    """Messages by the packet that they are about.

    Attributes:
        packets: the messages of each, in order.
    """

    packets: list[list[TraceMessage]] = field(default_factory=list)
    _open: dict[int, list[TraceMessage]] = field(default_factory=dict)

    def take(self, message: TraceMessage) -> None:
        """Takes the next message: the first of a packet that was marked here, a later one, or one of another's."""
        if message.table == marks.TABLE and message.chain in (marks.FORTH, marks.BACK) and message.network:
            self._open.pop(message.id, None)
            if len(self.packets) < LIMIT:
                self._open[message.id] = [message]
                self.packets.append(self._open[message.id])
        elif (packet := self._open.get(message.id)) is not None:
            if len(packet) < MOST_MESSAGES:
                packet.append(message)
            if _is_last(message):
                del self._open[message.id]


def _is_last(message: TraceMessage) -> bool:
    if message.table == marks.TABLE:
        return message.kind == "policy" and message.chain in (marks.SENT, marks.TAKEN)
    return message.verdict == "drop"


class _KernelCapture:
    """A table that marks the packets of a flow, and a socket that hears what nftables tells of them."""

    lost = False

    def __init__(self, nftables: Nftables, netns: str) -> None:
        self._nftables = nftables
        self._netns = netns
        self._owner = Nftables(netns)
        self._socket: socket.socket | None = None
        self._sightings = Sightings()
        self._missed = False

    async def start(self, flows: Sequence[Flow]) -> None:
        """Begins.

        Raises:
            NamespaceGoneError: the node's namespace is gone.
            NftError, OSError: the kernel or the library cannot do that.
        """
        with entered(self._netns):
            heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
        self._socket = heard
        heard.setblocking(False)
        with contextlib.suppress(PermissionError):
            heard.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        heard.bind((0, 1 << (_GROUP - 1)))
        asyncio.get_running_loop().add_reader(heard, self._read)
        await asyncio.to_thread(self._owner.run, marks.commands(flows))

    async def packets(self) -> list[TracedPacket]:
        """What the messages say that were heard until now."""
        self._read()
        packets = [list(messages) for messages in self._sightings.packets]
        try:
            return await asyncio.to_thread(self._told, packets)
        except (KernelError, NamespaceGoneError, OSError) as error:
            raise TraceError(f"the kernel does not say what was traced: {error}") from error

    async def stop(self) -> None:
        """Marks no more; the kernel takes the table away with its owner's socket."""
        await asyncio.to_thread(self._owner.close)
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        if self._socket is None:
            return
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:  # ENOBUFS
                log.warning("a trace has gaps: the kernel tells of packets faster than they are read: %s", error)
                self._missed = True
                return
            for message in read(data, time.clock_gettime(time.CLOCK_BOOTTIME)):
                self._sightings.take(message)

    def _told(self, packets: Sequence[Sequence[TraceMessage]]) -> list[TracedPacket]:
        if not packets:
            return []
        with Netlink(self._netns) as netlink:
            around = look(netlink, self._nftables, [message for messages in packets for message in messages])
            found = [told(messages, around, missed=self._missed) for messages in packets]
        return [packet for packet in found if packet is not None]
