"""The scheduler's REST interface, by its paths and parameters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp.test_utils import TestClient, TestServer

from contivpp.agent.pods.api import NotReadyError
from contivpp.agent.rest_scheduler import SchedulerApi
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig
from contivpp.scheduler.scheduler import Scheduler
from tests.unit.scheduler.plane import Plane, Thing

asked: list[str] = []


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    scheduler = Scheduler(Plane(refuse={"route/a": "no"}).descriptors("link", "address", "route"))
    await scheduler.commit({"link/a": Thing("link/a")}, description="first")
    await scheduler.commit({"address/a": Thing("address/a", needs=("link/b",)), "route/a": Thing("route/a")})

    async def resync(reason: str) -> int:
        asked.append(reason)
        if len(asked) > 1:
            raise NotReadyError("the agent is stopping; try again")
        return (await scheduler.downstream_resync(description=reason)).seq

    asked.clear()
    config = HttpConfig.parse(None, default_port=1)
    server = Server(config, health=Health(), routes=SchedulerApi(scheduler, resync=resync).routes())
    async with TestClient(TestServer(server.application())) as made:
        yield made


async def read(client: TestClient[Any, Any], path: str, status: int = 200) -> Any:
    async with client.get(f"/scheduler/{path}") as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_status_says_why_a_value_is_not_there(client: TestClient[Any, Any]) -> None:
    [entry] = await read(client, "status?key=address/a")
    assert entry["value"] == {"key": "address/a", "state": "PENDING", "details": ["link/b"]}
    [entry] = await read(client, "status?descriptor=route")
    assert (entry["value"]["state"], entry["value"]["error"]) == ("RETRYING", "no")
    assert [one["value"]["key"] for one in await read(client, "status?key-prefix=link/")] == ["link/a"]
    assert len(await read(client, "status")) == 3
    assert "no such value" in (await read(client, "status?key=link/none", 404))["Error"]
    assert "there are only address, link, route" in (await read(client, "status?descriptor=x", 400))["Error"]


async def test_transactions_by_number_and_time_and_as_text(client: TestClient[Any, Any]) -> None:
    first, second = await read(client, "txn-history")
    assert (first["SeqNum"], first["Description"], first["Executed"][0]["Key"]) == (1, "first", "link/a")
    assert second["Errors"] == {"route/a": "no"}
    assert await read(client, "txn-history?seq-num=1") == first
    assert await read(client, f"txn-history?since={time.time_ns() + 10**9}") == []
    assert len(await read(client, f"txn-history?until={time.time_ns()}")) == 2
    assert "no such transaction" in (await read(client, "txn-history?seq-num=9", 404))["Error"]
    assert "seq-num=x is not a number" in (await read(client, "txn-history?seq-num=x", 400))["Error"]
    async with client.get("/scheduler/txn-history?format=text") as answer:
        assert "executed create route/a -> FAILED : no" in await answer.text()


async def test_values_over_time(client: TestClient[Any, Any]) -> None:
    [revision] = await read(client, "key-timeline?key=link/a")
    assert (revision["Until"], revision["Flags"]["value-state"]) == (None, "CONFIGURED")
    assert await read(client, "key-timeline?key=link/a&time=1") == []
    assert "key is missing" in (await read(client, "key-timeline", 400))["Error"]
    assert [one["Key"] for one in await read(client, "graph-snapshot")] == ["address/a", "link/a", "route/a"]
    assert "remembered since" in (await read(client, "graph-snapshot?time=1", 400))["Error"]
    counts = await read(client, "flag-stats?flag=value-state")
    assert counts == {"TotalCount": 3, "PerValueCount": {"CONFIGURED": 1, "PENDING": 1, "RETRYING": 1}}
    assert (await read(client, "flag-stats?flag=unavailable&prefix=route/"))["TotalCount"] == 1


async def test_dumps_of_every_view(client: TestClient[Any, Any]) -> None:
    assert (await read(client, "dump"))["Views"] == ["SB", "NB", "cached"]
    assert [one["Key"] for one in await read(client, "dump?view=NB&key-prefix=")] == ["address/a", "link/a", "route/a"]
    for view in ("SB", "cached"):
        assert [one["Key"] for one in await read(client, f"dump?view={view}&key-prefix=")] == ["link/a"]
    assert "there are only SB, NB, cached" in (await read(client, "dump?view=x", 400))["Error"]


async def test_the_graph_is_drawn(client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with client.get("/scheduler/graph?format=dot") as answer:
        assert (await answer.text()).startswith("digraph")
    async with client.get("/scheduler/graph?txn=1") as answer:
        assert answer.content_type == "image/svg+xml"
        words = "".join(ElementTree.fromstring(await answer.text()).itertext())
        assert "link/a" in words
        assert "route/a" not in words
    assert "no such transaction" in (await read(client, "graph?txn=9", 404))["Error"]
    monkeypatch.setenv("PATH", "")
    assert "apt-get install graphviz" in (await read(client, "graph", 501))["Error"]


async def test_statistics_and_a_resync_on_request(client: TestClient[Any, Any]) -> None:
    stats = await read(client, "stats")
    assert stats["States"] == {"CONFIGURED": 1, "PENDING": 1, "RETRYING": 1}
    assert stats["Operations"]["link create done"] >= 1
    async with client.post("/scheduler/downstream-resync") as answer:
        transaction = await answer.json()
        assert (answer.status, transaction["ResyncType"]) == (200, "DownstreamResync")
        assert transaction["Description"] == "a request over REST"
    async with client.post("/scheduler/downstream-resync") as answer:
        assert answer.status == 503
        assert "try again" in (await answer.json())["Error"]
