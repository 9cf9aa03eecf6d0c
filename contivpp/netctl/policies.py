"""`contiv-netctl policies` and `contiv-netctl policy explain`: which policies there are, and what they decide.

Both work it out from etcd's records, by what the agents use, and then ask the agents whether they mean the same: an
agent that has not seen the latest change, or cannot put it in place, is a problem with a name.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contivpp.model import keys
from contivpp.model.codec import DecodeError
from contivpp.model.nodeconfig import Unreadable
from contivpp.model.pod import Pod, on_host_network
from contivpp.netctl.agents import Agents
from contivpp.netctl.arguments import port_of
from contivpp.netctl.cluster import Cluster, ClusterNode, Reader, pod_name, read_cluster
from contivpp.netctl.errors import AgentError
from contivpp.netctl.report import Column, Report, Table, exit_code
from contivpp.policies.explain import NO_PORTS, Connection, Verdict, fingerprint, segments, verdict
from contivpp.policies.facts import pod_addresses
from contivpp.policies.index import KINDS, PolicyIndex
from contivpp.policies.model import LAST_PORT, PROTOCOLS, Direction, PortRange
from contivpp.policies.reading import ReadPolicy

_POLICIES: Final = ("policy", *keys.ADMIN_POLICIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy; `selects` is how many pods it speaks of, `problems` what of it cannot be read."""

    kind: str
    policy: str
    priority: int
    isolates: tuple[str, ...]
    selects: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """What a node makes of policies.

    Attributes:
        pods: how many of its pods policies speak of.
        waiting: how many of those do not have everything in place.
        refused: how many policies it leaves out, wholly or in part.
    """

    node: str
    pods: int
    waiting: int
    refused: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRow:
    """What happens to connections on a range of ports, and who says so at either end."""

    ports: str
    verdict: str
    source: str
    target: str


async def view(store: Reader, agents: Agents) -> Report:
    """Every policy with how many pods it selects, and every node with how far it is."""
    cluster, (records, problems) = await asyncio.gather(read_cluster(store), read_records(store))
    index = PolicyIndex.of(records, ())
    rows = [_policy_row(index, one) for one in sorted(index.policies(), key=lambda one: (one.kind, one.id))]
    nodes = await asyncio.gather(*(_node_row(node, agents) for node in cluster.nodes))
    said = [
        *problems,
        *(f"{row.kind} {row.policy}: {problem}" for row in rows for problem in row.problems),
        *(f"{node.name}: {row.state}" for node, row in zip(cluster.nodes, nodes, strict=True) if row.state != "OK"),
    ]
    return Report(
        data={"policies": rows, "nodes": list(nodes)},
        tables=(Table("Policies", _POLICY_COLUMNS, rows), Table("Nodes", _NODE_COLUMNS, nodes)),
        problems=tuple(said),
        code=exit_code(not said),
    )


async def explain(store: Reader, agents: Agents, source: str, target: str, port: str | None) -> Report:
    """What policies make of connections from one pod to another, on one port or on all."""
    wanted = None if port is None else read_port(port)
    cluster, (records, problems) = await asyncio.gather(read_cluster(store), read_records(store))
    pods = [cluster.pod(source), cluster.pod(target)]
    local = {pod_name(pod) for pod in pods if not on_host_network(pod)}
    index = PolicyIndex.of(records, sorted(local))
    rows: list[ExplainRow] = []
    pairs = list(_address_pairs(*pods))
    for own, other in pairs:
        rows += _explained(index, pods, own, other, wanted, shown=len(pairs) > 1)
    if not pairs:
        problems.append(f"{pod_name(pods[0])} and {pod_name(pods[1])} have no addresses of one IP version yet")
    problems += filter(None, await asyncio.gather(*(_disagreement(cluster, agents, index, pod) for pod in _once(pods))))
    return Report(
        data={"source": pod_name(pods[0]), "target": pod_name(pods[1]), "connections": rows},
        tables=(Table(f"{pod_name(pods[0])} -> {pod_name(pods[1])}", _EXPLAIN_COLUMNS, rows),),
        problems=tuple(problems),
        code=exit_code(not problems),
    )


def read_port(text: str) -> PortRange:
    """The port that was asked for.

    Raises:
        UsageError: it is none.
    """
    protocol, number = port_of(text, [one.lower() for one in PROTOCOLS])
    return PortRange(protocol.upper(), number, number)


async def read_records(store: Reader) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """All records that matter to policies, by kind and ID, and those that cannot be read."""
    snapshots = await asyncio.gather(*(store.get_prefix(keys.prefix(kind)) for kind in KINDS))
    records: dict[str, dict[str, Any]] = {}
    problems = []
    for kind, snapshot in zip(KINDS, snapshots, strict=True):
        for item in snapshot.items.values():
            known = keys.parse_record_key(item.key)
            if known is None:
                continue
            try:
                records.setdefault(kind, {})[known[1]] = keys.decode_record(kind, item.value, key=item.key)
            except DecodeError as error:
                if kind in _POLICIES:  # it counts, and is named with what is wrong with it
                    records.setdefault(kind, {})[known[1]] = Unreadable(error.problem)
                elif kind not in ("pod", "node"):  # which `read_cluster` names
                    problems.append(f"{error}; skipped, write or delete the record")
    return records, problems


# ---- all policies


def _policy_row(index: PolicyIndex, policy: ReadPolicy) -> PolicyRow:
    return PolicyRow(
        kind=str(policy.kind),
        policy=policy.id,
        priority=policy.priority,
        isolates=tuple(str(way) for way in Direction if way in policy.isolates),
        selects=len(index.selected(policy)),
        problems=policy.problems,
    )


async def _node_row(node: ClusterNode, agents: Agents) -> NodeRow:
    try:
        said = await agents.fetch(node.management, "contiv/v1/policies")
        pods, refused = said["pods"], said["refused"]
        waiting = sum(bool(pod["waiting"]) for pod in pods)
    except (AgentError, KeyError, TypeError) as error:
        return NodeRow(node=node.name, pods=0, waiting=0, refused=0, state=f"its agent does not say: {error}")
    state = f"{waiting} of its pods do not have their policies in place" if waiting else "OK"
    return NodeRow(node=node.name, pods=len(pods), waiting=waiting, refused=len(refused), state=state)


# ---- one connection


def _address_pairs(source: Pod, target: Pod) -> Iterator[tuple[str, str]]:
    """Addresses of both ends, one pair per IP version that both have."""
    for own in pod_addresses(source):
        for other in pod_addresses(target):
            if ipaddress.ip_address(own).version == ipaddress.ip_address(other).version:
                yield own, other
                break


def _explained(
    index: PolicyIndex, pods: Sequence[Pod], own: str, other: str, wanted: PortRange | None, *, shown: bool
) -> list[ExplainRow]:
    ways = [(pod, way) for pod, way in zip(pods, (Direction.EGRESS, Direction.INGRESS), strict=True)]
    tables = [(pod_name(pod), way) for pod, way in ways if not on_host_network(pod)]
    found: list[tuple[PortRange, str, tuple[str, str]]] = []
    for ports in [wanted] if wanted is not None else segments(index, tables, other):
        connection = Connection(own, other, ports.protocol, ports.first)
        ends = [_end(index, pods, pod, way, connection) for pod, way in ways]
        said = (str(ends[0]), str(ends[1]))
        result = "allowed" if all(isinstance(one, str) or one.allowed for one in ends) else "denied"
        before = found[-1] if found else None
        if before is not None and before[1:] == (result, said) and before[0].protocol == ports.protocol:
            found[-1] = (PortRange(ports.protocol, before[0].first, ports.last), result, said)
        else:
            found.append((ports, result, said))
    suffix = f" (IPv{ipaddress.ip_address(own).version})" if shown else ""
    return [
        ExplainRow(ports=_ports_in_words(ports) + suffix, verdict=result, source=said[0], target=said[1])
        for ports, result, said in found
    ]


def _end(index: PolicyIndex, pods: Sequence[Pod], pod: Pod, way: Direction, connection: Connection) -> Verdict | str:
    """A verdict, or why nobody has to give one."""
    if pod_name(pods[0]) == pod_name(pods[1]):
        return "a pod always reaches itself"
    if on_host_network(pod):
        return "it is on the host network: no policy speaks of it"
    if way is Direction.INGRESS and on_host_network(pods[0]) and pods[0].node_name == pod.node_name:
        return "its own node always reaches it"
    return verdict(index, pod_name(pod), way, connection)


def _ports_in_words(ports: PortRange) -> str:
    if ports.protocol == NO_PORTS:
        return "without ports"
    if (ports.first, ports.last) == (1, LAST_PORT):
        return f"{ports.protocol}, all"
    return f"{ports.protocol} {ports.first}" + (f"-{ports.last}" if ports.last != ports.first else "")


def _once(pods: Sequence[Pod]) -> list[Pod]:
    return list({pod_name(pod): pod for pod in pods if not on_host_network(pod)}.values())


async def _disagreement(cluster: Cluster, agents: Agents, index: PolicyIndex, pod: Pod) -> str:
    """What is different on the node of a pod; "" for nothing."""
    node, name = cluster.node_of(pod), pod_name(pod)
    if node is None:
        return f"{name} is on no node that is known"
    try:
        answer = await agents.fetch(node.management, f"contiv/v1/policies/pods/{pod.namespace}/{pod.name}")
        said: Mapping[str, Any] = answer
        meant, waiting = said["fingerprint"], list(said["waiting"])
    except (AgentError, KeyError, TypeError) as error:
        return f"{name}: the agent of {node.name} does not say what it means: {error}"
    if meant != fingerprint(index, name):
        return f"{name}: the agent of {node.name} means other tables than etcd: it has not seen the latest change"
    if waiting:
        return f"{name}: {node.name} does not have its policies in place: {', '.join(waiting[:3])}"
    return ""


_POLICY_COLUMNS: Final = (
    Column("KIND", lambda row: row.kind),
    Column("POLICY", lambda row: row.policy),
    Column("PRIORITY", lambda row: str(row.priority) if row.kind.startswith("Admin") else "", optional=True),
    Column("ISOLATES", lambda row: ", ".join(row.isolates)),
    Column("PODS", lambda row: str(row.selects)),
    Column("LEFT OUT", lambda row: str(len(row.problems)) if row.problems else "", optional=True),
)
_NODE_COLUMNS: Final = (
    Column("NODE", lambda row: row.node),
    Column("PODS", lambda row: str(row.pods)),
    Column("WAITING", lambda row: str(row.waiting)),
    Column("REFUSED", lambda row: str(row.refused)),
    Column("STATE", lambda row: row.state),
)
_EXPLAIN_COLUMNS: Final = (
    Column("PORTS", lambda row: row.ports),
    Column("VERDICT", lambda row: row.verdict),
    Column("EGRESS OF THE SOURCE", lambda row: row.source),
    Column("INGRESS OF THE TARGET", lambda row: row.target),
)
