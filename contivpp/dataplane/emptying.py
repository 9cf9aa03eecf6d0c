"""Taking everything of ours out of a data plane, whatever made it."""

from __future__ import annotations

from collections.abc import Sequence

from contivpp.scheduler.api import Descriptor, Operation, OperationKind


async def remove_all(descriptors: Sequence[Descriptor]) -> tuple[int, list[str]]:
    """Deletes what the descriptors find and nobody else made, those of the last descriptor first.

    Returns:
        How many values went, and for each that did not its key and the reason.
    """
    removed, problems = 0, []
    for descriptor in reversed(descriptors):
        operations = [
            Operation(OperationKind.DELETE, key, observed.value, observed.value)
            for key, observed in sorted((await descriptor.retrieve()).items())
            if not observed.foreign
        ]
        for operation, outcome in zip(operations, await descriptor.apply(operations), strict=True):
            if outcome.ok:
                removed += 1
            else:
                problems.append(f"{operation.key}: {outcome.error}")
    return removed, problems
