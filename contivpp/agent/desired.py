"""What the node should be: the values that every unit rendered last, and how they differ from now.

One path serves updates and resyncs: a resync renders all units, an update the affected ones, and both give
the difference to what was wanted before. What others want under a key is merged over what the units render there;
what they want changes what is rendered in nothing. Pure: the caller sends the difference to the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.agent.changes import Change, ExternalChange, WorldChange
from contivpp.agent.external.config import ExternalConfig
from contivpp.agent.feature import Feature, Unit
from contivpp.agent.view import View

_Owner = tuple[str, Unit]


class KeyConflictError(Exception):
    """Two units render the same key; a key has one owner. A fault in a feature, not in the input."""


class Desired:
    """The desired configuration of a node, by the unit that asked for it, and what others merge over it."""

    def __init__(self, features: Sequence[Feature], external: ExternalConfig | None = None) -> None:
        """Takes the features, in any order, and what others want."""
        self.external = external or ExternalConfig()
        self._features = {feature.name: feature for feature in features}
        self._rendered: dict[_Owner, Mapping[str, Any]] = {}
        self._owner: dict[str, _Owner] = {}
        self._merged = {key: self.external.merged(key, None).value for key in self.external}

    def values(self) -> dict[str, Any]:
        """Every desired value by key."""
        wanted = {**self.rendered(), **self._merged}
        return {key: value for key, value in sorted(wanted.items()) if value is not None}

    def rendered(self) -> dict[str, Any]:
        """What the features alone want, by key."""
        return {key: self._rendered[owner][key] for key, owner in self._owner.items()}

    def value(self, key: str) -> Any | None:
        """What is desired under a key, None for nothing."""
        return self._merged[key] if key in self._merged else self.own_value(key)

    def own_value(self, key: str) -> Any | None:
        """What the features alone want under a key, None for nothing."""
        owner = self._owner.get(key)
        return None if owner is None else self._rendered[owner][key]

    @property
    def departed(self) -> set[str]:
        """Keys that others wanted and want no more, until it is known that nothing is left under them."""
        return self.external.departed

    def is_external(self, key: str) -> bool:
        """Whether others alone want something under a key, or did and it may still be there."""
        return key not in self._owner and (key in self.external or key in self.external.departed)

    def keys_of(self, feature: str, unit: Unit) -> list[str]:
        """The keys that a unit rendered last, sorted."""
        return sorted(self._rendered.get((feature, unit), {}))

    def update(self, changes: Iterable[Change], view: View) -> dict[str, Any]:
        """Renders what `changes` affect; returns the difference: values to put, None to delete."""
        changes = list(changes)
        external = [key for change in changes if isinstance(change, ExternalChange) for key in change.keys]
        owners: dict[_Owner, None] = {}
        if any(isinstance(change, WorldChange) for change in changes):
            owners = self._all_owners(view)
        else:
            for name, feature in self._features.items():
                for change in changes:
                    owners.update(((name, unit), None) for unit in feature.affected(change, view))
        return self._render(owners, view, external)

    def resync(self, view: View) -> dict[str, Any]:
        """Renders every unit, forgets those that are gone, merges anew; returns the difference as `update` does."""
        return self._render(self._all_owners(view), view, {*self._merged, *self.external})

    def _all_owners(self, view: View) -> dict[_Owner, None]:
        owners: dict[_Owner, None] = {}
        for name, feature in self._features.items():
            owners.update(((name, unit), None) for unit in feature.units(view))
        owners.update((owner, None) for owner in self._rendered if owner not in owners)
        return owners

    def _render(self, owners: Iterable[_Owner], view: View, external: Iterable[str] = ()) -> dict[str, Any]:
        rendered = {owner: dict(self._features[owner[0]].render(owner[1], view)) for owner in owners}
        before: dict[str, Any] = {key: self.own_value(key) for key in external}
        for owner in rendered:  # all leave before any enters: a key may move between units
            for key, value in self._rendered.pop(owner, {}).items():
                before[key] = value
                del self._owner[key]
        touched = dict.fromkeys(before)
        for owner, values in rendered.items():
            for key in values:
                if key in self._owner:
                    message = f"{owner} and {self._owner[key]} both render {key}"
                    raise KeyConflictError(message)
                self._owner[key] = owner
            touched.update(dict.fromkeys(values))
            if values:
                self._rendered[owner] = values
        difference: dict[str, Any] = {}
        for key in sorted(touched):
            wanted = self._merged[key] if key in self._merged else before.get(key)
            self._merge(key)
            if (value := self.value(key)) != wanted:
                difference[key] = value
        return difference

    def _merge(self, key: str) -> None:
        if key in self.external:
            self._merged[key] = self.external.merged(key, self.own_value(key)).value
        else:
            self._merged.pop(key, None)
