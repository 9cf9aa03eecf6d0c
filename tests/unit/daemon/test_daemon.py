from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from contivpp.daemon import tasks
from contivpp.daemon.backoff import Backoff
from contivpp.daemon.http import Health, Server
from contivpp.daemon.http_config import HttpConfig, HttpConfigError


async def test_a_root_task_that_ends_ends_the_daemon_and_the_others() -> None:
    cancelled: list[str] = []

    async def for_ever(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(name)

    async def short() -> None:
        await asyncio.sleep(0)

    code = await tasks.run({"first": for_ever("first"), "second": for_ever("second"), "short": short()})
    assert (code, cancelled) == (1, ["second", "first"])


async def test_a_root_task_that_raises_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("no plan")

    with caplog.at_level(logging.CRITICAL):
        assert await tasks.run({"follower": broken()}) == 1
    assert "task follower failed: no plan" in caplog.text


async def test_a_signal_ends_the_daemon_well() -> None:
    async def signal_oneself() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    assert await tasks.run({"only": signal_oneself()}) == 0


async def test_systemd_is_told_when_it_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        await tasks.run({"short": asyncio.sleep(0)})
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_delays_double_up_to_the_limit_and_start_anew_after_success() -> None:
    backoff = Backoff(1, 5, jitter=0)
    assert [backoff.next() for _ in range(4)] == [1, 2, 4, 5]
    backoff.reset()
    assert backoff.next() == 1


def test_a_daemon_is_ready_when_every_part_is() -> None:
    health = Health()
    health.set("etcd", "etcd at 127.0.0.1:1 refuses connections")
    health.set("data plane", "")
    assert not health.ready
    assert health.as_dict()["error"] == "etcd: etcd at 127.0.0.1:1 refuses connections"
    health.set("etcd", "")
    assert health.ready
    assert health.as_dict()["state"] == 1


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"endpont": "0.0.0.0:1"}, "endpont: no such option; did you mean endpoint?"),
        ({"endpoint": "9999"}, "endpoint: '9999' is not address:port"),
        ({"endpoint": ":99999"}, "is not address:port"),
        ({"server-cert-file": "/nowhere.crt"}, "server-cert-file: /nowhere.crt does not exist"),
        ({"client-basic-auth": ["user"]}, 'every entry must be "user:password"'),
        ([], "must be a mapping"),
    ],
)
def test_a_mistake_in_http_conf_names_the_option(tree: object, problem: str) -> None:
    with pytest.raises(HttpConfigError, match=problem):
        HttpConfig.parse(tree)


def test_http_conf_as_the_original_writes_it() -> None:
    config = HttpConfig.parse({"endpoint": "[::1]:9192", "read-timeout": 5, "client-basic-auth": ["a:b"]})
    assert (config.address, config.port) == ("::1", 9192)
    assert config.allows("Basic YTpi")
    assert not config.allows("Basic YTpj")
    assert not config.allows("")


async def test_a_daemon_that_is_not_alive_answers_500_with_the_reason_and_is_alive_again_when_it_is_over() -> None:
    health, reasons = Health(), {"ready": "waits for etcd", "alive": ""}
    health.ask("agent", lambda: reasons["ready"])
    health.ask_alive("controller", lambda: reasons["alive"])
    server = Server(HttpConfig.parse(None, default_port=0), health=health)
    async with TestClient(TestServer(server.application())) as client:

        async def probe(path: str) -> tuple[int, int, str]:
            answer = await client.get(path)
            body = await answer.json()
            return answer.status, body["state"], body.get("error", "")

        assert await probe("/liveness") == (200, 0, "agent: waits for etcd")
        assert await probe("/readiness") == (503, 0, "agent: waits for etcd")
        reasons["alive"] = "no resync"
        assert await probe("/liveness") == (500, 2, "agent: waits for etcd; controller: no resync")
        reasons.update(ready="", alive="")
        assert await probe("/liveness") == (200, 1, "")
        assert await probe("/readiness") == (200, 1, "")
