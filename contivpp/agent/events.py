"""What the controller is told, one at a time.

An event says what happened outside; the controller decides what it means. Events that somebody waits for
carry a future that the controller resolves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contivpp.agent.pods.api import Attachment, Sandbox


@dataclass(frozen=True, slots=True)
class ClusterRead:
    """The whole state of the cluster, by kind and ID.

    Attributes:
        source: "etcd" or "mirror", for people.
        external: what etcd has under this node's configuration, by scheduler key.
    """

    records: Mapping[str, Mapping[str, Any]]
    source: str
    external: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterChanged:
    """Records that were put, or with None deleted: (kind, ID, record)."""

    changes: tuple[tuple[str, str, Any | None], ...]
    revision: int


@dataclass(frozen=True, slots=True)
class HostChanged:
    """The node's own addresses, as (link, address with prefix length, MTU of the link)."""

    addresses: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class PodAdded:
    """The kubelet wants a sandbox connected."""

    sandbox: Sandbox
    done: asyncio.Future[Attachment] = field(compare=False)


@dataclass(frozen=True, slots=True)
class PodDeleted:
    """The kubelet wants a sandbox disconnected."""

    sandbox: Sandbox
    done: asyncio.Future[None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class PodsKept:
    """Every sandbox but these (container ID, interface) is to go."""

    valid: frozenset[tuple[str, str]]
    done: asyncio.Future[None] = field(compare=False)


@dataclass(frozen=True, slots=True)
class ExternalConfigChanged:
    """Somebody else wants other values on this node.

    Attributes:
        source: who; "db" is etcd.
        items: JSON by scheduler key, None for an item that is withdrawn.
        whole: these are all items of the source: those that it had and that are not here are withdrawn.
        done: resolved after the transaction, when somebody waits.
    """

    source: str
    items: Mapping[str, bytes | None]
    whole: bool = False
    done: asyncio.Future[None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class HealingWanted:
    """Something failed: compare with the data plane and mend what differs."""

    reason: str


Event = (
    ClusterRead
    | ClusterChanged
    | HostChanged
    | PodAdded
    | PodDeleted
    | PodsKept
    | ExternalConfigChanged
    | HealingWanted
)
