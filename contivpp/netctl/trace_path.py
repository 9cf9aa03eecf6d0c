"""From what several nodes saw of a flow to the path of every packet: which node after which, and where it ended.

A packet is recognised on another node by what no node changes of it. Of equal ones the first there is the first here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from contivpp.model.trace import Step, TracedPacket, parts_of
from contivpp.netctl.naming import NamingTable

Ending = Literal["delivered", "dropped", "lost", "left", "local", "punted", "unfinished"]


class Hop(msgspec.Struct, frozen=True):
    """What a packet met on one node; `sentences` tell it in Kubernetes' words."""

    node: str
    packet: TracedPacket
    sentences: tuple[str, ...]


class Journey(msgspec.Struct, frozen=True):
    """A packet from its first node to its end.

    Attributes:
        place: the node at which it ended.
        reason: why it went no further, "" when it arrived.
    """

    summary: str
    reply: bool
    hops: tuple[Hop, ...]
    ending: Ending
    place: str
    reason: str

    @property
    def good(self) -> bool:
        """Whether it came where it should, as far as was looked."""
        return self.ending in ("delivered", "left", "local", "punted")


def journeys(
    seen: Mapping[str, Sequence[TracedPacket]], names: Mapping[str, NamingTable], *, source: str, destination: str
) -> list[Journey]:
    """The paths of all packets, in the order in which the first node saw them; replies after what they answer.

    Args:
        seen: what each traced node saw, by its name.
        names: what things are called, for each of these nodes.
        source: the node of the flow's source.
        destination: the node of its destination; "" when it is on none.
    """
    groups: dict[tuple[bool, str, int], dict[str, TracedPacket]] = defaultdict(dict)
    order: dict[tuple[bool, str, int], float] = {}
    for node in sorted(seen, key=lambda name: name != source):
        counted: dict[tuple[bool, str], int] = defaultdict(int)
        for packet in seen[node]:
            number = counted[packet.reply, packet.key]
            counted[packet.reply, packet.key] += 1
            identity = packet.reply, packet.key, number
            groups[identity][node] = packet
            order.setdefault(identity, packet.time if node == source else float("inf"))
    found = []
    for identity in sorted(groups, key=lambda one: (order[one], one[0])):
        first, last = (destination, source) if identity[0] else (source, destination)
        found.append(_journey(groups[identity], names, first=first, last=last, traced=set(seen)))
    return found


def _journey(
    packets: Mapping[str, TracedPacket], names: Mapping[str, NamingTable], *, first: str, last: str, traced: set[str]
) -> Journey:
    nodes = sorted(packets, key=lambda node: (node != first, node == last, node))
    hops = tuple(_hop(node, packets[node], names[node]) for node in nodes)
    end = hops[-1]
    ending, reason = _ending(end, names[end.node], last=last, traced=traced)
    return Journey(end.packet.summary, end.packet.reply, hops, ending, end.node, reason)


def _hop(node: str, packet: TracedPacket, names: NamingTable) -> Hop:
    said = (sentence(step, names, reply=packet.reply) for step in packet.steps)
    return Hop(node, packet, tuple(one for one in said if one))


def _ending(end: Hop, names: NamingTable, *, last: str, traced: set[str]) -> tuple[Ending, str]:
    packet = end.packet
    match packet.verdict:
        case "dropped":
            denied = next((step for step in packet.steps if step.kind == "policy" and not step.allowed), None)
            if denied is not None:
                return "dropped", sentence(denied, names)
            refused = next((step for step in packet.steps if step.kind == "service" and not step.translated), None)
            place = next((step.at for step in reversed(packet.steps) if step.kind == "drop"), "")
            if refused is not None and refused.at == place:
                return "dropped", sentence(refused, names)
            return "dropped", f"{packet.reason} (at {place})" if place else packet.reason
        case "local":
            return "local", ""
        case "punted":
            return "punted", ""
        case "sent" if names.interface(packet.steps[-1].interface).startswith("pod "):
            return "delivered", ""
        case "sent" if end.node != last and last in traced:
            return "lost", f"{end.node} sent it by {packet.steps[-1].interface}, and {last} has not seen it"
        case "sent":
            return "left", ""
    return "unfinished", packet.reason or "VPP has not said what became of it"


def sentence(step: Step, names: NamingTable, *, reply: bool = False) -> str:
    """A step for people; "" for what says nothing: an access list that lets pass what no policy speaks of."""
    interface = names.interface(step.interface) or step.interface
    hop = names.place(step.next_hop)
    match step.kind:
        case "in":
            return f"in from {interface}" if interface.startswith("pod ") else f"in by {interface or '?'}"
        case "made":
            return "made by the node itself"
        case "lookup":
            return f"route looked up in {step.table}"
        case "out":
            return f"to {step.next_hop}{f' ({hop})' if hop else ''} by {interface}"
        case "tunnel-in":
            return f"came by the {_tunnel(step, names)}"
        case "tunnel-out":
            return f"goes by the {_tunnel(step, names)}"
        case "policy":
            return _policy(step, interface)
        case "service":
            return _service(step, names, reply=reply)
        case "source":
            return f"{step.translated} in place of {step.target if reply else f'{step.source} as the source'}"
        case "local":
            return "taken by the node itself"
        case "punt":
            return "handed to the host"
        case "drop":
            return f"DROPPED: {step.reason} (at {step.at})"
        case "sent":
            return f"sent to {interface}" if interface.startswith("pod ") else f"sent by {interface}"
    return step.kind


def _tunnel(step: Step, names: NamingTable) -> str:
    """A tunnel by who is at its other end: told by the interface where each has one, else by the address there."""
    if known := names.interface(step.interface):
        return known
    far_end = names.place(step.next_hop).removeprefix("node ") or step.next_hop
    return f"tunnel to {far_end}" if far_end else step.interface


def _policy(step: Step, interface: str) -> str:
    if step.allowed and not step.policy:
        return ""
    said = "allowed by" if step.allowed else "denied by"
    if step.policy.startswith("no "):
        said = "allowed:" if step.allowed else "denied:"
    return f"{step.way} of {interface or 'a pod'} {said} {step.policy or step.rule}"


def _service(step: Step, names: NamingTable, *, reply: bool) -> str:
    if not step.translated:
        return f"service {step.service}: {step.reason}" if step.service else f"service: {step.reason}"
    name = f"service {step.service}" if step.service else "a translation"
    what = names.place(parts_of(step.translated)[0])
    replaced = step.source if reply else step.target
    return f"{name}: {step.translated}{f' ({what})' if what else ''} in place of {replaced}"
