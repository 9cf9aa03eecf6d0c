"""A scheduler that does not let what others want hurt what the agent wants.

What fails under a key that others alone want is theirs: it stays in the scheduler's status and is tried again there,
and the controller, which heals failures and takes failed pods back, is not told. A transaction that was taken back
for such a failure alone is carried out again while the offender is held back.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from contivpp.scheduler.scheduler import Result, Scheduler
from contivpp.scheduler.state import ValueState

log = logging.getLogger(__name__)


class Wants(Protocol):
    """What is needed of the desired configuration."""

    @property
    def departed(self) -> set[str]:
        """Keys that others wanted and want no more."""
        ...

    def is_external(self, key: str) -> bool:
        """Whether others alone want, or wanted, something under a key."""
        ...

    def value(self, key: str) -> Any | None:
        """What is desired under a key."""
        ...


class SparingScheduler(Scheduler):
    """Results without the failures that are others' alone."""

    wants: Wants | None = None
    """Who knows whose a key is; without it every failure counts."""

    async def commit(
        self,
        changes: Mapping[str, Any | None],
        *,
        description: str = "",
        revert_on_failure: bool = False,
        **options: Any,
    ) -> Result:
        """As the scheduler's, and never reverted for the sake of others."""
        result = await super().commit(changes, description=description, revert_on_failure=revert_on_failure, **options)
        held: dict[str, Any] = {}
        executed = result.executed
        while self.wants is not None and result.reverted and not self._own(result.errors):
            offenders = {key: self.wants.value(key) for key in result.errors if key not in held}
            if not offenders:
                break
            log.warning("%s: held back meanwhile, for they failed: %s", description, ", ".join(offenders))
            held.update(offenders)
            await super().commit(dict.fromkeys(offenders), description=f"held back for: {description}")
            result = await super().commit(changes, description=description, revert_on_failure=True, **options)
            executed += result.executed
        if held:
            await super().commit(held, description=f"held back until the end of: {description}")
        return self._spared(dataclasses.replace(result, executed=executed))

    async def resync(self, desired: Mapping[str, Any], *, description: str = "", **options: Any) -> Result:
        """As the scheduler's."""
        return self._spared(await super().resync(desired, description=description, **options))

    async def downstream_resync(self, *, description: str = "downstream resync") -> Result:
        """As the scheduler's."""
        return self._spared(await super().downstream_resync(description=description))

    def troubles(self) -> dict[str, str]:
        """As the scheduler's."""
        return self._own(super().troubles())

    def _spared(self, result: Result) -> Result:
        if self.wants is not None:
            gone = {key for key in self.wants.departed if self.state_of(key) is ValueState.NONEXISTENT}
            self.wants.departed.difference_update(gone)
        return dataclasses.replace(result, errors=self._own(result.errors))

    def _own(self, errors: Mapping[str, str]) -> dict[str, str]:
        wants = self.wants
        return {key: error for key, error in errors.items() if wants is None or not wants.is_external(key)}
