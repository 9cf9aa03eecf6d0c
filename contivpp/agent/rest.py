"""The agent's REST interface: what operators, netctl and validation read of a node.

Shapes: spec/agent.md 2.5, 7.6, 14.6 and spec/cluster.md 11.3; `/contiv/v1/pods` and `/contiv/v1/ping` are
this project's own. Reading never changes anything; the two POST requests say what they do.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any, Protocol

import msgspec
from aiohttp import web

from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.controller import Controller
from contivpp.agent.events import HealingWanted

_PING_LIMIT = 100


class NodeTools(Protocol):
    """What the REST interface asks of the data plane."""

    async def link_index(self, name: str) -> int:
        """The index of a link by its kernel name, 0 when there is none."""
        ...

    async def ping(self, netns: str, address: str, count: int) -> Any:
        """Sends `count` ICMP echo requests from a namespace."""
        ...


class AgentApi:
    """The routes of one agent."""

    def __init__(self, controller: Controller, tools: NodeTools) -> None:
        """Takes the controller and the data plane."""
        self._controller = controller
        self._tools = tools

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/contiv/v1/ipam", self.ipam),
            web.get("/contiv/v1/ipam/allocations", self.allocations),
            web.get("/contiv/v1/pods", self.pods),
            web.post("/contiv/v1/ping", self.ping),
            web.get("/controller/event-history", self.event_history),
            web.post("/controller/resync", self.resync),
            web.get("/scheduler/status", self.scheduler_status),
            web.get("/scheduler/dump", self.scheduler_dump),
            web.get("/scheduler/txn-history", self.transactions),
            web.post("/scheduler/downstream-resync", self.resync),
        ]

    async def ipam(self, request: web.Request) -> web.Response:
        """This node's part of the address plan."""
        view = self._controller.view
        if not view.own.id or not view.own.addresses:
            return _json({"Error": f"Error getting node IP: {self._controller.why_not_ready()}"}, status=500)
        plan, own = view.plan, view.own
        return _json(
            {
                "nodeId": own.id,
                "nodeName": own.name,
                "nodeIP": str(ipaddress.ip_interface(own.addresses[0]).ip),
                "podSubnetThisNode": str(plan.pod_subnet(own.id)),
                "vppHostNetwork": str(plan.host_link_subnet(own.id)),
                "vxlanIP": str(plan.vxlan_address(own.id)),
                "config": view.config.ipam_as_used(),
            }
        )

    async def allocations(self, request: web.Request) -> web.Response:
        """Which pod holds which address."""
        addresses = self._controller.pods.addresses
        held = addresses.allocations() if addresses is not None else {}
        pods = [
            {"PodID": {"Name": pod.name, "Namespace": pod.namespace}, "MainIP": str(address), "CustomIfIPs": {}}
            for pod, address in sorted(held.items(), key=lambda item: str(item[0]))
        ]
        return _json({"Pods": pods})

    async def pods(self, request: web.Request) -> web.Response:
        """The sandboxes of this node."""
        result = []
        for pod_id, pod in sorted(self._controller.view.pods.items(), key=lambda item: str(item[0])):
            interface = pod_names(pod.sandbox.container_id).host_interface
            result.append(
                {
                    "pod": str(pod_id),
                    "ip": pod.address,
                    "interface": interface,
                    "ifindex": await self._tools.link_index(interface),
                    "container_id": pod.sandbox.container_id,
                    "netns": pod.sandbox.netns,
                }
            )
        return _json(result)

    async def ping(self, request: web.Request) -> web.Response:
        """Pings from a pod of this node: {"pod", "address", "count"}."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=_PingRequest)
            address = str(ipaddress.ip_address(wanted.address))
        except (msgspec.DecodeError, ValueError) as error:
            return _json({"Error": f"ping: {error}"}, status=400)
        for pod_id, pod in self._controller.view.pods.items():
            if str(pod_id) == wanted.pod:
                count = max(1, min(wanted.count, _PING_LIMIT))
                return _json(await self._tools.ping(pod.sandbox.netns, address, count))
        return _json({"Error": f"pod {wanted.pod} is not on node {self._controller.view.own.name}"}, status=404)

    async def event_history(self, request: web.Request) -> web.Response:
        """The events that were handled last; ?last=N for fewer."""
        records = list(self._controller.history)
        if last := request.query.get("last", ""):
            if not last.isdigit():
                return _json({"Error": f"last={last} is not a number"}, status=400)
            records = records[-int(last) :]
        return _json([dataclasses.asdict(record) for record in records])

    async def resync(self, request: web.Request) -> web.Response:
        """Asks for a comparison with the data plane, and does not wait for it."""
        await self._controller.push(HealingWanted("a request over REST"))
        return _json("Resync request was successfully dispatched.")

    async def scheduler_status(self, request: web.Request) -> web.Response:
        """The state of every value; ?key-prefix=P for some."""
        return _json(self._controller.scheduler.status(request.query.get("key-prefix", "")))

    async def scheduler_dump(self, request: web.Request) -> web.Response:
        """The values of one view: ?view=SB|NB|cached and ?descriptor=D or ?key-prefix=P; else the index."""
        query, scheduler = request.query, self._controller.scheduler
        if not query:
            return _json(scheduler.index())
        return _json(
            await scheduler.dump(
                view=query.get("view", "SB"),
                prefix=query.get("key-prefix", ""),
                descriptor=query.get("descriptor", ""),
            )
        )

    async def transactions(self, request: web.Request) -> web.Response:
        """Every recorded transaction, oldest first."""
        return _json(list(self._controller.scheduler.history))


class _PingRequest(msgspec.Struct):
    pod: str
    address: str
    count: int = 3


def _json(value: Any, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value, enc_hook=str)
    return web.Response(body=body, status=status, content_type="application/json")
