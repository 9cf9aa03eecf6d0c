"""Things of VPP that have numbers of its own: found again by our names, read once per connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.descriptors.driver import Driver


class Numbered:
    """One kind of thing in the VPP of a node, and its numbers by our names."""

    def __init__(
        self,
        driver: Driver,
        *,
        kind: str,
        dump: Callable[[Connection], Awaitable[list[Any]]],
        entry: Callable[[Any], tuple[str, int]],
    ) -> None:
        """Takes how to read them.

        Args:
            driver: the VPP of the node.
            kind: what the things are, for people.
            dump: reads everything that is ours.
            entry: our name and VPP's number of one thing that was read.
        """
        self._driver = driver
        self._kind = kind
        self._dump = dump
        self._entry = entry
        self._number: dict[str, int] = {}
        self._reading: asyncio.Task[list[Any]] | None = None
        self._read_from: Connection | None = None

    def __contains__(self, name: str) -> bool:
        """Whether there is one of that name."""
        return name in self._number

    def number(self, name: str) -> int:
        """VPP's number of one.

        Raises:
            VppError: there is none of that name.
        """
        if name not in self._number:
            raise VppError(f"VPP has no {self._kind} {name}")
        return self._number[name]

    def names(self) -> dict[int, str]:
        """All names by their numbers."""
        return {number: name for name, number in self._number.items()}

    def add(self, name: str, number: int) -> None:
        """Notes a new one."""
        self._number[name] = number

    def remove(self, name: str) -> None:
        """Forgets one."""
        self._number.pop(name, None)

    async def read(self) -> list[Any]:
        """Everything that is ours, and from then on its numbers; who asks meanwhile shares the answer."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name=f"vpp-{self._kind}")
        return await asyncio.shield(self._reading)

    async def prepare(self) -> None:
        """Reads the numbers, if this VPP's were never read.

        Raises:
            VppError: there is no VPP, or it cannot say.
        """
        if self._read_from is not self._driver.connection:
            await self.read()

    async def _read(self) -> list[Any]:
        connection = self._driver.connection
        items = await self._dump(connection)
        self._number = dict(map(self._entry, items))
        self._read_from = connection
        return items
