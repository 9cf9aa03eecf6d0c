"""What of the cluster's objects cannot be used, by object, with the reason.

A bad object is left out by name and everything else is applied. Features say what is wrong with an object whenever they
render it, and that nothing is when nothing is: so what is here is always what is wrong now. It is no input
of any rendering. Every problem is logged once, when it appears.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from prometheus_client import Gauge

log = logging.getLogger(__name__)

REFUSED = Gauge("contiv_agent_refused_objects", "Objects of the cluster that are left out, wholly or in part", ["kind"])


class Refusals:
    """The objects that are left out now."""

    def __init__(self) -> None:
        """Starts with none."""
        self._reasons: dict[tuple[str, str], tuple[str, ...]] = {}

    def note(self, kind: str, object_id: str, reasons: Iterable[str]) -> None:
        """Says all that is wrong with an object now; nothing when it is right or gone.

        Args:
            kind: "service", "policy", ... as in `contivpp.model.keys`.
            object_id: "namespace/name", or the name of what has no namespace.
            reasons: one sentence each.
        """
        known = self._reasons.get((kind, object_id), ())
        now = tuple(reasons)
        if now == known:
            return
        for reason in now:
            if reason not in known:
                log.warning("%s %s is left out, wholly or in part: %s", kind, object_id, reason)
        if now:
            self._reasons[kind, object_id] = now
        else:
            del self._reasons[kind, object_id]
            log.info("%s %s is right now", kind, object_id)
        REFUSED.labels(kind).set(sum(one == kind for one, _ in self._reasons))

    def of(self, kind: str, object_id: str) -> tuple[str, ...]:
        """What is wrong with an object."""
        return self._reasons.get((kind, object_id), ())

    def as_json(self) -> list[dict[str, Any]]:
        """Every object that is left out, sorted: "kind", "id" and "reasons"."""
        return [
            {"kind": kind, "id": object_id, "reasons": list(reasons)}
            for (kind, object_id), reasons in sorted(self._reasons.items())
        ]
