"""`contiv-netctl ipam [NODE]`: which subnets every node has. Source: spec/cluster.md 3.2, 11.3."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode
from contivpp.netctl.errors import AgentError
from contivpp.netctl.nodes import why_unreachable
from contivpp.netctl.report import Column, Report, Table, exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamRow:
    """The subnets of one node; `reason` says why they are not known."""

    id: int
    name: str
    vpp_ip: str
    bvi_ip: str = ""
    pod_cidr: str = ""
    vpp_host_cidr: str = ""
    pod_cluster_cidr: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ipam:
    """The subnets of the nodes that were asked for."""

    nodes: Sequence[IpamRow] = field(default_factory=tuple)


async def view(cluster: Cluster, agents: Agents, *, node: str | None = None) -> Report:
    """Asks one agent, or all at once.

    Raises:
        UsageError: there is no such node.
    """
    rows = await asyncio.gather(*(_row(asked, agents) for asked in cluster.selected(node)))
    problems = [*cluster.problems, *(f"{row.name}: {row.reason}" for row in rows if row.reason)]
    problems += _clashes(rows)
    return Report(
        data=Ipam(rows),
        tables=(Table("", _COLUMNS, rows),) if rows else (),
        problems=tuple(problems),
        code=exit_code(not problems),
    )


async def _row(node: ClusterNode, agents: Agents) -> IpamRow:
    try:
        body = await agents.fetch(node.management, "contiv/v1/ipam")
        if not isinstance(body, dict):
            raise AgentError(f"its address plan is not a mapping: {str(body)[:100]!r}")
    except AgentError as error:
        reason = why_unreachable(node, str(error))
        return IpamRow(id=node.id, name=node.name, vpp_ip=node.vpp_ip, reason=reason)
    config = body.get("config") or {}
    told = int(body.get("nodeId") or 0)
    reason = ""
    if node.id and told != node.id:
        reason = f"its agent says that it has ID {told}, etcd says {node.id}; restart contiv-agent there"
    return IpamRow(
        id=node.id or told,
        name=str(body.get("nodeName") or node.name),
        vpp_ip=node.vpp_ip or str(body.get("nodeIP") or ""),
        bvi_ip=str(body.get("vxlanIP") or _bvi(config.get("vxlanCIDR"), told)),
        pod_cidr=str(body.get("podSubnetThisNode") or ""),
        vpp_host_cidr=str(body.get("vppHostNetwork") or ""),
        pod_cluster_cidr=str(config.get("podSubnetCIDR") or ""),
        reason=reason,
    )


def _bvi(subnet: Any, node_id: int) -> str:
    """The near end of the tunnels by the address plan; agents of the original do not tell it, and have one family."""
    try:
        network = ipaddress.ip_network(str(subnet))
        return f"{network[node_id]}/{network.prefixlen}" if node_id else ""
    except (ValueError, IndexError):
        return ""


def _clashes(rows: Sequence[IpamRow]) -> list[str]:
    """Nodes that disagree: two with one subnet, or a node with another idea of the cluster's."""
    problems = []
    owners: dict[str, str] = {}
    for row in rows:
        if row.pod_cidr and (owner := owners.setdefault(row.pod_cidr, row.name)) != row.name:
            problems.append(f"{row.name}: its pods' subnet {row.pod_cidr} is that of {owner} too")
    plans = {row.pod_cluster_cidr for row in rows if row.pod_cluster_cidr}
    if len(plans) > 1:
        problems.append(
            f"nodes disagree on the pods' subnet of the cluster: {', '.join(sorted(plans))}; "
            "give all the same contiv.conf and restart contiv-agent"
        )
    return problems


_COLUMNS: Final = (
    Column("ID", lambda row: str(row.id or "-")),
    Column("NODE-NAME", lambda row: row.name),
    Column("VPP-IP", lambda row: row.vpp_ip or "-"),
    Column("BVI-IP", lambda row: row.bvi_ip or "-"),
    Column("POD-CIDR", lambda row: row.pod_cidr or "-"),
    Column("VPP-2-HOST-CIDR", lambda row: row.vpp_host_cidr or "-"),
    Column("POD-CLUSTER-CIDR", lambda row: row.pod_cluster_cidr or "-"),
)
