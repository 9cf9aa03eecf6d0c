"""The scheduler over REST: what it wants, has and did. Shapes: spec/agent.md 14.6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from contivpp.daemon.http import json_response
from contivpp.scheduler.scheduler import Scheduler


class SchedulerApi:
    """The routes of the scheduler."""

    def __init__(self, scheduler: Scheduler, *, resync: Callable[[str], Awaitable[None]]) -> None:
        """Takes the scheduler, and what asks the controller for a downstream resync, given the reason."""
        self._scheduler = scheduler
        self._resync = resync

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/scheduler/status", self.status),
            web.get("/scheduler/dump", self.dump),
            web.get("/scheduler/txn-history", self.transactions),
            web.post("/scheduler/downstream-resync", self.downstream_resync),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """The state of every value; ?key-prefix=P for some."""
        return json_response(self._scheduler.status(request.query.get("key-prefix", "")))

    async def dump(self, request: web.Request) -> web.Response:
        """The values of one view: ?view=SB|NB|cached and ?descriptor=D or ?key-prefix=P; else the index."""
        query = request.query
        if not query:
            return json_response(self._scheduler.index())
        return json_response(
            await self._scheduler.dump(
                view=query.get("view", "SB"),
                prefix=query.get("key-prefix", ""),
                descriptor=query.get("descriptor", ""),
            )
        )

    async def transactions(self, request: web.Request) -> web.Response:
        """Every recorded transaction, oldest first."""
        return json_response(list(self._scheduler.history))

    async def downstream_resync(self, request: web.Request) -> web.Response:
        """Asks for a comparison with the data plane, and does not wait for it."""
        await self._resync("a request over REST")
        return json_response("Resync request was successfully dispatched.")
