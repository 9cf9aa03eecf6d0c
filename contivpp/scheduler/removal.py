"""In which order values leave: dependents before what they depend on, and everybody who loses the ground leaves too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from contivpp.scheduler.api import Dependency
from contivpp.scheduler.components import closed_groups
from contivpp.scheduler.graph import Graph


class Removal:
    """The values that leave together with some others, handed out in waves."""

    def __init__(self, graph: Graph, going: Iterable[str], stuck: Iterable[str]) -> None:
        """Takes who is to go, and who cannot go because it failed to."""
        self._graph = graph
        self._below: Counter[str] = Counter()
        self._dependents: dict[str, set[str]] = {}
        self._grounds: dict[str, list[str]] = {}
        self._leaving: set[str] = set()
        self._collect(going, frozenset(stuck))
        self._free = sorted(key for key, dependents in self._dependents.items() if not dependents)

    @property
    def keys(self) -> Iterable[str]:
        """Everybody who is still to leave."""
        return self._dependents.keys()

    def next(self) -> list[str]:
        """Who leaves next, sorted; those who need each other at once. Empty at the end."""
        wave, self._free = sorted(key for key in self._free if key in self._dependents), []
        if not wave and self._dependents:
            wave = sorted(key for group in closed_groups(self._dependents) for key in group)
        self._leaving.update(wave)
        return wave

    def gone(self, key: str) -> None:
        """Says that a value of the wave has left."""
        self._dependents.pop(key, None)
        for ground in self._grounds.pop(key, ()):
            dependents = self._dependents.get(ground)
            if dependents is not None and key in dependents:
                dependents.discard(key)
                if not dependents and ground not in self._leaving:
                    self._free.append(ground)

    def stays(self, key: str) -> dict[str, str]:
        """Says that a value could not leave; returns who has to stay for its sake, each with who needs it.

        A value that was stuck before this removal began keeps what it stands on in the same way.
        """
        kept: dict[str, str] = {}
        pending = [key]
        self._dependents.pop(key, None)
        while pending:
            needing = pending.pop()
            for ground in self._grounds.get(needing, ()):
                if ground in self._dependents:
                    del self._dependents[ground]
                    kept[ground] = needing
                    pending.append(ground)
        return kept

    def _collect(self, going: Iterable[str], stuck: frozenset[str]) -> None:
        graph = self._graph
        pending = sorted(going, reverse=True)
        for key in pending:
            self._add(key)
        waiting: dict[str, list[str]] = {}
        while pending:
            key = pending.pop()
            waiting[key] = graph.waiting_for(key)
            for other in waiting[key]:
                node = graph.nodes[other]
                if other in self._dependents or node.actual is None or node.foreign:
                    continue
                if any(self._loses(need) for need in node.actual_needs):
                    if other in stuck:
                        self._grounds.setdefault(other, []).append(key)
                        continue
                    self._add(other)
                    pending.append(other)
        for key, others in waiting.items():
            for other in others:
                if other in self._dependents and other != key:
                    self._dependents[key].add(other)
                    self._grounds.setdefault(other, []).append(key)

    def _add(self, key: str) -> None:
        self._dependents[key] = set()
        if self._graph.available(key):
            self._below.update(self._graph.watched_prefixes(key))

    def _loses(self, need: Dependency) -> bool:
        """Whether a dependency is met now and will not be, or is not met anyway."""
        if need.key:
            return need.key in self._dependents or not self._graph.available(need.key)
        return not any(self._graph.available_below(prefix) > self._below[prefix] for prefix in need.any_of)
