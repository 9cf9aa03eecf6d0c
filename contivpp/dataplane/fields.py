"""Fields of values that somebody else asks for: what each may be, in the form in which it is given back.

Every function raises ValueError with a sentence that names the field and the remedy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

UINT32: Final = (1 << 32) - 1
VNI: Final = (1 << 24) - 1
MTU: Final = (68, 65535)
_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_KERNEL_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


def within(field: str, number: int, first: int, last: int) -> None:
    """A number from `first` to `last`."""
    if not first <= number <= last:
        message = f"field {field}: {number} is not between {first} and {last}: write one that is"
        raise ValueError(message)


def power_of_two(field: str, number: int, first: int, last: int) -> None:
    """A power of two from `first` to `last`."""
    within(field, number, first, last)
    if number & (number - 1):
        nearest = 1 << number.bit_length() - 1
        message = f"field {field}: {number} is not a power of two: write {nearest}"
        raise ValueError(message)


def one_of(field: str, text: str, choices: Collection[str]) -> None:
    """One of a few words."""
    if text not in choices:
        message = f"field {field}: {text!r} is none of {', '.join(choices)}: write one of them"
        raise ValueError(message)


def subnet(field: str, text: str) -> str:
    """A subnet without bits behind its prefix."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        message = f"field {field}: {text!r} is not a subnet: write one such as 10.9.0.0/16"
        raise ValueError(message) from None
    message = f"field {field}: {text} has bits set behind its prefix: write {meant}"
    raise ValueError(message)


def address_with_prefix(field: str, text: str) -> str:
    """An address with prefix length."""
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError:
        message = f"field {field}: {text!r} is not an address with prefix length: write one such as 10.9.0.1/16"
        raise ValueError(message) from None


def address(field: str, text: str, version: int = 0) -> str:
    """An address, of one IP version when that is given."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        message = f"field {field}: {text!r} is not an address: write one such as 10.9.0.1"
        raise ValueError(message) from None
    if version and found.version != version:
        message = f"field {field}: {text} is not of the IP family of the destination: write one of IPv{version}"
        raise ValueError(message)
    return str(found)


def mac(field: str, text: str) -> str:
    """A MAC address, in small letters."""
    if not _MAC.fullmatch(text.lower()):
        message = f"field {field}: {text!r} is not a MAC address: write one such as 02:00:00:00:00:01"
        raise ValueError(message)
    return text.lower()


def kernel_name(field: str, name: str) -> None:
    """The kernel's name of a link."""
    if not _KERNEL_NAME.fullmatch(name) or name in (".", ".."):
        message = f"field {field}: {name!r} is not the name of a link: write 1 to 15 letters, digits, dots, dashes"
        raise ValueError(message)
