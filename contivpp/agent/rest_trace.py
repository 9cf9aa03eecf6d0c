"""The trace of one flow over REST, and the probes that it follows; the same on any data plane.

Who begins a trace ends it by its name and gets the packets that the node has seen; a trace that nobody ends is over
with its time. While another one is under way the answer is 409, and while the data plane is away 503.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.agent.probe import probe
from contivpp.agent.requests import decoded, problem
from contivpp.agent.trace_names import named
from contivpp.daemon.http import json_response
from contivpp.dataplane.linux.netlink import NamespaceGoneError
from contivpp.dataplane.tracing import LONGEST, NoTraceError, TraceBusyError, TraceError, Tracer
from contivpp.model.trace import Flow, ProbeResult

_MOST_PROBES: Final = 20
_LONGEST_WAIT: Final = 30.0


class TraceApi:
    """The routes that are about traces."""

    def __init__(self, controller: Controller, tracer: Tracer) -> None:
        """Takes the controller, and what traces on the node."""
        self._controller = controller
        self._tracer = tracer

    @property
    def node(self) -> str:
        """The node's name."""
        return self._controller.view.own.name

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.post("/contiv/v1/trace", self.begin),
            web.post("/contiv/v1/trace/end", self.end),
            web.post("/contiv/v1/probe", self.probe),
        ]

    async def begin(self, request: web.Request) -> web.Response:
        """Traces a flow: {"flow", "others", "seconds"} -> {"trace"}, to be ended by that name; else it ends by itself.

        "others" is what services may make of the flow.
        """
        wanted = await decoded(request, _TraceRequest)
        for flow in wanted.flows:
            flow.check()
        if len({(flow.protocol, flow.version) for flow in wanted.flows}) > 1:
            raise ValueError("others: all flows of a trace are of one protocol and one IP version")
        if not 0 < wanted.seconds <= LONGEST:
            raise ValueError(f"seconds={wanted.seconds:g}: a trace may last {LONGEST:g} s")
        try:
            return json_response({"trace": await self._tracer.begin(wanted.flows, wanted.seconds)})
        except TraceBusyError as error:
            return problem(409, f"{self.node}: {error}")
        except TraceError as error:
            return problem(503, str(error))

    async def end(self, request: web.Request) -> web.Response:
        """Ends a trace: {"trace"} -> {"packets"}, in the order of time."""
        wanted = await decoded(request, _TraceEnd)
        try:
            caught = await self._tracer.end(wanted.trace)
            return json_response({"packets": named(caught, self._controller.view)})
        except NoTraceError as error:
            return problem(404, f"{self.node}: {error}")
        except TraceError as error:
            return problem(503, str(error))

    async def probe(self, request: web.Request) -> web.Response:
        """Sends probes from a pod of this node: {"pod", "flow", "count", "timeout"} -> {"probes"}."""
        wanted = await decoded(request, _ProbeRequest)
        wanted.flow.check()
        netns = next(
            (pod.sandbox.netns for one, pod in self._controller.view.pods.items() if str(one) == wanted.pod), ""
        )
        if not netns:
            return problem(404, f"pod {wanted.pod} is not on node {self.node}")
        timeout = min(max(wanted.timeout, 0.1), _LONGEST_WAIT)
        found: list[ProbeResult] = []
        try:
            for number in range(1, min(max(wanted.count, 1), _MOST_PROBES) + 1):
                found.append(await probe(netns, wanted.flow, number=number, timeout=timeout))
        except (NamespaceGoneError, OSError) as error:
            return problem(409, f"nothing can be sent from pod {wanted.pod}: {error}")
        return json_response({"probes": found})


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
