"""The messages of one VPP: their numbers, fields, and how to pack and unpack them.

Definitions come from the running VPP as JSON and are read by vpp_papi, each message when it is first used: a VPP has
a thousand, the driver needs some dozens. vpp_papi keeps one table of types for the whole process and never replaces
one in it; here every VPP has its own, so that one that was upgraded, or another one in a test, is understood.

Packing is the bulk of what a large transaction costs, and unpacking of what a large dump costs: both are compiled for
every message (`packing`, `unpacking`).
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vpp_papi import vpp_serializer
from vpp_papi.vpp_papi_async import VPPApiJSONFiles

from contivpp.dataplane.vpp.api import unpacking
from contivpp.dataplane.vpp.api.packing import Pack, compiled
from contivpp.dataplane.vpp.api.unpacking import Unpack

PING: Final = "control_ping"
PING_REPLY: Final = "control_ping_reply"
_HIDDEN: Final = frozenset({"_vl_msg_id", "client_index", "context"})
_BASE_TYPES: Final = frozenset(vpp_serializer.types)


@dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes:
        number: what this VPP calls it.
        definition: of vpp_papi.
        reply: the name of the message that answers it, "" when nothing does.
        details: the name of the messages that come before the answer; "" when there are none.
        pings: whether the end of the details is only known by the answer to a ping.
    """

    name: str
    number: int
    definition: Any
    reply: str
    details: str
    pings: bool

    @functools.cached_property
    def pack(self) -> Pack:
        """Makes the bytes of its fields."""
        return compiled(self.definition)

    @functools.cached_property
    def unpack(self) -> Unpack:
        """Makes the named tuple of its bytes."""
        return unpacking.compiled(self.definition)

    @functools.cached_property
    def fields(self) -> frozenset[str]:
        """The names of its fields, without those that every message has."""
        return frozenset(self.definition.fields) - _HIDDEN


class Definitions:
    """All messages of one VPP.

    Attributes:
        by_name: those that it has a definition and a number for.
    """

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """Takes the message table of the handshake: numbers by "<name>_<crc>"."""
        self._numbers = dict(numbers)
        self._known: dict[str, tuple[int, list[Any]]] = {}
        self._names: dict[int, str] = {}
        self._services: dict[str, Mapping[str, Any]] = {}
        self._types: dict[str, Any] = {}
        self.by_name: Mapping[str, Message] = _Messages(self._known, self._message)

    def learn(self, json_text: str, *, is_array: bool) -> None:
        """Takes definitions; those that this VPP does not have in this form are left out.

        Raises:
            ValueError: the text is not what it should be.
        """
        found = json.loads(json_text)
        with self.registered():
            for api in found if is_array else [found]:
                VPPApiJSONFiles._process_json({**api, "messages": []})
        for api in found if is_array else [found]:
            self._services.update(api.get("services", {}))
            for name, *definition in api.get("messages", []):
                number = self._numbers.get(f"{name}_{checksum(definition)}", 0)
                if number > 0:
                    self._known[name] = (number, definition)
                    self._names[number] = name

    def numbered(self, number: int) -> Message | None:
        """The message with a number; None when its form is not known."""
        name = self._names.get(number)
        return None if name is None else self.by_name[name]

    def type(self, name: str) -> Any | None:
        """vpp_papi's definition of a type, by its full name such as "vl_api_prefix_t"."""
        return self._types.get(name) or vpp_serializer.types.get(name)

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        """Puts the types of this VPP into vpp_papi's table, for as long as it reads or packs with them."""
        table: dict[str, Any] = vpp_serializer.types
        others = {name: kind for name, kind in table.items() if name not in _BASE_TYPES}
        for name in others:
            del table[name]
        table.update(self._types)
        try:
            yield
        finally:
            for name in [name for name in table if name not in _BASE_TYPES]:
                self._types[name] = table.pop(name)
            table.update(others)

    def _message(self, name: str) -> Message:
        number, definition = self._known[name]
        with self.registered():
            made = vpp_serializer.VPPMessage(name, definition)
        service = self._services.get(name, {})
        reply, streams, details = service.get("reply", ""), bool(service.get("stream")), service.get("stream_msg", "")
        if streams and not details:
            return Message(name, number, made, PING_REPLY, reply, pings=True)
        return Message(name, number, made, "" if reply == "null" else reply, details, pings=False)


class _Messages(Mapping[str, Message]):
    """Messages by name, made when they are first asked for."""

    def __init__(self, known: Mapping[str, Any], make: Any) -> None:
        self._known = known
        self._make = make
        self._made: dict[str, Message] = {}

    def __getitem__(self, name: str) -> Message:
        made = self._made.get(name)
        if made is None:
            if name not in self._known:
                raise KeyError(name)
            made = self._made[name] = self._make(name)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def checksum(definition: list[Any]) -> str:
    """Of a message's definition in JSON, what its name in the message table ends with."""
    for item in definition:
        if isinstance(item, dict) and "crc" in item:
            return str(item["crc"]).removeprefix("0x")
    return ""
