"""Values that somebody else asks for: refused when VPP would not take them, else as VPP gives them back.

What features render is right by construction; what comes from outside is not. A value that reads back differently
would be mended for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contivpp.dataplane.vpp.checks import filtering, forwarding, interfaces, srv6

_CHECKS: Final = {**interfaces.CHECKS, **forwarding.CHECKS, **filtering.CHECKS, **srv6.CHECKS}


def _by_prefix() -> dict[str, tuple[type, ...]]:
    found: dict[str, tuple[type, ...]] = {}
    for kind in _CHECKS:
        found[kind.prefix] = (*found.get(kind.prefix, ()), kind)
    return found


TYPES: Final[Mapping[str, tuple[type, ...]]] = _by_prefix()
"""What can be asked for, by the prefix of the keys."""


def checked(value: Any) -> Any:
    """The value in the form in which VPP gives it back.

    Raises:
        ValueError: VPP would not take it; names the field and the remedy.
    """
    check = _CHECKS.get(type(value))
    if check is None:
        message = f"{type(value).__name__} cannot be asked for from outside"
        raise ValueError(message)
    return check(value)
