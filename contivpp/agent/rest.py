"""What operators, netctl and validation read of a node over REST: its addresses and its pods.

Shapes: spec/agent.md 7.6 and spec/cluster.md 11.3; `/contiv/v1/pods` and `/contiv/v1/ping` are this project's
own. `/controller` is in `rest_controller`, `/scheduler` in `rest_scheduler`.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Protocol

import msgspec
from aiohttp import web

from contivpp.agent.controller import Controller
from contivpp.daemon.http import json_response

_PING_LIMIT = 100


class NodeTools(Protocol):
    """What the REST interface asks of the data plane."""

    async def link_index(self, name: str) -> int:
        """The index of a link by its kernel name, 0 when there is none."""
        ...

    async def ping(self, netns: str, address: str, count: int) -> Any:
        """Sends `count` ICMP echo requests from a namespace."""
        ...


class NodeApi:
    """The routes of one node."""

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
        ]

    async def ipam(self, request: web.Request) -> web.Response:
        """This node's part of the address plan; with two IP families both, separated by a comma."""
        view = self._controller.view
        if not view.own.id or not view.own.addresses:
            return json_response({"Error": f"Error getting node IP: {self._controller.why_not_ready()}"}, status=500)
        families, own = view.plan.families, view.own
        return json_response(
            {
                "nodeId": own.id,
                "nodeName": own.name,
                "nodeIP": str(ipaddress.ip_interface(own.addresses[0]).ip),
                "podSubnetThisNode": ",".join(str(plan.pod_subnet(own.id)) for plan in families),
                "vppHostNetwork": ",".join(str(plan.host_link_subnet(own.id)) for plan in families),
                "vxlanIP": ",".join(str(plan.vxlan_address(own.id)) for plan in families),
                "config": view.config.ipam_as_used(),
            }
        )

    async def allocations(self, request: web.Request) -> web.Response:
        """Which pod holds which address."""
        addresses = self._controller.pods.addresses
        held = addresses.allocations() if addresses is not None else {}
        pods = [
            {
                "PodID": {"Name": pod.name, "Namespace": pod.namespace},
                "MainIP": str(given[0]),
                "OtherIPs": [str(address) for address in given[1:]],
                "CustomIfIPs": {},
            }
            for pod, given in sorted(held.items(), key=lambda item: str(item[0]))
        ]
        return json_response({"Pods": pods})

    async def pods(self, request: web.Request) -> web.Response:
        """The sandboxes of this node."""
        result = []
        for pod_id, pod in sorted(self._controller.view.pods.items(), key=lambda item: str(item[0])):
            interface = self._controller.pods.host_interface_of(pod.sandbox.container_id)
            result.append(
                {
                    "pod": str(pod_id),
                    "ip": pod.addresses[0],
                    "ips": list(pod.addresses),
                    "interface": interface,
                    "ifindex": await self._tools.link_index(interface) if interface else 0,
                    "container_id": pod.sandbox.container_id,
                    "netns": pod.sandbox.netns,
                }
            )
        return json_response(result)

    async def ping(self, request: web.Request) -> web.Response:
        """Pings from a pod of this node: {"pod", "address", "count"}."""
        try:
            wanted = msgspec.json.decode(await request.read(), type=_PingRequest)
            address = str(ipaddress.ip_address(wanted.address))
        except (msgspec.DecodeError, ValueError) as error:
            return json_response({"Error": f"ping: {error}"}, status=400)
        for pod_id, pod in self._controller.view.pods.items():
            if str(pod_id) == wanted.pod:
                count = max(1, min(wanted.count, _PING_LIMIT))
                return json_response(await self._tools.ping(pod.sandbox.netns, address, count))
        return json_response({"Error": f"pod {wanted.pod} is not on node {self._controller.view.own.name}"}, status=404)


class _PingRequest(msgspec.Struct):
    pod: str
    address: str
    count: int = 3
