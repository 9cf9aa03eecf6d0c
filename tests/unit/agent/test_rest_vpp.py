"""The REST interface about VPP where there is no VPP, and what it refuses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from contivpp.agent.rest_vpp import VppApi
from contivpp.agent.view import OwnNode, View
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.model.config import ContivConfig
from contivpp.scheduler.scheduler import Scheduler


@contextlib.asynccontextmanager
async def serving(vpp: VppDataplane | None) -> AsyncIterator[TestClient[Any, Any]]:
    config = ContivConfig.parse("", node_name="node1")
    controller: Any = SimpleNamespace(
        view=View(config, config.plan, OwnNode("node1")), scheduler=Scheduler(vpp.descriptors() if vpp else ())
    )
    http = HttpConfig.parse(None, default_port=1)
    server = Server(http, health=Health(), routes=VppApi(controller, vpp).routes())
    async with TestClient(TestServer(server.application())) as client:
        yield client


@pytest.fixture
async def linux() -> AsyncIterator[TestClient[Any, Any]]:
    async with serving(None) as client:
        yield client


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[TestClient[Any, Any]]:
    async with serving(VppDataplane(tmp_path / "api.sock")) as client:
        yield client


async def ask(client: TestClient[Any, Any], path: str, body: Any = None) -> tuple[int, Any]:
    request = client.get(path) if body is None else client.post(path, json=body)
    async with request as answer:
        return answer.status, await answer.json()


REQUESTS = [
    ("/vpp/cli", {"command": "show version"}),
    ("/vpp/dump", None),
    ("/vpp/dump?type=route", None),
]


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_a_node_that_forwards_with_the_kernel_says_so(linux: TestClient[Any, Any], path: str, body: Any) -> None:
    status, answer = await ask(linux, path, body)
    assert status == 409
    assert answer == {"Error": "node1 forwards with the kernel (dataplane: linux): there is no VPP on it"}


@pytest.mark.parametrize(("path", "body"), REQUESTS)
async def test_while_vpp_is_away_the_answer_says_why(away: TestClient[Any, Any], path: str, body: Any) -> None:
    status, answer = await ask(away, path, body)
    assert status == 503
    assert "has not been reached yet" in answer["Error"]


async def test_the_status_is_told_in_every_state(linux: TestClient[Any, Any], away: TestClient[Any, Any]) -> None:
    assert await ask(linux, "/vpp/status") == (200, {"dataplane": "linux"})
    status, answer = await ask(away, "/vpp/status")
    assert (status, answer["connected"], answer["connections"], answer["start_time"]) == (200, False, 0, 0)
    assert "has not been reached yet" in answer["problem"]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/vpp/cli", {"command": "  "}, 400, "one line is needed"),
        ("/vpp/cli", {"command": "show version\nshow node"}, 400, "one line is needed"),
        ("/vpp/cli", {}, 400, "command"),
        ("/vpp/dump?type=nonsense", None, 404, "there are acl, acl-list, address, bridge-domain"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_sentence(
    away: TestClient[Any, Any], path: str, body: Any, status: int, sentence: str
) -> None:
    found, answer = await ask(away, path, body)
    assert found == status
    assert sentence in answer["Error"]
