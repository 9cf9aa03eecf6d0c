"""Which feature said what of an event, and how long it took to say it.

A recorder stands before every feature and is one itself. It notes the keys that a unit rendered before and
renders now, so that each value of a transaction can be told to the unit it belongs to, also when it is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.agent import metrics
from contivpp.agent.changes import Change
from contivpp.agent.desired import Desired
from contivpp.agent.event_history import Handling
from contivpp.agent.events import some
from contivpp.agent.feature import Feature
from contivpp.agent.view import View

OTHERS = "others"
"""Values that no feature rendered in this event: external configuration, and what depends on a changed value."""


class RecordedFeature:
    """A feature whose rendering is noted."""

    def __init__(self, feature: Feature, recorder: Recorder) -> None:
        """Takes the feature and where to note."""
        self.name = feature.name
        self._feature = feature
        self._recorder = recorder

    def units(self, view: View) -> Iterable[Any]:
        """Those of the feature."""
        start = time.perf_counter()
        units = list(self._feature.units(view))
        self._recorder.spent(self.name, start)
        return units

    def affected(self, change: Change, view: View) -> Iterable[Any]:
        """Those of the feature."""
        start = time.perf_counter()
        units = list(self._feature.affected(change, view))
        self._recorder.spent(self.name, start)
        return units

    def render(self, unit: Any, view: View) -> Mapping[str, Any]:
        """What the feature renders."""
        start = time.perf_counter()
        values = self._feature.render(unit, view)
        self._recorder.spent(self.name, start)
        self._recorder.rendered(self.name, unit, values)
        return values


class Recorder:
    """What the features said since the last `start`."""

    def __init__(self, features: Sequence[Feature]) -> None:
        """Takes the features; `features` are then these with the recorder before each."""
        self.features = [RecordedFeature(feature, self) for feature in features]
        self._desired: Desired | None = None
        self._seconds: dict[str, float] = {}
        self._owners: dict[str, tuple[str, Any]] = {}

    def bind(self, desired: Desired) -> None:
        """Says who knows what a unit rendered before."""
        self._desired = desired

    def start(self) -> None:
        """Forgets everything: a new event begins."""
        self._seconds.clear()
        self._owners.clear()

    def spent(self, feature: str, since: float) -> None:
        """Notes the time until now."""
        self._seconds[feature] = self._seconds.get(feature, 0.0) + time.perf_counter() - since

    def rendered(self, feature: str, unit: Any, values: Mapping[str, Any]) -> None:
        """Notes the keys of a unit, before and now."""
        for key in () if self._desired is None else self._desired.keys_of(feature, unit):
            self._owners.setdefault(key, (feature, unit))  # a key may move: who renders it now has the last word
        for key in values:
            self._owners[key] = (feature, unit)

    def owner_of(self, key: str) -> str:
        """The feature and unit that a key belongs to, for people."""
        feature, unit = self._owners.get(key, (OTHERS, ""))
        return f"{feature} {unit}".strip()

    def handlings(
        self, difference: Mapping[str, Any | None], errors: Mapping[str, str], *, revert: bool = False
    ) -> list[Handling]:
        """One entry per feature that rendered a difference, sorted by name, and its time into the metrics."""
        for feature, seconds in self._seconds.items():
            metrics.HANDLER_SECONDS.labels(feature).observe(seconds)
        self._seconds.clear()
        put: dict[str, int] = {}
        gone: dict[str, int] = {}
        failed: dict[str, list[str]] = {}
        for key, value in difference.items():
            count = gone if value is None else put
            feature = self._feature_of(key)
            count[feature] = count.get(feature, 0) + 1
        for key, error in errors.items():
            failed.setdefault(self._feature_of(key), []).append(f"{key}: {error}")
        return [
            Handling(
                handler=feature,
                revert=revert,
                change=_counted(put.get(feature, 0), gone.get(feature, 0)),
                error=feature in failed,
                error_str=some(failed.get(feature, [])),
            )
            for feature in sorted({*put, *gone, *failed})
        ]

    def _feature_of(self, key: str) -> str:
        return self._owners.get(key, (OTHERS, None))[0]


def _counted(put: int, gone: int) -> str:
    parts = [f"{count} {what}" for count, what in ((put, "put"), (gone, "deleted")) if count]
    return ", ".join(parts)
