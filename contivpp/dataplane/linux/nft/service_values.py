"""What a service looks like to the kernel: one address and port, and where connections to it go.

The names of the maps that services share are here, because the chains that features render look things up in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from contivpp.dataplane.linux.nft.values import NftChain, NftSet

PROTOCOL_NUMBERS: Final = {"tcp": 6, "udp": 17, "sctp": 132}
VERSIONS: Final = (4, 6)
MOST_SHARED: Final = 64
"""With so many backends a frontend uses a chain that all frontends share; with more it has its own."""
REFUSE: Final = "service/refuse"
OWN_PREFIX: Final = "frontend/"
"""How the names of the chains of single frontends begin."""
CLIENTS_PREFIX: Final = "clients/"
"""How the names of the sets of clients begin, which the frontends of a group share."""

Backend = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where connections go: to one of the backends at random, and without any they are rejected or dropped."""

    backends: tuple[Backend, ...] = ()
    empty: Literal["reject", "drop"] = "reject"


@dataclass(frozen=True, slots=True)
class ServiceFrontend:
    """An address and port of a service.

    Attributes:
        protocol: "tcp", "udp" or "sctp".
        inside: for connections of this node and its pods.
        outside: for all others; None when it is the same.
        sources: the subnets that may connect, sorted; empty for all.
        affinity: for how many seconds a client keeps its backend; 0 for one connection.
        group: a short name that all frontends have which remember their clients together; "" without affinity.
        damaged: what was read back is not whole.
    """

    prefix: ClassVar[str] = "linux/service/"

    address: str
    protocol: str
    port: int
    inside: Destination = Destination()
    outside: Destination | None = None
    sources: tuple[str, ...] = ()
    affinity: int = 0
    group: str = ""
    damaged: bool = False

    @property
    def key(self) -> str:
        """By address, protocol and port."""
        return f"{self.prefix}{self.address}/{self.protocol}/{self.port}"

    @property
    def version(self) -> int:
        """The IP version."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Direction:
    """The names of what connections of one kind (inside or outside) of one IP version are looked up in."""

    version: int
    name: Literal["inside", "outside"]

    @property
    def frontends(self) -> str:
        """The map from address, protocol and port to a verdict."""
        return f"service/{self.name}{self.version}"

    def backends(self, protocol: str) -> str:
        """The map of a protocol from address, port and a number to address and port."""
        return f"service/{self.name}-{protocol}{self.version}"

    def pick(self, count: int) -> str:
        """The chain that chooses among `count` backends."""
        return f"service/{self.name}{self.version}-{count}"

    def choice(self, protocol: str, count: int) -> str:
        """The rule that chooses among `count` backends."""
        ip = IP[self.version]
        place = f"{ip} daddr . {protocol} dport . numgen random mod {count}"
        return f"dnat {ip} to {place} map @{self.backends(protocol)}"


IP: Final = {4: "ip", 6: "ip6"}
ADDRESS_TYPE: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
INSIDE: Final = {version: Direction(version, "inside") for version in VERSIONS}
OUTSIDE: Final = {version: Direction(version, "outside") for version in VERSIONS}


def guarded(version: int) -> str:
    """The set of frontends that only some may connect to."""
    return f"service/guarded{version}"


def allowed(version: int) -> str:
    """The set of those frontends with a subnet that may."""
    return f"service/allowed{version}"


def shared_sets(version: int) -> Iterator[NftSet]:
    """The sets and maps that all frontends of an IP version share."""
    address, ip = ADDRESS_TYPE[version], IP[version]
    triple = f"{address} . inet_proto . inet_service"
    for direction in (INSIDE[version], OUTSIDE[version]):
        yield NftSet(direction.frontends, f"type {triple} : verdict", holds="others")
        for protocol in PROTOCOL_NUMBERS:
            pair = f"{ip} daddr . {protocol} dport"
            yield NftSet(direction.backends(protocol), f"typeof {pair} . numgen random mod 2 : {pair}", holds="others")
    yield NftSet(guarded(version), f"type {triple}", holds="others")
    yield NftSet(allowed(version), f"type {triple} . {address}; flags interval", holds="others")


def shared_chains(version: int) -> Iterator[NftChain]:
    """The chains that choose, one for each number of backends."""
    for direction in (INSIDE[version], OUTSIDE[version]):
        for count in range(1, MOST_SHARED + 1):
            rules = tuple(direction.choice(protocol, count) for protocol in PROTOCOL_NUMBERS)
            yield NftChain(direction.pick(count), rules=rules)
