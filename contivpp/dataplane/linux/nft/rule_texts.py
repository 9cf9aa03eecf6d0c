"""The rules of all tables as people write them, by what the kernel calls them in a trace.

One listing of everything, without what is in sets: of a single chain libnftables (1.0.6) would read the elements of
its whole table, which takes a second and more where there are many services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from contivpp.dataplane.linux.nft.library import Nftables

Place = tuple[str, str, str, int]
"""Family, table, chain and handle."""

_TABLE: Final = re.compile(r"^table (\S+) (\S+) \{")
_CHAIN: Final = re.compile(r"^\tchain (\S+) \{")
_RULE: Final = re.compile(r"^(.*?)(?: comment \"[^\"]*\")? # handle (\d+)$")
_OF_THE_CHAIN: Final = re.compile(r"(type .*|comment \".*\"|policy .*)$")


def read(nftables: Nftables) -> dict[Place, str]:
    """Every rule of the namespace.

    Raises:
        NftError: they cannot be read.
    """
    return dict(parse(nftables.text("list ruleset")))


def parse(text: str) -> Iterator[tuple[Place, str]]:
    """The rules in a listing with handles; a long one goes over several lines."""
    family = table = chain = ""
    parts: list[str] = []
    for line in text.splitlines():
        if match := _TABLE.match(line):
            family, table = match.groups()
        elif match := _CHAIN.match(line):
            chain, parts = match[1], []
        elif line == "\t}":
            chain = ""
        elif chain:
            parts.append(line.strip())
            rule = " ".join(parts)
            if match := _RULE.match(rule):
                yield (family, table, chain, int(match[2])), match[1]
                parts = []
            elif len(parts) == 1 and _OF_THE_CHAIN.match(rule):
                parts = []
