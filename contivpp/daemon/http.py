"""Probes, metrics and routes of a daemon over HTTP. Shapes: spec/agent.md 2.5, spec/cluster.md 1.7."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import prometheus_client
from aiohttp import web

from contivpp.daemon.http_config import HttpConfig


class Health:
    """Which parts of a daemon are ready, and why the others are not; and whether it is alive.

    A daemon that is not ready waits for something, and can say for what. One that is not alive has waited longer
    than it should: it says so, and whoever looks after it decides.
    """

    def __init__(self) -> None:
        """Starts with no part; a daemon without parts is ready, and alive."""
        self._parts: dict[str, str] = {}
        self._asked: dict[str, Callable[[], str]] = {}
        self._alive: dict[str, Callable[[], str]] = {}
        self._started = time.time()
        self._changed = self._started

    def set(self, part: str, reason: str) -> None:
        """Says how a part is: "" for ready, else one sentence."""
        if self._parts.get(part) != reason:
            self._parts[part] = reason
            self._changed = time.time()

    def ask(self, part: str, why_not_ready: Callable[[], str]) -> None:
        """Whom to ask how a part is, each time that somebody wants to know."""
        self._asked[part] = why_not_ready

    def ask_alive(self, part: str, why_not_alive: Callable[[], str]) -> None:
        """Whom to ask whether a part is still alive: "" for yes, else one sentence."""
        self._alive[part] = why_not_alive

    @property
    def ready(self) -> bool:
        """Whether every part is."""
        self._look()
        return not any(self._parts.values())

    @property
    def alive(self) -> bool:
        """Whether every part is."""
        return not any(ask() for ask in self._alive.values())

    def _look(self) -> None:
        for part, ask in self._asked.items():
            self.set(part, ask())

    def as_dict(self) -> dict[str, Any]:
        """The report of the probes; times in seconds since the epoch. States: 0 starting, 1 ready, 2 not alive."""
        ready = self.ready
        dead = {part: reason for part, ask in sorted(self._alive.items()) if (reason := ask())}
        reasons = {**{part: reason for part, reason in sorted(self._parts.items()) if reason}, **dead}
        return {
            "state": 2 if dead else 1 if ready else 0,
            "start_time": int(self._started),
            "last_change": int(self._changed),
            "last_update": int(time.time()),
            **({"error": "; ".join(f"{part}: {reason}" for part, reason in reasons.items())} if reasons else {}),
        }


class Server:
    """The HTTP server of one daemon; `run` is a root task."""

    def __init__(self, config: HttpConfig, *, health: Health, routes: Iterable[web.RouteDef] = ()) -> None:
        """Takes where to listen, what the probes say, and the daemon's own routes."""
        self._config = config
        self._health = health
        self._routes = list(routes)
        self.port = 0

    def application(self) -> web.Application:
        """The routes with the probes."""
        application = web.Application(middlewares=[_authentication(self._config), _errors])
        application.add_routes(
            [
                web.get("/liveness", self._liveness),
                web.get("/readiness", self._readiness),
                web.get("/metrics", _metrics),
                *self._routes,
            ]
        )
        return application

    async def run(self) -> None:
        """Serves for ever.

        Raises:
            OSError: the address cannot be listened on.
        """
        runner = web.AppRunner(self.application(), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(
                runner, self._config.address, self._config.port, ssl_context=_tls(self._config), shutdown_timeout=1
            )
            await site.start()
            self.port = runner.addresses[0][1]
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _liveness(self, request: web.Request) -> web.Response:
        return json_response(self._health.as_dict(), status=200 if self._health.alive else 500)

    async def _readiness(self, request: web.Request) -> web.Response:
        return json_response(self._health.as_dict(), status=200 if self._health.ready else 503)


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """`value` as JSON; what msgspec cannot encode becomes text."""
    body = msgspec.json.encode(value, enc_hook=str)
    return web.Response(body=body, status=status, content_type="application/json")


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(), headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
    )


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ValueError as error:
        return json_response({"Error": str(error)}, status=400)
    return response


def _authentication(config: HttpConfig) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        if config.basic_auth and not config.allows(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="contiv"'})
        response: web.StreamResponse = await handler(request)
        return response

    return check


def _tls(config: HttpConfig) -> ssl.SSLContext | None:
    if config.server_cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.server_cert_file, config.server_key_file)
    if config.client_cert_files:
        context.verify_mode = ssl.CERT_REQUIRED
        for file in config.client_cert_files:
            context.load_verify_locations(cafile=file)
    return context
