"""The socket protocol of VPP's binary API, from the other side, with definitions made from the contract.

Requests are unpacked by vpp_papi, and answers packed by the driver's own packer, so that each direction of the driver
is held to vpp_papi. Requests of a connection are carried out one after the other, as VPP does.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import os
import random
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vpp_papi import vpp_serializer

from contivpp.dataplane.vpp.api.definitions import Definitions, Message, checksum
from contivpp.dataplane.vpp.contract.apijson import descriptions
from contivpp.dataplane.vpp.contract.model import Contract
from tests.standin import handlers
from tests.standin.faults import Fault, Faults, Kind
from tests.standin.state import State

FRAME = struct.Struct(">QII")
NUMBER = struct.Struct(">H")
GO_ON = -165
OWN = ("want_interface_events",)
"""The messages of the contract that the server answers itself."""
WHOLE = frozenset({"ip_route_add_del_v2"})
"""What VPP checks first and then does: with an error as its answer it is not done, nor was half of it."""
_HANDSHAKE = {"sockclnt_create": 15, "sockclnt_create_reply": 16}


class Language:
    """The messages that a stand-in speaks: numbers, definitions, and the text that it describes them with."""

    def __init__(self, contract: Contract) -> None:
        text = importlib.resources.files("vpp_papi.data").joinpath("memclnt.api.json").read_text(encoding="utf-8")
        described = descriptions(contract)
        self.text = json.dumps(described)
        numbers: dict[str, int] = {}
        for module in (json.loads(text), *described):
            for name, *definition in module["messages"]:
                numbers[f"{name}_{checksum(definition)}"] = _HANDSHAKE.get(name, len(numbers) + 100)
        self.table = [{"index": number, "name": name} for name, number in numbers.items()]
        self.definitions = Definitions(numbers)
        self.definitions.learn(text, is_array=False)
        self.definitions.learn(self.text, is_array=True)
        for message in self.definitions.by_name.values():
            _ = message.pack, message.definition  # all are made now, and not in another thread later
        self.unions = {
            name: max(kind.packers, key=lambda arm, kind=kind: kind.packers[arm].size)
            for name in (f"vl_api_{name}_t" for name, one in contract.types.items() if one.kind == "union")
            if isinstance(kind := self.definitions.type(name), vpp_serializer.VPPUnionType)
        }

    def plain(self, value: Any) -> Any:
        """What was unpacked, as it can be packed again."""
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            if arm := self.unions.get(type(value).__name__):
                return {arm: getattr(value, arm)}
            return {name: self.plain(field) for name, field in value._asdict().items()}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.plain(field) for name, field in value.items()}
        return value


class Server:
    """One life of a stand-in: from its start to its death.

    Attributes:
        seen: the names of all requests, in the order of their arrival.
        most_unanswered: the largest number of requests that a connection had open at once.
    """

    def __init__(
        self, language: Language, state: State, faults: Faults, *, page: int = 0, died: Callable[[], None] | None = None
    ) -> None:
        self.language = language
        self.state = state
        self.faults = faults
        self.page = page
        self.frozen = False
        self.dead = False
        self.seen: list[str] = []
        self.most_unanswered = 0
        self.sessions: dict[Session, None] = {}
        self.handlers = handlers.learn()
        state.using, state.forgetting = handlers.USING, handlers.FORGETTING
        state.emit = self.emit
        self._died = died
        self._server: asyncio.Server | None = None

    async def start(self, path: Path) -> None:
        """Listens."""
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: Session(self), str(path))

    def stop(self) -> None:
        """Goes away at once, as a process does that is killed."""
        self.dead = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self.sessions):
            session.transport.abort()

    def die(self) -> None:
        """Goes away by a fault."""
        self.stop()
        if self._died is not None:
            self._died()

    def freeze(self, frozen: bool) -> None:
        """Answers nobody, or everybody again; what arrived meanwhile is carried out, though nobody may wait for it."""
        self.frozen = frozen
        for session in list(self.sessions):
            session.work()

    def emit(self, name: str, **fields: Any) -> None:
        """Sends an event to who asked for its kind."""
        for session in self.sessions:
            if name in session.wants:
                session.send(name, fields)

    def count(self) -> Counter[str]:
        """How often each request arrived."""
        return Counter(self.seen)


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._rest = bytearray()
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self.wants: set[str] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._server.sessions[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._waiting or self._server.dead:
            self._server.sessions.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        at = 0
        while len(self._rest) - at >= FRAME.size:
            length = FRAME.unpack_from(self._rest, at)[1]
            if len(self._rest) - at - FRAME.size < length:
                break
            at += FRAME.size
            self._waiting.append(bytes(self._rest[at : at + length]))
            at += length
        del self._rest[:at]
        open_now = len({one[6:10] for one in self._waiting}) + self._paused  # a dump and its ping have one context
        self._server.most_unanswered = max(self._server.most_unanswered, open_now)
        self.work()

    def work(self) -> None:
        """Carries out what waits, until something holds it up."""
        while self._waiting and not self._paused and not self._server.frozen and not self._server.dead:
            self._take(self._waiting.popleft())
        if self.transport.is_closing() and not self._waiting:
            self._server.sessions.pop(self, None)

    def send(self, name: str, fields: Mapping[str, Any]) -> None:
        """Sends one message, if there is still somebody."""
        if self.transport.is_closing():
            return
        message = self._server.language.definitions.by_name[name]
        known = {one: value for one, value in fields.items() if one in message.fields or one == "context"}
        packed = message.pack({**self._server.language.plain(known), "_vl_msg_id": message.number})
        self.transport.write(FRAME.pack(0, len(packed), 0) + packed)

    # ---- requests

    def _take(self, frame: bytes) -> None:
        message = self._server.language.definitions.numbered(NUMBER.unpack_from(frame)[0])
        assert message is not None, "a request that the stand-in never said it has"
        request, _ = message.definition.unpack(frame)
        self._server.seen.append(message.name)
        fault = self._server.faults.take(message.name)
        if fault is not None and not self._meet(fault, message, request):
            return
        self._answer(message, request, fault)

    def _meet(self, fault: Fault, message: Message, request: Any) -> bool:
        """Does what goes wrong; whether there is an answer now."""
        server = self._server
        if fault.kind is Kind.DELAY:
            self._paused = True
            asyncio.get_running_loop().call_later(fault.seconds, self._resume, message, request)
            return False
        if fault.kind is Kind.FAIL:
            return True
        if fault.done:
            self._carry_out(message, request)
        if fault.kind is Kind.HANG:
            server.frozen = True
        elif fault.kind is Kind.DIE:
            server.die()
        else:
            self.transport.write(random.Random(7).randbytes(4096))
        return False

    def _resume(self, message: Message, request: Any) -> None:
        self._paused = False
        if not self._server.dead:
            self._answer(message, request, None)
            self.work()

    def _answer(self, message: Message, request: Any, fault: Fault | None) -> None:
        retval, result = 0, None
        if message.pings:
            fault = None  # a dump that ends with the answer to a ping has no way to say that it failed
        if fault is None or (fault.done and message.name not in WHOLE):
            retval, result = self._carry_out(message, request)
        if fault is not None:
            retval, result = fault.retval, None
        context = {"context": request.context}
        if message.pings:
            for detail in result or ():
                self.send(message.details, {**detail, **context})
        elif message.details:
            details, more = self._paged(list(result or ()), request)
            for detail in details:
                self.send(message.details, {**detail, **context})
            self.send(message.reply, {**context, "retval": retval, **more})
        elif message.reply:
            self.send(message.reply, {**(result or {}), **context, "retval": retval})

    def _carry_out(self, message: Message, request: Any) -> tuple[int, Any]:
        own = getattr(self, f"_on_{message.name}", None)
        try:
            if own is not None:
                return 0, own(request)
            handler = self._server.handlers.get(message.name)
            if handler is None:
                return handlers.NUMBERS["UNIMPLEMENTED"], None
            result = handler(self._server.state, request)
            return 0, list(result) if message.details else result
        except handlers.Refused as error:
            return error.retval, None

    def _paged(self, details: list[Any], request: Any) -> tuple[Iterable[Any], dict[str, Any]]:
        """The part of a list that a cursor asks for, and where to go on."""
        page, start = self._server.page, getattr(request, "cursor", 0)
        if not page or start + page >= len(details):
            return details[start:], {}
        return details[start : start + page], {"retval": GO_ON, "cursor": start + page}

    # ---- what belongs to the connection itself

    def _on_sockclnt_create(self, request: Any) -> dict[str, Any]:
        table = self._server.language.table
        return {"response": 0, "index": 1, "count": len(table), "message_table": table}

    def _on_get_api_json(self, request: Any) -> dict[str, Any]:
        return {"json": self._server.language.text}

    def _on_control_ping(self, request: Any) -> dict[str, Any]:
        return {"vpe_pid": os.getpid()}

    def _on_memclnt_keepalive_reply(self, request: Any) -> None:
        return None

    def _on_want_interface_events(self, request: Any) -> None:
        (self.wants.add if request.enable_disable else self.wants.discard)("sw_interface_event")
