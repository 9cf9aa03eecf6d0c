"""`contiv-netctl services [SERVICE]`: where services answer, where that leads, and which nodes have it programmed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from contivpp.model.trace import place
from contivpp.netctl.agents import Agents
from contivpp.netctl.arguments import namespaced
from contivpp.netctl.cluster import Cluster, ClusterNode
from contivpp.netctl.errors import AgentError, UsageError
from contivpp.netctl.nodes import why_unreachable
from contivpp.netctl.report import Column, Report, Table, exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendRow:
    """One address and port of a service.

    Attributes:
        backends: "address:port" of all that any node sends connections to, sorted.
        local: whether a traffic policy keeps some connections to backends of the node that they get to.
        programmed: names of the nodes that have it; of `nodes`, all that should.
    """

    service: str
    kind: str
    address: str
    port: str
    backends: Sequence[str] = field(default_factory=tuple)
    local: bool = False
    nodes: Sequence[str] = field(default_factory=tuple)
    programmed: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the cluster."""

    services: Sequence[FrontendRow] = field(default_factory=tuple)


async def view(cluster: Cluster, agents: Agents, *, service: str | None = None) -> Report:
    """Asks every agent at once.

    Raises:
        UsageError: no node knows the service.
    """
    wanted = "" if service is None else namespaced(service)
    answers = await asyncio.gather(*(_ask(node, agents, wanted) for node in cluster.nodes))
    rows: dict[tuple[str, str, str], FrontendRow] = {}
    problems = [*cluster.problems]
    known = False
    for node, (found, reason) in zip(cluster.nodes, answers, strict=True):
        if reason:
            problems.append(f"{node.name}: {reason}")
        for item in found:
            known = True
            problems += [f"{node.name}: {item['service']}: {problem}" for problem in item["problems"]]
            for frontend in item["frontends"]:
                row = _row(item, frontend, node.name)
                place = (row.service, row.address, row.port)
                rows[place] = _joined(rows[place], row) if place in rows else row
    if wanted and not known and not problems:
        raise UsageError(f"no node knows service {wanted}")
    shown = [rows[place] for place in sorted(rows)]
    return Report(
        data=Services(shown),
        tables=(Table("", _COLUMNS, shown),) if shown else (),
        problems=tuple(problems),
        code=exit_code(not problems),
    )


async def _ask(node: ClusterNode, agents: Agents, service: str) -> tuple[Sequence[Mapping[str, Any]], str]:
    path = "contiv/v1/services" + (f"?{urlencode({'service': service})}" if service else "")
    try:
        found = await agents.fetch(node.management, path)
    except AgentError as error:
        return (), why_unreachable(node, str(error))
    if not isinstance(found, list):
        return (), f"its agent's list of services is not understood: {str(found)[:100]!r}"
    return found, ""


def _row(item: Mapping[str, Any], frontend: Mapping[str, Any], node: str) -> FrontendRow:
    inside, outside = frontend["inside"], frontend["outside"]
    backends = {_place(one) for one in (*inside["backends"], *(outside or inside)["backends"])}
    return FrontendRow(
        service=item["service"],
        kind=frontend["kind"],
        address=frontend["address"],
        port=f"{frontend['port']}/{frontend['protocol']}",
        backends=sorted(backends),
        local=frontend.get("local", outside is not None),  # an agent of an earlier release does not say it
        nodes=[node],
        programmed=[node] if item["programmed"] else [],
    )


def _joined(first: FrontendRow, second: FrontendRow) -> FrontendRow:
    return FrontendRow(
        service=first.service,
        kind=first.kind,
        address=first.address,
        port=first.port,
        backends=sorted({*first.backends, *second.backends}),
        local=first.local or second.local,
        nodes=[*first.nodes, *second.nodes],
        programmed=[*first.programmed, *second.programmed],
    )


def _place(backend: Mapping[str, Any]) -> str:
    return place(str(backend["address"]), backend["port"])


def _backends(row: FrontendRow) -> str:
    return ", ".join(row.backends) + (" (local)" if row.local else "") if row.backends else "none"


_COLUMNS: Final = (
    Column("SERVICE", lambda row: row.service),
    Column("KIND", lambda row: row.kind),
    Column("ADDRESS", lambda row: row.address),
    Column("PORT", lambda row: row.port),
    Column("BACKENDS", _backends),
    Column("NODES", lambda row: f"{len(row.programmed)}/{len(row.nodes)}"),
)
