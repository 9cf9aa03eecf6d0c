"""Where a value stands between what is wanted and what is there. Source: spec/agent.md 14.2."""

from __future__ import annotations

from enum import StrEnum


class ValueState(StrEnum):
    """The state of one value; the names are those of the original's status reports."""

    NONEXISTENT = "NONEXISTENT"
    MISSING = "MISSING"  # it was made, and a look at the data plane did not find it
    UNIMPLEMENTED = "UNIMPLEMENTED"  # no descriptor owns the key
    REMOVED = "REMOVED"
    CONFIGURED = "CONFIGURED"
    OBTAINED = "OBTAINED"  # somebody else made it
    DISCOVERED = "DISCOVERED"  # found as an earlier run left it, and not wanted by this one yet
    PENDING = "PENDING"  # a dependency is missing
    INVALID = "INVALID"  # the descriptor refuses the value as such
    FAILED = "FAILED"
    RETRYING = "RETRYING"


IN_PLACE = (ValueState.CONFIGURED, ValueState.OBTAINED, ValueState.DISCOVERED)
"""The value is in the data plane."""

NEEDS_ATTENTION = (ValueState.UNIMPLEMENTED, ValueState.INVALID, ValueState.FAILED, ValueState.RETRYING)
"""Something is wrong that no other value can mend."""
