"""External over internal: what a key should hold, from what the agent renders and what the sources want.

A pure function of both, so that history does not matter: a source that withdraws an item gives the key back to the
agent, and an item stays when the agent has no value there any more. Sources count in the order of their names, the
later one over the earlier. An item that does not fit leaves the value as it is without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contivpp.agent.external.values import Catalogue, Item, Partial, finished


@dataclass(frozen=True, slots=True)
class Merged:
    """The value of a key, None for none, and for each source whose item has no effect the reason."""

    value: Any | None
    problems: dict[str, str] = field(default_factory=dict)


def merge(catalogue: Catalogue, key: str, base: Any | None, items: Iterable[Item]) -> Merged:
    """Merges all items of a key over `base`, the agent's own value."""
    ordered = sorted(items, key=lambda item: item.source)
    return _alone(catalogue, key, ordered) if base is None else _over(catalogue, key, base, ordered)


def _over(catalogue: Catalogue, key: str, base: Any, items: Iterable[Item]) -> Merged:
    value, problems = base, {}
    for item in items:
        partial = next((one for one in item.partials if one.kind is type(base)), None)
        if partial is None:
            problems[item.source] = f"the agent's own value here is a {type(base).__name__}, and this item is not"
            continue
        try:
            value = finished(catalogue, key, partial.over(value))
        except ValueError as error:
            problems[item.source] = str(error)
    return Merged(value, problems)


def _alone(catalogue: Catalogue, key: str, items: Iterable[Item]) -> Merged:
    together: dict[type, Partial] | None = None
    used: list[str] = []
    problems: dict[str, str] = {}
    for item in items:
        fitting, reason = {}, "another source makes a value of another type here"
        for partial in item.partials:
            if together is not None and partial.kind not in together:
                continue
            joined = partial if together is None else together[partial.kind].joined(partial)
            if not joined.missing():
                try:
                    finished(catalogue, key, joined.build())
                except ValueError as error:
                    reason = str(error)
                    continue
            fitting[partial.kind] = joined
        if fitting:
            together = fitting
            used.append(item.source)
        else:
            problems[item.source] = reason
    complete = [partial for partial in (together or {}).values() if not partial.missing()]
    if complete:
        return Merged(finished(catalogue, key, complete[0].build()), problems)
    for partial in list((together or {}).values())[:1]:
        reason = f"field {partial.missing()[0]} is missing, and the agent has no value here to take it from: add it"
        problems.update(dict.fromkeys(used, reason))
    return Merged(None, problems)
