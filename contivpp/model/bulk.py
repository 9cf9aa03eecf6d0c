"""Making many objects that all stay: what reads a whole cluster."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def building() -> Iterator[None]:
    """While the block runs nothing is looked for that could be thrown away: among new records there is none.

    The collector would look at hundreds of thousands of them again and again, for more time than making them takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
