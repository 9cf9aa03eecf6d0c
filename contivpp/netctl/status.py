"""`contiv-netctl status`: the health of everything on one screen, and what to do where something is wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from contivpp.model.pod import on_host_network
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, ClusterNode, Reader, read_cluster
from contivpp.netctl.errors import AgentError, ExitCode
from contivpp.netctl.ksr import Ksr, read_ksr
from contivpp.netctl.nodes import NO_ID, UNREACHABLE, complaints, state_name, why_unreachable
from contivpp.netctl.report import Column, Report, Table, exit_code
from contivpp.store.errors import StoreError

_VALUE_STATES: Final = (
    "NONEXISTENT",
    "MISSING",
    "UNIMPLEMENTED",
    "REMOVED",
    "CONFIGURED",
    "OBTAINED",
    "DISCOVERED",
    "PENDING",
    "INVALID",
    "FAILED",
    "RETRYING",
)
_FAILED: Final = frozenset({"MISSING", "UNIMPLEMENTED", "INVALID", "FAILED", "RETRYING"})
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdHealth:
    """Whether etcd answers."""

    endpoints: Sequence[str]
    state: str
    revision: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHealth:
    """One agent: alive, ready, and how much of its configuration is not real (yet)."""

    node: str
    id: int
    host_ip: str
    live: str = UNREACHABLE
    ready: str = UNREACHABLE
    in_sync: bool = False
    values: int = 0
    pending: int = 0
    failed: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VppHealth:
    """The VPP of one node.

    Attributes:
        connections: how often the node's agent has reached a VPP since it started itself: the first, and restarts.
        start_time: in seconds since the epoch; 0 unknown.
    """

    node: str
    connected: bool
    version: str = ""
    connections: int = 0
    start_time: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a cluster; what needs etcd is empty without it."""

    etcd: EtcdHealth
    ksr: Ksr = field(default_factory=Ksr)
    agents: Sequence[AgentHealth] = field(default_factory=tuple)
    vpps: Sequence[VppHealth] = field(default_factory=tuple)
    pods: int = 0
    pods_without_address: int = 0


async def view(store: Reader, agents: Agents, *, endpoints: Sequence[str]) -> Report:
    """Asks etcd, then everything that etcd names, at once."""
    try:
        cluster, revision = (
            await read_cluster(store),
            (await store.get_prefix("/vnf-agent/contiv-ksr/status/")).revision,
        )
        (ksr, problems), rows, vpps = await asyncio.gather(
            read_ksr(store, cluster, agents),
            asyncio.gather(*(_agent(node, agents) for node in cluster.nodes)),
            asyncio.gather(*(_vpp(node, agents) for node in cluster.nodes)),
        )
    except StoreError as error:
        return _without_etcd(endpoints, str(error))
    health = Health(
        etcd=EtcdHealth(endpoints=endpoints, state="OK", revision=revision),
        ksr=ksr,
        agents=rows,
        vpps=tuple(vpp for vpp in vpps if vpp is not None),
        pods=len(cluster.pods),
        pods_without_address=sum(_waits(cluster, pod) for pod in cluster.pods),
    )
    problems = [*cluster.problems, *problems, *(_advice(row) for row in rows if row.reason)]
    if not rows:
        problems.append("no node: etcd holds none; is this the right etcd (--etcd-config), and did site.yml finish?")
    return Report(
        data=health,
        tables=_tables(health),
        problems=tuple(problems),
        summary=f"All is well: {len(rows)} nodes, {health.pods} pods.",
        code=exit_code(not problems),
    )


async def _agent(node: ClusterNode, agents: Agents) -> AgentHealth:
    try:
        live, ready = await asyncio.gather(
            agents.get(node.management, "liveness"), agents.get(node.management, "readiness")
        )
    except AgentError as error:
        return AgentHealth(node=node.name, id=node.id, host_ip=node.host_ip, reason=why_unreachable(node, str(error)))
    states = [
        state_name(answer.body.get("state")) if isinstance(answer.body, dict) else "ERROR" for answer in (live, ready)
    ]
    reasons = []
    if not node.id:
        reasons.append(f"it has no node ID ({NO_ID})")
    if not node.registered:
        reasons.append("Kubernetes does not know this node")
    wrong: dict[str, list[str]] = {}
    for name, answer, state in zip(("not alive", "not ready"), (live, ready), states, strict=True):
        if state != "OK" or not answer.ok:
            said = complaints(answer.body) if isinstance(answer.body, dict) else str(answer.body or "")
            wrong.setdefault(said or state, []).append(name)
    reasons += [f"{' and '.join(names)}: {said}" for said, names in wrong.items()]
    try:
        found = list(_values(await agents.fetch(node.management, "scheduler/status")))
    except AgentError as error:
        found = []
        reasons.append(f"its values are not known: {error}")
    counted = Counter(state for _, state, _ in found)
    failed = sum(counted[state] for state in _FAILED)
    if failed or counted["PENDING"]:
        reasons.append(_unreal(found, failed, counted["PENDING"]))
    return AgentHealth(
        node=node.name,
        id=node.id,
        host_ip=node.host_ip,
        live=states[0],
        ready=states[1],
        in_sync=states[1] == "OK" and ready.ok and not failed and not counted["PENDING"],
        values=len(found),
        pending=counted["PENDING"],
        failed=failed,
        reason="; ".join(dict.fromkeys(reasons)),
    )


async def _vpp(node: ClusterNode, agents: Agents) -> VppHealth | None:
    """The VPP of a node; None where there is none, or nobody who knows. What is wrong with it is in readiness, too."""
    try:
        answer = await agents.get(node.management, "vpp/status")
    except AgentError:
        return None
    if not answer.ok or not isinstance(answer.body, dict) or answer.body.get("dataplane") != "vpp":
        return None
    return VppHealth(
        node=node.name,
        connected=bool(answer.body.get("connected")),
        version=str(answer.body.get("version") or ""),
        connections=int(answer.body.get("connections") or 0),
        start_time=int(answer.body.get("start_time") or 0),
        problem=str(answer.body.get("problem") or ""),
    )


def _uptime(row: VppHealth) -> str:
    if not row.connected or not row.start_time:
        return "-"
    return str(dt.timedelta(seconds=max(int(time.time()) - row.start_time, 0)))


def _values(tree: Any) -> Iterator[tuple[str, str, str]]:
    """Key, state and error of every value in a status list of the scheduler, derived values included."""
    if isinstance(tree, list):
        for item in tree:
            yield from _values(item)
    elif isinstance(tree, Mapping):
        value = tree.get("value")
        value = value if isinstance(value, Mapping) else tree
        if "key" in value:
            yield str(value["key"]), _value_state(value.get("state")), str(value.get("error") or "")
        yield from _values(tree.get("derived_values") or tree.get("derivedValues") or [])


def _value_state(state: Any) -> str:
    if isinstance(state, int) and 0 <= state < len(_VALUE_STATES):
        return _VALUE_STATES[state]
    return str(state or _VALUE_STATES[0]).upper()


def _unreal(found: Sequence[tuple[str, str, str]], failed: int, pending: int) -> str:
    worst = [item for item in found if item[1] in _FAILED] or [item for item in found if item[1] == "PENDING"]
    named = [f"{key} {state}{f': {error}' if error else ''}" for key, state, error in worst[:_EXAMPLES]]
    more = ", ..." if len(worst) > _EXAMPLES else ""
    return f"{failed} values failed and {pending} wait for others: {', '.join(named)}{more}"


def _advice(row: AgentHealth) -> str:
    if row.live == UNREACHABLE:
        step = f"on {row.node}: systemctl status contiv-agent"
    elif row.failed or row.pending:
        step = f"compare with the data plane: curl -X POST http://{row.host_ip}:9999/scheduler/downstream-resync"
    else:
        step = f"on {row.node}: journalctl -u contiv-agent -n 50"
    return f"{row.node}: {row.reason}; {step}"


def _waits(cluster: Cluster, pod: Any) -> bool:
    return not pod.ip_address and not pod.terminated and not on_host_network(pod) and cluster.node_of(pod) is not None


def _without_etcd(endpoints: Sequence[str], reason: str) -> Report:
    health = Health(etcd=EtcdHealth(endpoints=endpoints, state="UNAVAILABLE", reason=reason))
    advice = (
        f"etcd: {reason}; on its host: systemctl status contiv-etcd, and check endpoints and certificates of "
        "--etcd-config; the nodes keep forwarding, and can add pods, meanwhile"
    )
    return Report(data=health, tables=_tables(health), problems=(advice,), code=ExitCode.NO_STORE)


def _tables(health: Health) -> tuple[Table, ...]:
    tables = [Table("", _ETCD_COLUMNS, [health.etcd])]
    if health.ksr.instances:
        tables.append(Table("", _KSR_COLUMNS, health.ksr.instances))
    if health.ksr.kinds:
        tables.append(Table("", _KIND_COLUMNS, health.ksr.kinds))
    if health.agents:
        tables.append(Table("", _AGENT_COLUMNS, health.agents))
    if health.vpps:
        tables.append(Table("", _VPP_COLUMNS, health.vpps))
    return tuple(tables)


_ETCD_COLUMNS: Final = (
    Column("ETCD", lambda row: ",".join(row.endpoints)),
    Column("STATE", lambda row: row.state),
    Column("REVISION", lambda row: str(row.revision or "-")),
)
_KSR_COLUMNS: Final = (
    Column("KSR", lambda row: row.identity),
    Column("ROLE", lambda row: row.role),
    Column("STATE", lambda row: row.state or "-"),
)
_KIND_COLUMNS: Final = (
    Column("REFLECTED", lambda row: row.kind),
    Column("ADDS", lambda row: str(row.adds)),
    Column("UPDATES", lambda row: str(row.updates)),
    Column("DELETES", lambda row: str(row.deletes)),
    Column("RESYNCS", lambda row: str(row.resyncs)),
    Column("ERRORS", lambda row: str(row.errors)),
)
_AGENT_COLUMNS: Final = (
    Column("ID", lambda row: str(row.id or "-")),
    Column("AGENT", lambda row: row.node),
    Column("HOST-IP", lambda row: row.host_ip or "-"),
    Column("LIVE", lambda row: row.live),
    Column("READY", lambda row: row.ready),
    Column("IN-SYNC", lambda row: "yes" if row.in_sync else "no"),
    Column("VALUES", lambda row: str(row.values)),
    Column("PENDING", lambda row: str(row.pending)),
    Column("FAILED", lambda row: str(row.failed)),
)
_VPP_COLUMNS: Final = (
    Column("VPP-ON", lambda row: row.node),
    Column("CONNECTED", lambda row: "yes" if row.connected else "no"),
    Column("VERSION", lambda row: row.version or "-"),
    Column("UPTIME", _uptime),
    Column("RECONNECTS", lambda row: str(max(row.connections - 1, 0))),
    Column("REASON", lambda row: row.problem, optional=True),
)
