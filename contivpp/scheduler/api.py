"""The words that features, descriptors and the scheduler share.

A value is a frozen, comparable record with a key. A descriptor owns one kind of value and makes it real.
The scheduler decides when; nothing else does. Source: the behaviour of Ligato's key-value scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Value(Protocol):
    """A frozen record; equal records need no operation."""

    @property
    def key(self) -> str:
        """The key, unique in the whole system; a pure function of the record's identifying fields."""
        ...


@dataclass(frozen=True, slots=True)
class Dependency:
    """What must exist before a value may.

    Attributes:
        label: what the dependency is, for people ("link", "gateway").
        key: the key that must be available; empty when any key under one of `any_of` will do.
        any_of: key prefixes, one available key below any of them satisfies the dependency.
    """

    label: str
    key: str = ""
    any_of: tuple[str, ...] = ()


class OperationKind(StrEnum):
    """What an operation does to the data plane."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Operation:
    """One step handed to a descriptor.

    Attributes:
        value: the value to be made real, or for a delete the value that goes.
        previous: what is there now; set for updates and deletes.
    """

    kind: OperationKind
    key: str
    value: Any
    previous: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended; `error` empty means well.

    Attributes:
        retriable: whether trying again later can help.
        recreate: an update that can only be done by delete and create asks for it here.
    """

    error: str = ""
    retriable: bool = True
    recreate: bool = False

    @property
    def ok(self) -> bool:
        """Whether the operation did what it should."""
        return not self.error and not self.recreate


DONE = Outcome()


@dataclass(frozen=True, slots=True)
class Observed:
    """A value as it was found in the data plane.

    Attributes:
        foreign: made by somebody else (a kernel link, say): satisfies dependencies, is never removed.
    """

    value: Any
    foreign: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Descriptor(Protocol):
    """The driver of one kind of value.

    One whose batches are transactions, in any order of operations, may say so with `orders_itself = True`: then what
    goes and what comes are one batch where nobody else depends on it.
    """

    name: str
    prefix: str

    def dependencies(self, key: str, value: Any) -> Iterable[Dependency]:
        """What must exist before `value`; a pure function."""
        ...

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        """Values that live and die with `value`, by key; a pure function, one level deep."""
        ...

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Carries out one batch; outcomes come in the order of the operations. Never raises for a single value."""
        ...

    async def retrieve(self) -> Mapping[str, Observed]:
        """What is really there of this kind, by key."""
        ...


def by_key(*values: Value) -> dict[str, Any]:
    """Values by their keys.

    Raises:
        ValueError: two different values claim one key; a key has one owner.
    """
    result: dict[str, Any] = {}
    for value in values:
        if result.setdefault(value.key, value) != value:
            message = f"two values for key {value.key}: {result[value.key]} and {value}"
            raise ValueError(message)
    return result
