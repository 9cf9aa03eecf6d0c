"""What a feature is: pure functions from the view to desired values, cut into units.

Two laws hold for every feature, and property tests prove them: after any sequence of changes the desired
values equal those of a fresh start from the same state; and `affected` never misses a unit whose rendering
changed. The second gives the first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contivpp.agent.changes import Change
    from contivpp.agent.view import View

Unit = Hashable
"""The smallest thing that is rendered at once; a frozen record private to its feature."""


class Feature(Protocol):
    """One capability of the network, independent of the data plane that expresses it."""

    name: str

    def units(self, view: View) -> Iterable[Any]:
        """Every unit there is, for a resync."""
        ...

    def affected(self, change: Change, view: View) -> Iterable[Any]:
        """The units that `change` may render differently; `view` already holds the change."""
        ...

    def render(self, unit: Any, view: View) -> Mapping[str, Any]:
        """The desired values of `unit` by key; empty when the unit is gone or has nothing to say."""
        ...
