"""The controller over REST: what it handled, and a resync on request. Shapes: spec/agent.md 2.5."""

from __future__ import annotations

import dataclasses

from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.events import HealingWanted
from contivpp.daemon.http import json_response


class ControllerApi:
    """The routes of the controller."""

    def __init__(self, controller: Controller) -> None:
        """Takes the controller."""
        self._controller = controller

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/controller/event-history", self.event_history),
            web.post("/controller/resync", self.resync),
        ]

    async def event_history(self, request: web.Request) -> web.Response:
        """The events that were handled last; ?last=N for fewer."""
        records = list(self._controller.history)
        if last := request.query.get("last", ""):
            if not last.isdigit():
                return json_response({"Error": f"last={last} is not a number"}, status=400)
            records = records[-int(last) :]
        return json_response([dataclasses.asdict(record) for record in records])

    async def resync(self, request: web.Request) -> web.Response:
        """Asks for a comparison with the data plane, and does not wait for it."""
        await self._controller.push(HealingWanted("a request over REST"))
        return json_response("Resync request was successfully dispatched.")
