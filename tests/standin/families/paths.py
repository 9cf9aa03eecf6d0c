"""A list that is long enough to come in pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.standin.handlers import handles
from tests.standin.state import State


@handles("ip_path_mtu_get")
def list_path_mtus(state: State, request: Any) -> Iterable[dict[str, Any]]:
    for number in range(20):
        yield {"pmtu": {"table_id": number, "path_mtu": 1500}}
