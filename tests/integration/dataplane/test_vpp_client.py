"""The client when things go wrong: with a stand-in that fails, hangs, dies, talks nonsense or lacks something."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.api import connection as connection_module
from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.connection import WINDOW, Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused
from contivpp.dataplane.vpp.plane import NEEDS, VppDataplane
from tests.standin.vpp import StandIn


@pytest.fixture
def vpp(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "vpp")
    made.start()
    yield made
    made.close()


@asynccontextmanager
async def running(run: Callable[[], Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        assert not task.done(), "the root task never ends by itself"
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def loopbacks(count: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("create_loopback_instance", {"mac_address": f"02:fe:00:00:{n >> 8:02x}:{n & 255:02x}"}) for n in range(count)
    ]


# ---- batches


async def test_the_window_holds_for_all_batches_of_a_connection_together(vpp: StandIn, connection: Connection) -> None:
    vpp.faults.delay("create_loopback_instance", seconds=0.3)
    batches = [connection.batch(loopbacks(300)) for _ in range(4)]
    answers = await asyncio.gather(*batches, connection.dump("sw_interface_dump"))
    assert [len(one) for one in answers[:4]] == [300] * 4
    assert vpp.server.most_unanswered == WINDOW


async def test_a_batch_is_carried_out_in_its_order(vpp: StandIn, connection: Connection) -> None:
    tables = [("ip_table_add_del_v2", {"is_add": n % 2 == 0, "table": {"table_id": 5}}) for n in range(1001)]
    await asyncio.gather(connection.batch(tables), connection.batch(loopbacks(500)))
    assert (4, 5) in vpp.state.tables
    assert vpp.server.seen.index("ip_table_add_del_v2") < vpp.server.seen.index("create_loopback_instance")


async def test_every_request_of_a_batch_fails_for_itself(vpp: StandIn, connection: Connection) -> None:
    vpp.faults.fail("create_loopback_instance", retval=-71, nth=3)
    requests = [*loopbacks(2), ("ip_table_add_del_v2", {"table": {"table_id": -1}}), *loopbacks(3)]
    answers = await connection.batch(requests)
    assert [str(one) if isinstance(one, VppRefused) else "done" for one in answers[:2] + answers[3:]] == [
        "done",
        "done",
        "create_loopback_instance: INVALID_INTERFACE (-71)",
        "done",
        "done",
    ]
    assert isinstance(answers[2], VppRefused)
    assert "ip_table_add_del_v2.table" in str(answers[2])
    assert "does not fit" in str(answers[2])


async def test_a_batch_fails_when_vpp_dies_in_its_middle(vpp: StandIn, connection: Connection) -> None:
    vpp.faults.die("create_loopback_instance", nth=400)
    other = asyncio.ensure_future(connection.batch(loopbacks(2000)))
    with pytest.raises(VppDown, match="went away"):
        await connection.batch(loopbacks(2000))
    with pytest.raises(VppDown, match="went away"):
        await other


async def test_a_dump_goes_on_from_its_cursor(tmp_path: Path) -> None:
    vpp = StandIn(tmp_path / "paged", page=7)
    vpp.start()
    connection = await Connection.open(vpp.socket, "test")
    assert len(await connection.dump("ip_path_mtu_get")) == 20
    assert vpp.server.count()["ip_path_mtu_get"] == 3
    await connection.close()
    vpp.close()


async def test_a_dump_that_is_refused_says_why(vpp: StandIn, connection: Connection) -> None:
    vpp.faults.fail("ip_path_mtu_get", retval=-70)
    with pytest.raises(VppRefused, match="INVALID_MEMORY_SIZE"):
        await connection.dump("ip_path_mtu_get")


# ---- callers that go away


async def test_who_stops_waiting_holds_up_nobody(vpp: StandIn, connection: Connection) -> None:
    vpp.freeze()
    batch = asyncio.ensure_future(connection.batch(loopbacks(WINDOW * 2)))
    call = asyncio.ensure_future(connection.call("show_version"))
    await until(connection._window.locked)
    batch.cancel()
    call.cancel()
    await asyncio.wait([batch, call])
    vpp.thaw()
    assert len(await connection.dump("sw_interface_dump")) == WINDOW + 1, "what was sent was carried out"
    await asyncio.gather(*(connection.batch(loopbacks(WINDOW)) for _ in range(3)))
    assert not connection.closed.is_set()
    assert connection._window._value == WINDOW, "the window is whole again"


async def test_opening_can_be_given_up(vpp: StandIn) -> None:
    vpp.freeze()
    opening = asyncio.ensure_future(Connection.open(vpp.socket, "test"))
    await until(lambda: vpp.server.sessions)
    opening.cancel()
    await asyncio.wait([opening])
    vpp.thaw()
    await until(lambda: not vpp.server.sessions)


# ---- events


async def test_events_that_nobody_takes_cost_the_oldest(
    vpp: StandIn, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.call("want_interface_events", enable_disable=1, pid=1)
    lost = connection_module.EVENTS_LOST._value.get()
    for number in range(connection.events.maxsize + 5):
        vpp.emit("sw_interface_event", sw_if_index=number)
    await connection.call("show_version")
    assert (await connection.events.get()).sw_if_index == 5
    assert connection_module.EVENTS_LOST._value.get() == lost + 5
    assert [record.message for record in caplog.records].count("events of VPP are lost: nobody takes them") == 1


async def test_a_keepalive_is_answered_and_is_no_event(vpp: StandIn, connection: Connection) -> None:
    for session in list(vpp.server.sessions):
        session.send("memclnt_keepalive", {"context": 7})
    await until(lambda: "memclnt_keepalive_reply" in vpp.server.seen)
    assert connection.events.empty()


# ---- nonsense


async def test_a_vpp_that_talks_nonsense_is_left(vpp: StandIn, connection: Connection) -> None:
    vpp.faults.garbage("show_version")
    with pytest.raises(VppDown, match="sent what cannot be read|hangs"):
        await connection.call("show_version")
    with pytest.raises(VppDown):
        await connection.call("show_version")


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, b"\0" * 64, b""], ids=["http", "zeros", "nothing"]
)
async def test_what_is_no_vpp_is_said_to_be_none(tmp_path: Path, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, str(tmp_path / "socket"))
    with pytest.raises(VppDown, match="does not speak VPP's protocol|is it running"):
        await Connection.open(tmp_path / "socket", "test", timeout=2)
    server.close()


async def test_definitions_that_cannot_be_read_are_said_to(vpp: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vpp.server.language, "text", "{ this is no JSON")
    with pytest.raises(VppDown, match="describes its messages in a way that cannot be read"):
        await Connection.open(vpp.socket, "test")


async def test_a_socket_that_nobody_serves_is_said_to_be_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))
    with pytest.raises(VppDown, match="Connection refused: is it running"):
        await Connection.open(tmp_path / "left", "test")


async def test_a_slow_vpp_is_no_hung_one(vpp: StandIn) -> None:
    connection = await Connection.open(vpp.socket, "test", timeout=0.4)
    vpp.faults.delay("create_loopback_instance", seconds=0.2, times=5)
    assert len(await connection.batch(loopbacks(5))) == 5, "a second in all, but never half of one without an answer"
    await connection.close()


# ---- the contract


@pytest.mark.parametrize(
    ("lacks", "other", "said"),
    [
        (
            ["vxlan_add_del_tunnel_v3", "ip_route_v2_dump"],
            {},
            ["message vxlan_add_del_tunnel_v3", "message ip_route_v2_dump"],
        ),
        (["sw_interface_details.tag"], {}, ["field tag of sw_interface_details"]),
        (["fib_path.weight"], {}, ["field weight of type fib_path"]),
        ([], {"sw_interface_set_mtu.mtu": "u32[3]"}, ["field mtu of sw_interface_set_mtu as u32[4] (here u32[3])"]),
        ([], {"l2fib_add_del.mac": "u8[6]"}, ["field mac of l2fib_add_del as mac_address (here u8[6])"]),
        ([], {"prefix.len": "u16"}, ["field len of type prefix as u8 (here u16)"]),
    ],
    ids=["messages", "a field of details", "a field of a type", "a length", "a conversion", "a type in a type"],
)
async def test_a_vpp_that_lacks_something_is_refused_once_and_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lacks: list[str], other: dict[str, str], said: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    vpp = StandIn(tmp_path / "vpp", lacks=lacks, other=other)
    vpp.start()
    plane = VppDataplane(vpp.socket, timeout=1)
    async with running(plane.run):
        await until(lambda: plane.problem.startswith("VPP stand-in at"))
        for one in said:
            assert one in plane.problem
        assert " lacks " in plane.problem
        await asyncio.sleep(1)
        assert vpp.server.count()["sockclnt_create"] == 1, "it is not asked again and again"
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert not plane.ready.is_set()
        vpp.end()
        vpp.lacks, vpp.other = (), ()
        vpp.start()
        await until(plane.ready.is_set)
        assert plane.problem == ""
    vpp.close()


async def test_another_name_for_the_same_bytes_is_no_difference(tmp_path: Path) -> None:
    vpp = StandIn(
        tmp_path / "vpp", other={"sw_interface_set_flags.sw_if_index": "u32", "fib_path.sw_if_index": "interface_index"}
    )
    vpp.start()
    plane = VppDataplane(vpp.socket, timeout=1)
    async with running(plane.run):
        await until(plane.ready.is_set)
    vpp.close()


async def test_a_vpp_that_was_upgraded_is_understood_anew(tmp_path: Path) -> None:
    vpp = StandIn(tmp_path / "vpp", other={"ip_neighbor.flags": "u64"})
    vpp.start()
    for other, expected in (((), 1), ((("ip_neighbor.flags", "u64"),), 8)):
        vpp.end()
        vpp.other = other
        vpp.start()
        connection = await Connection.open(vpp.socket, "test")
        definition = connection.definitions.by_name["ip_neighbor_add_del"].definition
        neighbour = definition.packers[definition.fields.index("neighbor")]
        assert neighbour.packers[neighbour.fields.index("flags")].size == expected
        made = await connection.call("create_loopback_instance", mac_address="02:fe:00:00:00:01")
        entry = {
            "sw_if_index": made.sw_if_index,
            "flags": 1,
            "mac_address": "02:fe:00:00:00:02",
            "ip_address": "10.0.0.1",
        }
        await connection.call("ip_neighbor_add_del", is_add=True, neighbor=entry)
        assert [int(flags) for flags, _ in vpp.state.things("neighbour").values()] == [1]
        await connection.close()
    vpp.close()


# ---- coming back


async def test_a_vpp_that_dies_of_what_it_is_told_is_tried_ever_less_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vpp = StandIn(tmp_path / "vpp", respawn=True)
    vpp.start()

    async def program() -> None:
        if vpp.lives < 5:
            vpp.faults.die("create_loopback_instance", nth=5)
        died.append(time.monotonic())
        await client.connection.batch(loopbacks(50))

    died: list[float] = []
    client = Vpp(vpp.socket, contract=NEEDS, appeared=program, timeout=1)
    async with running(client.run):
        await until(lambda: len(died) == 2)
        assert "main-heap-size" not in caplog.text
        await until(lambda: len(died) == 5, 20)
        assert client.problem == ""
    assert "VPP went away" in caplog.text
    assert "that was so 3 times in a row within 10 s of reaching it" in caplog.text
    assert "a larger main-heap-size" in caplog.text
    assert died[1] - died[0] < 0.5 < died[3] - died[2] < died[4] - died[3]
    vpp.close()


async def test_a_process_that_is_killed_or_stopped_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    command = [sys.executable, "-m", "tests.standin.vpp", str(path)]
    appeared = asyncio.Queue[None]()

    async def note() -> None:
        appeared.put_nowait(None)

    client = Vpp(path, contract=NEEDS, appeared=note, timeout=0.5)
    async with running(client.run):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            path.unlink(missing_ok=True)
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
            with subprocess.Popen(command, env=environment) as process:
                try:
                    async with asyncio.timeout(20):
                        await appeared.get()
                    assert client.problem == ""
                    process.send_signal(number)
                    started = time.monotonic()
                    await until(lambda: client.problem)
                    assert time.monotonic() - started < (1 if number is signal.SIGKILL else 3)
                    with pytest.raises(VppError, match="went away" if number is signal.SIGKILL else "hangs"):
                        _ = client.connection
                finally:
                    process.kill()
