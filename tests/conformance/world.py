"""A cluster as the conformance suite knows it: pods, hosts, the outside, real packets, objects, and faults.

Nothing in here, and nothing in a test, knows which data plane carries the packets. A `World` is made in two ways:
`namespaces` (nodes are network namespaces of this machine) and `playground` (nodes are the machines of `make
cluster`). What a world cannot do it says in `lacks`, and the cases that need it are skipped with that reason.
"""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tests.conformance.stations import PORT, Station

Object = dict[str, Any]
Kind = Literal["pod", "host", "outside"]
Role = Literal["agent", "store", "forwarder", "reflector"]
"""Daemons: one agent and, where packets are carried by a process, one forwarder per node; the others are the cluster's."""
ROLES: tuple[Role, ...] = ("agent", "store", "forwarder", "reflector")
PROTOCOLS = ("TCP", "UDP", "ICMP")


@dataclass(eq=False)
class Endpoint:
    """A place that packets come from and go to, with a station in it.

    Attributes:
        addresses: one per family that the cluster has, the main one first.
        node: the node's name; "" for the outside.
    """

    name: str
    kind: Kind
    node: str
    addresses: tuple[str, ...]
    station: Station
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Object, ...] = ()

    def __str__(self) -> str:
        """The form in which a table names it."""
        return f"{self.namespace}/{self.name}" if self.namespace not in ("", "default") else self.name

    def address(self, version: int) -> str:
        """The address of a family, 4 or 6.

        Raises:
            LookupError: it has none.
        """
        for address in self.addresses:
            if version_of(address) == version:
                return address
        raise LookupError(f"{self} has no IPv{version} address: {', '.join(self.addresses) or 'it has none at all'}")


class Probe(NamedTuple):
    """One question: does the source reach an address, on a port, by TCP, UDP, SCTP or ICMP."""

    source: Endpoint
    target: str
    port: int = PORT
    protocol: str = "TCP"


@dataclass(frozen=True)
class Result:
    """What came of a probe.

    Attributes:
        answered_by: name of the endpoint that answered; "" for ICMP, which has no names.
        seen_source: the address that the one who answered saw; "" for ICMP.
        hops: how often the question was forwarded; 0 where nobody counted.
        latency: seconds until the answer, or until it was clear that there is none.
        error: "refused", "timeout", "unreachable", ... ; "" when it was reached.
    """

    probe: Probe
    reached: bool
    answered_by: str
    seen_source: str
    hops: int
    latency: float
    error: str


class World(abc.ABC):
    """A cluster with some nodes and an outside. Everything that a test makes is taken away by `clear`."""

    name: str
    families: tuple[int, ...]
    nodes: tuple[str, ...]
    roles: frozenset[Role]
    lacks: Mapping[str, str]
    """What this world and its data plane cannot do, with the reason.

    One of new-address, witness, wire, reuse, large-frames, announce, wrong-objects; and of those in `limits`.
    """
    masquerades: bool = False
    """Whether pods that leave the cluster do so with an address and a port of their node (natExternalTraffic)."""

    def __init__(self) -> None:
        self.pods: list[Endpoint] = []
        self.hosts: dict[str, Endpoint] = {}
        self.objects: list[Object] = []

    # ---- what a world brings

    @property
    @abc.abstractmethod
    def outside(self) -> Endpoint:
        """A machine beyond the nodes' router that has ways back to the pods."""

    @abc.abstractmethod
    def open(self) -> None:
        """Builds it: every node is ready, every host has a station, and there is no pod."""

    @abc.abstractmethod
    def close(self) -> None:
        """Takes everything away that it made."""

    @abc.abstractmethod
    def make_pod(
        self,
        name: str,
        node: str,
        *,
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        ports: Sequence[Object] = (),
    ) -> Endpoint:
        """Runs a pod on a node, and waits until it is connected; `ports` are those that its container declares."""

    @abc.abstractmethod
    def label_pod(self, pod: Endpoint, labels: Mapping[str, str]) -> None:
        """Gives a pod other labels."""

    @abc.abstractmethod
    def delete_pod(self, pod: Endpoint, *, abruptly: bool = False) -> None:
        """Ends a pod as Kubernetes does; its record goes as well.

        `abruptly` cuts it off before its processes end, so that its peers are told nothing.
        """

    @abc.abstractmethod
    def apply(self, item: Object) -> None:
        """Creates or changes an object of Kubernetes, given as in a manifest; pods are made by `make_pod`."""

    @abc.abstractmethod
    def delete(self, item: Object) -> None:
        """Deletes an object of Kubernetes by its kind, namespace and name."""

    @abc.abstractmethod
    def kill(self, role: Role, node: str = "") -> None:
        """Ends a daemon at once (SIGKILL); one that is supervised comes back by itself."""

    @abc.abstractmethod
    def start(self, role: Role, node: str = "") -> None:
        """Starts a daemon that was killed, and waits until it is ready."""

    @abc.abstractmethod
    def freeze(self, role: Role, node: str = "") -> None:
        """Stops a daemon from doing anything (SIGSTOP)."""

    @abc.abstractmethod
    def thaw(self, role: Role, node: str = "") -> None:
        """Lets a frozen daemon go on."""

    @abc.abstractmethod
    def cut_off(self, node: str) -> None:
        """Takes a node's links down; its pods and daemons run on."""

    @abc.abstractmethod
    def join(self, node: str) -> None:
        """Takes the links of a node up again."""

    @abc.abstractmethod
    def leave(self, node: str) -> str:
        """A machine dies: its daemons, pods and links are gone, and Kubernetes forgets it.

        Returns the address that others sent its packets to.
        """

    @abc.abstractmethod
    def come_back(self, node: str, *, with_state: bool) -> None:
        """The machine is there again under other addresses, with or without what the agent had kept on its disk."""

    @abc.abstractmethod
    def not_ready(self) -> Mapping[str, object]:
        """The agents that are not ready, with what they say; empty when all is well."""

    @abc.abstractmethod
    def describe(self) -> str:
        """What one needs to know of nodes and data plane to understand a failure."""

    def witness(self, address: str) -> contextlib.AbstractContextManager[dict[str, Any]]:
        """Has somebody else take an address on the nodes' network, and counts the packets that come for it."""
        raise LacksError(self, "witness", address)

    def wire(
        self, cookie: str = "", *, who_has: Sequence[str] = ()
    ) -> contextlib.AbstractContextManager[dict[str, Any]]:
        """Counts the frames between nodes that carry a cookie, or that ask for a MAC, tunnelled or not."""
        raise LacksError(self, "wire", cookie or who_has)

    def announce(self, address: str) -> None:
        """Has the outside's router send an address that nobody has to the first node, for as long as the world is."""
        raise LacksError(self, "announce", address)

    def unused_addresses(self, version: int) -> Mapping[str, str]:
        """Addresses of pods that do not exist, by what they are."""
        raise LacksError(self, "unused_addresses", version)

    def unused_neighbour(self, version: int) -> str:
        """An address on the nodes' own network that nobody has, and that nobody was asked for yet."""
        raise LacksError(self, "unused_neighbour", version)

    def node_addresses(self, node: str, *, of: Endpoint | None = None) -> tuple[str, ...]:
        """The addresses at which somebody finds the node ports of a node, the best one of each family first.

        Without `of` they are those at which anybody does.
        """
        return self.hosts[node].addresses

    # ---- what all have in common

    def everybody(self) -> list[Endpoint]:
        """Pods, hosts and the outside."""
        return [*sorted(self.pods, key=str), *self.hosts.values(), self.outside]

    def make_pods(self, *places: tuple[str, str]) -> list[Endpoint]:
        """Several pods at once, each a name and a node; they are returned in this order."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda place: self.make_pod(*place), places))

    def clear(self, keep: Sequence[Endpoint] = ()) -> None:
        """Deletes the objects and pods that were made, except some pods."""
        for item in reversed(self.objects):
            self.delete(item)
        self.objects.clear()
        for pod in [pod for pod in self.pods if pod not in keep]:
            self.delete_pod(pod)

    def probe(self, probes: Sequence[Probe], *, timeout: float = 3.0) -> list[Result]:
        """Asks everything at once, and returns the results in the order of the questions."""
        of_source: dict[Endpoint, list[int]] = {}
        for number, probe in enumerate(probes):
            of_source.setdefault(probe.source, []).append(number)
        running = {
            source: source.station.start(
                "probes",
                questions=[(probes[n].target, probes[n].port, probes[n].protocol) for n in numbers],
                timeout=timeout,
            )
            for source, numbers in of_source.items()
        }
        results: dict[int, Result] = {}
        for source, numbers in of_source.items():
            patience = timeout * (1 + len(numbers) / 32) + 20
            for number, answer in zip(numbers, running[source].result(patience), strict=True):
                results[number] = _result(probes[number], answer)
        return [results[number] for number in range(len(probes))]

    def until(self, check: Any, what: str, seconds: float = 30) -> Any:
        """Waits until something holds, and returns it.

        Raises:
            AssertionError: it never did.
        """
        end = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            time.sleep(0.1)
        return found

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Waits until every agent is ready.

        Raises:
            AssertionError: one is not, with what it says.
        """
        end = time.monotonic() + seconds
        while said := self.not_ready():
            assert time.monotonic() < end, f"not ready after {seconds:g} s: {said}"
            time.sleep(0.1)


class LacksError(Exception):
    """A test asked for what the world said that it lacks."""

    def __init__(self, world: World, what: str, about: object) -> None:
        super().__init__(f"{world.name} has no {what} ({about}): see its `lacks`")


def version_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


@contextlib.contextmanager
def watching(station: Station, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Counts frames that come to a station's namespace while the block runs; the answer is in the dictionary then."""
    running = station.start("watch", **arguments)
    found: dict[str, Any] = {}
    time.sleep(0.1)  # until it looks
    try:
        yield found
    finally:
        found.update(running.stop())


def _result(probe: Probe, answer: Mapping[str, Any]) -> Result:
    ttl = int(answer["ttl"])
    return Result(
        probe=probe,
        reached=answer["reached"],
        answered_by=answer["name"],
        seen_source=answer["seen"],
        hops=64 - ttl if ttl else 0,
        latency=answer["seconds"],
        error=answer["error"],
    )
