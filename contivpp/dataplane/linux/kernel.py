"""The node's kernel as the descriptors see it: where a logical link is, and bursts per namespace.

A link of ours carries its logical name and, for a pair, the path of the pod's namespace as its alias, so that a
restarted agent finds everything again. What has no such alias is not ours.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contivpp.dataplane.linux import dumps, messages
from contivpp.dataplane.linux.dumps import Answer
from contivpp.dataplane.linux.ends import Ends
from contivpp.dataplane.linux.netlink import KernelError, NamespaceGoneError, Netlink
from contivpp.dataplane.linux.values import LOOPBACK, Veth
from contivpp.scheduler.api import DONE, Operation, OperationKind, Outcome

ALIAS: Final = "contiv:"
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
GONE: Final = (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENXIO)
"""What the kernel says when there is nothing to delete."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a link is: the path of its namespace ("" for the node's) and its index there."""

    netns: str
    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What is in one namespace; routes of ours and neighbours by family, each once."""

    links: Sequence[Answer]
    addresses: Sequence[Answer]
    routes: Sequence[tuple[int, Sequence[Answer]]]
    neighbours: Sequence[tuple[int, Sequence[Answer]]]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one time.

    Attributes:
        tables: by the path of the namespace, "" for the node's.
        places: where the links of ours are, by logical name.
    """

    tables: dict[str, Tables]
    places: dict[str, Place]

    def names(self) -> dict[tuple[str, int], str]:
        """The logical names of links by namespace and index."""
        return {(place.netns, place.index): name for name, place in self.places.items()}


def alias_of(name: str, netns: str = "") -> str:
    """The alias of a link of ours."""
    return f"{ALIAS}{name} {netns}".rstrip()


def parse_alias(alias: str | None) -> tuple[str, str] | None:
    """The logical name and the namespace in an alias; None when it is not ours."""
    if not alias or not alias.startswith(ALIAS):
        return None
    name, _, netns = alias[len(ALIAS) :].partition(" ")
    return name, netns


class Kernel:
    """One node's network namespace and those of its pods."""

    def __init__(self, netns: str = "", *, ends: Ends | None = None) -> None:
        """Takes the path of the node's namespace ("" is the one of this process), and what is known of ends."""
        self.netns = netns
        self.ends = ends or Ends()
        self.node = Netlink(netns)
        self._places: dict[str, Place] = {}
        self._looking: asyncio.Task[Look] | None = None

    def close(self) -> None:
        """Closes the sockets."""
        self.node.close()

    def open(self, netns: str) -> Netlink:
        """A socket in a pod's namespace, or with "" in the node's; close it.

        Raises:
            NamespaceGoneError: there is none.
        """
        return Netlink(netns or self.netns)

    # ---- where links are

    def place(self, link: str) -> Place | None:
        """Where a logical link is, as far as known."""
        if link == LOOPBACK:
            return Place("", 1, LOOPBACK)
        return self._places.get(link)

    def node_links(self) -> dict[str, str]:
        """The logical names of the node's links of ours by their kernel names, as far as known."""
        return {place.name: link for link, place in self._places.items() if not place.netns}

    def note(self, link: str, place: Place | None) -> None:
        """Notes where a link is now; None when it is gone."""
        if place is None:
            self._places.pop(link, None)
        else:
            self._places[link] = place

    def links(self) -> list[Answer]:
        """The node's links."""
        return self.node.dump(dumps.LINKS)

    async def look(self) -> Look:
        """What is on the node and in its pods now, and from then on where links are; who asks meanwhile shares it.

        Every `retrieve` starts with this: all descriptors read at once, in no order.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="kernel-look")
        return await asyncio.shield(self._looking)

    async def _look(self) -> Look:
        found = Look({"": _tables(self.node)}, {})
        for link in found.tables[""].links:
            if (known := parse_alias(link.get_attr("IFLA_IFALIAS"))) is None:
                continue
            name, netns = known
            found.places[name] = Place("", link["index"], link.get_attr("IFLA_IFNAME"))
            if netns:
                await self._look_for(Veth.peer_link(name), netns, found)
        for name, end in self.ends.all().items():
            if end.netns:
                await self._look_for(name, end.netns, found)
        self._places = dict(found.places)
        return found

    async def _look_for(self, name: str, netns: str, found: Look) -> None:
        """Where the link with a logical name is in a pod's namespace."""
        if netns not in found.tables:
            await asyncio.sleep(0)  # the answers of others are read meanwhile
            try:
                with self.open(netns) as inside:
                    found.tables[netns] = _tables(inside)
            except NamespaceGoneError:
                return
        for link in found.tables[netns].links:
            known = parse_alias(link.get_attr("IFLA_IFALIAS"))
            if known is not None and known[0] == name:
                found.places[name] = Place(netns, link["index"], link.get_attr("IFLA_IFNAME"))
                return

    # ---- bursts

    def send(
        self,
        operations: Sequence[Operation],
        link_of: Callable[[Any], str],
        message_of: Callable[[Operation, int], Any],
    ) -> list[Outcome]:
        """Carries out operations on links: one burst per namespace.

        Args:
            operations: what to do.
            link_of: the logical link of a value; "" for none.
            message_of: the message for an operation and the index of its link.
        """
        outcomes: dict[int, Outcome] = {}
        bursts: dict[str, list[tuple[int, Any]]] = {}
        for number, operation in enumerate(operations):
            link = link_of(operation.value)
            place = self.place(link) if link else Place("", 0, "")
            if place is None:
                gone = operation.kind is OperationKind.DELETE
                outcomes[number] = DONE if gone else Outcome(error=f"there is no link {link}")
                continue
            bursts.setdefault(place.netns, []).append((number, message_of(operation, place.index)))
        for netns, burst in bursts.items():
            numbers = [number for number, _ in burst]
            try:
                answers = self._burst(netns, [message for _, message in burst])
            except NamespaceGoneError as error:
                for number in numbers:
                    gone = operations[number].kind is OperationKind.DELETE
                    outcomes[number] = DONE if gone else Outcome(error=str(error))
                continue
            for number, answer in zip(numbers, answers, strict=True):
                outcomes[number] = outcome_of(operations[number], answer)
        return [outcomes[number] for number in range(len(operations))]

    def _burst(self, netns: str, burst: Sequence[Any]) -> list[KernelError | None]:
        if not netns:
            return self.node.burst(burst)
        with self.open(netns) as inside:
            return inside.burst(burst)


def _tables(netlink: Netlink) -> Tables:
    return Tables(
        netlink.dump(dumps.LINKS),
        netlink.dump(dumps.ADDRESSES),
        tuple((family, netlink.dump(dumps.routes(family, messages.PROTOCOL))) for family in _FAMILIES),
        tuple((family, netlink.dump(dumps.neighbours(family))) for family in _FAMILIES),
    )


def outcome_of(operation: Operation, answer: KernelError | None) -> Outcome:
    """How an operation ended, from what the kernel said; what is gone already is deleted well."""
    if answer is None or (operation.kind is OperationKind.DELETE and answer.code in GONE):
        return DONE
    return Outcome(error=str(answer))
