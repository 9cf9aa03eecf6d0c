"""A node's VPP over REST: commands to it, what it holds, and the trace of one flow; a probe works on any data plane.

A command is carried out as it is: what it does is the operator's business. While VPP is away the answer is 503 with
the reason; a node that forwards with the kernel says 409, for there is no VPP to ask. A command that takes longer than
the agent waits for any answer of VPP ends the agent's connection: VPP is read again when it answers, and packets that
are under way have to wait for the command, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.probe import probe
from contivpp.agent.trace_names import named
from contivpp.daemon.http import json_response
from contivpp.dataplane.linux.netlink import NamespaceGoneError
from contivpp.dataplane.vpp.api import cli
from contivpp.dataplane.vpp.api.errors import VppDown, VppError
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.tracing.tracer import LONGEST, NoTraceError, TraceBusyError
from contivpp.model.trace import Flow, ProbeResult

T = TypeVar("T")

PREFIX: Final = "vpp/"
"""Of the keys of all values of VPP; what follows up to the next slash is the kind."""
_MOST_PROBES: Final = 20
_LONGEST_WAIT: Final = 30.0

Handler = Callable[["VppApi", VppDataplane, web.Request], Awaitable[web.Response]]


def _of_vpp(handler: Handler) -> Callable[[VppApi, web.Request], Awaitable[web.Response]]:
    """A route that needs a VPP."""

    async def answer(self: VppApi, request: web.Request) -> web.Response:
        if self.vpp is None:
            message = f"{self.node} forwards with the kernel (dataplane: linux): there is no VPP on it"
            return _problem(409, message)
        try:
            return await handler(self, self.vpp, request)
        except cli.CommandError as error:
            return _problem(422, str(error))
        except VppError as error:
            return _problem(503, str(error))

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
            web.post("/vpp/trace", self.begin_trace),
            web.post("/vpp/trace/end", self.end_trace),
            web.post("/contiv/v1/probe", self.probe),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """Whether VPP is connected or why not, its version, and since when it runs; without one only "dataplane"."""
        if self.vpp is None:
            return json_response({"dataplane": "linux"})
        return json_response({"dataplane": "vpp", **self.vpp.status()})

    @_of_vpp
    async def command(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """What VPP says to a command: {"command": "show interface"} -> {"output"}; 422 refused, 504 took too long."""
        wanted = await _decoded(request, _Command)
        if not wanted.command.strip() or "\n" in wanted.command:
            raise ValueError("command: one line is needed, such as show interface")
        connection = vpp.client.connection
        try:
            return json_response({"output": await cli.run(connection, wanted.command)})
        except VppDown as error:
            return _problem(504, f"no answer to the command: {error}; VPP was left, and is connected again")

    @_of_vpp
    async def dump(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """What VPP holds: ?type=K of one kind, else of all; "kinds" names all that there are."""
        owners = {one.prefix.removeprefix(PREFIX).rstrip("/"): one.name for one in vpp.descriptors()}
        kinds, wanted = sorted(owners), request.query.get("type", "")
        if wanted and wanted not in kinds:
            return _problem(404, f"type={wanted}: there are {', '.join(kinds)}")
        found: dict[str, list[dict[str, Any]]] = {}
        for kind in [wanted] if wanted else kinds:
            dumped = await self._controller.scheduler.dump(view="SB", descriptor=owners[kind])
            found[kind] = [
                {"key": one["Key"], "type": type(one["Value"]).__name__, "value": one["Value"]} for one in dumped
            ]
        numbers = {name: number for number, name in sorted(vpp.driver.known_names().items())}
        return json_response({"version": vpp.client.version, "kinds": kinds, "numbers": numbers, "values": found})

    @_of_vpp
    async def begin_trace(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """Traces a flow: {"flow", "others", "seconds"} -> {"trace"}, to be ended by that name; else it ends by itself.

        "others" is what services may make of the flow.
        """
        wanted = await _decoded(request, _TraceRequest)
        for flow in wanted.flows:
            flow.check()
        if len({(flow.protocol, flow.version) for flow in wanted.flows}) > 1:
            raise ValueError("others: all flows of a trace are of one protocol and one IP version")
        if not 0 < wanted.seconds <= LONGEST:
            raise ValueError(f"seconds={wanted.seconds:g}: a trace may last {LONGEST:g} s")
        try:
            return json_response({"trace": await vpp.tracer.begin(wanted.flows, wanted.seconds)})
        except TraceBusyError as error:
            return _problem(409, f"{self.node}: {error}")

    @_of_vpp
    async def end_trace(self, vpp: VppDataplane, request: web.Request) -> web.Response:
        """Ends a trace: {"trace"} -> {"packets"}, in the order of time."""
        wanted = await _decoded(request, _TraceEnd)
        try:
            caught = await vpp.tracer.end(wanted.trace)
            return json_response({"packets": named(caught, self._controller.view)})
        except NoTraceError as error:
            return _problem(404, f"{self.node}: {error}")

    async def probe(self, request: web.Request) -> web.Response:
        """Sends probes from a pod of this node: {"pod", "flow", "count", "timeout"} -> {"probes"}."""
        wanted = await _decoded(request, _ProbeRequest)
        wanted.flow.check()
        netns = next(
            (pod.sandbox.netns for one, pod in self._controller.view.pods.items() if str(one) == wanted.pod), ""
        )
        if not netns:
            return _problem(404, f"pod {wanted.pod} is not on node {self.node}")
        timeout = min(max(wanted.timeout, 0.1), _LONGEST_WAIT)
        found: list[ProbeResult] = []
        try:
            for number in range(1, min(max(wanted.count, 1), _MOST_PROBES) + 1):
                found.append(await probe(netns, wanted.flow, number=number, timeout=timeout))
        except (NamespaceGoneError, OSError) as error:
            return _problem(409, f"nothing can be sent from pod {wanted.pod}: {error}")
        return json_response({"probes": found})


class _Command(msgspec.Struct):
    command: str


class _TraceRequest(msgspec.Struct):
    flow: Flow
    others: list[Flow] = []
    seconds: float = 30.0

    @property
    def flows(self) -> list[Flow]:
        """All that is to be traced."""
        return [self.flow, *self.others]


class _TraceEnd(msgspec.Struct):
    trace: str


class _ProbeRequest(msgspec.Struct):
    pod: str
    flow: Flow
    count: int = 1
    timeout: float = 2.0


async def _decoded(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        message = f"the request is not understood: {error}"
        raise ValueError(message) from error


def _problem(status: int, sentence: str) -> web.Response:
    return json_response({"Error": sentence}, status=status)
