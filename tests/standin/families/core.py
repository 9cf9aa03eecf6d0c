"""What every VPP answers."""

from __future__ import annotations

from typing import Any

from tests.standin.handlers import handles
from tests.standin.state import State


@handles("show_version")
def show_version(state: State, request: Any) -> dict[str, Any]:
    return {"version": "stand-in", "program": "vpe"}
