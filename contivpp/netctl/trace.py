"""`contiv-netctl trace POD TARGET [--port 80/tcp]`: the path of a flow's packets through nodes, and where they end.

The target is a pod, a service ("svc/NAME") or an address. All nodes that packets may get to trace exactly that flow
while the agent of the first pod's node sends from inside the pod. What began is ended whatever happens; should this
program be killed meanwhile, the agents end it themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from contivpp.model.trace import Flow, ProbeResult, TracedPacket, parts_of
from contivpp.netctl.agents import Agents
from contivpp.netctl.arguments import port_of
from contivpp.netctl.cluster import Cluster, ClusterNode, pod_name
from contivpp.netctl.errors import AgentError, NetctlError
from contivpp.netctl.naming import NamingTable, naming_table
from contivpp.netctl.ping import no_source
from contivpp.netctl.report import Column, Report, Table, exit_code
from contivpp.netctl.trace_path import Journey, journeys
from contivpp.netctl.trace_target import Target, find, node_at
from contivpp.netctl.vpp import ask, checked

COUNT: Final = 1
TIMEOUT: Final = 2.0
_SETTLING: Final = 0.2  # for what is still under way when the probe is answered
_SPARE: Final = 20.0
_LONGEST: Final = 300.0
_PORTS: Final = (61001, 65535)
_PROTOCOLS: Final[tuple[Literal["tcp", "udp"], ...]] = ("tcp", "udp")
"""Above those that the kernel gives to others by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A flow and its packets' paths.

    Attributes:
        destination: a pod, a service ("svc/default/web"), or an address.
        service: that answers there; "" for none.
        destination_node: where the packets got to, or were for; "" for none, or an unknown one.
        untraced: nodes on the way that cannot trace, with the reason.
    """

    source: str
    source_node: str
    destination: str
    destination_node: str
    flow: Flow
    service: str = ""
    probes: Sequence[ProbeResult] = ()
    journeys: Sequence[Journey] = ()
    untraced: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Line:
    packet: str
    node: str
    step: str


async def view(
    cluster: Cluster,
    agents: Agents,
    source: str,
    destination: str,
    *,
    port: str | None = None,
    count: int = COUNT,
    timeout: float = TIMEOUT,
) -> Report:
    """Traces what a pod sends to another one, to a service, or to an address.

    Raises:
        UsageError: there is no such pod, service or port.
        NetctlError: nothing can be sent, or no agent answers.
    """
    first = cluster.pod(source)
    if reason := no_source(cluster, first):
        raise NetctlError(reason)
    home = cluster.node_of(first)
    assert home is not None
    target = await find(cluster, agents, first, home, destination, port)
    flow = _flow(target.source, target.address, target.port)
    others = [msgspec.structs.replace(flow, destination=one, destination_port=at) for one, at in target.backends]
    patience = min(count * timeout + _SPARE, _LONGEST)
    nodes = list({node.name: node for node in (home, *target.nodes)}.values())
    untraced = {node.name: why for node in nodes if (why := await _why_not(node, agents))}
    traced = [node for node in nodes if node.name not in untraced]
    names = {node.name: await _names(cluster, agents, node) for node in traced}
    running: dict[str, str] = {}
    seen: dict[str, list[TracedPacket]] = {}
    try:
        for node in traced:
            body = await ask(node, agents, "contiv/v1/trace", {"flow": flow, "others": others, "seconds": patience})
            running[node.name] = str(body.get("trace"))
        body = {"pod": pod_name(first), "flow": flow, "count": count, "timeout": timeout}
        answer = await ask(home, agents, "contiv/v1/probe", body, takes=count * timeout)
        probes = msgspec.convert(answer["probes"], list[ProbeResult])
        await asyncio.sleep(_SETTLING if traced else 0)
        for node in traced:
            ended = await ask(node, agents, "contiv/v1/trace/end", {"trace": running.pop(node.name)})
            seen[node.name] = msgspec.convert(ended["packets"], list[TracedPacket])
    except (KeyError, msgspec.ValidationError) as error:
        raise NetctlError(f"the answer of an agent is not understood: {type(error).__name__} {error}") from error
    finally:
        for node in traced:
            if node.name in running:
                with contextlib.suppress(AgentError):
                    await agents.post(node.management, "contiv/v1/trace/end", {"trace": running[node.name]})
    there = _reached(cluster, target, seen.get(home.name, ()))
    trace = Trace(
        source=pod_name(first),
        source_node=home.name,
        destination=target.name,
        destination_node=there,
        flow=flow,
        service=target.service,
        probes=probes,
        journeys=journeys(seen, names, source=home.name, destination=there),
        untraced=untraced,
    )
    return _report(trace, target)


def _reached(cluster: Cluster, target: Target, packets: Sequence[TracedPacket]) -> str:
    """The node that packets get to: of a service that is where the endpoint is that was chosen."""
    if not target.service:
        return target.nodes[0].name if target.nodes else ""
    for packet in packets:
        for step in packet.steps:
            if step.kind == "service" and step.translated and not packet.reply:
                node = node_at(cluster, parts_of(step.translated)[0])
                return node.name if node is not None else ""
    return ""


def _flow(source: str, destination: str, port: str | None) -> Flow:
    if port is None:
        return Flow("icmp", source, destination, random.randint(1, 0xFFFF))  # noqa: S311
    protocol, number = port_of(port, _PROTOCOLS)
    return Flow(protocol, source, destination, random.randint(*_PORTS), number)  # noqa: S311


async def _why_not(node: ClusterNode, agents: Agents) -> str:
    """Why a node cannot trace; "" when it can."""
    try:
        status = checked(await agents.get(node.management, "vpp/status"))
    except AgentError as error:
        raise NetctlError(f"{node.name}: {error}") from error
    return str(status.get("problem") or "")


async def _names(cluster: Cluster, agents: Agents, node: ClusterNode) -> NamingTable:
    try:
        return await naming_table(cluster, agents, node)
    except AgentError as error:
        raise NetctlError(f"{node.name}: {error}") from error


def _report(trace: Trace, target: Target) -> Report:
    problems = [f"{node}: {reason}" for node, reason in trace.untraced.items()]
    if target.service and not target.backends:
        problems.append(f"service {target.service} has no endpoints at port {target.port}: connections are refused")
    for one in trace.journeys:
        if not one.good:
            problems.append(f"{_name(one)}: {one.ending} on {one.place}: {one.reason}")
    lost = [probe.outcome for probe in trace.probes if not probe.answered]
    way = f"{trace.source} -> {trace.destination} {_what(trace.flow)}"
    if lost and (trace.flow.protocol != "udp" or problems):
        problems.append(f"{way}: {len(lost)} of {len(trace.probes)} probes: {lost[0]}")
    if not trace.journeys and not trace.untraced:
        problems.append(f"{way}: no node saw a packet of it; does the pod send by its network interface?")
    outcome = ", ".join(dict.fromkeys(probe.outcome for probe in trace.probes))
    return Report(
        data=trace,
        tables=(Table("", _COLUMNS, _lines(trace.journeys)),) if trace.journeys else (),
        problems=tuple(dict.fromkeys(problems)),
        summary=f"{way}: {outcome}; no packet was dropped.",
        code=exit_code(not problems),
    )


def _name(journey: Journey) -> str:
    return f"reply {journey.summary}" if journey.reply else journey.summary


def _what(flow: Flow) -> str:
    return "icmp" if flow.protocol == "icmp" else f"{flow.destination_port}/{flow.protocol}"


def _lines(paths: Sequence[Journey]) -> list[_Line]:
    lines = []
    for path in paths:
        packet = _name(path)
        for hop in path.hops:
            node = hop.node
            for step in hop.sentences:
                lines.append(_Line(packet, node, step))
                packet = node = ""
        if path.ending == "lost":
            lines.append(_Line("", path.place, f"LOST: {path.reason}"))
    return lines


_COLUMNS: Final = (
    Column("PACKET", lambda line: line.packet),
    Column("NODE", lambda line: line.node),
    Column("STEP", lambda line: line.step),
)
