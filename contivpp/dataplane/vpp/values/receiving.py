"""How VPP takes packets from an interface: when it looks, and which of its threads does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class RxMode:
    """When VPP looks for packets: always, when it is told, or the one or the other by load.

    Attributes:
        queue: of which receive queue; None of all. When all are to have the same mode, None is how to say it.
    """

    prefix: ClassVar[str] = "vpp/rx-mode/"

    interface: str
    mode: Literal["polling", "interrupt", "adaptive"]
    queue: int | None = None

    @property
    def key(self) -> str:
        """By interface and queue."""
        return f"{self.prefix}{self.interface}/{'all' if self.queue is None else self.queue}"


@dataclass(frozen=True, slots=True)
class RxPlacement:
    """Which thread serves a receive queue.

    Attributes:
        worker: counted from 0; None is the main thread.
    """

    prefix: ClassVar[str] = "vpp/rx-placement/"

    interface: str
    queue: int
    worker: int | None

    @property
    def key(self) -> str:
        """By interface and queue."""
        return f"{self.prefix}{self.interface}/{self.queue}"
