"""Who waits for which key, and for any key below which prefix; kept so that a change costs what it touches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from contivpp.scheduler.api import Dependency


class DependencyIndex:
    """From a key, or a prefix, to the keys of the values that depend on it."""

    def __init__(self) -> None:
        """Starts empty."""
        self._waiting: dict[str, str | set[str]] = {}
        self._waiting_below: dict[str, set[str]] = {}
        self._available: dict[str, int] = {}
        self._lengths: Counter[int] = Counter()

    def replace(
        self,
        key: str,
        before: Iterable[Dependency],
        after: Iterable[Dependency],
        count_below: Callable[[str], int],
    ) -> None:
        """Says that the value `key` no longer has the dependencies `before` but `after`.

        Args:
            key: of the value that depends.
            before: what it depended on.
            after: what it depends on now.
            count_below: how many values are there below a prefix; asked once for a prefix that is new.
        """
        old, new = {*_targets(before)}, {*_targets(after)}
        for is_prefix, target in old - new:
            if is_prefix:
                self._forget_prefix(target, key)
            else:
                self._forget(target, key)
        for is_prefix, target in new - old:
            if is_prefix:
                self._add_prefix(target, key, count_below)
            else:
                self._add(target, key)

    def waiting_for(self, key: str) -> set[str]:
        """Who depends on `key`, by its name or by a prefix."""
        found = self._waiting.get(key)
        result = {found} if isinstance(found, str) else set(found or ())
        for prefix in self.prefixes_of(key):
            result |= self._waiting_below[prefix]
        return result

    def prefixes_of(self, key: str) -> Iterator[str]:
        """The prefixes of `key` that somebody depends on."""
        for length in self._lengths:
            if (prefix := key[:length]) in self._waiting_below:
                yield prefix

    def available_below(self, prefix: str) -> int:
        """How many values are there below a prefix that somebody depends on."""
        return self._available.get(prefix, 0)

    def appeared(self, key: str, difference: int) -> None:
        """Says that a value is there now (1), or no longer (-1)."""
        for prefix in self.prefixes_of(key):
            self._available[prefix] += difference

    def _add(self, target: str, key: str) -> None:
        # Most keys have one dependent: a set for each would be most of the memory.
        known = self._waiting.get(target)
        if known is None:
            self._waiting[target] = key
        elif isinstance(known, str):
            self._waiting[target] = {known, key}
        else:
            known.add(key)

    def _forget(self, target: str, key: str) -> None:
        known = self._waiting[target]
        if isinstance(known, str) or len(known) == 1:
            del self._waiting[target]
        else:
            known.discard(key)

    def _add_prefix(self, prefix: str, key: str, count_below: Callable[[str], int]) -> None:
        if prefix not in self._waiting_below:
            self._waiting_below[prefix] = set()
            self._available[prefix] = count_below(prefix)
            self._lengths[len(prefix)] += 1
        self._waiting_below[prefix].add(key)

    def _forget_prefix(self, prefix: str, key: str) -> None:
        waiting = self._waiting_below[prefix]
        waiting.discard(key)
        if not waiting:
            del self._waiting_below[prefix], self._available[prefix]
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]


def _targets(needs: Iterable[Dependency]) -> Iterator[tuple[bool, str]]:
    for need in needs:
        if need.key:
            yield False, need.key
        else:
            for prefix in need.any_of:
                yield True, prefix
