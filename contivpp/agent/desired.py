"""What the node should be: the values that every unit rendered last, and how they differ from now.

One path serves updates and resyncs: a resync renders all units, an update the affected ones, and both give
the difference to what was rendered before. Pure: the caller sends the difference to the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.agent.changes import Change, WorldChange
from contivpp.agent.feature import Feature, Unit
from contivpp.agent.view import View

_Owner = tuple[str, Unit]


class KeyConflictError(Exception):
    """Two units render the same key; a key has one owner. A fault in a feature, not in the input."""


class Desired:
    """The desired configuration of a node, by the unit that asked for it."""

    def __init__(self, features: Sequence[Feature]) -> None:
        """Takes the features in the order in which their changes are shown; the order has no effect."""
        self._features = {feature.name: feature for feature in features}
        self._rendered: dict[_Owner, Mapping[str, Any]] = {}
        self._owner: dict[str, _Owner] = {}

    def values(self) -> dict[str, Any]:
        """Every desired value by key."""
        return {key: self._rendered[owner][key] for key, owner in sorted(self._owner.items())}

    def keys_of(self, feature: str, unit: Unit) -> list[str]:
        """The keys that a unit rendered last, sorted."""
        return sorted(self._rendered.get((feature, unit), {}))

    def update(self, changes: Iterable[Change], view: View) -> dict[str, Any]:
        """Renders what `changes` affect; returns the difference: values to put, None to delete."""
        changes = list(changes)
        if any(isinstance(change, WorldChange) for change in changes):
            return self.resync(view)
        owners: dict[_Owner, None] = {}
        for name, feature in self._features.items():
            for change in changes:
                owners.update(((name, unit), None) for unit in feature.affected(change, view))
        return self._render(owners, view)

    def resync(self, view: View) -> dict[str, Any]:
        """Renders every unit, forgets those that are gone; returns the difference as `update` does."""
        owners: dict[_Owner, None] = {}
        for name, feature in self._features.items():
            owners.update(((name, unit), None) for unit in feature.units(view))
        owners.update((owner, None) for owner in self._rendered if owner not in owners)
        return self._render(owners, view)

    def _render(self, owners: Iterable[_Owner], view: View) -> dict[str, Any]:
        rendered = {owner: dict(self._features[owner[0]].render(owner[1], view)) for owner in owners}
        before: dict[str, Any] = {}
        for owner in rendered:  # all leave before any enters: a key may move between units
            for key, value in self._rendered.pop(owner, {}).items():
                before[key] = value
                del self._owner[key]
        after: dict[str, Any] = {}
        for owner, values in rendered.items():
            for key in values:
                if key in self._owner:
                    message = f"{owner} and {self._owner[key]} both render {key}"
                    raise KeyConflictError(message)
                self._owner[key] = owner
            after.update(values)
            if values:
                self._rendered[owner] = values
        difference: dict[str, Any] = {key: None for key in before if key not in after}
        difference.update({key: value for key, value in after.items() if before.get(key) != value})
        return dict(sorted(difference.items()))
