"""Which packets are traced: those of one flow, both ways, translated or not, and errors about it.

A table of its own marks them, and they keep the mark as long as they are on this node. They are looked at twice where
they come in or are made: before everything else by their own addresses, and behind connection tracking by those of
what opened their connection, because an answer to what was translated comes from and goes to other addresses. What is
seen last of a packet are two more chains of the table, where it leaves and where the node itself takes it.

The table belongs to the socket that made it (`flags owner`): the kernel takes it away with the socket, also when the
agent is killed. A limit ends the marking in the kernel, should nobody read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from contivpp.dataplane.tracing import LIMIT
from contivpp.model.trace import Flow

TABLE: Final = "contiv-trace"
FORTH, BACK = "forth", "back"
"""The chains that mark what goes with the flow, and what goes against it."""
SENT, TAKEN = "sent", "taken"
"""The chains that see packets last: those that leave, and those for the node itself."""
_FIRST, _TRACKED, _LAST = -400, -199, 400
_LOOKS: Final = 2
_IP: Final = {4: "ip", 6: "ip6"}
_ICMP: Final = {4: "icmp", 6: "icmpv6"}
_ERRORS: Final = {
    4: ("destination-unreachable", "time-exceeded", "parameter-problem"),
    6: ("destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"),
}
_HOOKS: Final = ("prerouting", "output")


def commands(flows: Sequence[Flow]) -> str:
    """What makes the table for flows of one protocol and IP version."""
    first, tracked = list(_by_packet(flows)), list(_by_connection(flows))
    lines = [f"add table inet {TABLE} {{ flags owner; }}"]
    for chain in (FORTH, BACK):
        lines.append(f"add chain inet {TABLE} {chain}")
        limit = f"limit rate 1/day burst {LIMIT * _LOOKS} packets"
        lines.append(f"add rule inet {TABLE} {chain} {limit} meta nftrace set 1")
    for hook in _HOOKS:
        lines += _chain(f"{hook}-first", hook, _FIRST, first)
        lines += _chain(f"{hook}-tracked", hook, _TRACKED, tracked)
    lines += _chain(SENT, "postrouting", _LAST, ())
    lines += _chain(TAKEN, "input", _LAST, ())
    return "\n".join(lines)


def _chain(name: str, hook: str, priority: int, rules: Sequence[str]) -> Iterator[str]:
    yield f"add chain inet {TABLE} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
    yield from (f"add rule inet {TABLE} {name} {rule}" for rule in rules)


def _by_packet(flows: Sequence[Flow]) -> Iterator[str]:
    protocol, version = flows[0].protocol, flows[0].version
    ip = _IP[version]
    ports = f"{_ICMP[version]} id" if protocol == "icmp" else f"{protocol} sport . {protocol} dport"
    there = [_joined(one.source, one.destination, *_ports(one)) for one in flows]
    back = [_joined(one.destination, one.source, *reversed(_ports(one))) for one in flows]
    for chain, elements in ((FORTH, there), (BACK, back)):
        yield f"{ip} saddr . {ip} daddr . {ports} {_set(elements)} goto {chain}"


def _by_connection(flows: Sequence[Flow]) -> Iterator[str]:
    """By what opened it; nft knows the type of ports there only behind a protocol of the packet itself."""
    protocol, version = flows[0].protocol, flows[0].version
    ip, icmp = _IP[version], _ICMP[version]
    ports = "ct original proto-src" + ("" if protocol == "icmp" else " . ct original proto-dst")
    elements = _set([_joined(one.source, one.destination, *_ports(one)) for one in flows])
    opened = f"ct original {ip} saddr . ct original {ip} daddr . {ports} {elements}"
    own = icmp if protocol == "icmp" else protocol
    errors = f"meta l4proto {icmp} {icmp} type {_set(_ERRORS[version])} ct protocol {own} ct state related"
    for protocols in (f"meta l4proto {own}", errors):
        for direction, chain in (("original", FORTH), ("reply", BACK)):
            yield f"{protocols} {opened} ct direction {direction} goto {chain}"


def _ports(flow: Flow) -> list[int]:
    return [flow.source_port] if flow.protocol == "icmp" else [flow.source_port, flow.destination_port]


def _joined(*parts: object) -> str:
    return " . ".join(map(str, parts))


def _set(elements: Sequence[str]) -> str:
    return f"{{ {', '.join(dict.fromkeys(elements))} }}"
