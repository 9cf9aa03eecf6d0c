"""Addresses and subnets as options hold them: text that is parsed, or a mistake at the option."""

from __future__ import annotations

import ipaddress

from contivpp.model.addressplan import Address, Interface, Network
from contivpp.model.options import Problems


def split(text: str) -> list[str]:
    """The members of a list in one text, separated by commas; "" has none."""
    return [part.strip() for part in text.split(",")] if text else []


def subnet_of(option: str, value: str, problems: Problems) -> Network | None:
    """A subnet with prefix length; host bits are allowed and cut off, as in the original."""
    if problems.at(option):
        return None
    address, _, length = value.partition("/")
    if length.isascii() and length.isdigit() and "%" not in address:
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            pass
    problems.add(option, f"failed to parse {value!r}; write a subnet with its prefix length, such as 10.1.0.0/16")
    return None


def interface_of(option: str, value: str, problems: Problems) -> Interface | None:
    """An address with prefix length."""
    if problems.at(option):
        return None
    if subnet_of(option, value, Problems()) is not None:
        return ipaddress.ip_interface(value)
    problems.add(option, f"failed to parse {value!r}; write an address with its prefix length, such as 10.0.0.5/24")
    return None


def address_of(option: str, value: str, problems: Problems) -> Address | None:
    """An address without prefix length."""
    if problems.at(option):
        return None
    try:
        if "%" not in value:
            return ipaddress.ip_address(value)
    except ValueError:
        pass
    problems.add(option, f"failed to parse {value!r}; write an address without prefix length, such as 10.0.0.1")
    return None
