"""What the machine was like before it was changed, on the disk before the first change is made.

One file per subject, JSON by name of the thing. What is remembered once is not remembered again: the second change of
a thing must not take the first one for its origin. A file that cannot be read is an error and never forgotten, for it
is all that is known of how the machine was.
"""

from __future__ import annotations

import json
from typing import Any

from .system import HostError, System

FOLDER = "/var/lib/contiv/host"


class Memory:
    """The memory of one subject, such as "nics"."""

    def __init__(self, system: System, subject: str) -> None:
        self._system = system
        self.path = "%s/%s.json" % (FOLDER, subject)

    def all(self) -> dict[str, Any]:
        """What is remembered, by name.

        Raises:
            HostError: the file is damaged.
        """
        text = self._system.read(self.path)
        if text is None:
            return {}
        try:
            found = json.loads(text)
        except ValueError as error:
            raise HostError(
                "%s is damaged (%s), and holds how this host was: repair it, or remove it to forget that"
                % (self.path, error)
            ) from None
        if not isinstance(found, dict):
            raise HostError("%s is damaged (no object): remove it to forget how this host was" % self.path)
        return found

    def remember(self, name: str, value: dict[str, Any]) -> None:
        """Keeps how a thing was, unless that is known already."""
        found = self.all()
        if name not in found:
            self._save({**found, name: value})

    def forget(self, name: str) -> None:
        """Forgets a thing that is as it was; the last one takes the file with it."""
        found = self.all()
        if found.pop(name, None) is not None:
            self._save(found)

    def _save(self, values: dict[str, Any]) -> None:
        if values:
            self._system.save(self.path, json.dumps(values, indent=1, sort_keys=True) + "\n", 0o600)
        else:
            self._system.remove(self.path)
