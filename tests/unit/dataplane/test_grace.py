"""The kernel hurries for a block, and as before afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from contivpp.dataplane.grace import short_grace_periods


@pytest.mark.parametrize(
    ("before", "inside", "after"),
    [("0", "77", "0"), ("77", "77", "0"), ("1", "1", "1")],
    ids=["as usual", "left by a process that was killed", "by somebody else's wish"],
)
def test_grace_periods_are_short_for_a_block(tmp_path: Path, before: str, inside: str, after: str) -> None:
    setting = tmp_path / "rcu_expedited"
    setting.write_text(before)
    with pytest.raises(KeyError), short_grace_periods(setting):
        assert setting.read_text() == inside
        raise KeyError
    assert setting.read_text() == after


def test_a_setting_that_is_not_there_is_no_harm(tmp_path: Path) -> None:
    with short_grace_periods(tmp_path / "none"):
        pass
    assert not list(tmp_path.iterdir())
