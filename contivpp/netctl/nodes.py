"""`contiv-netctl nodes`: every node and whether its agent is alive. Source: spec/cluster.md 3.2, 11.3."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode
from contivpp.netctl.errors import AgentError
from contivpp.netctl.report import Column, Report, Table, exit_code

STATES: Final = ("INIT", "OK", "ERROR")
UNREACHABLE: Final = "UNREACHABLE"
NO_ID: Final = "NO-ID"
NOT_AVAILABLE: Final = "Not Available"
_TIME: Final = "%a %b %e %H:%M:%S %Y"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node; `reason` says why its state is not OK."""

    id: int
    name: str
    vpp_ip: str
    host_ip: str
    start_time: dt.datetime | None = None
    state: str = UNREACHABLE
    build_version: str = ""
    build_date: dt.datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes."""

    nodes: Sequence[NodeRow] = field(default_factory=tuple)


async def view(cluster: Cluster, agents: Agents) -> Report:
    """Asks every agent at once."""
    rows = await asyncio.gather(*(_row(node, agents) for node in cluster.nodes))
    problems = [*cluster.problems, *(f"{row.name}: {row.reason}" for row in rows if row.reason)]
    if not rows:
        problems.append("etcd holds no node: is contiv-ksr running, and is this the right etcd (--etcd-config)?")
    return Report(
        data=Nodes(rows),
        tables=(Table("", _COLUMNS, rows),) if rows else (),
        problems=tuple(problems),
        code=exit_code(not problems),
    )


async def _row(node: ClusterNode, agents: Agents) -> NodeRow:
    known = {"id": node.id, "name": node.name, "vpp_ip": node.vpp_ip, "host_ip": node.host_ip}
    try:
        body = (await agents.get(node.management, "liveness")).body
        if not isinstance(body, dict):
            raise AgentError(f"its liveness is not a status: {str(body)[:100]!r}")
    except AgentError as error:
        return NodeRow(**known, reason=why_unreachable(node, str(error)))  # type: ignore[arg-type]
    state = state_name(body.get("state"))
    return NodeRow(
        **known,  # type: ignore[arg-type]
        start_time=_moment(body.get("start_time")),
        state=state if node.id else NO_ID,
        build_version=str(body.get("build_version") or ""),
        build_date=_build_date(body.get("build_date")),
        reason=_reason(node, state, body),
    )


def state_name(state: Any) -> str:
    """The name of a state; zero is left out of JSON by the original, so nothing is INIT."""
    if isinstance(state, str) and not state.isdigit():
        return state.upper()
    number = int(state or 0)
    return STATES[number] if 0 <= number < len(STATES) else f"STATE-{number}"


def complaints(body: dict[str, Any]) -> str:
    """What the components of an agent that are not OK say; the agent itself where it lists none."""
    plugins = body.get("PluginStatus") or {}
    if not plugins:
        plugins = {item.get("name", "?"): item for item in body.get("plugins") or [] if isinstance(item, dict)}
    wrong = {name: item for name, item in plugins.items() if state_name(item.get("state")) != "OK"}
    return "; ".join(
        f"{name}: {item.get('error') or state_name(item.get('state'))}" for name, item in sorted(wrong.items())
    ) or str(body.get("error") or "")


def why_unreachable(node: ClusterNode, reason: str) -> str:
    """The reason why an agent gave no answer, with what is known of its node."""
    return reason if node.registered else f"Kubernetes does not know this node, only its ID is left ({reason})"


def _reason(node: ClusterNode, state: str, body: dict[str, Any]) -> str:
    if not node.id:
        return "its agent has no node ID yet; see contiv-netctl status"
    if not node.registered:
        return "Kubernetes does not know this node"
    if state == "OK":
        return ""
    return complaints(body) or f"its agent is in state {state}"


def _moment(seconds: Any) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(float(seconds), tz=dt.UTC) if seconds else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _build_date(text: Any) -> dt.datetime | None:
    try:
        date = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


def moment_text(moment: dt.datetime | None) -> str:
    """A time as the original shows it, in the local time zone."""
    return NOT_AVAILABLE if moment is None else moment.astimezone().strftime(_TIME)


_COLUMNS: Final = (
    Column("ID", lambda row: str(row.id or "-")),
    Column("NODE-NAME", lambda row: row.name),
    Column("VPP-IP", lambda row: row.vpp_ip or "-"),
    Column("HOST-IP", lambda row: row.host_ip or "-"),
    Column("START-TIME", lambda row: moment_text(row.start_time)),
    Column("STATE", lambda row: row.state),
    Column("BUILD-VERSION", lambda row: row.build_version or NOT_AVAILABLE),
    Column("BUILD-DATE", lambda row: moment_text(row.build_date)),
)
