"""Is what is what should be? Asked after every event when `enableVerification` is set; a tool for finding faults.

Two comparisons, and both only find what is a fault of ours or somebody else's hand. Rendering: every unit is
rendered anew from the same view; a difference means that `affected` of its feature missed a change. Data plane:
a resync reads what is really there, and each operation that it needs is a difference, found and mended at once.
What failed or waits for something is known to be different and does not count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from contivpp.agent import metrics
from contivpp.scheduler.history import Transaction
from contivpp.scheduler.scheduler import Result, Scheduler
from contivpp.scheduler.state import IN_PLACE

log = logging.getLogger(__name__)


def rendering(difference: Mapping[str, Any], owner_of: Callable[[str], str]) -> list[str]:
    """Tells what only a fresh rendering of every unit found.

    Args:
        difference: of a resync from an unchanged view: values by key, None for those that should be gone.
        owner_of: the feature and unit that render a key, for people.

    Returns:
        One sentence per key.
    """
    sentences = [
        f"{key} of {owner_of(key)} was not rendered when it changed: it should be {_shown(wanted)}"
        for key, wanted in sorted(difference.items())
    ]
    _tell("rendering", sentences)
    return sentences


async def data_plane(scheduler: Scheduler, desired: Mapping[str, Any]) -> tuple[Result, list[str]]:
    """Makes the data plane what is desired, and tells what differed.

    Returns:
        How the resync ended, and one sentence per difference: key, what was wanted, what was found.
    """
    known = {*scheduler.troubles(), *(key for key in desired if scheduler.state_of(key) not in IN_PLACE)}
    result = await scheduler.resync(desired, description="verification")
    sentences = differences(scheduler.history[result.seq], known)
    _tell("data_plane", sentences)
    return result, sentences


def differences(transaction: Transaction, known: Collection[str]) -> list[str]:
    """What a resync had to do, as sentences; without what it did for keys that were known to be amiss."""
    return [
        f"{step.key}: wanted {_shown(step.new_value)}, found {_shown(step.prev_value)}"
        for step in transaction.executed
        if step.key not in known and not step.noop
    ]


def _tell(place: str, sentences: list[str]) -> None:
    if sentences:
        metrics.DIFFERENCES.labels(place).inc(len(sentences))
    for sentence in sentences:
        log.error("verification, %s: %s", place.replace("_", " "), sentence)


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
