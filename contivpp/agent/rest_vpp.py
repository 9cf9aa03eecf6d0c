"""A node's VPP over REST: commands to it, and what it holds.

A command is carried out as it is: what it does is the operator's business. While VPP is away the answer is 503 with
the reason; a node that forwards with the kernel says 409, for there is no VPP to ask. A command that takes longer than
the agent waits for any answer of VPP ends the agent's connection: VPP is read again when it answers, and packets that
are under way have to wait for the command, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.requests import decoded, problem
from contivpp.daemon.http import json_response
from contivpp.dataplane.vpp.api import cli
from contivpp.dataplane.vpp.api.errors import VppDown, VppError
from contivpp.dataplane.vpp.plane import VppDataplane

PREFIX: Final = "vpp/"
"""Of the keys of all values of VPP; what follows up to the next slash is the kind."""

Handler = Callable[["VppApi", VppDataplane, web.Request], Awaitable[web.Response]]


def _of_vpp(handler: Handler) -> Callable[[VppApi, web.Request], Awaitable[web.Response]]:
    """A route that needs a VPP."""

    async def answer(self: VppApi, request: web.Request) -> web.Response:
        if self.vpp is None:
            message = f"{self.node} forwards with the kernel (dataplane: linux): there is no VPP on it"
            return problem(409, message)
        try:
            return await handler(self, self.vpp, request)
        except cli.CommandError as error:
            return problem(422, str(error))
        except VppError as error:
            return problem(503, str(error))

    return answer


class VppApi:
    """The routes that are about VPP."""

    def __init__(self, controller: Controller, vpp: VppDataplane | None) -> None:
        """Takes the controller, and the node's VPP; None on a node that forwards with the kernel."""
        self.vpp = vpp
        self._controller = controller

    @property
    def node(self) -> str:
        """The node's name."""
        return self._controller.view.own.name

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/vpp/status", self.status),
            web.post("/vpp/cli", self.command),
            web.get("/vpp/dump", self.dump),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """Whether VPP is connected or why not, its version, and since when it runs; without one only "dataplane"."""
        if self.vpp is None:
            return json_response({"dataplane": "linux"})
        return json_response({"dataplane": "vpp", **self.vpp.status()})

    @_of_vpp
    async def command(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """What VPP says to a command: {"command": "show interface"} -> {"output"}; 422 refused, 504 took too long."""
        wanted = await decoded(request, _Command)
        if not wanted.command.strip() or "\n" in wanted.command:
            raise ValueError("command: one line is needed, such as show interface")
        connection = vpp.client.connection
        try:
            return json_response({"output": await cli.run(connection, wanted.command)})
        except VppDown as error:
            return problem(504, f"no answer to the command: {error}; VPP was left, and is connected again")

    @_of_vpp
    async def dump(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """What VPP holds: ?type=K of one kind, else of all; "kinds" names all that there are."""
        owners = {one.prefix.removeprefix(PREFIX).rstrip("/"): one.name for one in vpp.descriptors()}
        kinds, wanted = sorted(owners), request.query.get("type", "")
        if wanted and wanted not in kinds:
            return problem(404, f"type={wanted}: there are {', '.join(kinds)}")
        found: dict[str, list[dict[str, Any]]] = {}
        for kind in [wanted] if wanted else kinds:
            dumped = await self._controller.scheduler.dump(view="SB", descriptor=owners[kind])
            found[kind] = [
                {"key": one["Key"], "type": type(one["Value"]).__name__, "value": one["Value"]} for one in dumped
            ]
        numbers = {name: number for number, name in sorted(vpp.driver.known_names().items())}
        return json_response({"version": vpp.client.version, "kinds": kinds, "numbers": numbers, "values": found})


class _Command(msgspec.Struct):
    command: str
