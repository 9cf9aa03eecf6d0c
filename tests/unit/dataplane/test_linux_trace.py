"""The kernel's trace of one flow: what is marked, what its messages say, and what they mean for a packet.

Messages are of a node with the pods a (10.1.1.2) and b, a tunnel to the pod c (10.1.2.2) and a link to the outside.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import replace
from typing import Any

import pytest

from contivpp.dataplane.linux.nft import rule_texts
from contivpp.dataplane.linux.tracing.filter import BACK, FORTH, SENT, TABLE, TAKEN, commands
from contivpp.dataplane.linux.tracing.headers import parse
from contivpp.dataplane.linux.tracing.messages import TraceMessage, read
from contivpp.dataplane.linux.tracing.steps import TRACKING, told
from contivpp.dataplane.linux.tracing.surroundings import RouteTaken, Surroundings
from contivpp.dataplane.linux.tracing.tracer import MOST_MESSAGES, Sightings
from contivpp.dataplane.tracing import LIMIT
from contivpp.model.trace import Flow, Step, TracedPacket

A, B, ETH0, VXLAN = 4, 5, 2, 3
POD_A, POD_B, POD_C, CLUSTER_IP, OUTSIDE, NODE = (
    "10.1.1.2", "10.1.1.3", "10.1.2.2", "10.96.0.7", "203.0.113.1", "192.168.16.1",
)  # fmt: skip
SYN, SYN_ACK, RST = 0x02, 0x12, 0x04
FROM, TO = "policy/from/0123/0", "policy/to/4567/1"


def way(source: str, destination: str, came_by: int) -> RouteTaken:
    """The node's routes."""
    match destination:
        case "10.1.1.2":
            return RouteTaken(A)
        case "10.1.1.3":
            return RouteTaken(B)
        case "10.1.2.2":
            return RouteTaken(VXLAN, "192.168.30.2")
        case "203.0.113.1":
            return RouteTaken(ETH0, "192.168.16.254")
    return RouteTaken(problem=f"there is no route to {destination}")


AROUND = Surroundings(
    way,
    links={A: "veth2-a", B: "veth2-b", ETH0: "eth0", VXLAN: "vxlanBVI"},
    tunnels=frozenset({VXLAN}),
    neighbours={(VXLAN, "12:2b:00:00:00:02"): ("fe80::2", "192.168.30.2")},
    rules={("inet", "contiv", TO, 9): "drop", ("ip", "filter", "FORWARD", 7): "tcp dport 80 drop"},
)


def ip4(source: str, destination: str, protocol: int = 6, ttl: int = 64) -> bytes:
    ends = b"".join(ipaddress.ip_address(address).packed for address in (source, destination))
    return struct.pack(">BBHHHBBH", 0x45, 0, 60, 0x5753, 0x4000, ttl, protocol, 0) + ends


def ip6(source: str, destination: str, protocol: int) -> bytes:
    ends = b"".join(ipaddress.ip_address(address).packed for address in (source, destination))
    return struct.pack(">IHBB", 0x60000000, 40, protocol, 64) + ends


def tcp(source: int, destination: int, flags: int = SYN) -> bytes:
    return struct.pack(">HHIIBBHHH", source, destination, 0xD3A7037A, 0, 0xA0, flags, 64860, 0x8C49, 0)


def heard(chain: str, *, source: str = "", target: str = "", by: int = 0, **fields: Any) -> TraceMessage:
    """A message of our table, about a packet whose headers are told when its ends are given."""
    network = transport = b""
    if source:
        (address, port), (destination, at) = (one.split(":") for one in (source, target))
        network, transport = ip4(address, destination), tcp(int(port), int(at), fields.pop("flags", SYN))
    table = TABLE if chain in (FORTH, BACK, SENT, TAKEN) else "contiv"
    known = {"id": 1, "time": 1.0, "kind": "rule", "family": "inet", "table": table, "handle": 9, **fields}
    return TraceMessage(chain=chain, goes_by=by, network=network, transport=transport, **known)


def end(chain: str, *, source: str = "", target: str = "", by: int = 0, **fields: Any) -> TraceMessage:
    """The policy of a hook's chain."""
    return heard(chain, source=source, target=target, by=by, kind="policy", handle=0, verdict="accept", **fields)


def packet(*messages: TraceMessage, **options: Any) -> TracedPacket:
    found = told(messages, AROUND, **options)
    assert found is not None
    return found


def kinds(found: TracedPacket) -> list[tuple[str, ...]]:
    return [tuple(text for text in (step.kind, step.interface, step.next_hop) if text) for step in found.steps]


A_TO_B = {"source": f"{POD_A}:61000", "target": f"{POD_B}:80"}
A_TO_C = {"source": f"{POD_A}:61000", "target": f"{POD_C}:8080"}
A_TO_SERVICE = {"source": f"{POD_A}:61000", "target": f"{CLUSTER_IP}:80"}
C_TO_A = {"source": f"{POD_C}:8080", "target": f"{POD_A}:61000", "flags": SYN_ACK}
SERVICE_TO_A = {"source": f"{CLUSTER_IP}:80", "target": f"{POD_A}:61000", "flags": SYN_ACK}


# ---- steps


def test_a_packet_on_one_node_comes_in_and_is_sent() -> None:
    found = packet(
        heard(FORTH, **A_TO_B, came_by=A),
        end("policy/forward", **A_TO_B, came_by=A, by=B),
        end(SENT, **A_TO_B, came_by=A, by=B),
    )
    assert (found.summary, found.reply, found.verdict, found.reason) == ("TCP SYN", False, "sent", "")
    assert kinds(found) == [("in", "veth2-a"), ("sent", "veth2-b")]
    assert found.path == ("prerouting", "policy/forward")
    assert len(found.text.splitlines()) == 3


def test_a_service_and_a_tunnel_are_told_by_addresses_and_links() -> None:
    found = packet(
        heard(FORTH, **A_TO_SERVICE, came_by=A),
        heard("service/inside4-2", **A_TO_SERVICE, came_by=A, verdict="accept"),
        end("policy/forward", **A_TO_C, came_by=A, by=VXLAN),
        end(SENT, **A_TO_C, came_by=A, by=VXLAN),
    )
    assert found.steps[1] == Step(
        "service", "service/inside4-2", source=f"{POD_A}:61000", target=f"{CLUSTER_IP}:80", translated=f"{POD_C}:8080"
    )
    assert kinds(found) == [
        ("in", "veth2-a"),
        ("service",),
        ("tunnel-out", "vxlanBVI", "192.168.30.2"),
        ("sent", "vxlanBVI"),
    ]


def test_a_reply_by_a_tunnel_gets_the_address_of_the_service_back() -> None:
    frame = bytes.fromhex("122b00000001122b000000020800")
    found = packet(
        heard(BACK, **C_TO_A, came_by=VXLAN, link=frame),
        end("policy/forward", **C_TO_A, came_by=VXLAN, by=A),
        end(SENT, **SERVICE_TO_A, came_by=VXLAN, by=A),
    )
    assert (found.summary, found.reply) == ("TCP SYN ACK", True)
    assert kinds(found) == [("tunnel-in", "vxlanBVI", "192.168.30.2"), ("service",), ("sent", "veth2-a")]
    assert found.steps[1] == Step(
        "service", TRACKING, source=f"{POD_C}:8080", target=f"{POD_A}:61000", translated=f"{CLUSTER_IP}:80"
    )


def test_a_hidden_source_is_told_both_ways() -> None:
    there, hidden = {"source": f"{POD_A}:61000", "target": f"{OUTSIDE}:80"}, f"{NODE}:40000"
    out = packet(
        heard(FORTH, **there, came_by=A),
        heard("service/postrouting", **there, came_by=A, by=ETH0, verdict="accept"),
        end(SENT, source=hidden, target=f"{OUTSIDE}:80", came_by=A, by=ETH0),
    )
    assert out.steps[1] == Step(
        "source", "service/postrouting", source=f"{POD_A}:61000", target=f"{OUTSIDE}:80", translated=hidden
    )
    assert kinds(out)[2:] == [("out", "eth0", "192.168.16.254"), ("sent", "eth0")]
    back = packet(
        heard(BACK, source=f"{OUTSIDE}:80", target=hidden, came_by=ETH0),
        end("policy/forward", source=f"{OUTSIDE}:80", target=f"{POD_A}:61000", came_by=ETH0, by=A),
        end(SENT, source=f"{OUTSIDE}:80", target=f"{POD_A}:61000", came_by=ETH0, by=A),
    )
    assert back.steps[1] == Step("source", TRACKING, source=f"{OUTSIDE}:80", target=hidden, translated=f"{POD_A}:61000")


def test_a_policy_that_denies_ends_a_packet_and_one_that_allows_does_not() -> None:
    found = packet(
        heard(FORTH, **A_TO_B, came_by=A),
        heard("policy/forward", **A_TO_B, came_by=A, by=B, verdict="jump"),
        heard(FROM, verdict="return", handle=3),
        heard("policy/to/4567/0", verdict="goto"),
        heard(TO, verdict="drop"),
    )
    ends = {"source": f"{POD_A}:61000", "target": f"{POD_B}:80"}
    assert found.steps[1:] == (
        Step("policy", FROM, rule=f"{FROM}: rule with handle 3", way="egress", **ends),
        Step("policy", TO, rule=f"{TO}: drop", allowed=False, way="ingress", **ends),
        Step("drop", TO, reason="a network policy denies it"),
    )
    assert (found.verdict, found.reason) == ("dropped", "a network policy denies it")


def test_a_reply_is_judged_by_what_it_answers() -> None:
    mark = heard(BACK, **C_TO_A, came_by=VXLAN)
    forward = heard("policy/forward", **C_TO_A, came_by=VXLAN, by=A, verdict="jump")
    opened = {"source": f"{POD_A}:61000", "target": f"{POD_C}:8080", "way": "ingress"}
    [_, denied, _] = packet(mark, forward, heard(TO, verdict="drop")).steps
    assert denied == Step("policy", TO, rule=f"{TO}: drop", allowed=False, **opened)
    [_, allowed] = packet(mark, forward, heard(TO, verdict="return")).steps
    assert allowed == Step("policy", TO, **opened), "of a connection that is known nothing more is said"


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("service/refuse", "refused, for it has no endpoints"),
        ("service/guard4", "dropped, for this source may not connect to it"),
        ("service/prerouting", "dropped, for no endpoint of it is on this node"),
    ],
)
def test_a_service_that_lets_nothing_pass_says_why(chain: str, reason: str) -> None:
    found = packet(heard(FORTH, **A_TO_SERVICE, came_by=A), heard(chain, verdict="drop"))
    ends = {"source": f"{POD_A}:61000", "target": f"{CLUSTER_IP}:80"}
    assert found.steps[1:] == (Step("service", chain, reason=reason, **ends), Step("drop", chain, reason=reason))
    assert (found.verdict, found.reason) == ("dropped", reason)


def test_a_drop_by_somebody_else_has_its_table_and_the_rule() -> None:
    foreign = {"family": "ip", "table": "filter"}
    mark = heard(FORTH, **A_TO_B, came_by=A)
    rule = packet(mark, replace(heard("FORWARD", verdict="drop", handle=7), **foreign))
    assert rule.steps[-1] == Step("drop", "ip filter FORWARD", reason="tcp dport 80 drop")
    policy = packet(mark, replace(heard("FORWARD", kind="policy", handle=0, verdict="drop"), **foreign))
    assert policy.reason == "the policy of the chain"


def test_what_a_node_itself_takes_and_makes_is_told() -> None:
    taken = packet(heard(FORTH, **A_TO_B, came_by=A), end(TAKEN, **A_TO_B, came_by=A))
    assert (taken.verdict, kinds(taken)) == ("local", [("in", "veth2-a"), ("local",)])
    reset = {"source": f"{CLUSTER_IP}:80", "target": f"{POD_A}:61000", "flags": RST}
    made = packet(heard(BACK, **reset, by=A), end(SENT, **reset, by=A))
    assert (made.summary, kinds(made)) == ("TCP RST", [("made",), ("sent", "veth2-a")])


def test_what_was_not_heard_of_again_is_unfinished_with_where_it_was_and_why_it_may_be() -> None:
    nowhere = {"source": f"{POD_A}:61000", "target": "198.51.100.9:80"}
    lost = packet(heard(FORTH, **nowhere, came_by=A), end("service/prerouting", **nowhere, came_by=A))
    assert lost.verdict == "unfinished"
    assert lost.reason == (
        "it was last seen in service/prerouting, where it came in: there is no route to 198.51.100.9"
    )
    mark = heard(FORTH, **A_TO_B, came_by=A)
    assert packet(mark).reason.endswith(
        "last seen in prerouting, where it came in: the kernel dropped it without a word"
    )
    on_its_way = packet(mark, end("policy/forward", **A_TO_B, came_by=A, by=B), missed=True)
    assert on_its_way.reason == (
        "it was last seen in policy/forward, on its way to veth2-b; the kernel told more than was read in time"
    )


def test_headers_that_are_cut_off_are_no_packet() -> None:
    assert told([replace(heard(FORTH, **A_TO_B), network=b"\x45")], AROUND) is None


# ---- headers


def test_a_key_stays_the_same_on_the_way_and_is_that_of_vpp() -> None:
    before, after = parse(ip4(POD_A, CLUSTER_IP), tcp(61000, 80)), parse(ip4(NODE, POD_C, ttl=61), tcp(40000, 8080))
    assert before is not None and after is not None
    assert before.key == after.key == "TCP 5753 d3a7037a 0 2 fd5c", "as in traces/tcp_across_node1.txt"
    other = parse(ip4(POD_A, CLUSTER_IP), tcp(61000, 80, SYN_ACK))
    assert other is not None and other.key != before.key


@pytest.mark.parametrize(
    ("network", "transport", "summary", "target"),
    [
        (ip4(POD_A, POD_B, 17), struct.pack(">HHHH", 5, 53, 20, 7), "UDP", "10.1.1.3:53"),
        (ip4(POD_A, POD_B, 1), struct.pack(">BBHHH", 8, 0, 7, 1, 1), "ICMP echo_request", "10.1.1.3"),
        (ip6("fd00::1", "fd00::2", 58), struct.pack(">BBHHH", 129, 0, 7, 1, 1), "ICMP6 echo_reply", "fd00::2"),
        (ip6("fd00::1", "fd00::2", 58), struct.pack(">BBHI", 2, 0, 7, 1400), "ICMP6 packet_too_big", "fd00::2"),
        (ip6("fd00::1", "fd00::2", 6), tcp(1, 2, 0x14), "TCP RST ACK", "[fd00::2]:2"),
    ],
)
def test_a_header_says_what_a_packet_is(network: bytes, transport: bytes, summary: str, target: str) -> None:
    header = parse(network, transport)
    assert header is not None
    assert (header.summary, header.target) == (summary, target)


# ---- messages


def test_packets_with_the_same_number_are_told_apart_and_those_of_others_are_not_kept() -> None:
    sightings = Sightings()
    other = replace(heard("policy/forward", **A_TO_B), id=2)
    first = [heard(FORTH, **A_TO_B), heard(FORTH), end(SENT, **A_TO_B)]
    second = [heard(FORTH, **A_TO_B), heard(TO, verdict="drop")]
    late = [end(SENT, **A_TO_B), heard("policy/forward", **A_TO_B)]
    for message in (other, *first, late[1], *second, *late, heard(FORTH, **A_TO_B)):
        sightings.take(message)
    assert sightings.packets == [first, second, [heard(FORTH, **A_TO_B)]]


def test_a_limited_number_of_packets_and_messages_is_kept() -> None:
    sightings = Sightings()
    for number in range(LIMIT + 10):
        sightings.take(replace(heard(FORTH, **A_TO_B), id=number))
    for _ in range(MOST_MESSAGES * 2):
        sightings.take(replace(heard("policy/forward"), id=0))
    assert len(sightings.packets) == LIMIT
    assert max(map(len, sightings.packets)) == MOST_MESSAGES


# Of a kernel 6.18: a jump in the hook "forward", with headers, and a rule in the chain to which it leads.
RECORDED = (
    "e4000000110a000000000000000000000100000008000f000000000208000400000000030800060059c3b6f109000200666f"
    "72770000000006000100780000000c000300000000000000000b1400050008000100fffffffd060002007000000008000a00"
    "0000000206000b000001000008000c000000000306000d0000010000180008004500003cb88e40003f066c180a0901020a09"
    "020218000900e2220050831d162c00000000a002faf0174400001200070092d958f0a8bdb6bfe37d3a530800000008001500"
    "00000008050013000000000008001200057e1f3d080014000000012054000000110a00000000000000000000010000000800"
    "0f000000000208000400000000030800060059c3b6f1060002007000000006000100780000000c000300000000000000000d"
    "0c00050008000100fffffffb"
)


def test_the_messages_of_a_kernel_are_understood() -> None:
    jump, rule = read(bytes.fromhex(RECORDED), 7.0)
    assert (jump.kind, jump.place, jump.verdict, jump.target, jump.time) == ("rule", "inet x forw", "jump", "p", 7.0)
    assert (jump.id, jump.came_by, jump.goes_by, len(jump.link)) == (rule.id, 2, 3, 14)
    header = parse(jump.network, jump.transport)
    assert header is not None
    assert (header.sender.split(":")[0], header.target, header.summary) == ("10.9.1.2", "10.9.2.2:80", "TCP SYN")
    assert (rule.place, rule.verdict, rule.network, rule.came_by) == ("inet x p", "return", b"", 0)
    assert rule.handle > 0


# ---- the texts of rules

LISTING = """\
table inet firewall { # handle 3
\tset ports { # handle 4
\t\ttype inet_service
\t}

\tchain wall { # handle 1
\t\ttype filter hook forward priority 10; policy accept;
\t\tip saddr { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3 } drop # handle 5
\t\ttcp dport 80 log prefix "type" drop comment "why # not" # handle 6
\t}
}
table ip6 filter { # handle 4
\tchain wall { # handle 1
\t\tdrop # handle 5
\t}
}
"""


def test_rules_are_found_by_table_chain_and_handle() -> None:
    assert dict(rule_texts.parse(LISTING)) == {
        ("inet", "firewall", "wall", 5): "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } drop",
        ("inet", "firewall", "wall", 6): 'tcp dport 80 log prefix "type" drop',
        ("ip6", "filter", "wall", 5): "drop",
    }


# ---- the filter


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_flow_is_marked_by_its_addresses_and_ports_both_ways(protocol: Any) -> None:
    flow = Flow(protocol, POD_A, POD_B, 61000, 80)
    text = commands([flow, replace_destination(flow, POD_C, 8080)])
    there = f"{POD_A} . {POD_B} . 61000 . 80, {POD_A} . {POD_C} . 61000 . 8080"
    back = f"{POD_B} . {POD_A} . 80 . 61000, {POD_C} . {POD_A} . 8080 . 61000"
    first = f"ip saddr . ip daddr . {protocol} sport . {protocol} dport"
    assert f"{first} {{ {there} }} goto {FORTH}" in text
    assert f"{first} {{ {back} }} goto {BACK}" in text
    assert text.startswith(f"add table inet {TABLE} {{ flags owner; }}\n"), "it goes with who made it"
    assert text.count("meta nftrace set 1") == text.count("limit rate") == 2


def test_echoes_are_marked_by_their_identifier() -> None:
    text = commands([Flow("icmp", "fd00::1", "fd00::2", 77)])
    assert "ip6 saddr . ip6 daddr . icmpv6 id { fd00::1 . fd00::2 . 77 } goto forth" in text
    assert "ip6 saddr . ip6 daddr . icmpv6 id { fd00::2 . fd00::1 . 77 } goto back" in text


def replace_destination(flow: Flow, destination: str, port: int) -> Flow:
    return Flow(flow.protocol, flow.source, destination, flow.source_port, port)
