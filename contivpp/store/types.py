"""The words of the store: what is read, what is written, and what a follower is told.

All of them are immutable. Keys are text, values are bytes: what the bytes mean is the business of
`contivpp.model`. A revision is etcd's: one number for the whole store, raised by every transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

MAX_OPERATIONS: Final = 128
"""Operations in one transaction: etcd's own default limit (`--max-txn-ops`)."""

MAX_BATCH_BYTES: Final = 1 << 20
"""Bytes of keys and values in one transaction that `split` aims for; etcd refuses requests of 1.5 MiB."""


class KeyValue(msgspec.Struct, frozen=True, gc=False):
    """One key as it was at some revision."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class Snapshot(msgspec.Struct, frozen=True):
    """Everything under one or several prefixes at one revision, in the order of the keys per prefix."""

    revision: int
    items: dict[str, KeyValue]


class Change(msgspec.Struct, frozen=True, gc=False):
    """One key that was written (`value`) or deleted (`value` is None) at `mod_revision`.

    `create_revision` is 0 for a deletion.
    """

    key: str
    value: bytes | None
    mod_revision: int
    create_revision: int = 0


class Changes(msgspec.Struct, frozen=True):
    """What one transaction changed. Without any change: the connection is back and nothing was missed."""

    revision: int
    changes: tuple[Change, ...]


class Synced(msgspec.Struct, frozen=True):
    """The whole state: what was known before and is not in it, is gone."""

    snapshot: Snapshot


class Disconnected(msgspec.Struct, frozen=True):
    """etcd cannot be reached. Said once for an outage; `Synced` or `Changes` tell that it is over."""

    reason: str


Update = Synced | Changes | Disconnected


class Guard(msgspec.Struct, frozen=True):
    """A condition on one key that must hold for a batch to be carried out.

    `mod_revision` is the one the key must have; 0 means that it must not exist, None that it must.
    """

    key: str
    mod_revision: int | None

    @classmethod
    def absent(cls, key: str) -> Guard:
        """The key does not exist."""
        return cls(key, 0)

    @classmethod
    def exists(cls, key: str) -> Guard:
        """The key exists, whatever it holds."""
        return cls(key, None)

    @classmethod
    def unchanged(cls, key: str, mod_revision: int) -> Guard:
        """The key was last written at `mod_revision` (0: it still does not exist)."""
        return cls(key, mod_revision)

    def __str__(self) -> str:
        """Says the condition in words."""
        match self.mod_revision:
            case None:
                return f"{self.key} exists"
            case 0:
                return f"{self.key} does not exist"
            case revision:
                return f"{self.key} is unchanged since revision {revision}"


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction: all of it happens at one revision, or nothing does.

    Attributes:
        puts: values by key.
        deletes: single keys.
        trees: prefixes under which everything is deleted.
        guards: conditions that must all hold.

    Raises:
        ValueError: more than `MAX_OPERATIONS` operations or guards, or a key both written and deleted.
    """

    puts: Mapping[str, bytes] = MappingProxyType({})
    deletes: Sequence[str] = ()
    trees: Sequence[str] = ()
    guards: Sequence[Guard] = ()

    def __post_init__(self) -> None:
        """Refuses what etcd would refuse."""
        operations = len(self.puts) + len(self.deletes) + len(self.trees)
        if operations > MAX_OPERATIONS or len(self.guards) > MAX_OPERATIONS:
            raise ValueError(
                f"a batch holds at most {MAX_OPERATIONS} operations and as many guards, not {operations} and "
                f"{len(self.guards)}: split() cuts a long list of operations into batches"
            )
        if twice := self.puts.keys() & set(self.deletes):
            raise ValueError(f"a batch cannot both write and delete {sorted(twice)[0]}")


class Committed(msgspec.Struct, frozen=True, gc=False):
    """A transaction that was carried out, and its revision."""

    revision: int


def split(
    puts: Mapping[str, bytes], deletes: Sequence[str] = (), *, operations: int = MAX_OPERATIONS
) -> Iterator[Batch]:
    """Cuts any number of operations into batches that etcd accepts, in the order given, puts first."""
    some: dict[str, bytes] = {}
    size = 0
    for key, value in puts.items():
        more = len(key) + len(value)
        if some and (len(some) == operations or size + more > MAX_BATCH_BYTES):
            yield Batch(puts=some)
            some, size = {}, 0
        some[key] = value
        size += more
    if not some and not deletes:
        return
    room = operations - len(some)
    yield Batch(puts=some, deletes=deletes[:room])
    for start in range(room, len(deletes), operations):
        yield Batch(deletes=deletes[start : start + operations])
