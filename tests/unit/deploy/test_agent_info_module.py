from __future__ import annotations

import base64
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Run

READY = {"state": 1, "start_time": 1700000000, "last_change": 1, "last_update": 2}


class Agent:
    """An agent's answers: status and value by path; `later` become those when it has been asked so often."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {
            "/liveness": (200, READY),
            "/readiness": (200, READY),
            "/contiv/v1/ipam": (200, {"nodeId": 3, "nodeName": "node3", "nodeIP": "10.0.0.3"}),
            "/vpp/status": (200, {"dataplane": "linux"}),
            "/contiv/v1/pods": (200, [{"pod": "default/web-1"}, {"pod": "default/web-2"}]),
        }
        self.later: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        self.password = ""
        self.url = ""

    def waits_for(self, reason: str) -> None:
        self.answers["/readiness"] = (503, {**READY, "state": 0, "error": reason})
        self.answers["/contiv/v1/ipam"] = (500, {"Error": "Error getting node IP"})


@pytest.fixture
def agent() -> Iterator[Agent]:
    known = Agent()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            if len(known.asked) > 6 and known.later:
                known.answers |= known.later
            status, value = known.answers.get(self.path, (404, {"Error": "no"}))
            if known.password:
                wanted = "Basic " + base64.b64encode(known.password.encode()).decode()
                status = status if self.headers.get("Authorization") == wanted else 401
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def test_a_ready_agent_is_told_with_its_node(run: Run, agent: Agent) -> None:
    answer = run("contivpp_agent_info", url=agent.url + "/", state="ready")
    assert not answer["changed"]
    assert answer["agent"] == {
        "reachable": True, "alive": True, "ready": True, "reason": "", "started": 1700000000, "pods": 2,
        "node": {"nodeId": 3, "nodeName": "node3", "nodeIP": "10.0.0.3"}, "dataplane": {"dataplane": "linux"},
    }  # fmt: skip
    assert run("contivpp_agent_info", url=agent.url, state="alive", check=True)["agent"]["alive"]


def test_one_that_becomes_ready_is_waited_for(run: Run, agent: Agent) -> None:
    agent.waits_for("etcd: not reached")
    agent.later = {"/readiness": (200, READY)}
    answer = run("contivpp_agent_info", url=agent.url, state="ready", timeout=20, sleep=0.01)
    assert answer["agent"]["ready"] and agent.asked.count("/readiness") == 2


def test_one_that_does_not_is_a_failure_with_what_it_waits_for(run: Run, agent: Agent) -> None:
    agent.waits_for("etcd: not reached")
    answer = run("contivpp_agent_info", url=agent.url, state="ready", timeout=0)
    assert answer["failed"] and answer["msg"].startswith(f"the agent at {agent.url} is not ready after 0 s: etcd: not")
    answer = run("contivpp_agent_info", url=agent.url)
    assert not answer["agent"]["ready"] and answer["agent"]["reason"] == "etcd: not reached"
    assert answer["agent"]["node"] == {}
    assert "failed" not in run("contivpp_agent_info", url=agent.url, state="reachable")


def test_one_that_hangs_is_not_alive(run: Run, agent: Agent) -> None:
    hung = {**READY, "state": 2, "error": "first resync: overdue"}
    agent.answers |= {"/liveness": (500, hung), "/readiness": (503, hung)}
    answer = run("contivpp_agent_info", url=agent.url, state="alive", timeout=0)
    assert answer["failed"] and "first resync: overdue" in answer["msg"]


def test_one_that_is_gone_is_stopped_and_says_why_it_does_not_answer(run: Run) -> None:
    nobody = "http://127.0.0.1:1"
    assert not run("contivpp_agent_info", url=nobody, state="stopped")["agent"]["reachable"]
    assert "Connection refused" in run("contivpp_agent_info", url=nobody)["agent"]["reason"]
    answer = run("contivpp_agent_info", url=nobody, state="ready", timeout=0)
    assert answer["failed"] and "is not ready after 0 s: it does not answer" in answer["msg"]


def test_somebody_else_who_answers_is_no_agent(run: Run, agent: Agent) -> None:
    agent.answers["/liveness"] = (200, b"<html>")
    answer = run("contivpp_agent_info", url=agent.url, state="ready", timeout=60)
    assert answer["failed"] and "is not an agent (HTTP 200)" in answer["msg"]


def test_a_password_is_given_and_asked_for(run: Run, agent: Agent) -> None:
    agent.password = "operator:secret"
    answer = run("contivpp_agent_info", url=agent.url)
    assert answer["failed"] and "set url_username and url_password" in answer["msg"]
    answer = run("contivpp_agent_info", url=agent.url, url_username="operator", url_password="secret", state="ready")
    assert answer["agent"]["ready"] and "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"url": "node1"}, "is not an address such as"),
        ({"url": "http://node1/readiness"}, "is not an address such as"),
        ({"state": "happy"}, "happy"),
        ({"timeout": -1}, "give numbers above 0"),
        ({"sleep": 0}, "give numbers above 0"),
        ({"client_key": "/k"}, "client_cert"),
        ({"url": "https://node1", "ca_path": "/none/ca.pem"}, "certificates for the agent cannot be used"),
    ],
)
def test_wrong_arguments_are_named(run: Run, given: dict[str, Any], part: str) -> None:
    answer = run("contivpp_agent_info", **given)
    assert answer["failed"] and part in answer["msg"]


def test_who_does_not_speak_http_is_a_state_with_its_reason(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(bytes([21, 3, 3, 0, 2, 2, 50]))  # an alert of TLS

        thread = threading.Thread(target=answer)
        thread.start()
        answered = run("contivpp_agent_info", url=f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert not answered["agent"]["reachable"]
    assert "it does not answer in HTTP" in answered["agent"]["reason"]
