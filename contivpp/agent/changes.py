"""What can change in the view of the cluster, in the words that features understand.

A change says what moved, never what to do: a feature answers it with the units that may render differently
now. `WorldChange` stands for "anything": every unit is affected.
"""

from __future__ import annotations

from dataclasses import dataclass

from contivpp.model.keys import PodID
from contivpp.policies.index import Moved


@dataclass(frozen=True, slots=True)
class NodeChange:
    """Another node appeared, left, or has other addresses.

    Attributes:
        addresses: those that Kubernetes knows it by and those that it published, before and after, sorted.
    """

    id: int
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnNodeChange:
    """This node has another ID or other addresses."""


@dataclass(frozen=True, slots=True)
class LocalPodChange:
    """A sandbox on this node was added or removed, or has another address."""

    pod: PodID


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A reflected Kubernetes record was put or deleted.

    Attributes:
        kind: "pod", "service", ... as in `contivpp.model.keys`.
        id: "namespace/name", or the name of what has no namespace.
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """Tables of local pods are other ones now, or sets that they use are, or members of those."""

    moved: Moved


@dataclass(frozen=True, slots=True)
class FrontendsChange:
    """Addresses and ports of services changed hands.

    Attributes:
        services: "namespace/name" of the other ones that claim any of them, sorted.
        addresses: those of the ones that changed hands, sorted; node ports have none.
    """

    services: tuple[str, ...]
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnZoneChange:
    """This node is in another zone."""


@dataclass(frozen=True, slots=True)
class WorldChange:
    """Too much changed to tell: the state of the cluster was read anew."""


@dataclass(frozen=True, slots=True)
class ExternalChange:
    """Others want something else under these keys; no feature renders from it."""

    keys: tuple[str, ...]


Change = (
    NodeChange
    | OwnNodeChange
    | OwnZoneChange
    | LocalPodChange
    | RecordChange
    | FrontendsChange
    | PolicyChange
    | WorldChange
    | ExternalChange
)
