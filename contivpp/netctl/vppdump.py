"""`contiv-netctl vppdump NODE [TYPE]`: what a node's VPP holds, in Kubernetes' words.

Which kinds there are the agent says, and what a kind's values are made of they say themselves: a new kind needs nothing
here. A cell shows the value, and behind it what it is called in Kubernetes.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode
from contivpp.netctl.errors import AgentError, NetctlError, UsageError
from contivpp.netctl.naming import NamingTable, naming_table
from contivpp.netctl.nodes import why_unreachable
from contivpp.netctl.report import Column, Report, Table
from contivpp.netctl.vpp import checked

_EVERYTHING: Final = "all"
_PLURALS: Final = ("es", "s")
_UNSAID: Final[tuple[Any, ...]] = ("", None, [])


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpRow:
    """One value.

    Attributes:
        number: VPP's own, of an interface.
        names: what fields of the value are called in Kubernetes, by field.
    """

    key: str
    type: str
    value: Mapping[str, Any]
    number: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What one VPP holds, by kind."""

    node: str
    version: str
    kinds: Mapping[str, Sequence[DumpRow]]


async def view(cluster: Cluster, agents: Agents, node: str, kind: str | None) -> Report:
    """Asks one agent.

    Raises:
        UsageError: there is no such node or kind.
        NetctlError: the agent or VPP does not answer.
    """
    asked = cluster.node(node)
    try:
        body, names = await asyncio.gather(_dump(asked, agents, kind), naming_table(cluster, agents, asked))
    except AgentError as error:
        raise NetctlError(f"{asked.name}: {why_unreachable(asked, str(error))}") from error
    numbers = body.get("numbers") or {}
    found = {
        name: [_row(item, numbers, names) for item in values] for name, values in (body.get("values") or {}).items()
    }
    dump = Dump(node=asked.name, version=str(body.get("version") or ""), kinds=found)
    return Report(
        data=dump,
        tables=tuple(_table(name, rows, titled=len(found) > 1) for name, rows in found.items() if rows),
        summary="" if any(found.values()) else f"VPP on {asked.name} holds none",
    )


async def _dump(node: ClusterNode, agents: Agents, kind: str | None) -> Mapping[str, Any]:
    """The answer for a kind in any number: a plural is tried as it is, and then without its ending."""
    if kind is None or kind == _EVERYTHING:
        return checked(await agents.get(node.management, "vpp/dump"))
    endings = [kind, *(kind.removesuffix(ending) for ending in _PLURALS if kind.endswith(ending))]
    for name in endings:
        answer = await agents.get(node.management, f"vpp/dump?type={urllib.parse.quote(name)}")
        if answer.status != 404:
            return checked(answer)
    said = answer.body.get("Error") if isinstance(answer.body, dict) else ""
    raise UsageError(str(said or f"its agent knows no /vpp/dump: is it older than this program? ({node.name})"))


def _row(item: Mapping[str, Any], numbers: Mapping[str, int], names: NamingTable) -> DumpRow:
    value = item.get("value") or {}
    found = {name: known for name, text in value.items() if isinstance(text, str) and (known := names.any(text))}
    own = value.get("name", value.get("interface"))
    return DumpRow(
        key=str(item.get("key") or ""),
        type=str(item.get("type") or ""),
        value=value,
        number=numbers.get(own) if isinstance(own, str) else None,
        names=found,
    )


def _table(kind: str, rows: Sequence[DumpRow], *, titled: bool) -> Table:
    fields = list(dict.fromkeys(name for row in rows for name in row.value))
    several = len({row.type for row in rows}) > 1
    columns = [Column("#", lambda row: "" if row.number is None else str(row.number), optional=True)]
    if several:
        columns.append(Column("TYPE", lambda row: row.type))
    columns += [_column(name) for name in fields]
    return Table(f"{kind}:" if titled else "", tuple(columns), rows)


def _column(name: str) -> Column:
    return Column(name.upper().replace("_", "-"), lambda row: _cell(row, name), optional=True)


def _cell(row: DumpRow, name: str) -> str:
    value = row.value.get(name)
    if value in _UNSAID:
        return ""
    text = ", ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)
    known = row.names.get(name)
    return f"{text} ({known})" if known else text


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_plain(item)}" for name, item in value.items() if item not in _UNSAID)
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)
