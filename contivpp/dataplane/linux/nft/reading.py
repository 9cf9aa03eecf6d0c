"""What is in our table, from the library's listing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.dataplane.linux.nft.library import Nftables
from contivpp.dataplane.linux.nft.values import TABLE

_PROTOCOLS: Final = {6: "tcp", 17: "udp", 132: "sctp"}
_VERDICTS: Final = ("accept", "drop", "continue", "return")


@dataclass(slots=True)
class FoundSet:
    """A set or map; `elements` by key with their data, "" in a set; `timeout` in seconds.

    `link_parts` says which parts of a key are names of links.
    """

    kind: str
    comment: str
    timeout: int
    elements: Mapping[str, str]
    link_parts: tuple[int, ...] = ()


@dataclass(slots=True)
class FoundChain:
    """A chain; `comments` are those of its rules, in order."""

    base: str
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FoundTable:
    """Everything in our table, by name."""

    sets: dict[str, FoundSet] = field(default_factory=dict)
    chains: dict[str, FoundChain] = field(default_factory=dict)


class TableReader:
    """Reads the table; who asks while it is being read gets the same answer."""

    def __init__(self, nftables: Nftables) -> None:
        """Takes the library's context."""
        self._nftables = nftables
        self._reading: asyncio.Task[FoundTable] | None = None

    async def read(self) -> FoundTable:
        """Everything in the table.

        Raises:
            NftError: it cannot be read.
        """
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read), name="read-nftables")
            self._reading.add_done_callback(self._read_it)
        return await asyncio.shield(self._reading)

    def _read_it(self, _: object) -> None:
        self._reading = None

    def _read(self) -> FoundTable:
        return parse(self._nftables.list(f"list table {TABLE}"))


def parse(listing: Sequence[Mapping[str, Any]]) -> FoundTable:
    """The table from a listing in JSON."""
    table = FoundTable()
    for item in listing:
        for kind, found in item.items():
            if kind in ("set", "map"):
                table.sets[found["name"]] = FoundSet(
                    kind, found.get("comment", ""), found.get("timeout", 0), _elements(found), _places("ifname", found)
                )
            elif kind == "chain":
                table.chains[found["name"]] = FoundChain(_base(found))
            elif kind == "rule":
                table.chains[found["chain"]].comments.append(found.get("comment", ""))
    return table


def _base(chain: Mapping[str, Any]) -> str:
    if "hook" not in chain:
        return ""
    return f"type {chain['type']} hook {chain['hook']} priority {chain['prio']}; policy {chain['policy']}"


def _places(kind: str, found: Mapping[str, Any]) -> tuple[int, ...]:
    """Which parts of the keys of a set are of a type."""
    types = found["type"] if isinstance(found["type"], list) else [found["type"]]
    return tuple(place for place, name in enumerate(types) if name == kind)


def _elements(found: Mapping[str, Any]) -> dict[str, str]:
    protocols = frozenset(_places("inet_proto", found))
    if "map" not in found:
        return {_key(item, protocols): "" for item in found.get("elem", ())}
    return {_key(key, protocols): _text(data) for key, data in found.get("elem", ())}


def _key(item: Any, protocols: frozenset[int]) -> str:
    """An element's key; protocols are known by their place."""
    if isinstance(item, dict):
        if "elem" in item:
            return _key(item["elem"]["val"], protocols)
        if "concat" in item:
            return " . ".join(
                _PROTOCOLS.get(part, str(part)) if place in protocols else _text(part)
                for place, part in enumerate(item["concat"])
            )
    return _PROTOCOLS.get(item, str(item)) if 0 in protocols and isinstance(item, int) else _text(item)


def _text(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    if "concat" in item:
        return " . ".join(map(_text, item["concat"]))
    if "prefix" in item:
        return f"{_text(item['prefix']['addr'])}/{item['prefix']['len']}"
    if "range" in item:
        return "-".join(map(_text, item["range"]))
    for verdict in ("goto", "jump"):
        if verdict in item:
            return f"{verdict} {item[verdict]['target']}"
    return next((verdict for verdict in _VERDICTS if verdict in item), str(item))
