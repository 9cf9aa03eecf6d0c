"""A pool of numbers that are unique in the cluster, and who holds which. Source: spec/agent.md 6, spec/cluster.md 11.1.

Equal pools encode to equal bytes: nodes that compare the whole text agree on it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from contivpp.model.codec import Record
from contivpp.model.keys import prefix

MAX_ID: Final = (1 << 32) - 1
"""The original keeps IDs in 32 bits."""

Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class Range(Record, frozen=True):
    """The IDs from `min_id` to `max_id`, both included, but for the `reserved` ones."""

    min_id: Id = 0
    max_id: Id = 0
    reserved: tuple[Id, ...] = ()

    def same_as(self, other: Range) -> bool:
        """Whether both hold the same IDs; the order of the reserved ones means nothing."""
        return (self.min_id, self.max_id, {*self.reserved}) == (other.min_id, other.max_id, {*other.reserved})

    def __str__(self) -> str:
        """In words."""
        without = f" without {', '.join(map(str, sorted({*self.reserved})))}" if self.reserved else ""
        return f"{self.min_id} to {self.max_id}{without}"


class Allocation(Record, frozen=True):
    """An ID that is taken, and the node that took it."""

    id: Id = 0
    owner: str = ""


class AllocationPool(Record, frozen=True):
    """A pool by its name; allocations are by label, which says what the ID is for."""

    name: str = ""
    range: Range = Range()
    id_allocations: dict[str, Allocation] = {}

    def free_id(self) -> int | None:
        """The lowest ID that is neither reserved nor taken, None when there is none."""
        taken = {*self.range.reserved, *(one.id for one in self.id_allocations.values())}
        for candidate in range(self.range.min_id, self.range.max_id + 1):
            if candidate not in taken:
                return candidate
        return None

    def with_allocation(self, label: str, allocation: Allocation) -> AllocationPool:
        """The pool with one more label."""
        return msgspec.structs.replace(self, id_allocations={**self.id_allocations, label: allocation})

    def without(self, label: str) -> AllocationPool:
        """The pool without a label."""
        rest = {name: one for name, one in self.id_allocations.items() if name != label}
        return msgspec.structs.replace(self, id_allocations=rest)


def pool_key(name: str) -> str:
    """Where a pool is in etcd.

    Raises:
        ValueError: no pool can have this name.
    """
    if not name or "/" in name:
        message = f"{name!r} is not the name of a pool: use one without a slash, such as vni"
        raise ValueError(message)
    return prefix("idalloc") + name
