"""Ends of links that another data plane makes in pods: which they are, kept in a file.

The node's side of such a link is not in the kernel, so nothing there says in which namespace to look for it. A name in
the file without a link is no harm: nothing is found then.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec


class End(msgspec.Struct, frozen=True):
    """Where an end is: the path of its namespace, "" for the node's; and the key of the value that makes the link."""

    netns: str
    made_by: str


class Ends:
    """The ends that were taken over, by logical name."""

    def __init__(self, record: Path | None = None) -> None:
        """Takes the file; without one they are forgotten with this object."""
        self._record = record
        self._ends = self._load()

    def all(self) -> Mapping[str, End]:
        """Every end."""
        return self._ends

    def remember(self, name: str, end: End) -> None:
        """Keeps an end."""
        if self._ends.get(name) != end:
            self._ends[name] = end
            self._save()

    def forget(self, name: str) -> None:
        """Forgets an end; one that is not known is fine."""
        if self._ends.pop(name, None) is not None:
            self._save()

    def _load(self) -> dict[str, End]:
        if self._record is None:
            return {}
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=dict[str, End])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _save(self) -> None:
        if self._record is None:
            return
        self._record.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._record.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._ends))
        fresh.replace(self._record)
