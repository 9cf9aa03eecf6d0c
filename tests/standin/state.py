"""What the stand-in holds, as a VPP would: interfaces with what hangs on them, tables, and things by family."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

NOWHERE = 0xFFFFFFFF
UP = 1
LINK_UP = 2


@dataclass
class Interface:
    """One interface.

    Attributes:
        kind: what made it, such as "loopback".
        flags: administratively up, link up.
        mtu: of packets: all, IPv4, IPv6, MPLS.
        tables: the number of its table, by IP version.
        lender: the number of the interface whose addresses it uses.
        domain: the number of its bridge domain; None when it is in none.
        bridged: whether its packets are bridged: also when the domain would not have it.
        routed: whether it is the routed end of its domain.
        crossed: the number of the interface by which all its frames leave.
        rewriting: what happens to tags of its frames: VPP's number of it, whether tags are 802.1Q, and two tags.
        parent: the number of the interface that it is a part of.
        vlan: the tags of its frames, the outer one first, and VPP's flags of them.
        device: VPP's name of what is behind it.
        queues: by number, the thread and the mode of each receive queue.
        about: what its kind knows beside that.
    """

    number: int
    name: str
    kind: str
    mac: str = "00:00:00:00:00:00"
    tag: str = ""
    flags: int = 0
    mtu: list[int] = field(default_factory=lambda: [9000, 0, 0, 0])
    tables: dict[int, int] = field(default_factory=lambda: {4: 0, 6: 0})
    addresses: list[Any] = field(default_factory=list)
    lender: int | None = None
    domain: int | None = None
    bridged: bool = False
    routed: bool = False
    group: int = 0
    crossed: int | None = None
    rewriting: tuple[int, int, int, int] = (0, 0, 0, 0)
    parent: int | None = None
    vlan: tuple[int, int, int] = (0, 0, 0)
    device: str = ""
    queues: dict[int, tuple[int, int]] = field(default_factory=dict)
    about: Any = None

    def route(self) -> None:
        """From now on its packets are routed, and nothing of bridging is left."""
        self.domain, self.bridged, self.routed, self.group = None, False, False, 0
        self.crossed, self.rewriting = None, (0, 0, 0, 0)


@dataclass
class Table:
    """A routing table.

    Attributes:
        asked_for: whether somebody made it and did not delete it.
    """

    number: int
    version: int
    name: str = ""
    asked_for: bool = True


class State:
    """One VPP's memory.

    Attributes:
        no_links: the names that the kernel has no link of.
        vhost: whether the kernel has vhost-net.
        emit: sends an event to whoever wants it.
        using: which tables families use, each with IP version and number.
        forgetting: what families do when an interface goes.
    """

    def __init__(self, *, first_interface: int = 1) -> None:
        """Starts as VPP does; interfaces are numbered from `first_interface` on."""
        self.interfaces: dict[int, Interface] = {0: Interface(0, "local0", "local")}
        self.tables: dict[tuple[int, int], Table] = {
            (version, 0): Table(0, version, f"ipv{version}-VRF:0") for version in (4, 6)
        }
        self.no_links: set[str] = {"no-such-link"}
        self.vhost = True
        self.emit: Callable[..., None] = lambda name, **fields: None
        self.using: Sequence[Callable[[State], Iterable[tuple[int, int]]]] = ()
        self.forgetting: Sequence[Callable[[State, int], None]] = ()
        self._things: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self._free: list[int] = []
        self._next = first_interface
        self._given = 0

    def things(self, kind: str) -> dict[Any, Any]:
        """Things of a kind by their keys; what they are is their family's business."""
        return self._things[kind]

    def next_number(self) -> int:
        """A number that nothing had before."""
        self._given += 1
        return self._given

    def add_interface(self, kind: str, name: str, **about: Any) -> Interface:
        """A new interface; the number that became free last is used first."""
        number = self._free.pop() if self._free else self._next
        self._next = max(self._next, number + 1)
        made = self.interfaces[number] = Interface(number, name.format(number), kind, **about)
        return made

    def remove_interface(self, interface: Interface) -> None:
        """Takes an interface away, with what hangs on it; who uses its addresses still points to its number."""
        del self.interfaces[interface.number]
        self._free.append(interface.number)
        for part in [one for one in self.interfaces.values() if one.parent == interface.number]:
            self.remove_interface(part)
        for forget in self.forgetting:
            forget(self, interface.number)
        self.emit("sw_interface_event", sw_if_index=interface.number, deleted=True)
        self.tidy()

    def tidy(self) -> None:
        """Tables that nobody asks for and nothing uses are gone."""
        used = {(version, number) for one in self.interfaces.values() for version, number in one.tables.items()}
        used |= {place for tables_of in self.using for place in tables_of(self)}
        for place in [place for place, table in self.tables.items() if not table.asked_for and place not in used]:
            del self.tables[place]

    def own_addresses(self, version: int, table: int) -> list[tuple[int, Any]]:
        """The addresses in a table, each with the number of its interface."""
        return [
            (one.number, address)
            for one in self.interfaces.values()
            if one.tables[version] == table
            for address in one.addresses
            if address.version == version
        ]
