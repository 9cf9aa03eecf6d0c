"""Whose doing it was: the service of a translation and the network policy of a rule, in what a trace caught.

A data plane tells numbers, addresses and names of chains. The service is the one that answers where the packet was
going; the policy is what the tables of the pod say of the same connection, so both are of the moment at which the
trace ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from contivpp.agent.connectivity.names import pod_names
from contivpp.agent.policies.linux import digest_of
from contivpp.agent.services.feature import meaning_of
from contivpp.agent.view import View
from contivpp.dataplane.linux.nft.policy_names import pod_of
from contivpp.dataplane.linux.tracing.steps import NO_ENDPOINTS
from contivpp.model import sandbox
from contivpp.model.trace import Step, TracedPacket, parts_of
from contivpp.policies.explain import FREE, NO_PORTS, Connection, verdict
from contivpp.policies.model import PROTOCOLS, Direction

_DISAGREES: Final = "the data plane says so; the node's policies say otherwise, and will be in place soon"
_NO_SERVICE: Final = "refused, for no service answers there"
_WAYS: Final = {"egress": Direction.EGRESS, "ingress": Direction.INGRESS}


@dataclass(frozen=True, slots=True)
class _Pod:
    """A pod of this node, and the interface that a step at one of its chains is shown with."""

    name: str
    interface: str


def named(packets: Iterable[TracedPacket], view: View) -> list[TracedPacket]:
    """The same packets, with the services and policies of their steps."""
    found = list(packets)
    answering = _answering(view) if any(step.kind == "service" for one in found for step in one.steps) else {}
    pods = {}
    for name, pod in view.pods.items():
        known = _Pod(str(name), pod_names(pod.sandbox.container_id).link)
        pods[sandbox.short(pod.sandbox.container_id)] = pods[digest_of(str(name))] = known
    return [msgspec.structs.replace(one, steps=tuple(_steps(one, view, answering, pods))) for one in found]


def _steps(
    packet: TracedPacket, view: View, answering: Mapping[tuple[str, str, int], str], pods: Mapping[str, _Pod]
) -> Iterable[Step]:
    protocol = packet.summary.partition(" ")[0].lower()
    for step in packet.steps:
        if step.kind == "service" and (step.translated or step.target):
            address, port = parts_of(step.translated if packet.reply else step.target)
            service = answering.get((address, protocol, port)) or answering.get(("", protocol, port), "")
            nobody = not service and step.reason == NO_ENDPOINTS
            yield msgspec.structs.replace(step, service=service, reason=_NO_SERVICE if nobody else step.reason)
        elif step.kind == "policy" and (pod := _pod(step, pods)) is not None:
            policy = _policy(step, pod.name, protocol.upper(), view) if step.rule else ""
            yield msgspec.structs.replace(step, interface=step.interface or pod.interface, policy=policy)
        else:
            yield step


def _pod(step: Step, pods: Mapping[str, _Pod]) -> _Pod | None:
    """Whose tables a rule belongs to: told by the interface, or by the chain."""
    if step.interface:
        return sandbox.owner(step.interface, pods)
    return pods.get(pod_of(step.at))


def _policy(step: Step, pod: str, protocol: str, view: View) -> str:
    """What decides of a connection at a pod; "" where no policy speaks of it."""
    if not step.source or not step.way:
        return ""
    source, (target, port) = parts_of(step.source)[0], parts_of(step.target)
    connection = (
        Connection(source, target, protocol, port) if protocol in PROTOCOLS else Connection(source, target, NO_PORTS)
    )
    said = verdict(view.policies, pod, _WAYS[step.way], connection)
    if said.allowed != step.allowed:  # what is allowed all the same is so to the pod itself, and to its node
        return "" if step.allowed else _DISAGREES
    return "" if said == FREE else str(said)


def _answering(view: View) -> dict[tuple[str, str, int], str]:
    """The services by the address, protocol and port where they answer here; address "" is any of this node's."""
    found: dict[tuple[str, str, int], str] = {}
    for record in view.records("service"):
        name = f"{record.namespace}/{record.name}"
        for one in meaning_of(name, view).translations:
            frontend = one.frontend
            found.setdefault((frontend.address, frontend.protocol, frontend.port), name)
    return found
