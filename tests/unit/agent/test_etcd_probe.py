from __future__ import annotations

import logging

import pytest
from prometheus_client import REGISTRY

from contivpp.agent.etcd_probe import KEY, EtcdProbe
from contivpp.store.errors import PermissionDenied, StoreError, StoreUnavailable


class FakeStore:
    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.asked: list[str] = []

    async def get(self, key: str) -> None:
        self.asked.append(key)
        if self.error is not None:
            raise self.error


async def test_etcd_answers_also_when_it_says_no_and_its_silence_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    probe = EtcdProbe(store, 3.0)

    async def answers(error: StoreError | None) -> float | None:
        store.error = error
        await probe.probe()
        return REGISTRY.get_sample_value("contiv_agent_etcd_answers")

    with caplog.at_level(logging.WARNING):
        assert await answers(None) == 1
        assert await answers(PermissionDenied("permission denied")) == 1
        assert await answers(StoreUnavailable("connection refused")) == 0
        assert await answers(StoreUnavailable("connection timed out")) == 0
        assert await answers(None) == 1
    assert [record.getMessage() for record in caplog.records] == ["etcd does not answer: connection refused"]
    assert set(store.asked) == {KEY}
