"""What can be known of contiv-ksr from outside: its election and counters in etcd, its health over HTTP.

Source: spec/cluster.md 0.2, 1.7, 11.3. The first in line of the election is the leader; the others wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from contivpp.model import keys
from contivpp.netctl.agents import Agents
from contivpp.netctl.cluster import Cluster, Reader
from contivpp.netctl.errors import AgentError
from contivpp.netctl.nodes import complaints, state_name

ELECTION_PREFIX: Final = "/contiv-ksr/election/"
PORT: Final = 9191
_ERRORS: Final = ("AddErrors", "UpdErrors", "DelErrors", "ArgErrors", "ResErrors")


@dataclass(frozen=True, slots=True, kw_only=True)
class KsrInstance:
    """One running contiv-ksr; `state` is empty when it is not known where to ask it."""

    identity: str
    role: str
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KsrKind:
    """The counters of one kind of record."""

    kind: str
    adds: int = 0
    updates: int = 0
    deletes: int = 0
    resyncs: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ksr:
    """All instances, the leader first, and what they have counted."""

    instances: Sequence[KsrInstance] = field(default_factory=tuple)
    kinds: Sequence[KsrKind] = field(default_factory=tuple)


async def read_ksr(store: Reader, cluster: Cluster, agents: Agents) -> tuple[Ksr, list[str]]:
    """The reflector's health, and what is wrong with it.

    Raises:
        StoreUnavailable: etcd does not answer.
    """
    election, gauges = await asyncio.gather(store.get_prefix(ELECTION_PREFIX), store.get_prefix(keys.GAUGES_KEY))
    line = sorted(election.items.values(), key=lambda item: item.create_revision)
    names = [item.value.decode(errors="replace") or item.key.rpartition("/")[2] for item in line]
    instances = await asyncio.gather(
        *(_instance(name, "standby" if place else "leader", cluster, agents) for place, name in enumerate(names))
    )
    problems = [
        f"contiv-ksr on {instance.identity}: {instance.reason}; look at: journalctl -u contiv-ksr -n 50"
        for instance in instances
        if instance.reason
    ]
    if not instances:
        problems.append(
            "contiv-ksr: no instance is running: new pods and policies stay unknown to the nodes, what is "
            "there keeps working; on the control plane: systemctl status contiv-ksr"
        )
    kinds: list[KsrKind] = []
    written = gauges.items.get(keys.GAUGES_KEY)
    if written is not None:
        kinds = _kinds(written.value)
        if not kinds:
            problems.append(f"contiv-ksr: its counters in {keys.GAUGES_KEY} cannot be read")
    return Ksr(instances=instances, kinds=kinds), problems


async def _instance(identity: str, role: str, cluster: Cluster, agents: Agents) -> KsrInstance:
    hosts = next((node.management for node in cluster.nodes if _runs_on(identity, node.name)), ())
    if not hosts:
        return KsrInstance(identity=identity, role=role)
    try:
        body = (await agents.get(hosts, "readiness" if role == "leader" else "liveness", port=PORT)).body
    except AgentError as error:
        return KsrInstance(identity=identity, role=role, state="UNREACHABLE", reason=str(error))
    if not isinstance(body, dict):
        return KsrInstance(identity=identity, role=role, state="ERROR", reason="its health is not a status")
    state = state_name(body.get("state"))
    reason = "" if state == "OK" else complaints(body) or f"it is in state {state}"
    return KsrInstance(identity=identity, role=role, state=state, reason=reason)


def _runs_on(identity: str, node: str) -> bool:
    """An identity is a host name, with something after it when several run on one host."""
    return identity == node or identity.startswith((f"{node}:", f"{node}/", f"{node}_", f"{node}."))


def _kinds(value: bytes) -> list[KsrKind]:
    try:
        stats = msgspec.json.decode(value)
        return [
            KsrKind(
                kind=name.removesuffix("Stats"),
                adds=_number(counters, "Adds"),
                updates=_number(counters, "Updates"),
                deletes=_number(counters, "Deletes"),
                resyncs=_number(counters, "Resyncs"),
                errors=sum(_number(counters, error) for error in _ERRORS),
            )
            for name, counters in sorted(stats.items())
            if name.endswith("Stats")
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError, TypeError, ValueError):
        return []


def _number(counters: Mapping[str, Any], name: str) -> int:
    """Counters are strings in protobuf's JSON, and zeros are left out."""
    return int(counters.get(name) or 0)
