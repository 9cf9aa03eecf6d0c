"""The history of events: what is kept, what may be asked for, and what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.event_history import EventHistory, EventRecord, select
from contivpp.agent.rest_controller import ControllerApi
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig
from tests.unit.agent.world import in_sync

MINUTE = 60


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(history: EventHistory, clock: Clock, *moments: float) -> None:
    for moment in moments:
        clock.now = moment
        seq = max((record.seq_num for record in history), default=0) + 1
        history.add(EventRecord(seq_num=seq, processing_start=moment, processing_end=moment + 1))


def starts(history: EventHistory) -> list[float]:
    return [record.processing_start for record in history]


def test_the_first_minutes_are_kept_and_the_rest_ages() -> None:
    clock = Clock()
    history = EventHistory(age_limit=10, init_period=2, clock=clock)
    fill(history, clock, 0, 120, 121, 700)
    assert starts(history) == [0, 120, 121, 700]
    clock.now = 121 + 1 + 10 * MINUTE + 1
    assert starts(history) == [0, 120, 700]


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(2, 12))
def test_there_are_never_more_than_allowed_and_the_newest_is_there(steps: list[float], limit: int) -> None:
    clock = Clock()
    history = EventHistory(age_limit=1, init_period=1, limit=limit, clock=clock)
    moment = 0.0
    for step in steps:
        moment += step
        fill(history, clock, moment)
        assert len(history) <= limit
        assert starts(history)[-1] == moment
        assert starts(history) == sorted(starts(history))


def test_nothing_is_kept_when_nothing_is_to_be_recorded() -> None:
    history = EventHistory(recording=False)
    history.add(EventRecord(seq_num=1, processing_start=0))
    assert len(history) == 0


RECORDS = [EventRecord(seq_num=n, processing_start=10.0 * n, processing_end=10.0 * n + 5) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"seq-num": "3"}, [3]),
        ({"seq-num": "3", "since": "0"}, [3]),
        ({"since": "25"}, [2, 3, 4, 5]),
        ({"since": "25.1"}, [3, 4, 5]),
        ({"until": "30"}, [1, 2, 3]),
        ({"since": "25", "until": "30", "first": "1"}, [2, 3]),
        ({"since": "30", "until": "25"}, []),
        ({"from": "2", "to": "4"}, [2, 3, 4]),
        ({"from": "4", "to": "2"}, []),
        ({"first": "2", "last": "1"}, [1, 2]),
        ({"last": "2"}, [4, 5]),
        ({"last": "0"}, []),
        ({"last": "99"}, [1, 2, 3, 4, 5]),
    ],
)
def test_what_is_asked_for_is_answered(query: dict[str, str], numbers: list[int]) -> None:
    assert [record.seq_num for record in select(RECORDS, query)] == numbers


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("seq-num=x", 400, "seq-num=x: must be a whole number, such as seq-num=10"),
        ("seq-num=-1", 400, "seq-num=-1: must be a whole number"),
        ("seq-num=99", 404, "event with such sequence number is not recorded"),
        ("last=many", 400, "last=many: must be a whole number"),
        ("since=yesterday", 400, "since=yesterday: must be seconds since the epoch"),
        ("until=nan", 400, "until=nan: must be seconds since the epoch"),
        ("from=1", 400, "from and to need each other"),
    ],
)
async def test_a_bad_question_is_told_what_is_wrong(tmp_path: Path, query: str, status: int, sentence: str) -> None:
    async with await client(tmp_path) as http:
        answer = await http.get(f"/controller/event-history?{query}")
        assert answer.status == status
        assert sentence in (await answer.json())["Error"]


async def test_a_record_has_the_fields_of_the_original_and_its_transaction(tmp_path: Path) -> None:
    async with await client(tmp_path) as http:
        records = await (await http.get("/controller/event-history")).json()
        assert await (await http.get("/controller/event-history?seq-num=2")).json() == records[1]
        record = records[1]
        assert {*record} == {
            *("SeqNum", "ProcessingStart", "ProcessingEnd", "IsFollowUp", "FollowUpTo", "Name", "Description"),
            *("Method", "Handlers", "TxnError", "Txn", "TxnSeqNum"),
        }
        assert {*record["Handlers"][0]} == {"Handler", "Revert", "Change", "Error", "ErrorStr"}
        assert record["ProcessingStart"] <= record["ProcessingEnd"]
        assert (record["Name"], record["Method"]) == ("Host Addresses Change", 0)
        assert record["Txn"]["SeqNum"] == record["TxnSeqNum"] == 1
        assert len(record["Txn"]["Executed"]) == 13
        assert records[0]["Txn"] is None


async def client(tmp_path: Path) -> TestClient[Any, Any]:
    world = await in_sync(tmp_path)
    routes = ControllerApi(world.controller, read_again=lambda: None).routes()
    server = Server(HttpConfig.parse(None, default_port=0), health=Health(), routes=routes)
    return TestClient(TestServer(server.application()))
