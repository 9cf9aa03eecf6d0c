"""Blocks of addresses as ranges without excepts: in order, and apart from each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from contivpp.policies.model import Block

BITS: Final = {4: 32, 6: 128}
Range = tuple[int, int]
"""The first and the last address, as numbers."""


def version_of(text: str) -> int:
    """The IP version of an address or a subnet."""
    return 6 if ":" in text else 4


def ranges(blocks: Iterable[Block]) -> list[Range]:
    """All that is in any of the blocks, which are of one IP version."""
    found: list[Range] = []
    for block in blocks:
        first, last = _ends(block.cidr)
        for inner in sorted(map(_ends, block.excepts)):
            if inner[0] > first:
                found.append((first, inner[0] - 1))
            first = max(first, inner[1] + 1)
        if first <= last:
            found.append((first, last))
    result: list[Range] = []
    for first, last in sorted(found):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def subnets(found: Iterable[Range], version: int) -> Iterator[str]:
    """Ranges of an IP version as subnets."""
    for first, last in found:
        if version == 4:
            yield from map(
                str, ipaddress.summarize_address_range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last))
            )
        else:
            yield from map(
                str, ipaddress.summarize_address_range(ipaddress.IPv6Address(first), ipaddress.IPv6Address(last))
            )


def texts(found: Iterable[Range], version: int) -> Iterator[str]:
    """Ranges of an IP version as "first-last", or as single addresses."""
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    for first, last in found:
        yield str(kind(first)) if first == last else f"{kind(first)}-{kind(last)}"


def _ends(cidr: str) -> Range:
    network = ipaddress.ip_network(cidr)
    return int(network.network_address), int(network.broadcast_address)
