"""How commands read a port and the name of an object, wherever one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from contivpp.netctl.errors import UsageError
from contivpp.policies.model import LAST_PORT

_Protocol = TypeVar("_Protocol", bound=str)


def port_of(text: str, protocols: Sequence[_Protocol]) -> tuple[_Protocol, int]:
    """The protocol and the number of a port, "80/udp"; without a protocol it is of TCP.

    Args:
        text: what was asked for.
        protocols: those that the command knows, in small letters.

    Raises:
        UsageError: it is no such port.
    """
    number, protocol = split_port(text)
    known = next((one for one in protocols if one == protocol), None)
    if known is None or not (number.isascii() and number.isdigit() and 1 <= int(number) <= LAST_PORT):
        examples = ", ".join(f"80/{one}" for one in protocols)
        raise UsageError(f"--port {text}: give it as {examples}; 80 is 80/tcp")
    return known, int(number)


def split_port(text: str) -> tuple[str, str]:
    """What stands before and after the slash of a port, the protocol in small letters, "tcp" when there is none."""
    number, _, protocol = text.partition("/")
    return number, protocol.lower() or "tcp"


def namespaced(name: str) -> str:
    """An object's full name: one without a namespace is in "default", as kubectl has it."""
    return name if "/" in name else f"default/{name}"
