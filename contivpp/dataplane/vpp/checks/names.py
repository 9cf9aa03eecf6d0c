"""Names and numbers that many values have."""

from __future__ import annotations

import re
from typing import Final

from contivpp.dataplane import fields

DOMAIN_NUMBERS: Final = (1, (1 << 24) - 1)
MEMIF_NUMBERS: Final = (1, fields.UINT32 - 1)
_LOGICAL_NAME: Final = re.compile(r"[A-Za-z0-9_./@:-]{1,40}")


def logical_name(field: str, name: str) -> None:
    """A name of ours, which VPP has to keep in a tag with what else is written there."""
    if not _LOGICAL_NAME.fullmatch(name):
        message = f"field {field}: {name!r} is not a name: write 1 to 40 letters, digits, dots, dashes, slashes"
        raise ValueError(message)


def other(field: str, name: str, interface: str) -> None:
    """The name of another interface than `interface`."""
    logical_name(field, name)
    if name == interface:
        message = f"field {field}: {name} is the interface itself: name another one"
        raise ValueError(message)


def table(field: str, number: int, *, first: int = 0) -> None:
    """The number of a table."""
    fields.within(field, number, first, fields.UINT32 - 1)


def hop(text: str, version: int) -> str:
    """A next hop, or none."""
    return fields.address("via", text, version) if text else ""


def printable(field: str, text: str, longest: int) -> None:
    """Text that VPP keeps in a fixed number of bytes."""
    if len(text.encode()) > longest or not text.isprintable():
        message = f"field {field}: {text!r} is longer than {longest} bytes, or not printable: shorten it"
        raise ValueError(message)
