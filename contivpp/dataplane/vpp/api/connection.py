"""One connection to one VPP: requests go out in a pipeline, answers come back to whoever waits for them.

vpp_papi brings the definitions and the serialisation. Its client is not used: an event ends its reader, a peer that
dies leaves every caller waiting, and a call has no timeout. Here one watchdog serves all calls: when VPP owes an
answer and says nothing for too long, the connection is broken and every waiting call fails at once.

Whoever sends shares one window of unanswered requests. A caller may stop waiting at any time: what it sent is carried
out, and its place in the window is free again once VPP has answered.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import itertools
import logging
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client import Counter

from contivpp.dataplane.vpp.api.definitions import PING, Definitions, Message
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused, VppUnsendable

log = logging.getLogger(__name__)

WINDOW: Final = 256
"""Requests of one connection that may be unanswered at once; more would only wait inside VPP's socket buffers."""
EVENTS_LOST = Counter("contiv_agent_vpp_events_lost", "Events of VPP that nobody took in time")
_FRAME: Final = struct.Struct(">QII")
_PEER: Final = struct.Struct("=iII")
_NUMBER: Final = struct.Struct(">H")
_CREATE: Final = 15  # the numbers of the handshake are fixed in VPP
_CREATED: Final = 16
_HANDSHAKE: Final = {"sockclnt_create_455fb9c4": _CREATE, "sockclnt_create_reply_35166268": _CREATED}
_EVENTS: Final = 10_000
_LONGEST_FRAME: Final = 64 << 20  # definitions of all messages are 2 MB
_GO_ON: Final = -165  # "there is more, ask again from this cursor"

Fields = Mapping[str, Any]


@dataclass(slots=True)
class _Waiting:
    """A request that is not answered yet."""

    message: Message
    answer: asyncio.Future[Any]
    details: list[Any] = field(default_factory=list)


class Connection:
    """An open connection; `open` makes one.

    Attributes:
        definitions: the messages of this VPP.
        events: messages that nobody asked for, such as sw_interface_event; when nobody takes them the oldest go.
        closed: set once the connection is over; `reason` says why.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, timeout: float) -> None:
        """Takes the open socket, and after how many seconds without an answer VPP counts as hung."""
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._contexts = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._window = asyncio.Semaphore(WINDOW)
        self._heard = time.monotonic()
        self._client = 0
        self._lost = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.definitions = Definitions({})
        self.events: asyncio.Queue[Any] = asyncio.Queue(_EVENTS)
        self.closed = asyncio.Event()
        self.reason = ""

    @property
    def process(self) -> int:
        """The ID of VPP's process; 0 when it cannot be seen from here."""
        socket_of = self._writer.get_extra_info("socket")
        return int(_PEER.unpack(socket_of.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0])

    @classmethod
    async def open(cls, path: Path, name: str, *, timeout: float = 5.0) -> Self:
        """Connects, and learns the messages of this VPP.

        Raises:
            VppDown: nobody listens there, or nobody answers.
        """
        writer = None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(str(path))
                connection = cls(reader, writer, timeout=timeout)
                await connection._shake_hands(name)
        except TimeoutError:
            _abort(writer)
            raise VppDown(f"VPP at {path} does not answer within {timeout:g} s: is it hung?") from None
        except (OSError, EOFError) as error:
            _abort(writer)
            raise VppDown(f"VPP at {path}: {_why(error)}: is it running?") from error
        except Exception as error:
            _abort(writer)
            raise VppDown(f"what listens at {path} does not speak VPP's protocol: {error}") from error
        except BaseException:
            _abort(writer)
            raise
        connection._tasks = [
            asyncio.create_task(connection._read(), name="vpp-reader"),
            asyncio.create_task(connection._watch(), name="vpp-watchdog"),
        ]
        try:
            answer = await connection.call("get_api_json")
            connection.definitions.learn(answer.json, is_array=True)
        except (ValueError, LookupError, TypeError) as error:
            await connection.close()
            raise VppDown(f"VPP at {path} describes its messages in a way that cannot be read: {error}") from error
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        """Ends the connection; what waits fails."""
        self._break("the connection was closed")
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # ---- requests

    async def call(self, name: str, **fields: Any) -> Any:
        """One request and its reply.

        Raises:
            VppRefused: the reply has an error.
            VppDown: there was none.
            VppError: there is no such message.
        """
        return _checked(name, (await (await self._send(name, fields)))[1])

    async def dump(self, name: str, **fields: Any) -> list[Any]:
        """Everything that a dump lists, whatever number of parts it comes in; raises as `call` does."""
        found: list[Any] = []
        while True:
            details, reply = await (await self._send(name, fields))
            found += details
            if getattr(reply, "retval", 0) != _GO_ON:
                _checked(name, reply)
                return found
            fields["cursor"] = reply.cursor

    async def batch(self, requests: Sequence[tuple[str, Fields]]) -> list[Any | VppRefused]:
        """Many requests in a pipeline; their replies, or the error of each, in the order of the requests.

        Raises:
            VppDown: the connection broke; some may have been carried out.
            VppError: there is no such message, or it has no such field.
        """
        answers: list[asyncio.Future[Any]] = []
        for position, (name, fields) in enumerate(requests):
            try:
                answers.append(await self._send(name, fields))
            except VppUnsendable as error:
                failed = asyncio.get_running_loop().create_future()
                failed.set_result(([], error))
                answers.append(failed)
            if position % (WINDOW // 4) == 0:
                await self._drain()
        results: list[Any | VppRefused] = []
        for (name, _), answer in zip(requests, answers, strict=True):
            try:
                reply = (await answer)[1]
                results.append(reply if isinstance(reply, VppRefused) else _checked(name, reply))
            except VppRefused as error:
                results.append(error)
        return results

    async def _send(self, name: str, fields: Fields) -> asyncio.Future[Any]:
        """Sends a request once there is room for it; the future has its details and its reply."""
        await self._window.acquire()
        context = next(self._contexts) & 0xFFFFFFFF
        try:
            if self._writer.transport.is_closing():
                self._break("VPP went away: it closed the connection")
            if self.closed.is_set():
                raise VppDown(self.reason)
            message = self.definitions.by_name.get(name)
            if message is None:
                raise VppError(f"this VPP has no message {name}")
            if unknown := set(fields) - message.fields:
                raise VppError(f"{name} has no field {', '.join(sorted(unknown))}")
            if not self._waiting:
                self._heard = time.monotonic()
            self._write(message, {**fields, "context": context})
            if message.pings:
                self._write(self.definitions.by_name[PING], {"context": context})
        except BaseException:
            self._window.release()
            raise
        waiting = _Waiting(message, asyncio.get_running_loop().create_future())
        if message.reply:
            self._waiting[context] = waiting
        else:
            self._window.release()
            waiting.answer.set_result(([], None))
        return waiting.answer

    def _write(self, message: Message, fields: Fields) -> None:
        try:
            packed = message.pack({**fields, "_vl_msg_id": message.number, "client_index": self._client})
        except ValueError as error:
            raise VppUnsendable(str(error)) from error
        self._writer.write(_FRAME.pack(0, len(packed), 0) + packed)

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            self._break(f"VPP went away: {_why(error)}")
            raise VppDown(self.reason) from error

    # ---- answers

    async def _shake_hands(self, name: str) -> None:
        text = importlib.resources.files("vpp_papi.data").joinpath("memclnt.api.json").read_text(encoding="utf-8")
        handshake = Definitions(_HANDSHAKE)
        handshake.learn(text, is_array=False)
        packed = handshake.by_name["sockclnt_create"].pack({"_vl_msg_id": _CREATE, "name": name})
        self._writer.write(_FRAME.pack(0, len(packed), 0) + packed)
        await self._writer.drain()
        frame = await self._frame()
        if _NUMBER.unpack_from(frame)[0] != _CREATED:
            raise OSError(f"answers message {_NUMBER.unpack_from(frame)[0]} to a handshake: not VPP's API socket")
        reply, _ = handshake.by_name["sockclnt_create_reply"].definition.unpack(frame)
        self._client = reply.index
        self.definitions = Definitions({entry.name: entry.index for entry in reply.message_table})
        self.definitions.learn(text, is_array=False)

    async def _frame(self) -> bytes:
        _, length, _ = _FRAME.unpack(await self._reader.readexactly(_FRAME.size))
        if not _NUMBER.size <= length <= _LONGEST_FRAME:
            raise ValueError(f"a frame of {length} bytes")
        return await self._reader.readexactly(length)

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._frame())
        except (OSError, EOFError) as error:
            self._break(f"VPP went away: {_why(error)}")
        except Exception as error:
            self._break(f"VPP sent what cannot be read: {type(error).__name__}: {error}")

    def _take(self, frame: bytes) -> None:
        self._heard = time.monotonic()
        message = self.definitions.numbered(_NUMBER.unpack_from(frame)[0])
        if message is None:
            return  # a message whose form is not known: nobody here waits for it
        item = message.unpack(frame)
        waiting = self._waiting.get(getattr(item, "context", 0))
        if waiting is None or message.name not in (waiting.message.reply, waiting.message.details):
            if message.name == "memclnt_keepalive":
                self._write(self.definitions.by_name["memclnt_keepalive_reply"], {"context": item.context})
            else:
                self._note_event(item)
        elif message.name == waiting.message.details:
            waiting.details.append(item)
        else:
            del self._waiting[item.context]
            self._window.release()
            if not waiting.answer.done():
                waiting.answer.set_result((waiting.details, item))

    def _note_event(self, item: Any) -> None:
        if self.events.full():
            if not self._lost:
                log.warning("events of VPP are lost: nobody takes them")
            self._lost += 1
            EVENTS_LOST.inc()
            self.events.get_nowait()
        self.events.put_nowait(item)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._timeout / 10)
            if self._waiting and time.monotonic() - self._heard > self._timeout:
                self._break(f"VPP hangs: no answer for {self._timeout:g} s to {self._oldest()}")
                return

    def _oldest(self) -> str:
        return next(iter(self._waiting.values())).message.name

    def _break(self, reason: str) -> None:
        if self.closed.is_set():
            return
        self.reason = reason
        self.closed.set()
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            self._window.release()
            if not one.answer.done():
                one.answer.set_exception(VppDown(reason))
                one.answer.exception()  # somebody may have stopped waiting
        _abort(self._writer)


def _checked(name: str, reply: Any) -> Any:
    retval = getattr(reply, "retval", 0)
    if retval < 0:
        raise VppRefused(name, retval, reply)
    return reply


def _abort(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.transport.abort()


def _why(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return "it closed the connection"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
