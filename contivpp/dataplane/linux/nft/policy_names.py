"""What the chains are called that hold the network policies of pods: who renders them agrees with who reads a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Way = Literal["egress", "ingress"]

WAYS: Final[Mapping[Way, str]] = {"egress": "from", "ingress": "to"}
"""The words for what a pod sends and what it gets, as names of chains and maps have them."""
_PREFIXES: Final[Mapping[str, Way]] = {f"policy/{word}/": way for way, word in WAYS.items()}


def way_of(name: str) -> Way | None:
    """Whose packets the rules of a chain are about: what its pod sends, or what it gets; None for another chain."""
    return next((way for prefix, way in _PREFIXES.items() if name.startswith(prefix)), None)


def pod_of(name: str) -> str:
    """The digest of the pod that a chain belongs to; "" for another chain."""
    return name.split("/")[2] if way_of(name) else ""
