"""The controller over REST: what it handled, and a resync on request. Shapes: spec/agent.md 2.5."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.event_history import as_json, select
from contivpp.agent.events import ResyncWanted
from contivpp.daemon.http import json_response


class ControllerApi:
    """The routes of the controller."""

    def __init__(self, controller: Controller, *, read_again: Callable[[], None]) -> None:
        """Takes the controller, and what has the state of the cluster read anew."""
        self._controller = controller
        self._read_again = read_again

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/controller/event-history", self.event_history),
            web.post("/controller/resync", self.resync),
        ]

    async def event_history(self, request: web.Request) -> web.Response:
        """The events that were handled, oldest first; `event_history.select` says what may be asked for.

        One that is asked for by its number is 404 when it is not recorded, a number that is none is 400.
        """
        try:
            records = select(self._controller.history, request.query)
        except LookupError as error:
            return json_response({"Error": str(error)}, status=404)
        transactions = {one.seq: one for one in self._controller.scheduler.history}
        shown = [as_json(record, transactions) for record in records]
        return json_response(shown[0] if "seq-num" in request.query else shown)

    async def resync(self, request: web.Request) -> web.Response:
        """Asks for all to be read from etcd, rendered anew and compared with the data plane; does not wait for it."""
        self._read_again()
        await self._controller.push(ResyncWanted("a request over REST"))
        return json_response("Resync request was successfully dispatched.")
