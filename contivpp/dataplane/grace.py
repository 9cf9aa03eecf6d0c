"""Short grace periods of the kernel while links are attached to: 2 ms to make an AF_PACKET interface instead of 45.

A socket that is bound to a link, or given a ring, waits until no processor can still see how it was before (RCU), and
that takes tens of milliseconds unless the kernel is told to hurry. It is told so for the time of a batch, and no
longer: hurrying interrupts every processor. A value of our own marks what a killed process left behind. Where the
setting cannot be written, as in a container, everything works as before, and slower.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SETTING: Final = Path("/sys/kernel/rcu_expedited")
_OURS: Final = "77"  # any number but 0 means the same
_OFF: Final = "0"


@contextlib.contextmanager
def short_grace_periods(setting: Path = SETTING) -> Iterator[None]:
    """Keeps grace periods short for a block; blocks may overlap, the first that ends ends it for all."""
    ours = False
    with contextlib.suppress(OSError):
        if setting.read_text().strip() in (_OFF, _OURS):
            setting.write_text(_OURS)
            ours = True
    try:
        yield
    finally:
        if ours:
            with contextlib.suppress(OSError):
                setting.write_text(_OFF)
