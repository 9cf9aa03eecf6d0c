"""Frontends of services made real: elements of shared maps, and what single frontends have to themselves.

A batch is one transaction. What is read back is compared with what the frontend would be made of: when they differ it
is damaged, and is made anew from what is really there. A set of clients goes with the last frontend that uses it. UDP
has no end of a connection: flows to a backend that a frontend lost are forgotten as soon as the backend is, so that
the client's next packet goes to another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contivpp.dataplane.linux.nft.commands import Commands, carry_out
from contivpp.dataplane.linux.nft.conntrack import Conntrack, Flow
from contivpp.dataplane.linux.nft.library import Nftables, is_gone
from contivpp.dataplane.linux.nft.reading import FoundTable, TableReader
from contivpp.dataplane.linux.nft.service_elements import (
    Elements,
    as_sent,
    client_sets,
    elements_of,
    frontend_of,
    group_of,
    own_chains,
    owner_of,
    pair_of,
    triple_of,
)
from contivpp.dataplane.linux.nft.service_values import (
    CLIENTS_PREFIX,
    INSIDE,
    OUTSIDE,
    OWN_PREFIX,
    PROTOCOL_NUMBERS,
    VERSIONS,
    Backend,
    Destination,
    Direction,
    ServiceFrontend,
    allowed,
    guarded,
)
from contivpp.dataplane.linux.nft.values import NftChain, NftSet
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome

log = logging.getLogger(__name__)

_UDP: Final = 17


@dataclass(slots=True)
class _Parts:
    """What one frontend is made of in the kernel: own chains by how many rules they have, client sets by seconds."""

    elements: Elements = field(default_factory=lambda: defaultdict(dict))
    chains: dict[str, int] = field(default_factory=dict)
    clients: dict[str, int] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Which its chains speak of; "" for none."""
        return next(filter(None, map(group_of, self.chains)), "")


class ServiceDescriptor:
    """All frontends of services."""

    name = "linux-service"
    prefix = ServiceFrontend.prefix

    def __init__(self, nftables: Nftables, reader: TableReader, conntrack: Conntrack) -> None:
        """Takes the library's context, the reader of the table, and what knows the flows."""
        self._nftables = nftables
        self._reader = reader
        self._conntrack = conntrack
        self._damaged: dict[str, _Parts] = {}
        self._users: dict[str, set[str]] = defaultdict(set)  # of sets of clients: the keys of frontends
        self._unused: set[str] = set()

    def dependencies(self, key: str, frontend: ServiceFrontend) -> Iterable[Dependency]:
        """The shared maps and chains, which are made together."""
        yield Dependency("map", NftSet.prefix + INSIDE[frontend.version].frontends)
        yield Dependency("chain", NftChain.prefix + INSIDE[frontend.version].pick(1))

    def derived(self, key: str, frontend: ServiceFrontend) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One transaction, or several when something in it is wrong; then UDP flows that lead nowhere go."""
        return await asyncio.to_thread(self._apply, operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every frontend in the shared maps, and damaged ones for what belongs to none."""
        table = await self._reader.read()
        return await asyncio.to_thread(self._frontends, table)

    # ---- writing

    def _apply(self, operations: Sequence[Operation]) -> list[Outcome]:
        users = {name: set(keys) for name, keys in self._users.items()}
        batch = [self._commands(operation, users) for operation in operations]
        leftovers = Commands()
        for name in self._unused - {name for name, keys in users.items() if keys}:
            leftovers.delete_set("set", name)
        outcomes = []
        errors = carry_out(self._nftables, [*batch, leftovers])
        self._unused = set()
        for operation, error in zip(operations, errors[:-1], strict=True):
            if error and not (operation.kind is OperationKind.DELETE and is_gone(error)):
                outcomes.append(Outcome(error=error))
            else:
                self._note_users(operation)
                self._damaged.pop(operation.key, None)
                outcomes.append(DONE)
        self._forget_flows([one for one, outcome in zip(operations, outcomes, strict=True) if outcome.ok])
        return outcomes

    def _note_users(self, operation: Operation) -> None:
        for name in self._parts_before(operation).clients:
            self._users[name].discard(operation.key)
            if not self._users[name]:
                del self._users[name]
        if operation.kind is not OperationKind.DELETE:
            for one in client_sets(operation.value):
                self._users[one.name].add(operation.key)

    def _commands(self, operation: Operation, users: dict[str, set[str]]) -> Commands:
        """What an operation does; `users` becomes what it is afterwards."""
        before = self._parts_before(operation)
        after = operation.value if operation.kind is not OperationKind.DELETE else None
        elements: Elements = {} if after is None else elements_of(after)
        commands = Commands()
        for name in {**before.elements, **elements}:
            old, new = before.elements.get(name, {}), elements.get(name, {})
            commands.removed[name] = [as_sent(key) for key, data in old.items() if new.get(key) != data]
            commands.added[name] = [
                as_sent(f"{key} : {data}" if data else key) for key, data in new.items() if old.get(key) != data
            ]
        clients = {} if after is None else {one.name: one for one in client_sets(after)}
        for name, client in clients.items():
            users.setdefault(name, set()).add(operation.key)
            if name not in before.clients:
                commands.add_set("set", name, client.definition)
        chains = {} if after is None else {chain.name: chain for chain in own_chains(after)}
        for name, chain in chains.items():
            commands.add_chain(name, chain.rules)
        for name in before.chains:
            if name not in chains:
                commands.delete_chain(name)
        for name in before.clients:
            if name not in clients:
                users.setdefault(name, set()).discard(operation.key)
                if not users[name]:
                    commands.delete_set("set", name)
        return commands

    def _parts_before(self, operation: Operation) -> _Parts:
        if operation.key in self._damaged:
            return self._damaged[operation.key]
        return _Parts() if operation.previous is None else _parts_of(operation.previous)

    def _forget_flows(self, operations: Sequence[Operation]) -> None:
        lost: dict[Backend, set[Backend]] = {}
        for operation in operations:
            frontend: ServiceFrontend = operation.value
            if frontend.protocol == "udp":
                before = set() if operation.previous is None else _backends(operation.previous)
                after = set() if operation.kind is OperationKind.DELETE else _backends(frontend)
                itself = (frontend.address, frontend.port)
                gone = before - after
                if after and not before:  # flows that began when nothing was translated
                    gone.add(itself)
                if gone:
                    lost[itself] = gone
        if not lost:
            return
        try:
            flows = [flow for flow in self._conntrack.flows(_UDP) if _is_lost(flow, lost)]
            self._conntrack.delete(flows)
        except OSError as error:
            log.warning("flows to former backends cannot be forgotten: %s", error)

    # ---- reading

    def _frontends(self, table: FoundTable) -> dict[str, Observed]:
        parts = _sort(table)
        self._damaged = {}
        self._users.clear()
        found: dict[str, Observed] = {}
        for triple, made_of in parts.items():
            frontend = _frontend(triple, made_of)
            if frontend is None or not _is_whole(frontend, made_of):
                frontend = replace(frontend_of(triple), damaged=True)
                self._damaged[frontend.key] = made_of
            for name in made_of.clients:
                self._users[name].add(frontend.key)
            found[frontend.key] = Observed(frontend)
        self._unused = {name for name in table.sets if name.startswith(CLIENTS_PREFIX)} - self._users.keys()
        return found


def _parts_of(frontend: ServiceFrontend) -> _Parts:
    return _Parts(
        elements_of(frontend),
        {chain.name: len(chain.rules) for chain in own_chains(frontend)},
        {clients.name: clients.seconds for clients in client_sets(frontend)},
    )


def _is_whole(frontend: ServiceFrontend, found: _Parts) -> bool:
    expected = _parts_of(frontend)
    return (
        expected.elements == dict(found.elements)
        and expected.chains == found.chains
        and expected.clients == found.clients
    )


def _backends(frontend: ServiceFrontend) -> set[Backend]:
    outside = frontend.outside.backends if frontend.outside is not None else ()
    return {*frontend.inside.backends, *outside}


def _is_lost(flow: Flow, lost: Mapping[Backend, set[Backend]]) -> bool:
    gone = lost.get((flow.destination, flow.destination_port), ())
    return (flow.reply_source, flow.reply_source_port) in gone


def _sort(table: FoundTable) -> dict[str, _Parts]:
    """What is in the table, by the frontend that it belongs to."""
    parts: dict[str, _Parts] = defaultdict(_Parts)
    for version in VERSIONS:
        for name in (guarded(version), allowed(version), INSIDE[version].frontends, OUTSIDE[version].frontends):
            for key, data in _elements(table, name):
                triple = " . ".join(key.split(" . ", 3)[:3])
                parts[triple].elements[name][key] = data
        for direction in (INSIDE[version], OUTSIDE[version]):
            for protocol in PROTOCOL_NUMBERS:
                name = direction.backends(protocol)
                for key, data in _elements(table, name):
                    address, port, _ = key.split(" . ")
                    parts[f"{address} . {protocol} . {port}"].elements[name][key] = data
    for name, chain in table.chains.items():
        if name.startswith(OWN_PREFIX):
            parts[owner_of(name)].chains[name] = len(chain.comments)
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for name, clients in table.sets.items():
        if name.startswith(CLIENTS_PREFIX):
            groups[group_of(name)][name] = clients.timeout
        elif name.startswith(OWN_PREFIX):  # of an earlier release
            parts[owner_of(name)].clients[name] = clients.timeout
    for one in parts.values():
        if one.group:
            backends = {_backend_part(name) for name in one.chains if group_of(name)}
            one.clients |= {
                name: seconds for name, seconds in groups[one.group].items() if _backend_part(name) in backends
            }
    return dict(parts)


def _backend_part(name: str) -> str:
    """The part of the name of a chain or a set of clients that says which backend it is for."""
    return "/".join(name.split("/")[-2:])


def _elements(table: FoundTable, name: str) -> Iterable[tuple[str, str]]:
    return table.sets[name].elements.items() if name in table.sets else ()


def _frontend(triple: str, parts: _Parts) -> ServiceFrontend | None:
    """The frontend that parts look like; None when they look like none."""
    bare = frontend_of(triple)
    inside = _destination(bare, parts.elements, INSIDE[bare.version])
    if inside is None:
        return None
    start = len(triple) + 3
    return replace(
        bare,
        inside=inside,
        outside=_destination(bare, parts.elements, OUTSIDE[bare.version]),
        sources=tuple(sorted(key[start:] for key in parts.elements.get(allowed(bare.version), ()))),
        affinity=next(iter(parts.clients.values()), 0),
        group=parts.group,
    )


def _destination(bare: ServiceFrontend, elements: Elements, direction: Direction) -> Destination | None:
    verdict = elements.get(direction.frontends, {}).get(triple_of(bare))
    if verdict is None:
        return None
    found = elements.get(direction.backends(bare.protocol), {})
    backends = []
    for number in range(len(found)):
        address, _, port = found.get(f"{pair_of(bare)} . {number}", "").partition(" . ")
        if not port.isdigit():
            return None
        backends.append((address, int(port)))
    return Destination(tuple(backends), "drop" if verdict == "drop" else "reject")
