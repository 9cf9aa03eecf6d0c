"""From what several nodes saw of a flow to the path of every packet: which node after which, and where it ended.

A packet is recognised on another node by what no node changes of it. Of equal ones the first there is the first here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from contivpp.model.trace import Step, TracedPacket
from contivpp.netctl.vppnames import NamingTable

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
    hops = tuple(
        Hop(node, packets[node], tuple(sentence(step, names[node]) for step in packets[node].steps)) for node in nodes
    )
    end = hops[-1]
    ending, reason = _ending(end, names[end.node], last=last, traced=traced)
    return Journey(end.packet.summary, end.packet.reply, hops, ending, end.node, reason)


def _ending(end: Hop, names: NamingTable, *, last: str, traced: set[str]) -> tuple[Ending, str]:
    packet = end.packet
    match packet.verdict:
        case "dropped":
            place = next((step.graph_node for step in reversed(packet.steps) if step.kind == "drop"), "")
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
    return "unfinished", "VPP has not said what became of it"


def sentence(step: Step, names: NamingTable) -> str:
    """A step for people."""
    interface = names.interface(step.interface) or step.interface
    hop = names.place(step.next_hop)
    match step.kind:
        case "in":
            return f"in from {interface}" if interface.startswith("pod ") else f"in by {interface or '?'}"
        case "lookup":
            return f"route looked up in {step.table}"
        case "out":
            return f"to {step.next_hop}{f' ({hop})' if hop else ''} by {interface}"
        case "tunnel-in":
            return f"came by the {interface}"
        case "tunnel-out":
            return f"goes by the {interface}"
        case "policy":
            return f"policy {step.policy or step.rule} on {interface}"
        case "service":
            return f"service {step.service or step.reason}"
        case "local":
            return "taken by VPP itself"
        case "punt":
            return "handed to the host"
        case "drop":
            return f"DROPPED: {step.reason} (at {step.graph_node})"
        case "sent":
            return f"sent to {interface}" if interface.startswith("pod ") else f"sent by {interface}"
    return step.kind
