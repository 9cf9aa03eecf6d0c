"""`contiv-netctl pods [NODE]`: pods by node, with their interfaces. Source: spec/cluster.md 3.2.

What Kubernetes says (etcd) and what the node's agent says (REST) are put side by side; where the two do not
agree, that is a problem of the answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.model.pod import Pod, on_host_network
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode, pod_name
from contivpp.netctl.errors import AgentError
from contivpp.netctl.nodes import why_unreachable
from contivpp.netctl.report import Column, Report, Table, exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """One pod; a pod on the host's network has no interface of its own."""

    name: str
    namespace: str
    ip: str = ""
    if_index: int = 0
    if_name: str = ""
    host_network: bool = False
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePods:
    """The pods of one node; `reason` says why its agent could not be asked. No name: not on any node."""

    node: str
    host_ip: str
    pods: Sequence[PodRow] = field(default_factory=tuple)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of the nodes that were asked for."""

    nodes: Sequence[NodePods] = field(default_factory=tuple)


async def view(cluster: Cluster, agents: Agents, *, node: str | None = None) -> Report:
    """Asks one agent, or all at once.

    Raises:
        UsageError: there is no such node.
    """
    asked = cluster.selected(node)
    placed: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        home = cluster.node_of(pod)
        placed.setdefault(home.name if home is not None else "", []).append(pod)
    groups = list(await asyncio.gather(*(_group(home, placed.get(home.name, ()), agents) for home in asked)))
    if node is None and placed.get(""):
        groups.append(_homeless(placed[""]))
    problems = [*cluster.problems]
    for group in groups:
        if group.reason:
            problems.append(f"{group.node}: {group.reason}")
        problems += [f"{row.namespace}/{row.name}: {row.warning}" for row in group.pods if row.warning]
    return Report(
        data=Pods(groups),
        tables=tuple(Table(_title(group), _COLUMNS, group.pods) for group in groups),
        problems=tuple(problems),
        code=exit_code(not problems),
    )


async def _group(node: ClusterNode, pods: Sequence[Pod], agents: Agents) -> NodePods:
    try:
        sandboxes, plan = await asyncio.gather(
            agents.fetch(node.management, "contiv/v1/pods"), agents.fetch(node.management, "contiv/v1/ipam")
        )
        here = {str(item["pod"]): item for item in sandboxes}
        subnet = str((plan or {}).get("podSubnetThisNode") or "")
    except AgentError as error:
        rows = [_bare_row(pod) for pod in pods]
        return NodePods(node=node.name, host_ip=node.host_ip, pods=rows, reason=why_unreachable(node, str(error)))
    except (TypeError, KeyError, AttributeError) as error:
        rows = [_bare_row(pod) for pod in pods]
        reason = f"its agent's list of pods is not understood: {type(error).__name__} {error}"
        return NodePods(node=node.name, host_ip=node.host_ip, pods=rows, reason=reason)
    rows = [_row(pod, here.pop(pod_name(pod), None), subnet) for pod in pods]
    rows += [_unknown_row(name, item) for name, item in sorted(here.items())]
    return NodePods(node=node.name, host_ip=node.host_ip, pods=rows)


def _row(pod: Pod, sandbox: Mapping[str, Any] | None, subnet: str) -> PodRow:
    if sandbox is None:
        row = _bare_row(pod)
        missing = not row.host_network and not pod.terminated and bool(pod.ip_address)
        warning = (
            f"it has address {pod.ip_address}, and its node no interface for it; delete the pod" if missing else ""
        )
        return PodRow(name=row.name, namespace=row.namespace, ip=row.ip, host_network=row.host_network, warning=warning)
    address = str(sandbox.get("ip") or "")
    return PodRow(
        name=pod.name,
        namespace=pod.namespace,
        ip=_addresses(pod) or ",".join(sandbox.get("ips") or [address]),
        if_index=int(sandbox.get("ifindex") or 0),
        if_name=str(sandbox.get("interface") or ""),
        warning=_disagreement(pod, address, subnet),
    )


def _disagreement(pod: Pod, address: str, subnet: str) -> str:
    if pod.ip_address and address and pod.ip_address != address:
        return f"Kubernetes says that it has {pod.ip_address}, its node says {address}; delete the pod"
    if address and subnet and not _inside(address, subnet):
        return f"its address {address} is outside its node's subnet {subnet}; delete the pod"
    return ""


def _unknown_row(name: str, sandbox: Mapping[str, Any]) -> PodRow:
    namespace, _, short = name.rpartition("/")
    return PodRow(
        name=short,
        namespace=namespace,
        ip=",".join(sandbox.get("ips") or [str(sandbox.get("ip") or "")]),
        if_index=int(sandbox.get("ifindex") or 0),
        if_name=str(sandbox.get("interface") or ""),
        warning="its node has an interface for it, and Kubernetes does not know the pod",
    )


def _bare_row(pod: Pod) -> PodRow:
    return PodRow(name=pod.name, namespace=pod.namespace, ip=_addresses(pod), host_network=on_host_network(pod))


def _addresses(pod: Pod) -> str:
    """All addresses that Kubernetes knows of a pod, its main one first."""
    return ",".join(pod.ip_addresses) or pod.ip_address


def _homeless(pods: Sequence[Pod]) -> NodePods:
    return NodePods(node="", host_ip="", pods=[_bare_row(pod) for pod in pods])


def _inside(address: str, subnets: str) -> bool:
    """Whether an address is in one of some subnets, separated by commas."""
    try:
        parts = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets.split(",")]
        return any(ipaddress.ip_address(address) in part for part in parts)
    except ValueError:
        return False


def _title(group: NodePods) -> str:
    return f"{group.node} ({group.host_ip or 'no address'}):" if group.node else "on no node:"


def _interface(row: PodRow) -> str:
    return "" if row.host_network else row.if_name or "N/A"


def _index(row: PodRow) -> str:
    return "" if row.host_network else str(row.if_index)


_COLUMNS: Final = (
    Column("POD-NAME", lambda row: row.name),
    Column("NAMESPACE", lambda row: row.namespace),
    Column("POD-IP", lambda row: row.ip or "-"),
    Column("IF-IDX", _index),
    Column("IF-NAME", _interface),
)
