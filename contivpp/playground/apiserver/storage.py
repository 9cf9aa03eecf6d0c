"""Objects in memory, with one revision for all of them, a history for watches, and SQLite for a restart.

Invariants: a stored object is never changed, only replaced; every change has a revision of its own and is in
the file before anybody is told of it (a killed process loses nothing; a machine without power may). The
history is kept per resource, so that heartbeats of nodes do not push out the history of pods. After a
restart it is empty: who asks for an older revision is told to list again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

Object = dict[str, Any]
Key = tuple[str, str]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
DEFAULT_HISTORY = 20_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    resource TEXT, namespace TEXT, name TEXT, body BLOB, PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), value INTEGER);
INSERT OR IGNORE INTO revision VALUES (1, 0);
"""


@dataclass(slots=True, eq=False)
class Change:
    """One change of one object.

    Attributes:
        object: what it is now; of a deleted one, what it was last, with the revision of the deletion.
        previous: what it was before; None for an added one.
    """

    revision: int
    type: ChangeType
    object: Object
    previous: Object | None
    encoded: bytes = b""

    def encode(self) -> bytes:
        """The object as JSON, encoded once however many watch."""
        if not self.encoded:
            self.encoded = msgspec.json.encode(self.object)
        return self.encoded


@dataclass(slots=True)
class _Shelf:
    """What is kept of one resource; `forgotten` is the newest revision that is no longer in `history`."""

    objects: dict[Key, Object] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    first: int = 0
    forgotten: int = 0
    waiting: set[asyncio.Event] = field(default_factory=set)


class ForgottenError(Exception):
    """The history no longer reaches back to the revision asked for."""


class Storage:
    """All objects of the server."""

    def __init__(self, file: Path | None = None, *, history: int = DEFAULT_HISTORY) -> None:
        self.revision = 0
        self._history = history
        self._shelves: dict[str, _Shelf] = {}
        self._base = 0
        self._file: sqlite3.Connection | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(file, isolation_level=None)
            self._load(self._file)

    def _load(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(_SCHEMA)
        (self.revision,) = connection.execute("SELECT value FROM revision").fetchone()
        self._base = self.revision
        for resource, namespace, name, body in connection.execute("SELECT * FROM object"):
            self._shelf(resource).objects[namespace, name] = msgspec.json.decode(body)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _shelf(self, resource: str) -> _Shelf:
        shelf = self._shelves.get(resource)
        if shelf is None:
            # A resource that is first seen now has had no change since the start.
            shelf = self._shelves[resource] = _Shelf(forgotten=self._base)
        return shelf

    def get(self, resource: str, key: Key) -> Object | None:
        """One object; not to be changed."""
        return self._shelf(resource).objects.get(key)

    def all(self, resource: str) -> Mapping[Key, Object]:
        """All objects of a resource, as they are now."""
        return self._shelf(resource).objects

    def at(self, resource: str, revision: int) -> dict[Key, Object]:
        """All objects of a resource, as they were at a revision.

        Raises:
            ForgottenError: the history does not reach back that far.
        """
        shelf = self._shelf(resource)
        if revision < shelf.forgotten:
            raise ForgottenError
        objects = dict(shelf.objects)
        for change in reversed(shelf.history):
            if change.revision <= revision:
                break
            metadata = change.object["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            if change.previous is None:
                objects.pop(key, None)
            else:
                objects[key] = change.previous
        return objects

    def put(self, resource: str, key: Key, subject: Object) -> Object:
        """Stores an object that the caller made and gives away; sets its revision."""
        shelf = self._shelf(resource)
        previous = shelf.objects.get(key)
        self.revision += 1
        subject["metadata"]["resourceVersion"] = str(self.revision)
        change = Change(self.revision, "ADDED" if previous is None else "MODIFIED", subject, previous)
        if self._file is not None:
            with _transaction(self._file):
                self._file.execute(
                    "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", (resource, *key, change.encode())
                )
                self._file.execute("UPDATE revision SET value = ?", (self.revision,))
        shelf.objects[key] = subject
        self._tell(shelf, change)
        return subject

    def delete(self, resource: str, key: Key) -> Object:
        """Removes an object that is there; returns its last state."""
        shelf = self._shelf(resource)
        previous = shelf.objects[key]
        self.revision += 1
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.revision)}}
        if self._file is not None:
            with _transaction(self._file):
                self._file.execute(
                    "DELETE FROM object WHERE resource = ? AND namespace = ? AND name = ?", (resource, *key)
                )
                self._file.execute("UPDATE revision SET value = ?", (self.revision,))
        del shelf.objects[key]
        self._tell(shelf, Change(self.revision, "DELETED", last, previous))
        return last

    def _tell(self, shelf: _Shelf, change: Change) -> None:
        shelf.history.append(change)
        while len(shelf.history) > self._history:
            shelf.forgotten = shelf.history.popleft().revision
            shelf.first += 1
        for event in shelf.waiting:
            event.set()

    def compact(self) -> None:
        """Forgets the history of every resource, as a server does that has run for a while."""
        for shelf in self._shelves.values():
            shelf.first += len(shelf.history)
            shelf.history.clear()
            shelf.forgotten = self.revision
        self._base = self.revision

    def reader(self, resource: str, revision: int) -> Reader:
        """Reads the changes of a resource after a revision.

        Raises:
            ForgottenError: the history does not reach back that far.
        """
        return Reader(self._shelf(resource), revision)


class Reader:
    """A place in the history of one resource."""

    def __init__(self, shelf: _Shelf, revision: int) -> None:
        if revision < shelf.forgotten:
            raise ForgottenError
        self._shelf = shelf
        self._event = asyncio.Event()
        older = 0
        for change in reversed(shelf.history):
            if change.revision <= revision:
                break
            older += 1
        self._next = shelf.first + len(shelf.history) - older
        shelf.waiting.add(self._event)

    def close(self) -> None:
        """Waits no longer."""
        self._shelf.waiting.discard(self._event)

    def read(self, limit: int = 500) -> list[Change]:
        """The changes that were not read yet, at most `limit` of them.

        Raises:
            ForgottenError: the reader was too slow.
        """
        shelf = self._shelf
        if self._next < shelf.first:
            raise ForgottenError
        start = self._next - shelf.first
        count = min(limit, len(shelf.history) - start)
        self._next += count
        self._event.clear()
        if count > len(shelf.history) // 2:
            return list(shelf.history)[start : start + count]
        return [shelf.history[start + i] for i in range(count)]

    async def wait(self) -> None:
        """Returns when there is something to read, or `wake` was called."""
        if self._next >= self._shelf.first + len(self._shelf.history):
            await self._event.wait()

    def wake(self) -> None:
        """Ends a wait."""
        self._event.set()


class _transaction:  # noqa: N801 - reads like the statement it is
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def in_order(objects: Mapping[Key, Object], namespace: str | None, after: Key | None) -> Iterator[tuple[Key, Object]]:
    """Objects by namespace and name, of one namespace or of all, after a key."""
    for key in sorted(objects):
        if (namespace is None or key[0] == namespace) and (after is None or key > after):
            yield key, objects[key]
