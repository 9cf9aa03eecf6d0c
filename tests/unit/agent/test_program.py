"""What controller.conf says reaches those who act on it."""

from __future__ import annotations

import pytest

from contivpp.agent.program import retry_of
from contivpp.model.controller_config import ControllerConfig
from contivpp.scheduler.retries import Retry


@pytest.mark.parametrize(
    ("text", "retry"),
    [
        ("", Retry(delay=1.0, attempts=3, exponential=True)),
        ("enableRetry: false", Retry(delay=1.0, attempts=0, exponential=True)),
        ("{delayRetry: 500000000, maxRetryAttempts: 7}", Retry(delay=0.5, attempts=7, exponential=True)),
        ("enableExpBackoffRetry: false", Retry(delay=1.0, attempts=3, exponential=False)),
    ],
)
def test_retries_are_as_they_are_configured(text: str, retry: Retry) -> None:
    assert retry_of(ControllerConfig.parse(text)) == retry
