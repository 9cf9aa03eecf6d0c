"""Carries out what `waves` decides: one batch per descriptor and kind of operation, all batches of a wave at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from contivpp.scheduler import metrics
from contivpp.scheduler.api import Descriptor, Outcome
from contivpp.scheduler.graph import NOTHING, Graph
from contivpp.scheduler.history import Transaction, recorded
from contivpp.scheduler.waves import Step, Waves

log = logging.getLogger(__name__)


async def execute(
    graph: Graph,
    touched: Iterable[str],
    record: Transaction,
    *,
    failed: Mapping[str, str] = NOTHING,
    stop_at_error: bool = False,
    is_revert: bool = False,
    is_retry: bool = False,
) -> Waves:
    """Brings `touched` and all that depends on them in order, and notes in `record` what was done.

    Args:
        graph: what is wanted and what is there.
        touched: keys that may need something.
        record: the transaction that this is part of.
        failed: what failed already in this transaction, and is left alone.
        stop_at_error: whether the first wave with an error is the last one.
        is_revert: for the record.
        is_retry: for the record.

    Returns:
        Which keys were looked at, and which failed.
    """
    waves = Waves(graph, stop_at_error=stop_at_error, failed=failed)
    waves.look_at(touched)
    while steps := waves.next():
        outcomes = await _carry_out(steps)
        for step, outcome in zip(steps, outcomes, strict=True):
            waves.done(step, outcome)
            if outcome.recreate and not outcome.error:
                continue  # nothing was done yet: the delete and the create follow
            record.executed.append(recorded(step, outcome, is_revert=is_revert, is_retry=is_retry))
    waves.settle()
    return waves


async def _carry_out(steps: Sequence[Step]) -> list[Outcome]:
    batches: dict[tuple[str, str], list[int]] = {}
    for position, step in enumerate(steps):
        assert step.node.descriptor is not None
        together = getattr(step.node.descriptor, "orders_itself", False)
        batches.setdefault((step.node.descriptor.name, "" if together else step.operation.kind), []).append(position)
    if len(batches) == 1:
        return await _batch(steps)
    parts = list(batches.values())
    answers = await asyncio.gather(*(_batch([steps[position] for position in part]) for part in parts))
    outcomes: list[Outcome] = [Outcome()] * len(steps)
    for part, answer in zip(parts, answers, strict=True):
        for position, outcome in zip(part, answer, strict=True):
            outcomes[position] = outcome
    return outcomes


async def _batch(steps: Sequence[Step]) -> list[Outcome]:
    descriptor, kinds = steps[0].node.descriptor, [step.operation.kind for step in steps]
    assert descriptor is not None
    start = time.perf_counter()
    outcomes = await _apply(descriptor, steps)
    kind = kinds[0] if len(set(kinds)) == 1 else "mixed"
    metrics.BATCH_SECONDS.labels(descriptor.name, kind).observe(time.perf_counter() - start)
    for (kind, result), count in Counter(
        (kind, "failed" if outcome.error else "done") for kind, outcome in zip(kinds, outcomes, strict=True)
    ).items():
        metrics.OPERATIONS.labels(descriptor.name, kind, result).inc(count)
    return outcomes


async def _apply(descriptor: Descriptor, steps: Sequence[Step]) -> list[Outcome]:
    operations = [step.operation for step in steps]
    try:
        outcomes = list(await descriptor.apply(operations))
    except Exception as error:
        log.exception("%s: a batch of %d operations raised", descriptor.name, len(operations))
        return [Outcome(error=f"{descriptor.name}: {type(error).__name__}: {error}")] * len(operations)
    if len(outcomes) != len(operations):
        message = f"{descriptor.name} gave {len(outcomes)} outcomes for {len(operations)} operations"
        raise AssertionError(message)
    return outcomes
