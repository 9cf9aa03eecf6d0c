"""What an agent must not forget, in one SQLite file: what it read of etcd, and small tables of its own.

Written before a call returns, so that a killed process loses nothing. Nothing is forced to the disk: what a
power failure takes away, the reboot made obsolete. A file that is damaged is moved aside, and all starts anew.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from contivpp.store.types import Changes, KeyValue, Snapshot

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (
    "table" TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY ("table", key)
) WITHOUT ROWID;
"""

# An equal revision proves nothing: it may be that of an etcd that was restored from a backup meanwhile.
_PUT_IF_DIFFERENT = """
INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
SET value = excluded.value, create_revision = excluded.create_revision, mod_revision = excluded.mod_revision
WHERE (value, create_revision, mod_revision)
    IS NOT (excluded.value, excluded.create_revision, excluded.mod_revision)
"""


class Mirror:
    """One file; used from one thread."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file, and its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            aside = path.with_name(path.name + ".damaged")
            log.error("%s is damaged (%s): moved to %s; starting without it", path, error, aside)
            path.replace(aside)
            for rest in ("-wal", "-shm"):
                path.with_name(path.name + rest).unlink(missing_ok=True)
            self._database = _open(path)

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    # ---- the cluster

    def replace(self, snapshot: Snapshot) -> None:
        """Takes a whole new state; only rows that differ are written."""
        with self._database as database:
            gone = [(key,) for (key,) in database.execute("SELECT key FROM items") if key not in snapshot.items]
            database.executemany("DELETE FROM items WHERE key = ?", gone)
            database.executemany(
                _PUT_IF_DIFFERENT,
                ((item.key, item.value, item.create_revision, item.mod_revision) for item in snapshot.items.values()),
            )
            self._set_revision(snapshot.revision)

    def apply(self, changes: Changes) -> None:
        """Takes the changes of one revision."""
        with self._database as database:
            for change in changes.changes:
                if change.value is None:
                    database.execute("DELETE FROM items WHERE key = ?", (change.key,))
                else:
                    database.execute(
                        "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)",
                        (change.key, change.value, change.create_revision, change.mod_revision),
                    )
            self._set_revision(changes.revision)

    def load(self) -> Snapshot | None:
        """What was taken last; None when nothing ever was."""
        revision = self._revision()
        if not revision:
            return None
        rows = self._database.execute("SELECT key, value, create_revision, mod_revision FROM items ORDER BY key")
        return Snapshot(revision, {row[0]: KeyValue(*row) for row in rows})

    # ---- tables of one's own

    def kept(self, table: str) -> Kept:
        """A small table by its name."""
        return Kept(self._database, table)

    def _revision(self) -> int:
        row = self._database.execute("SELECT revision FROM revisions WHERE name = 'cluster'").fetchone()
        return 0 if row is None else int(row[0])

    def _set_revision(self, revision: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO revisions VALUES ('cluster', ?)", (revision,))


class Kept:
    """Bytes by key; every change is in the file before the call returns."""

    def __init__(self, database: sqlite3.Connection, table: str) -> None:
        """Takes the open file and the table's name."""
        self._database = database
        self._table = table

    def load(self) -> Mapping[str, bytes]:
        """Everything in the table, sorted by key."""
        rows = self._database.execute('SELECT key, value FROM kept WHERE "table" = ? ORDER BY key', (self._table,))
        return dict(rows)

    def put(self, key: str, value: bytes) -> None:
        """Keeps a value."""
        with self._database as database:
            database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (self._table, key, value))

    def update(self, changes: Mapping[str, bytes | None]) -> None:
        """Keeps several values, and forgets those that are None; all of it or nothing."""
        with self._database as database:
            for key, value in changes.items():
                if value is None:
                    database.execute('DELETE FROM kept WHERE "table" = ? AND key = ?', (self._table, key))
                else:
                    database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (self._table, key, value))

    def delete(self, key: str) -> None:
        """Forgets a value; one that is not there is fine."""
        with self._database as database:
            database.execute('DELETE FROM kept WHERE "table" = ? AND key = ?', (self._table, key))


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if (found := database.execute("PRAGMA quick_check").fetchone()) != ("ok",):
            raise sqlite3.DatabaseError(found[0])
        database.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        with contextlib.suppress(sqlite3.Error):
            database.close()
        raise
    return database
