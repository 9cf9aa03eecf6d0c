"""controller.conf: how the agent's controller retries, heals and remembers. Source: spec/agent.md 2.4.

Durations are whole nanoseconds in the file, as the original writes them, and seconds by `seconds`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from contivpp.model.options import named, option_name, read

NANOSECONDS: Final = 1_000_000_000
_SHORTEST = NANOSECONDS // 1000
_DURATIONS = frozenset(
    {
        "delay_retry",
        "delay_local_resync",
        "startup_resync_deadline",
        "periodic_healing_interval",
        "delay_after_error_healing",
        "remote_db_probing_interval",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerConfig:
    """The whole file; ages and periods of the history are in minutes."""

    enable_retry: bool = True
    delay_retry: int = NANOSECONDS
    max_retry_attempts: int = 3
    enable_exp_backoff_retry: bool = True
    delay_local_resync: int = 5 * NANOSECONDS
    startup_resync_deadline: int = 30 * NANOSECONDS
    enable_periodic_healing: bool = False
    periodic_healing_interval: int = 60 * NANOSECONDS
    delay_after_error_healing: int = 5 * NANOSECONDS
    remote_db_probing_interval: int = named("remoteDBProbingInterval", 3 * NANOSECONDS)
    record_event_history: bool = True
    event_history_age_limit: int = 1440
    permanently_recorded_init_period: int = 60
    enable_verification: bool = False

    @classmethod
    def parse(cls, text: str, *, source: str = "controller.conf") -> ControllerConfig:
        """Reads the file.

        Raises:
            ConfigError: with every mistake.
        """
        reading = read(cls, text, source=source)
        config, problems = reading.record, reading.problems
        for field in dataclasses.fields(cls):
            value, option = getattr(config, field.name), option_name(field)
            if isinstance(value, bool) or problems.at(option):
                continue
            at_once = value == 0 and field.name.startswith("delay")
            if field.name in _DURATIONS and value < _SHORTEST and not at_once:
                some = max(value, 1)
                problems.add(
                    option,
                    f"is in nanoseconds, and {value} are too few; for {some} s write {some * NANOSECONDS}",
                )
            elif value < 0:
                problems.add(option, f"must not be negative, as {value} is")
        problems.check(source)
        return config


def seconds(nanoseconds: int) -> float:
    """A duration of the file in seconds."""
    return nanoseconds / NANOSECONDS
