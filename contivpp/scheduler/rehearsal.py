"""What a transaction would do, if everything went well: the same decisions as an execution, and nothing is touched.

An update that the descriptor can only do by delete and create is planned as an update: only the descriptor knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contivpp.scheduler.api import DONE
from contivpp.scheduler.graph import Graph
from contivpp.scheduler.history import RecordedOperation, recorded
from contivpp.scheduler.waves import Waves


def rehearse(graph: Graph, changes: Mapping[str, Any | None]) -> list[RecordedOperation]:
    """The operations that wanting `changes` leads to, in their order; the graph is afterwards as it was before."""
    planned: list[RecordedOperation] = []
    with graph.rehearsal():
        waves = Waves(graph)
        for key in sorted(changes):
            waves.look_at(graph.want(key, changes[key]))
        while steps := waves.next():
            for step in steps:
                waves.done(step, DONE)
                planned.append(recorded(step, DONE))
    return planned
