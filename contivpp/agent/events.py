"""What the controller is told, one at a time.

An event says what happened outside; the controller decides what it means. Events that somebody waits for
carry a future, `done`, that the controller resolves. Names and methods: spec/agent.md 2.1.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from contivpp.agent.pods.api import Attachment, Sandbox
from contivpp.agent.stolen import Stolen

T = TypeVar("T")


class Method(IntEnum):
    """How an event is answered; the numbers are those of the original's event history.

    Attributes:
        FULL_RESYNC: everything is rendered anew and compared with the data plane.
        DOWNSTREAM_RESYNC: what is wanted already is compared with the data plane.
        UPSTREAM_RESYNC: everything is rendered anew, and the difference is applied.
        UPDATE: what the event affects is rendered anew, and the difference is applied.
    """

    FULL_RESYNC = 0
    DOWNSTREAM_RESYNC = 1
    UPSTREAM_RESYNC = 2
    UPDATE = 3


@dataclass(frozen=True, slots=True)
class BaseEvent:
    """What the loop has to know of any event.

    Attributes:
        name: unique among the kinds of events, for the history and the metrics.
        method: how it is answered.
    """

    name: ClassVar[str] = "Event"
    method: ClassVar[Method] = Method.UPDATE

    @property
    def acts(self) -> bool:
        """Whether it asks for something to be done, and so has to wait for the first resync.

        An event that only says how the world is does not wait: the first resync is made from what such events said.
        """
        return waiter(self) is not None or self.method in (Method.FULL_RESYNC, Method.DOWNSTREAM_RESYNC)

    def describe(self) -> str:
        """One line for the history."""
        return self.name


@dataclass(frozen=True, slots=True)
class ClusterRead(BaseEvent):
    """The whole state of the cluster, by kind and ID.

    Attributes:
        source: "etcd" or "mirror", for people.
        external: what etcd has under this node's configuration, by scheduler key.
    """

    name = "Database Resync"
    method = Method.UPSTREAM_RESYNC
    records: Mapping[str, Mapping[str, Any]]
    source: str
    external: Mapping[str, bytes] = field(default_factory=dict)

    def describe(self) -> str:
        """Where it was read, and how much of each kind there is."""
        kinds = [*sorted(self.records.items()), ("external", self.external)]
        counts = ", ".join(f"{len(items)} {kind}" for kind, items in kinds if items)
        return f"{self.name} from {self.source}: {counts or 'nothing'}"


@dataclass(frozen=True, slots=True)
class ClusterChanged(BaseEvent):
    """Records that were put, or with None deleted: (kind, ID, record)."""

    name = "Kubernetes State Change"
    changes: tuple[tuple[str, str, Any | None], ...]
    revision: int

    def describe(self) -> str:
        """The records by kind and ID."""
        shown = [
            f"{'delete' if record is None else 'put'} {kind} {record_id}" for kind, record_id, record in self.changes
        ]
        return f"{self.name} at revision {self.revision}: {some(shown)}"


@dataclass(frozen=True, slots=True)
class HostChanged(BaseEvent):
    """The node's own addresses, as (link, address with prefix length, MTU of the link)."""

    name = "Host Addresses Change"
    addresses: tuple[tuple[str, str, int], ...]

    def describe(self) -> str:
        """Every address and its link."""
        return f"{self.name}: {some([f'{address} on {link}' for link, address, _ in self.addresses])}"


@dataclass(frozen=True, slots=True)
class Lease:
    """What DHCP gave a NIC of the data plane; `address` with prefix length, `router` "" for none."""

    nic: str
    address: str
    router: str = ""


@dataclass(frozen=True, slots=True)
class LeasesRead(BaseEvent):
    """All that DHCP has given the NICs of the data plane."""

    name = "DHCP Leases"
    leases: tuple[Lease, ...]

    def describe(self) -> str:
        """Every address and its NIC."""
        return f"{self.name}: {some([f'{lease.address} on {lease.nic}' for lease in self.leases])}"


@dataclass(frozen=True, slots=True)
class NicStolen(BaseEvent):
    """The node's NIC is VPP's now."""

    name = "NIC Stolen"
    nic: Stolen

    def describe(self) -> str:
        """The NIC and its addresses."""
        return f"{self.name}: {self.nic.name} with {some(list(self.nic.addresses))}"


@dataclass(frozen=True, slots=True)
class DataPlaneAppeared(BaseEvent):
    """The data plane can be used, and nothing is known of what is in it; may be why the first resync can run now.

    Attributes:
        at: the moment since when it can be used, by `time.monotonic`: what was read since then is known.
        leases: what DHCP has given its NICs; None when that could not be read.
    """

    name = "Data Plane Appearance"
    method = Method.UPSTREAM_RESYNC
    who: str
    at: float = math.inf
    leases: tuple[Lease, ...] | None = None

    def describe(self) -> str:
        """Which one."""
        return f"{self.name}: {self.who}"


@dataclass(frozen=True, slots=True)
class NodeConfigChanged(BaseEvent):
    """What is particular to this node is something else now; follows the event that brought the record."""

    name = "Node-specific Configuration Change"
    method = Method.UPSTREAM_RESYNC


@dataclass(frozen=True, slots=True)
class PodAdded(BaseEvent):
    """The kubelet wants a sandbox connected."""

    name = "Add Pod"
    sandbox: Sandbox
    done: asyncio.Future[Attachment] = field(compare=False)

    def describe(self) -> str:
        """The pod and its container."""
        return f"{self.name} {self.sandbox.pod}, container {self.sandbox.container_id}"


@dataclass(frozen=True, slots=True)
class PodDeleted(BaseEvent):
    """The kubelet wants a sandbox disconnected."""

    name = "Delete Pod"
    sandbox: Sandbox
    done: asyncio.Future[None] = field(compare=False)

    def describe(self) -> str:
        """The pod and its container."""
        return f"{self.name} {self.sandbox.pod}, container {self.sandbox.container_id}"


@dataclass(frozen=True, slots=True)
class PodsKept(BaseEvent):
    """Every sandbox but these (container ID, interface) is to go."""

    name = "Keep Pods"
    valid: frozenset[tuple[str, str]]
    done: asyncio.Future[None] = field(compare=False)

    def describe(self) -> str:
        """How many stay."""
        return f"{self.name}: all but {len(self.valid)} go"


@dataclass(frozen=True, slots=True)
class ExternalConfigChanged(BaseEvent):
    """Somebody else wants other values on this node.

    Attributes:
        source: who; "db" is etcd.
        items: JSON by scheduler key, None for an item that is withdrawn.
        whole: these are all items of the source: those that it had and that are not here are withdrawn.
        done: resolved after the transaction, when somebody waits.
    """

    name = "External Config Change"
    source: str
    items: Mapping[str, bytes | None]
    whole: bool = False
    done: asyncio.Future[None] | None = field(default=None, compare=False)

    @property
    def acts(self) -> bool:
        """It says what somebody wants, and that is kept at once; only making it real waits for the first resync."""
        return False

    def describe(self) -> str:
        """Who wants it, and which keys."""
        everything = "everything" if self.whole else "some"
        return f"{self.name}: {everything} of source {self.source}: {some(sorted(self.items))}"


@dataclass(frozen=True, slots=True)
class ResyncWanted(BaseEvent):
    """Somebody asks for everything to be rendered anew and compared with the data plane."""

    name = "Requested Resync"
    method = Method.FULL_RESYNC
    reason: str

    def describe(self) -> str:
        """Who asks."""
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class DownstreamResyncWanted(BaseEvent):
    """Somebody, or the period of healing, asks for what is wanted to be compared with the data plane.

    Attributes:
        done: resolved with the number of the transaction, when somebody waits.
    """

    name = "Downstream Resync"
    method = Method.DOWNSTREAM_RESYNC
    reason: str
    done: asyncio.Future[int] | None = field(default=None, compare=False)

    def describe(self) -> str:
        """Who asks."""
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class HealingWanted(BaseEvent):
    """Something failed, and trying again did not help: render all anew, compare with the data plane, mend."""

    name = "Healing Resync"
    method = Method.FULL_RESYNC
    reason: str

    def describe(self) -> str:
        """What failed."""
        return f"{self.name} after {self.reason}"


@dataclass(frozen=True, slots=True)
class VerificationWanted(BaseEvent):
    """An event was handled: what is must be what should be."""

    name = "Verification Resync"
    method = Method.FULL_RESYNC


Event = (
    ClusterRead
    | ClusterChanged
    | HostChanged
    | LeasesRead
    | NicStolen
    | DataPlaneAppeared
    | NodeConfigChanged
    | PodAdded
    | PodDeleted
    | PodsKept
    | ExternalConfigChanged
    | ResyncWanted
    | DownstreamResyncWanted
    | HealingWanted
    | VerificationWanted
)


def waiter(event: BaseEvent) -> asyncio.Future[Any] | None:
    """The future of whoever waits for the event's result, if anybody does."""
    return getattr(event, "done", None)


def answer(done: asyncio.Future[T], result: T) -> None:
    """Gives a result to whoever waits, unless nobody does any more: the kubelet may give up at any moment."""
    if not done.done():
        done.set_result(result)


def fail(done: asyncio.Future[Any], error: Exception) -> None:
    """Gives an error to whoever waits, unless nobody does any more."""
    if not done.done():
        done.set_exception(error)


def some(items: list[str], limit: int = 3) -> str:
    """The first of `items`, and how many more there are."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")
