from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.host.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """A machine with nothing but its loopback."""
    return Kernel(tmp_path)
