"""Whose doing it was: the service of a translation and the network policy of an access list, in what a trace caught.

VPP tells numbers and addresses. The service is the one that answers where the packet was going; the policy is what
the tables of the pod say of the same connection, so both are of the moment at which the trace ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from contivpp.agent.services.feature import meaning_of
from contivpp.agent.view import View
from contivpp.model import sandbox
from contivpp.model.trace import Step, TracedPacket, parts_of
from contivpp.policies.explain import FREE, NO_PORTS, Connection, verdict
from contivpp.policies.model import PROTOCOLS, Direction

_DISAGREES = "VPP says so; the node's policies say otherwise, and will be in place soon"


def named(packets: Iterable[TracedPacket], view: View) -> list[TracedPacket]:
    """The same packets, with the services and policies of their steps."""
    found = list(packets)
    answering = _answering(view) if any(step.kind == "service" for one in found for step in one.steps) else {}
    pods = {sandbox.short(pod.sandbox.container_id): str(name) for name, pod in view.pods.items()}
    return [msgspec.structs.replace(one, steps=tuple(_steps(one, view, answering, pods))) for one in found]


def _steps(
    packet: TracedPacket, view: View, answering: Mapping[tuple[str, str, int], str], pods: Mapping[str, str]
) -> Iterable[Step]:
    protocol = packet.summary.partition(" ")[0].lower()
    for step in packet.steps:
        if step.kind == "service" and step.translated:
            address, port = parts_of(step.translated if packet.reply else step.target)
            service = answering.get((address, protocol, port)) or answering.get(("", protocol, port), "")
            yield msgspec.structs.replace(step, service=service)
        elif step.kind == "policy" and step.rule and (pod := sandbox.owner(step.interface, pods)) is not None:
            yield msgspec.structs.replace(step, policy=_policy(step, pod, protocol.upper(), view))
        else:
            yield step


def _policy(step: Step, pod: str, protocol: str, view: View) -> str:
    """What decides of a connection at a pod; "" where no policy speaks of it."""
    if not step.source:
        return ""
    source, (target, port) = parts_of(step.source)[0], parts_of(step.target)
    connection = (
        Connection(source, target, protocol, port) if protocol in PROTOCOLS else Connection(source, target, NO_PORTS)
    )
    direction = Direction.EGRESS if "-in-" in step.graph_node else Direction.INGRESS
    said = verdict(view.policies, pod, direction, connection)
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
