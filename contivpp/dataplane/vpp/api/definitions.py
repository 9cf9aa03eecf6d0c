"""The messages of one VPP: their numbers, fields, and how to pack and unpack them.

Definitions come from the running VPP as JSON and are read by vpp_papi. Packing is the bulk of what a large
transaction costs, and unpacking of what a large dump costs, so both are compiled for each message (`packing`,
`unpacking`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vpp_papi.vpp_papi_async import VPPApiJSONFiles

from contivpp.dataplane.vpp.api import unpacking
from contivpp.dataplane.vpp.api.packing import Pack, compiled
from contivpp.dataplane.vpp.api.unpacking import Unpack

PING: Final = "control_ping"
PING_REPLY: Final = "control_ping_reply"
_HIDDEN: Final = frozenset({"_vl_msg_id", "client_index", "context"})


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
    """All messages of one VPP by name and by number."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """Takes the message table of the handshake: numbers by "<name>_<crc>"."""
        self._numbers = dict(numbers)
        self.by_name: dict[str, Message] = {}
        self.by_number: dict[int, Message] = {}

    def learn(self, json_text: str, *, is_array: bool) -> None:
        """Takes definitions; those that this VPP does not have in this form are left out."""
        if is_array:
            messages, services = VPPApiJSONFiles.process_json_array_str(json_text)
        else:
            messages, services = VPPApiJSONFiles.process_json_str(json_text)
        for name, definition in messages.items():
            number = self._numbers.get(f"{name}_{definition.crc.removeprefix('0x')}", 0)
            if number > 0:
                message = _message(name, number, definition, services.get(name, {}))
                self.by_name[name] = message
                self.by_number[number] = message

    def lacks(self, wanted: Mapping[str, Iterable[str]]) -> list[str]:
        """What is missing of these messages with these fields, for people."""
        missing = []
        for name, fields in sorted(wanted.items()):
            message = self.by_name.get(name)
            if message is None:
                missing.append(f"message {name}")
                continue
            missing += [f"field {field} of {name}" for field in sorted(set(fields) - message.fields)]
        return missing


def _message(name: str, number: int, definition: Any, service: Mapping[str, Any]) -> Message:
    reply, streams, details = service.get("reply", ""), bool(service.get("stream")), service.get("stream_msg", "")
    if streams and not details:
        return Message(name, number, definition, PING_REPLY, reply, pings=True)
    reply = "" if reply == "null" else reply
    return Message(name, number, definition, reply, details, pings=False)
