"""Routes that carry our protocol number; all others are not ours to see."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux import messages
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.values import Address, Route, is_pod_end, link_key
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome

_KINDS = {number: name for name, number in messages.KINDS.items()}
_DEFAULT_METRIC_IPV6 = 1024


class RouteDescriptor:
    """Routes of the node and of its pods."""

    name = "linux-route"
    prefix = Route.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, route: Route) -> Iterable[Dependency]:
        """The link; and an address on it where the kernel drops the routes with the last address."""
        if needed := link_key(route.link) if route.link else "":
            yield Dependency("link", needed)
        if route.link and (route.via or is_pod_end(route.link)):
            yield Dependency("address", any_of=(f"{Address.prefix}{route.link}/",))
        if route.after_source:
            yield Dependency("source", any_of=(f"{Address.prefix}{route.link}/{route.source}/",))

    def derived(self, key: str, route: Route) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One burst per namespace; what is reached directly comes before what is behind it."""
        return self._kernel.send(operations, lambda route: route.link, _message)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every route of ours."""
        look = await self._kernel.look()
        names = look.names()
        found: dict[str, Observed] = {}
        for netns, tables in look.tables.items():
            for family, item in ((family, item) for family, items in tables.routes for item in items):
                if item["proto"] != messages.PROTOCOL or item["type"] not in _KINDS or item["flags"] & 0x200:
                    continue
                route = _route(item, names, netns, family)
                found[route.key] = Observed(route)
        return found


def _route(item: Any, names: Mapping[tuple[str, int], str], netns: str, family: int) -> Route:
    kind = _KINDS[item["type"]]
    link = ""
    if kind == "unicast":
        index = item.get_attr("RTA_OIF") or 0
        link = names.get((netns, index), "" if item.get_attr("RTA_GATEWAY") else f"?{index}")
    everything = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - an address, not a socket
    metric = item.get_attr("RTA_PRIORITY") or 0
    if family == socket.AF_INET6 and metric == _DEFAULT_METRIC_IPV6:
        metric = 0
    via = item.get_attr("RTA_GATEWAY") or ""
    metrics = item.get_attr("RTA_METRICS")
    direct = kind == "unicast" and not via
    return Route(
        to=f"{item.get_attr('RTA_DST') or everything}/{item['dst_len']}",
        via=via,
        link=link,
        table=item.get_attr("RTA_TABLE") or item["table"],
        scope="link" if direct else "",
        source=item.get_attr("RTA_PREFSRC") or "",
        kind=kind,  # type: ignore[arg-type]
        metric=metric,
        mtu=metrics.get_attr("RTAX_MTU") or 0 if metrics else 0,
    )


def _message(operation: Operation, index: int) -> Any:
    route: Route = operation.value
    return messages.route(
        route.to,
        via=route.via,
        index=index,
        table=route.table,
        scope=route.scope,
        source=route.source,
        kind=route.kind,
        metric=route.metric,
        mtu=route.mtu,
        delete=operation.kind is OperationKind.DELETE,
    )
