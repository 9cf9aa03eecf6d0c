"""The REST interface about traces: the same on any data plane, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from contivpp.agent.rest_trace import TraceApi
from contivpp.agent.view import OwnNode, View
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig
from contivpp.dataplane.tracing import TraceError, Tracer
from contivpp.model.config import ContivConfig
from contivpp.model.trace import Flow, Step, TracedPacket

FLOW = {
    "protocol": "tcp",
    "source": "10.1.1.2",
    "destination": "10.1.2.2",
    "source_port": 61000,
    "destination_port": 80,
}
SEEN = TracedPacket(1.0, False, "TCP SYN", "k", (Step("in", "prerouting", interface="veth2-a"),), "unfinished")


class Node:
    """A node that catches one packet, while it can."""

    lost = False

    def __init__(self) -> None:
        self.away = ""
        self.flows: Sequence[Flow] = ()

    async def start(self, flows: Sequence[Flow]) -> Node:
        await self.stop()
        self.flows = flows
        return self

    async def packets(self) -> list[TracedPacket]:
        await self.stop()
        return [SEEN]

    async def stop(self) -> None:
        if self.away:
            raise TraceError(self.away)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
async def client(node: Node) -> AsyncIterator[TestClient[Any, Any]]:
    config = ContivConfig.parse("", node_name="node1")
    controller: Any = SimpleNamespace(view=View(config, config.plan, OwnNode("node1")))
    http = HttpConfig.parse(None, default_port=1)
    server = Server(http, health=Health(), routes=TraceApi(controller, Tracer(node.start)).routes())
    async with TestClient(TestServer(server.application())) as client:
        yield client


async def ask(client: TestClient[Any, Any], path: str, body: Any) -> tuple[int, Any]:
    async with client.post(f"/contiv/v1/{path}", json=body) as answer:
        return answer.status, await answer.json()


async def test_a_trace_is_begun_and_ended_by_its_name(client: TestClient[Any, Any], node: Node) -> None:
    other = {**FLOW, "destination": "10.1.2.3", "destination_port": 8080}
    status, begun = await ask(client, "trace", {"flow": FLOW, "others": [other]})
    assert status == 200
    assert [(flow.destination, flow.destination_port) for flow in node.flows] == [("10.1.2.2", 80), ("10.1.2.3", 8080)]
    status, answer = await ask(client, "trace", {"flow": FLOW})
    assert (status, answer["Error"].partition(",")[0]) == (409, "node1: another flow is being traced here")
    status, answer = await ask(client, "trace/end", begun)
    assert (status, [packet["summary"] for packet in answer["packets"]]) == (200, ["TCP SYN"])
    assert (await ask(client, "trace/end", begun))[0] == 404


async def test_while_the_data_plane_is_away_the_answer_says_why(client: TestClient[Any, Any], node: Node) -> None:
    node.away = "VPP hangs"
    assert await ask(client, "trace", {"flow": FLOW}) == (503, {"Error": "VPP hangs"})
    node.away = ""
    _, begun = await ask(client, "trace", {"flow": FLOW})
    node.away = "VPP has gone"
    assert await ask(client, "trace/end", begun) == (503, {"Error": "VPP has gone"})


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("trace", {"flow": {**FLOW, "destination": "fd00::1"}}, 400, "two IP versions"),
        ("trace", {"flow": {**FLOW, "protocol": "sctp"}}, 400, "sctp"),
        ("trace", {"flow": FLOW, "others": [{**FLOW, "protocol": "udp"}]}, 400, "one protocol"),
        ("trace", {"flow": FLOW, "seconds": 9999}, 400, "may last"),
        ("trace/end", {"trace": "gone"}, 404, "no such trace"),
        ("probe", {"pod": "default/x", "flow": FLOW}, 404, "not on node node1"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_sentence(
    client: TestClient[Any, Any], path: str, body: Any, status: int, sentence: str
) -> None:
    found, answer = await ask(client, path, body)
    assert found == status
    assert sentence in answer["Error"]
