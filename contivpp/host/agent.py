"""What an agent says of itself over HTTP: whether it is alive and ready, why not, and which node it has.

An agent that does not answer is a state like any other, with the reason: whoever waits decides for how long. Only an
answer that is not an agent's is an error at once, for waiting would not mend it.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from .system import HostError

STATES = ("reachable", "alive", "ready", "stopped")
ANSWER_SECONDS = 5.0
Fetch = Callable[[str], "tuple[int, bytes]"]


@dataclass(frozen=True)
class Agent:
    """What is known of an agent; `reason` says why it is not ready, or not even reached."""

    reachable: bool = False
    alive: bool = False
    ready: bool = False
    reason: str = ""
    started: int = 0
    node: Mapping[str, Any] = field(default_factory=dict)
    dataplane: Mapping[str, Any] = field(default_factory=dict)
    pods: int | None = None

    def is_in(self, state: str) -> bool:
        """Whether it is in one of `STATES`."""
        return {
            "reachable": self.reachable,
            "alive": self.alive,
            "ready": self.ready,
            "stopped": not self.reachable,
        }[state]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "reachable": self.reachable,
            "alive": self.alive,
            "ready": self.ready,
            "reason": self.reason,
            "started": self.started,
            "node": dict(self.node),
            "dataplane": dict(self.dataplane),
            "pods": self.pods,
        }


def fetcher(*, user: str = "", password: str = "", ca: str = "", cert: str = "", key: str = "") -> Fetch:
    """Asks over HTTP: an address gives the status and the body.

    Raises:
        HostError: a certificate cannot be read.
    """
    context = None
    if ca or cert:
        try:
            context = ssl.create_default_context(cafile=ca or None)
            if cert:
                context.load_cert_chain(cert, key or None)
        except (OSError, ssl.SSLError) as error:
            raise HostError("the certificates for the agent cannot be used: %s: correct their paths" % error) from None
    headers = {}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
    # A proxy that the environment names has no business between this host and its agent.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def fetch(url: str) -> tuple[int, bytes]:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked by who gives it
        try:
            with opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return int(answer.status), bytes(answer.read())
        except urllib.error.HTTPError as error:
            return int(error.code), bytes(error.read())
        except http.client.HTTPException as error:  # TLS is spoken there, say, or the answer was cut off
            raise OSError("it does not answer in HTTP (%s)" % error.__class__.__name__) from None

    return fetch


def ask(url: str, fetch: Fetch) -> Agent:
    """Asks an agent how it is.

    Raises:
        HostError: who answers there is no agent, or does not let us ask.
    """
    try:
        status, body = fetch(url + "/liveness")
    except (OSError, ValueError) as error:
        return Agent(reason="it does not answer: %s" % (getattr(error, "reason", None) or error))
    if status == 401:
        raise HostError("the agent at %s wants a user and a password: set url_username and url_password" % url)
    alive = _report(url, status, body)
    status, body = _again(fetch, url + "/readiness")
    ready = _report(url, status, body) if status else {}
    return Agent(
        reachable=True,
        alive=alive.get("state") != 2,
        ready=status == 200,
        reason=str(ready.get("error", "") or alive.get("error", "")),
        started=int(alive.get("start_time", 0)),
        node=_object(fetch, url + "/contiv/v1/ipam"),
        dataplane=_object(fetch, url + "/vpp/status"),
        pods=_length(fetch, url + "/contiv/v1/pods"),
    )


def wait(
    url: str,
    fetch: Fetch,
    state: str,
    *,
    seconds: float,
    every: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Agent, float]:
    """Asks until an agent is in a state, or the time is over.

    Returns:
        What it said last, and how many seconds it took.

    Raises:
        HostError: it was not in that state in time; who answers is no agent.
    """
    began = clock()
    while True:
        agent = ask(url, fetch)
        passed = clock() - began
        if agent.is_in(state):
            return agent, passed
        if passed >= seconds:
            raise HostError(
                "the agent at %s is not %s after %d s%s: see journalctl -u contiv-agent"
                % (url, state, passed, ": " + agent.reason if agent.reason else "")
            )
        pause(min(every, max(0.0, seconds - passed)))


def _again(fetch: Fetch, url: str) -> tuple[int, bytes]:
    """An answer, or nothing where the agent went in between."""
    try:
        return fetch(url)
    except (OSError, ValueError):
        return 0, b""


def _report(url: str, status: int, body: bytes) -> dict[str, Any]:
    found = _decoded(body)
    if isinstance(found, dict) and "state" in found and "start_time" in found:
        return found
    raise HostError(
        "who answers at %s is not an agent (HTTP %d): correct the address; see agent_listen of its role" % (url, status)
    )


def _object(fetch: Fetch, url: str) -> dict[str, Any]:
    status, body = _again(fetch, url)
    found = _decoded(body) if status == 200 else {}
    return found if isinstance(found, dict) else {}


def _length(fetch: Fetch, url: str) -> int | None:
    status, body = _again(fetch, url)
    found = _decoded(body) if status == 200 else None
    return len(found) if isinstance(found, list) else None


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except ValueError:
        return None
