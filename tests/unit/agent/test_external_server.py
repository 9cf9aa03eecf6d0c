"""External configuration over gRPC: the wire, without an agent behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from contivpp.agent.desired import Desired
from contivpp.agent.events import ExternalConfigChanged
from contivpp.agent.external import config_pb2 as _messages
from contivpp.agent.external.config import ExternalConfig
from contivpp.agent.external.report import Reporter
from contivpp.agent.external.server import SERVICE, ConfigServer
from contivpp.agent.external.values import Catalogue
from contivpp.agent.view import OwnNode, View
from contivpp.model.config import ContivConfig
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome
from contivpp.scheduler.scheduler import Scheduler

pb: Any = _messages
CONFIG = ContivConfig.parse("", node_name="node1")


@dataclass(frozen=True)
class Box:
    """A value with a name; a number above 9 is refused."""

    name: str
    number: int = 0

    @property
    def key(self) -> str:
        return f"box/{self.name}"


def checked(box: Box) -> Box:
    if box.number > 9:
        message = f"field number: {box.number} is more than 9: write less"
        raise ValueError(message)
    return box


class Boxes:
    """A descriptor that keeps boxes in memory, and refuses some."""

    name, prefix = "boxes", "box/"

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.refuse: dict[str, str] = {}

    def dependencies(self, key: str, value: Box) -> Iterable[Dependency]:
        return ()

    def derived(self, key: str, value: Box) -> Mapping[str, Any]:
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        for one in operations:
            if one.key in self.refuse:
                continue
            if one.kind is OperationKind.DELETE:
                del self.there[one.key]
            else:
                self.there[one.key] = one.value
        return [Outcome(error=self.refuse.get(one.key, "")) for one in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        return {key: Observed(value) for key, value in self.there.items()}


class Agent:
    """As much of an agent as the server needs: one that is in sync when it is told so."""

    def __init__(self, folder: Path) -> None:
        self.external = ExternalConfig(Catalogue({"box/": (Box,)}, checked))
        self.desired = Desired([], self.external)
        self.plane = Boxes()
        self.scheduler = Scheduler([self.plane])
        self.reason = ""
        self.held = asyncio.Event()
        self.held.set()
        self.dropped = 0
        self.handling: asyncio.Task[None] | None = None
        self.path = folder / "run" / "config.sock"
        self.server = ConfigServer(
            self.path, Reporter(self.desired, self.scheduler, waiting=lambda: self.reason), push=self.push
        )

    async def push(self, event: ExternalConfigChanged) -> None:
        self.handling = asyncio.create_task(self.handle(event))

    async def handle(self, event: ExternalConfigChanged) -> None:
        await self.held.wait()
        assert event.done is not None
        if event.done.done():
            self.dropped += 1
            return
        view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
        changes = self.desired.update(self.external.take(event), view)
        if not self.reason:
            await self.scheduler.commit(changes)
        event.done.set_result(None)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    made = Agent(tmp_path)
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.stop()


@pytest.fixture
async def call(agent: Agent) -> AsyncIterator[Callable[..., Any]]:
    async with grpc.aio.insecure_channel(f"unix://{agent.path}") as channel:

        async def one(method: str, message: Any, **options: Any) -> Any:
            answer = await channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=type(message).SerializeToString,
                response_deserializer=pb.Outcomes.FromString,
            )(message, **options)
            return [(one.key, one.state, one.value, one.error, one.refused) for one in answer.outcomes]

        yield one


def items(source: str, withdrawn: tuple[str, ...] = (), **boxes: Any) -> Any:
    named = [pb.Item(key=f"box/{name}", value=json.dumps(fields)) for name, fields in boxes.items()]
    return pb.Items(source=source, items=named, withdrawn=withdrawn)


async def test_a_call_answers_what_became_of_each_item_and_a_bad_one_stops_no_other(
    agent: Agent, call: Callable[..., Any]
) -> None:
    agent.plane.refuse["box/c"] = "no room"
    got = await call("Update", items("me", a={"name": "a"}, b={"name": "b", "number": 10}, c={"name": "c"}))
    assert got == [
        ("box/a", "CONFIGURED", '{"name": "a"}', "", False),
        ("box/b", "NONEXISTENT", "", "box/b of source me: field number: 10 is more than 9: write less", True),
        ("box/c", "RETRYING", '{"name": "c"}', "no room", False),
    ]
    assert set(agent.plane.there) == {"box/a"}
    refused = await call("Update", items("me", a={"name": "a", "nmber": 1}))
    assert refused == [
        (
            "box/a",
            "CONFIGURED",
            '{"name": "a"}',
            "box/a of source me: field nmber is unknown; did you mean number?",
            True,
        )
    ]


async def test_replace_withdraws_what_it_does_not_name_and_get_tells_what_is_left(
    agent: Agent, call: Callable[..., Any]
) -> None:
    await call("Update", items("me", a={"name": "a"}, b={"name": "b"}))
    await call("Update", items("you", d={"name": "d"}))
    assert await call("Replace", items("me", b={"name": "b"}, c={"name": "c"})) == [
        ("box/b", "CONFIGURED", '{"name": "b"}', "", False),
        ("box/c", "CONFIGURED", '{"name": "c"}', "", False),
    ]
    assert set(agent.plane.there) == {"box/b", "box/c", "box/d"}
    assert await call("Update", items("me", withdrawn=("box/b", "box/never"))) == [
        ("box/b", "NONEXISTENT", "", "", False),
        ("box/never", "NONEXISTENT", "", "", False),
    ]
    assert [one[0] for one in await call("Get", pb.Query())] == ["box/c", "box/d"]
    assert [one[0] for one in await call("Get", pb.Query(source="you"))] == ["box/d"]
    assert await call("Replace", items("me")) == []
    assert set(agent.plane.there) == {"box/d"}


async def test_while_the_agent_is_not_in_sync_items_are_kept_and_the_answer_says_so(
    agent: Agent, call: Callable[..., Any]
) -> None:
    agent.reason = "etcd is away"
    assert await call("Update", items("me", a={"name": "a"})) == [
        ("box/a", "NONEXISTENT", '{"name": "a"}', "kept, and not applied yet: etcd is away", False)
    ]
    assert agent.desired.values() == {"box/a": Box("a")}


@pytest.mark.parametrize(
    ("method", "message", "problem"),
    [
        ("Update", items("db"), "source db is etcd itself"),
        ("Update", items("No Name"), "'No Name': a name has 1 to 63"),
        ("Update", items("me", ("box/a",), a={}), "key 'box/a' comes twice"),
        ("Replace", items("me", ("box/a",)), "use Update"),
    ],
)
async def test_a_call_that_cannot_be_is_refused_as_a_whole(
    agent: Agent, call: Callable[..., Any], method: str, message: Any, problem: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(method, message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert problem in (caught.value.details() or "")
    assert list(agent.external) == []


async def test_a_client_that_gives_up_before_its_turn_changes_nothing(agent: Agent, call: Callable[..., Any]) -> None:
    agent.held.clear()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call("Update", items("me", a={"name": "a"}), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert agent.handling is not None
    await asyncio.sleep(0.2)  # the server learns of it after the client
    agent.held.set()
    await agent.handling
    assert agent.dropped == 1
    assert list(agent.external) == []


async def test_only_the_owner_may_open_the_socket_and_two_agents_cannot_share_it(agent: Agent, tmp_path: Path) -> None:
    assert agent.path.stat().st_mode & 0o777 == 0o600
    assert agent.path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(OSError, match="another agent serves"):
        await Agent(tmp_path).server.start()
