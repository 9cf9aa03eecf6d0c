"""The driver against the stand-in: all of the suite that a real VPP is held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.dataplane.vpp_suite import *  # noqa: F403 - its tests are collected here
from tests.standin.vpp import StandIn


@pytest.fixture
def vpp(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "vpp")
    made.start()
    try:
        yield made
    finally:
        made.close()
