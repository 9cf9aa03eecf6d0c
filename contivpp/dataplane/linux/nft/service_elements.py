"""A frontend as elements of the shared maps, and as chains of its own where those do not do: pure functions.

With client affinity every backend has a chain of its own, and a set that all frontends of a group share: who is in the
set goes to the backend again, by whichever frontend, and the set forgets clients by itself. The names of these say
which group and backend they are for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contivpp.dataplane.linux.nft.service_values import (
    ADDRESS_TYPE,
    CLIENTS_PREFIX,
    INSIDE,
    IP,
    MOST_SHARED,
    OUTSIDE,
    OWN_PREFIX,
    PROTOCOL_NUMBERS,
    REFUSE,
    Backend,
    Destination,
    Direction,
    ServiceFrontend,
    allowed,
    guarded,
)

_PARTS_OF_BASE: Final = 5
CLIENTS: Final = 65536
"""How many clients of one backend are remembered."""

Elements = dict[str, dict[str, str]]
"""By set: the elements by key, as they are read back, with their data ("" in sets)."""


@dataclass(frozen=True, slots=True)
class OwnChain:
    """A chain that belongs to one frontend."""

    name: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClientSet:
    """The clients that keep a backend, for `seconds` after their last connection."""

    name: str
    version: int
    seconds: int

    @property
    def definition(self) -> str:
        """As nft takes it."""
        kind = ADDRESS_TYPE[self.version]
        return f"type {kind}; flags dynamic,timeout; timeout {self.seconds}s; size {CLIENTS}"


def triple_of(frontend: ServiceFrontend) -> str:
    """The key of a frontend in the shared maps."""
    return f"{frontend.address} . {frontend.protocol} . {frontend.port}"


def pair_of(frontend: ServiceFrontend) -> str:
    """The same in the maps of its protocol; a number follows there."""
    return f"{frontend.address} . {frontend.port}"


def elements_of(frontend: ServiceFrontend) -> Elements:
    """What a frontend has in the shared maps."""
    triple = triple_of(frontend)
    found: Elements = {}
    for direction, destination in _directions(frontend):
        found[direction.frontends] = {triple: _verdict(frontend, direction, destination)}
        if destination.backends:
            found[direction.backends(frontend.protocol)] = {
                f"{pair_of(frontend)} . {number}": f"{address} . {port}"
                for number, (address, port) in enumerate(destination.backends)
            }
    if frontend.sources:
        found[guarded(frontend.version)] = {triple: ""}
        found[allowed(frontend.version)] = {f"{triple} . {source}": "" for source in frontend.sources}
    return found


def own_chains(frontend: ServiceFrontend) -> Iterator[OwnChain]:
    """The chains that a frontend has to itself; what others go to comes first."""
    for direction, destination in _directions(frontend):
        backends, base = destination.backends, _own_name(frontend, direction)
        if frontend.affinity and backends:
            names = [_backend_name(f"{base}/{frontend.group}", backend) for backend in backends]
            sets = [_clients_name(frontend, backend) for backend in backends]
            for name, clients, backend in zip(names, sets, backends, strict=True):
                yield OwnChain(name, _sticky_rules(frontend, clients, backend))
            again = [
                f"{IP[frontend.version]} saddr @{clients} goto {name}"
                for clients, name in zip(sets, names, strict=True)
            ]
            choice = ", ".join(f"{number} : goto {name}" for number, name in enumerate(names))
            yield OwnChain(base, (*again, f"numgen random mod {len(names)} vmap {{ {choice} }}"))
        elif len(backends) > MOST_SHARED:
            yield OwnChain(base, (direction.choice(frontend.protocol, len(backends)),))


def client_sets(frontend: ServiceFrontend) -> Iterator[ClientSet]:
    """The sets of clients that a frontend uses."""
    if frontend.affinity:
        backends = {backend: None for _, destination in _directions(frontend) for backend in destination.backends}
        for backend in backends:
            yield ClientSet(_clients_name(frontend, backend), frontend.version, frontend.affinity)


def as_sent(element: str) -> str:
    """An element with protocols by number: a node need not know their names."""
    key, separator, data = element.partition(" : ")
    parts = [str(PROTOCOL_NUMBERS.get(part, part)) for part in key.split(" . ")]
    return " . ".join(parts) + separator + data


def frontend_of(triple: str) -> ServiceFrontend:
    """A frontend with the address, protocol and port of a key in the shared maps, and nothing else."""
    address, protocol, port = triple.split(" . ")
    return ServiceFrontend(address, protocol, int(port))


def group_of(name: str) -> str:
    """The group of the frontend that a chain or a set of clients belongs to; "" for what says none."""
    if name.startswith(CLIENTS_PREFIX):
        return name.split("/")[1]
    parts = name.split("/")
    return parts[5] if len(parts) > _PARTS_OF_BASE else ""


def owner_of(name: str) -> str:
    """The key in the shared maps of the frontend that a chain or set belongs to."""
    address, protocol, port = name.removeprefix(OWN_PREFIX).split("/")[:3]
    return f"{address.replace('_', ':')} . {protocol} . {port}"


def _directions(frontend: ServiceFrontend) -> Iterator[tuple[Direction, Destination]]:
    yield INSIDE[frontend.version], frontend.inside
    if frontend.outside is not None:
        yield OUTSIDE[frontend.version], frontend.outside


def _verdict(frontend: ServiceFrontend, direction: Direction, destination: Destination) -> str:
    count = len(destination.backends)
    if not count:
        return "drop" if destination.empty == "drop" else f"goto {REFUSE}"
    if frontend.affinity or count > MOST_SHARED:
        return f"goto {_own_name(frontend, direction)}"
    return f"goto {direction.pick(count)}"


def _own_name(frontend: ServiceFrontend, direction: Direction) -> str:
    address = frontend.address.replace(":", "_")
    return f"{OWN_PREFIX}{address}/{frontend.protocol}/{frontend.port}/{direction.name}"


def _clients_name(frontend: ServiceFrontend, backend: Backend) -> str:
    return _backend_name(f"{CLIENTS_PREFIX}{frontend.group}/{frontend.affinity}", backend)


def _backend_name(base: str, backend: Backend) -> str:
    address, port = backend
    return f"{base}/{address.replace(':', '_')}/{port}"


def _sticky_rules(frontend: ServiceFrontend, clients: str, backend: Backend) -> tuple[str, ...]:
    address, port = backend
    ip = IP[frontend.version]
    target = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    number = PROTOCOL_NUMBERS[frontend.protocol]
    return (f"update @{clients} {{ {ip} saddr }}", f"meta l4proto {number} dnat {ip} to {target}:{port}")
