"""`contiv-netctl ping POD POD` and `ping --all`: does a packet of one pod reach the other, and come back?

The agent of the first pod's node sends the echo requests from inside the pod's network namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.model.pod import Pod, on_host_network
from contivpp.netctl.agents import Agents, refusal
from contivpp.netctl.cluster import Cluster, pod_name
from contivpp.netctl.errors import AgentError, NetctlError
from contivpp.netctl.report import Column, Report, Table, exit_code

COUNT: Final = 3
LOST: Final = "LOST"
_SECONDS_PER_PACKET: Final = 2
_PER_NODE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PingRow:
    """One pod to another; times in milliseconds; `reason` says why nothing was sent."""

    source: str
    destination: str
    source_node: str
    destination_node: str
    address: str
    transmitted: int = 0
    received: int = 0
    rtt_min: float | None = None
    rtt_avg: float | None = None
    rtt_max: float | None = None
    output: str = ""
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether every packet came back."""
        return not self.reason and 0 < self.transmitted == self.received


@dataclass(frozen=True, slots=True)
class Pings:
    """All pings of a command."""

    pings: Sequence[PingRow] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class _MatrixRow:
    source: str
    node: str
    cells: tuple[str, ...]


async def view(cluster: Cluster, agents: Agents, source: str, destination: str, *, count: int = COUNT) -> Report:
    """Pings one pod from another.

    Raises:
        UsageError: there is no such pod.
        NetctlError: one of them has no address or no node, or the first is on the host's network.
    """
    first, second = cluster.pod(source), cluster.pod(destination)
    reason = no_source(cluster, first) or no_destination(second)
    if reason:
        raise NetctlError(reason)
    row = await _ping(cluster, agents, first, second, count=count)
    return Report(
        data=row,
        tables=(),
        problems=() if row.good else (_line(row),),
        summary=_line(row) if row.good else "",
        code=exit_code(row.good),
    )


async def view_all(
    cluster: Cluster, agents: Agents, *, count: int = COUNT, node: str | None = None, limit: int = 0
) -> Report:
    """Pings every pod of the network from every other; a pod that cannot take part is a problem.

    Args:
        cluster: what etcd says.
        agents: who send the pings.
        count: packets per ping.
        node: pairs with one pod on this node only, by its name, ID or address.
        limit: so many pairs at the most, spread evenly over all of them; 0 for all.

    Raises:
        NetctlError: there are not two pods to ping.
        UsageError: there is no such node.
    """
    pods = [pod for pod in cluster.pods if not pod.terminated and not on_host_network(pod)]
    left_out = [reason for pod in pods if (reason := no_source(cluster, pod) or no_destination(pod))]
    able = [pod for pod in pods if not (no_source(cluster, pod) or no_destination(pod))]
    if len(able) < 2:
        raise NetctlError("; ".join([f"there are {len(able)} pods to ping, and it takes two", *left_out]))
    free = {node.name: asyncio.Semaphore(_PER_NODE) for node in cluster.nodes}

    async def limited(first: Pod, second: Pod) -> PingRow:
        home = cluster.node_of(first)
        assert home is not None
        async with free[home.name]:
            return await _ping(cluster, agents, first, second, count=count)

    pairs = [(first, second) for first in able for second in able if first is not second]
    if node is not None:
        wanted = cluster.node(node)
        pairs = [pair for pair in pairs if any(cluster.node_of(pod) is wanted for pod in pair)]
    if limit and len(pairs) > limit:
        pairs = [pairs[number * len(pairs) // limit] for number in range(limit)]
    rows = await asyncio.gather(*(limited(first, second) for first, second in pairs))
    bad = [row for row in rows if not row.good]
    problems = (*left_out, *(_line(row) for row in bad))
    return Report(
        data=Pings(rows),
        tables=(_matrix(able, rows),),
        problems=problems,
        summary=f"{len(rows)} of {len(rows)} pings came back.",
        code=exit_code(not problems),
    )


async def _ping(cluster: Cluster, agents: Agents, first: Pod, second: Pod, *, count: int) -> PingRow:
    home, other = cluster.node_of(first), cluster.node_of(second)
    assert home is not None
    about: dict[str, Any] = {
        "source": pod_name(first),
        "destination": pod_name(second),
        "source_node": home.name,
        "destination_node": other.name if other is not None else "",
        "address": second.ip_address,
    }
    body = {"pod": pod_name(first), "address": second.ip_address, "count": count}
    try:
        answer = await agents.post(home.management, "contiv/v1/ping", body, takes=count * _SECONDS_PER_PACKET)
        if not answer.ok:
            raise AgentError(refusal(answer))
        return PingRow(**about, **_result(answer.body))
    except AgentError as error:
        return PingRow(**about, reason=f"the agent on {home.name} did not ping: {error}")


def _result(body: Any) -> dict[str, Any]:
    try:
        times = body.get("rtt_ms") or {}
        return {
            "transmitted": int(body["transmitted"]),
            "received": int(body["received"]),
            **{
                f"rtt_{name}": None if times.get(name) is None else float(times[name]) for name in ("min", "avg", "max")
            },
            "output": str(body.get("output") or ""),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AgentError(f"its answer is not understood: {type(error).__name__} {error}") from error


def no_source(cluster: Cluster, pod: Pod) -> str:
    """Why nothing can be sent from a pod; "" when it can."""
    name = pod_name(pod)
    if cluster.node_of(pod) is None:
        return f"{name} is on no node yet; kubectl describe pod says why"
    if on_host_network(pod):
        return f"{name} is on its host's network, and can only be pinged; begin with a pod of the network"
    return ""


def no_destination(pod: Pod) -> str:
    """Why nothing can be sent to a pod; "" when it can."""
    return "" if pod.ip_address else f"{pod_name(pod)} has no address yet; kubectl describe pod says why"


def _line(row: PingRow) -> str:
    other = f"{row.destination} ({row.destination_node or 'no node'}, {row.address})"
    way = f"{row.source} ({row.source_node}) -> {other}"
    if row.reason:
        return f"{way}: {row.reason}"
    packets = f"{row.received} of {row.transmitted} packets came back"
    if row.received:
        times = "/".join("?" if time is None else f"{time:.3f}" for time in (row.rtt_min, row.rtt_avg, row.rtt_max))
        return f"{way}: {packets}, {times} ms (min/avg/max)"
    step = "; both nodes' health: contiv-netctl status" if row.transmitted else ""
    return f"{way}: {packets}{step}"


def _cell(row: PingRow) -> str:
    if row.reason:
        return "ERROR"
    if not row.received:
        return LOST
    if not row.good:
        return f"{row.received}/{row.transmitted}"
    return "OK" if row.rtt_avg is None else f"{row.rtt_avg:.2f} ms"


def _matrix(pods: Sequence[Pod], rows: Sequence[PingRow]) -> Table:
    cells = {(row.source, row.destination): _cell(row) for row in rows}
    nodes = {row.source: row.source_node for row in rows}
    names = [pod_name(pod) for pod in pods]
    lines = [
        _MatrixRow(source=name, node=nodes[name], cells=tuple(cells.get((name, other), "-") for other in names))
        for name in names
    ]

    def column(index: int) -> Column:
        return Column(names[index].removeprefix("default/"), lambda line: line.cells[index])

    return Table(
        "",
        (
            Column("FROM / TO", lambda line: line.source.removeprefix("default/")),
            Column("NODE", lambda line: line.node),
            *(column(index) for index in range(len(names))),
        ),
        lines,
    )
