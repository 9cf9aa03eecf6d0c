"""What interfaces are called after: the ID of the sandbox that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_LENGTH = 15  # what a name of the kernel has room for


def short(container_id: str) -> str:
    """What every interface of a sandbox has of its ID."""
    return container_id[:_LENGTH]


def owner(interface: str, sandboxes: Mapping[str, T]) -> T | None:
    """Whose an interface is, by its logical name (such as "afpacket-<ID>", "vpp-tap-<ID>"); None for the node's own.

    Args:
        interface: the logical name.
        sandboxes: whatever belongs to a sandbox, by its short ID.
    """
    rest = interface
    while rest:
        _, _, rest = rest.partition("-")
        if (found := sandboxes.get(short(rest))) is not None:
            return found
    return None
