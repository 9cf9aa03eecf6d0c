"""VPP's packet trace as steps: what each packet met on its way through this node, and how it ended.

VPP prints a trace for people: per packet one paragraph, per node of its graph a line with the time and the name, and
under it what the node has to say. What is understood here became a step; everything else stays in the text, which is
kept. A node that is not known is no error, so another version or plugin shows less and breaks nothing.

A packet is one of the flow by the first IP header in it that has the flow's addresses, or those that a service makes
of them: inside a tunnel that is not the first one. What cnat changed is told by the session that it prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contivpp.dataplane.tracing import key_of
from contivpp.model.trace import Flow, Kind, Step, TracedPacket, Verdict, Way, place

_PACKET: Final = re.compile(r"^Packet \d+$", re.MULTILINE)
_NODE: Final = re.compile(r"^(?:(\d+):(\d\d):(\d\d):(\d+)): (\S+)$")
_HEADER: Final = re.compile(r"^\s*(?:TCP|UDP|ICMP6?|[A-Z0-9_]+): (\S+) -> (\S+)$")
_HARDWARE: Final = re.compile(r"hw_if_index (\d+)")
_RECEIVING: Final = re.compile(r"^\s*(\S+) rx queue \d+")
_FRAME: Final = re.compile(r"sw-if-index (\d+)")
_LOOKUP: Final = re.compile(r"fib(?:-index:| )(\d+)")
_REWRITE: Final = re.compile(r"tx_sw_if_index (\d+) .*? via (\S+) \S+: mtu")
_TUNNEL: Final = re.compile(r"VXLAN (?:decap from|encap to) (\S+) vni")
_LOST_TUNNEL: Final = re.compile(r"VXLAN decap error - (.*)")
_ACL: Final = re.compile(r"sw_if_index (\d+), next index \d+, action: (\d+), match: acl (-?\d+) rule (-?\d+)")
_ACL_TUPLE: Final = re.compile(r"l3 ip[46] (\S+) -> (\S+) l4 .* port (\d+) -> (\d+)")
_ACCESS: Final = "acl-plugin-"
_NO_ACL: Final = "-1"  # what an access list says of a packet whose connection is known
_SESSION: Final = re.compile(r"\[\s*(r?)(in|out) ?\] \S+ \[(\S+);(\d+) -> (\S+);(\d+)\]")
_REASON: Final = re.compile(r"^\s*([^:]+): (.*)$")
_IDENTIFYING: Final = re.compile(
    r"fragment id 0x(?P<identification>[0-9a-f]+)"
    r"|seq\. 0x(?P<sequence>[0-9a-f]+) ack 0x(?P<acknowledged>[0-9a-f]+)"
    r"|flags 0x(?P<flags>[0-9a-f]+) .*tcp header"
    r"|(?:window|length) (?P<decimal>\d+), checksum"
    r"|ICMP .*checksum 0x(?P<checksum>[0-9a-f]+)"
)
_NO_SESSION, _RETURN, _DONE = "session lookup error", "return session", "writeback done"
_NO_REASON: Final = "no error"
_LOOKUPS: Final = frozenset({"ip4-lookup", "ip6-lookup", "lookup-ip4-dst", "lookup-ip6-dst", "lookup-ip4-src"})
_REWRITES: Final = frozenset({"ip4-rewrite", "ip6-rewrite", "ip4-midchain", "ip6-midchain", "ip4-rewrite-bcast"})
_DROPS: Final = frozenset({"drop", "error-drop"})
_EXPLANATIONS: Final = {
    "ip4-glean: ARP requests sent": "nobody has answered to ARP for the address yet",
    "ip6-glean: neighbor solicitations sent": "nobody has answered to neighbour discovery for the address yet",
}
_ENDS: Final[Mapping[str, Verdict]] = {"sent": "sent", "drop": "dropped", "local": "local", "punt": "punted"}
NO_ROUTE: Final = "no route, one that drops, or one by an interface that is down"


@dataclass(frozen=True, slots=True)
class Names:
    """What the numbers and names of a VPP stand for.

    Attributes:
        numbers: logical names of interfaces by number; VPP's own for those that are not ours.
        hardware: VPP's names of devices by their number.
        own: logical names by VPP's names.
        tables: names of routing tables by VPP's index, of IPv4 and IPv6.
    """

    numbers: Mapping[int, str] = field(default_factory=dict)
    hardware: Mapping[int, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def by_name(self, name: str) -> str:
        """The logical name of an interface that VPP calls `name`."""
        return self.own.get(name, name)


@dataclass(frozen=True, slots=True)
class _Visit:
    """What one node of the graph said."""

    time: float
    node: str
    lines: Sequence[str]

    @property
    def body(self) -> str:
        return "\n".join(self.lines)


def packets(text: str, flows: Sequence[Flow], names: Names) -> list[TracedPacket]:
    """The packets of a flow in the output of `show trace`, in the order of time.

    Args:
        text: as VPP prints it.
        flows: the flow, and what may become of it on the way.
        names: what numbers stand for.
    """
    found = []
    for part in _PACKET.split(text)[1:]:
        paragraph = part.partition("-------------------")[0].strip("\n")
        packet = _packet(paragraph, flows, names)
        if packet is not None:
            found.append(packet)
    return sorted(found, key=lambda one: one.time)


def _packet(text: str, flows: Sequence[Flow], names: Names) -> TracedPacket | None:
    visits = list(_visits(text))
    header = next((found for visit in visits if (found := _header(visit.lines, flows)) is not None), None)
    if header is None:
        return None
    reply, lines = header
    steps = tuple(_steps(visits, names, flows[0].version))
    last = next((step for step in reversed(steps) if step.kind in _ENDS), None)
    return TracedPacket(
        time=visits[0].time,
        reply=reply,
        summary=_summary(lines),
        key=_key(lines),
        steps=steps,
        verdict=_ENDS[last.kind] if last is not None else "unfinished",
        reason=last.reason if last is not None else "",
        path=tuple(visit.node for visit in visits),
        text=text,
    )


def _visits(text: str) -> Iterator[_Visit]:
    current: _Visit | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if match := _NODE.match(line):
            if current is not None:
                yield current
            hours, minutes, seconds, microseconds, node = match.groups()
            time = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(microseconds) / 1e6
            lines = []
            current = _Visit(time, node, lines)
        elif line.strip():
            lines.append(line)
    if current is not None:
        yield current


def _header(lines: Sequence[str], flows: Sequence[Flow]) -> tuple[bool, Sequence[str]] | None:
    """Whether the packet goes against the flow, and its IP header with what follows; None for another's."""
    there = {(one.source, one.destination) for one in flows}
    for position, line in enumerate(lines):
        if match := _HEADER.match(line):
            if match.groups() in there:
                return False, lines[position:]
            if match.groups()[::-1] in there:
                return True, lines[position:]
    return None


def _summary(lines: Sequence[str]) -> str:
    protocol = lines[0].strip().partition(":")[0]
    for line in lines[1:]:
        words = line.strip().replace(",", "").split()
        if words[:1] == ["flags"] and len(words) > 2 and words[1].startswith("0x"):
            flags = words[2 : words.index("tcp")] if "tcp" in words else words[2:]
            return " ".join((protocol, *flags))
        if words[:1] == ["ICMP"] and len(words) > 1:
            return " ".join((protocol, words[1]))
    return protocol


def _key(lines: Sequence[str]) -> str:
    """What no node on the way changes: not the time to live, nor its ends, nor a checksum that a NIC may fill in."""
    found = (match for line in lines if (match := _IDENTIFYING.match(line.strip())))
    numbers = [int(text, 10 if name == "decimal" else 16) for match in found for name, text in _named(match)]
    return key_of(lines[0].strip().partition(":")[0], *numbers)


def _named(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    for name, text in match.groupdict().items():
        if text is not None:
            yield name, text


# ---- steps


def _steps(visits: Sequence[_Visit], names: Names, version: int) -> Iterator[Step]:
    for position, visit in enumerate(visits):
        node, body = visit.node, visit.body
        if position == 0:
            yield Step("in", node, interface=_came_in_by(visits, names))
        elif node in _LOOKUPS and (match := _LOOKUP.search(body)):
            yield Step("lookup", node, table=names.tables.get((version, int(match[1])), f"with index {match[1]}"))
        elif node in _REWRITES and (match := _REWRITE.search(body)):
            interface = names.numbers.get(int(match[1]), match[1])
            yield Step("out", node, interface=interface, next_hop=match[2])
        elif node.startswith("vxlan") and (match := _TUNNEL.search(body)):
            kind: Kind = "tunnel-in" if "decap" in body else "tunnel-out"
            yield Step(kind, node, interface=names.by_name(match[1]))
        elif node.startswith(_ACCESS) and (match := _ACL.search(body)):
            yield _access(node, body, match, names)
        elif node.startswith("cnat-"):
            yield from _translated(node, visit.lines)
        elif node in ("ip4-receive", "ip6-receive", "ip4-local", "ip6-local") and not _goes_on(visits[position + 1 :]):
            yield Step("local", node)
        elif node in ("ip4-punt", "ip6-punt", "error-punt") or node.startswith("punt-"):
            yield Step("punt", node)
        elif node == "drop":
            yield Step("drop", _dropped_at(visits[:position]), reason=_reason(visits, position))
        elif node.endswith("-tx"):
            yield Step("sent", node, interface=names.by_name(node.removesuffix("-tx")))


def _access(node: str, body: str, match: re.Match[str], names: Names) -> Step:
    allowed = match[2] != "0"
    rule = "" if match[3] == _NO_ACL else f"acl {match[3]} rule {match[4]}: {'permit' if allowed else 'deny'}"
    ends = _ACL_TUPLE.search(body)
    source, target = (place(ends[1], ends[3]), place(ends[2], ends[4])) if ends else ("", "")
    interface = names.numbers.get(int(match[1]), match[1])
    way: Way = "egress" if "-in-" in node else "ingress"
    return Step("policy", node, interface=interface, rule=rule, allowed=allowed, way=way, source=source, target=target)


def _translated(node: str, lines: Sequence[str]) -> Iterator[Step]:
    """What cnat made of a packet: on its way in another target, on its way out another source; in replies back."""
    said = lines[0].strip() if lines else ""
    if said == _NO_SESSION:
        yield Step("service", node, reason=said)
        return
    reply, outward = said == _RETURN, node.startswith("cnat-output")
    if said == _DONE or not (outward or node.startswith("cnat-input")):
        return
    ends = {}
    for line in lines:
        if match := _SESSION.search(line):
            ends[bool(match[1]), match[2]] = place(match[3], match[4]), place(match[5], match[6])
    inwards, back = ends.get((False, "in")), ends.get((True, "out"))
    if inwards and back and outward == reply:  # a service: the target of what comes in, the source of what goes back
        client, backend, frontend = back[1], inwards[1], back[0]
        if reply:
            yield Step("service", node, source=backend, target=client, translated=frontend)
        else:
            yield Step("service", node, source=client, target=frontend, translated=backend)
    hidden, again = ends.get((False, "out")), ends.get((True, "in"))
    if hidden and again and outward != reply:  # the source of what goes out, the target of what comes back
        source, target, other = (again[0], hidden[0], again[1]) if reply else (again[1], hidden[1], hidden[0])
        yield Step("source", node, source=source, target=target, translated=other)


def _came_in_by(visits: Sequence[_Visit], names: Names) -> str:
    first = visits[0].body
    if match := _HARDWARE.search(first):
        name = names.hardware.get(int(match[1]), f"device {match[1]}")
        return names.by_name(name)
    if match := _RECEIVING.search(first):
        return names.by_name(match[1])
    for visit in visits[1:2]:
        if match := _FRAME.search(visit.body):
            return names.numbers.get(int(match[1]), match[1])
    if visits[0].node.endswith("-rx"):
        return names.by_name(visits[0].node.removesuffix("-rx"))
    return ""


def _goes_on(visits: Sequence[_Visit]) -> bool:
    """Whether a packet for VPP itself goes elsewhere after all: out of a tunnel, or to the host."""
    return any(visit.node.startswith("vxlan") or "punt" in visit.node for visit in visits)


def _dropped_at(visits: Sequence[_Visit]) -> str:
    """The node that sent a packet to be dropped."""
    names = [visit.node for visit in visits if visit.node not in _DROPS and not visit.node.endswith("-drop")]
    return names[-1] if names else ""


def _reason(visits: Sequence[_Visit], position: int) -> str:
    """Why a packet was dropped. VPP has no word for a route that drops: that is told by who sent it there.

    What an access list said of a packet that it let pass is said again then, for want of anything else.
    """
    said = visits[position].lines[0].strip() if visits[position].lines else ""
    match = _REASON.match(said)
    words, by = match[2] if match else said, _dropped_at(visits[:position])
    passed = match is not None and match[1].startswith(_ACCESS) and not by.startswith(_ACCESS)
    if words.lower() == _NO_REASON or passed:
        return NO_ROUTE if by in _LOOKUPS else f"dropped by {by}"
    explanation = _EXPLANATIONS.get(said, "")
    if not explanation and any("VXLAN decap error" in visit.body for visit in visits[:position]):
        lost = next(_LOST_TUNNEL.search(visit.body) for visit in visits[:position] if "VXLAN decap" in visit.body)
        explanation = lost[1] if lost else ""
    return f"{words} ({explanation})" if explanation else words
