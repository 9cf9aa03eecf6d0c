"""The trace of one flow: which frames VPP is told to take, and what is understood of what it prints of them.

The files in `traces` are what a VPP 26.10 printed: two nodes, table 1 for pods, af-packet interfaces.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import struct
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.tracing.filter import MOST_VECTORS, VECTOR, tables
from contivpp.dataplane.vpp.tracing.text import NO_ROUTE, Names, packets
from contivpp.model.trace import Flow, TracedPacket, parts_of

TRACES = Path(__file__).parent / "traces"
NODE1 = Names(
    numbers={1: "eth1", 3: "vxlanBVI", 5: "vxlan-default-2", 6: "afpacket-a", 7: "afpacket-b"},
    hardware={1: "host-eth1", 6: "host-200000000000000", 7: "host-300000000000000"},
    own={
        "host-eth1": "eth1",
        "vxlan_tunnel0": "vxlan-default-2",
        "host-200000000000000": "afpacket-a",
        "host-300000000000000": "afpacket-b",
    },
    tables={(4, 0): "mainVRF", (4, 1): "podVRF"},
)
NODE2 = Names(
    numbers={1: "eth1", 4: "vxlanBVI", 3: "vxlan-default-1", 6: "afpacket-c"},
    hardware={1: "host-eth1", 6: "host-400000000000000"},
    own={"host-eth1": "eth1", "vxlan_tunnel0": "vxlan-default-1", "host-400000000000000": "afpacket-c"},
    tables={(4, 0): "mainVRF", (4, 1): "podVRF", (6, 0): "mainVRF6", (6, 1): "podVRF6"},
)


def tcp(destination: str, port: int, source: str = "10.1.1.2") -> Flow:
    return Flow("tcp", source, destination, port, 80)


def traced(name: str, flow: Flow, names: Names = NODE1) -> list[TracedPacket]:
    return packets((TRACES / f"{name}.txt").read_text(), [flow], names)


def told(packet: TracedPacket) -> list[tuple[str, ...]]:
    return [
        tuple(text for text in (step.kind, step.interface, step.next_hop, step.table) if text) for step in packet.steps
    ]


ACROSS = tcp("10.1.2.2", 61101)


def test_a_packet_into_a_tunnel_meets_both_tables_worth_of_steps() -> None:
    request, reply = traced("tcp_across_node1", ACROSS)
    assert (request.summary, request.reply, request.verdict) == ("TCP SYN", False, "sent")
    assert told(request) == [
        ("in", "afpacket-a"),
        ("lookup", "podVRF"),
        ("out", "vxlanBVI", "192.168.30.2"),
        ("tunnel-out", "vxlan-default-2"),
        ("out", "eth1", "192.168.16.2"),
        ("sent", "eth1"),
    ]
    assert (reply.summary, reply.reply, reply.verdict) == ("TCP RST ACK", True, "sent")
    assert told(reply) == [
        ("in", "eth1"),
        ("lookup", "mainVRF"),
        ("tunnel-in", "vxlan-default-2"),
        ("lookup", "podVRF"),
        ("out", "afpacket-a", "10.1.1.2"),
        ("sent", "afpacket-a"),
    ]


def test_a_packet_has_the_same_key_on_both_nodes_and_another_one_than_every_other() -> None:
    here, there = traced("tcp_across_node1", ACROSS), traced("tcp_across_node2", ACROSS, NODE2)
    assert [packet.key for packet in here] == [packet.key for packet in there]
    assert len({packet.key for packet in here}) == 2
    assert [packet.steps[-1].interface for packet in there] == ["afpacket-c", "eth1"]


def test_packets_of_another_flow_are_left_out() -> None:
    assert traced("tcp_across_node1", tcp("10.1.2.3", 61101)) == []
    assert packets("", [ACROSS], NODE1) == []
    assert packets("------ Start of thread 0 ------\nNo packets in trace buffer\n", [ACROSS], NODE1) == []


@pytest.mark.parametrize(
    ("name", "flow", "place", "reason"),
    [
        ("no_route", tcp("10.1.9.77", 61103), "ip4-lookup", NO_ROUTE),
        (
            "no_neighbour",
            tcp("10.1.1.77", 61104),
            "ip4-glean",
            "ARP requests sent (nobody has answered to ARP for the address yet)",
        ),
        ("acl_deny", tcp("10.1.1.3", 61105), "acl-plugin-out-ip4-fa", "ACL deny packets"),
    ],
)
def test_a_drop_has_its_place_and_its_reason(name: str, flow: Flow, place: str, reason: str) -> None:
    [packet] = traced(name, flow)
    assert (packet.verdict, packet.reason) == ("dropped", reason)
    assert packet.steps[-1].kind == "drop"
    assert packet.steps[-1].at == place


def test_what_an_access_list_let_pass_is_no_reason_for_a_drop_that_follows() -> None:
    said = (TRACES / "no_route.txt").read_text()
    text = re.sub(r"(?m)^  \S+: no error", "  acl-plugin-in-ip4-fa: new sessions added", said)
    assert text != said
    [packet] = packets(text, [tcp("10.1.9.77", 61103)], NODE1)
    assert (packet.reason, packet.steps[-1].at) == (NO_ROUTE, "ip4-lookup")


def test_an_access_list_says_which_rule_it_was() -> None:
    [packet] = traced("acl_deny", tcp("10.1.1.3", 61105))
    [step] = [step for step in packet.steps if step.kind == "policy"]
    assert (step.rule, step.interface, step.allowed) == ("acl 0 rule 0: deny", "afpacket-b", False)
    assert (step.source, step.target) == ("10.1.1.2:61105", "10.1.1.3:80")


SERVED = Names(
    numbers={3: "afpacket-a", 4: "afpacket-b"},
    hardware={3: "host-pod1", 4: "host-pod2"},
    own={"host-pod1": "afpacket-a", "host-pod2": "afpacket-b"},
    tables={(4, 1): "podVRF"},
)


def changes(packet: TracedPacket) -> list[tuple[str, ...]]:
    """What was changed of a packet, and what access lists saw of it."""
    return [
        (step.kind, step.at, step.source, step.target, step.translated)
        for step in packet.steps
        if step.kind in ("service", "source", "policy")
    ]


def test_a_packet_to_a_service_and_its_reply_show_what_was_changed_and_where() -> None:
    client, frontend, backend = "10.1.1.2:36320", "10.96.0.1:80", "10.1.1.3:8080"
    flows = [Flow("tcp", "10.1.1.2", "10.96.0.1", 36320, 80), Flow("tcp", "10.1.1.2", "10.1.1.3", 36320, 8080)]
    request, reply = packets((TRACES / "service.txt").read_text(), flows, SERVED)
    assert (request.summary, request.reply, reply.summary, reply.reply) == ("TCP SYN", False, "TCP SYN ACK", True)
    assert changes(request) == [
        ("service", "cnat-input-ip4", client, frontend, backend),
        ("policy", "acl-plugin-in-ip4-fa", client, backend, ""),
        ("policy", "acl-plugin-out-ip4-fa", client, backend, ""),
    ]
    assert changes(reply) == [
        ("policy", "acl-plugin-in-ip4-fa", backend, client, ""),
        ("policy", "acl-plugin-out-ip4-fa", backend, client, ""),
        ("service", "cnat-output-ip4", backend, client, frontend),
    ]
    rules = [step.rule for packet in (request, reply) for step in packet.steps if step.kind == "policy"]
    assert rules == ["acl 0 rule 0: permit", "acl 0 rule 0: permit", "", ""], (
        "replies are of a connection that is known"
    )


def test_a_service_over_ipv6_shows_the_same() -> None:
    client, frontend, backend = "[fd00:1:1::2]:49302", "[fd00:96::1]:80", "[fd00:1:1::3]:8080"
    flows = [Flow("tcp", parts_of(client)[0], parts_of(one)[0], 49302, parts_of(one)[1]) for one in (frontend, backend)]
    request, reply = packets((TRACES / "service_ipv6.txt").read_text(), flows, SERVED)
    assert changes(request)[:2] == [
        ("service", "cnat-input-ip6", client, frontend, backend),
        ("policy", "acl-plugin-in-ip6-fa", client, backend, ""),
    ]
    assert changes(reply)[-1] == ("service", "cnat-output-ip6", backend, client, frontend)


def test_a_pod_that_reaches_itself_through_a_service_has_its_address_hidden() -> None:
    pod, frontend, backend, hidden = "10.1.1.2:51358", "10.96.0.1:81", "10.1.1.2:8080", "192.168.16.1:49152"
    flows = [Flow("tcp", "10.1.1.2", "10.96.0.1", 51358, 81), Flow("tcp", "192.168.16.1", "10.1.1.2", 49152, 8080)]
    request, reply = packets((TRACES / "service_hairpin.txt").read_text(), flows, SERVED)
    assert [one for one in changes(request) if one[0] != "policy"] == [
        ("service", "cnat-input-ip4", pod, frontend, backend),
        ("source", "cnat-output-ip4", pod, backend, hidden),
    ]
    assert [one for one in changes(reply) if one[0] != "policy"] == [
        ("source", "cnat-input-ip4", backend, hidden, pod),
        ("service", "cnat-output-ip4", backend, pod, frontend),
    ]


def test_cnat_says_nothing_of_a_packet_that_it_leaves_alone() -> None:
    flows = [Flow("tcp", "10.1.1.2", "10.96.0.1", 36320, 80)]
    text = re.sub(r"^ +\[.*\n", "", (TRACES / "service.txt").read_text(), flags=re.MULTILINE)
    request, _ = packets(text, flows, SERVED)
    assert [one[0] for one in changes(request)] == ["policy", "policy"]


def test_a_packet_out_of_a_tunnel_over_ipv6_for_a_pod_whose_interface_is_down_is_dropped_on_the_second_look() -> None:
    flow = Flow("tcp", "fd00:10:1:1::2", "fd00:10:1:2::2", 61105, 80)
    [packet] = traced("ipv6_pod_down", flow, NODE2)
    assert (packet.verdict, packet.reason) == ("dropped", NO_ROUTE)
    assert told(packet)[:-1] == [
        ("in", "eth1"),
        ("lookup", "mainVRF6"),
        ("tunnel-in", "vxlan-default-1"),
        ("lookup", "podVRF6"),
    ]


def test_what_vpp_answers_itself_is_taken_and_sent() -> None:
    [packet] = traced("vpp_itself", Flow("icmp", "10.1.1.2", "10.1.1.1", 4712))
    assert [step.kind for step in packet.steps] == ["in", "lookup", "local", "out", "sent"]
    assert packet.summary == "ICMP echo_request"


def test_numbers_that_are_not_known_stay_numbers_and_unknown_nodes_are_no_steps() -> None:
    text = (TRACES / "no_route.txt").read_text().replace(": ip4-input", ": some-new-node")
    [packet] = packets(text, [tcp("10.1.9.77", 61103)], Names())
    assert told(packet)[:2] == [("in", "device 6"), ("lookup", "with index 1")]
    assert "some-new-node" in packet.path


@pytest.mark.parametrize(
    ("node", "first"),
    [
        ("tap-input", "virtio: hw_if_index 6 next-index 4 vring 0 len 74"),
        ("dpdk-input", "host-200000000000000 rx queue 0"),
        ("host-200000000000000-rx", "avf: something else"),
    ],
)
def test_the_interface_that_a_packet_came_by_is_known_for_every_kind(node: str, first: str) -> None:
    said = "af_packet: hw_if_index 6 rx-queue 0 next-index 4"
    text = (TRACES / "no_route.txt").read_text().replace("af-packet-input", node).replace(said, first)
    [packet] = packets(text, [tcp("10.1.9.77", 61103)], NODE1)
    assert packet.steps[0].interface == "afpacket-a"


def test_a_trace_that_ends_in_the_middle_is_unfinished() -> None:
    text = (TRACES / "no_route.txt").read_text().partition("ip4-drop")[0].rpartition("\n")[0]
    [packet] = packets(text, [tcp("10.1.9.77", 61103)], NODE1)
    assert packet.verdict == "unfinished"


# ---- the filter


def frame(flow: Flow, *, back: bool = False) -> bytes:
    """A frame of a flow, or of its answer."""
    ends = [ipaddress.ip_address(flow.source).packed, ipaddress.ip_address(flow.destination).packed]
    ports = [flow.source_port, flow.destination_port]
    if back:
        ends.reverse(), ports.reverse()
    if flow.protocol == "icmp":
        kind = {4: (8, 0), 6: (128, 129)}[flow.version][back]
        transport = struct.pack(">BBHHH", kind, 0, 0xABCD, flow.source_port, 7)
    else:
        transport = struct.pack(">HH", *ports) + bytes(16)
    number = {"tcp": 6, "udp": 17, "icmp": 1 if flow.version == 4 else 58}[flow.protocol]
    return ethernet(flow.version, packet(flow.version, number, ends, transport))


def packet(version: int, protocol: int, ends: list[bytes], payload: bytes) -> bytes:
    if version == 4:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 99, 0, 64, protocol, 0) + b"".join(ends) + payload
    return struct.pack(">IHBB", 6 << 28 | 5, len(payload), protocol, 63) + b"".join(ends) + payload


def ethernet(version: int, content: bytes) -> bytes:
    return bytes.fromhex("02fe000000010200fe000002") + (b"\x08\x00" if version == 4 else b"\x86\xdd") + content


def in_tunnel(inner: bytes, version: int) -> bytes:
    outside = struct.pack(">HHHH", 50000, 4789, len(inner) + 16, 0) + bytes([8, 0, 0, 0, 0, 0, 10, 0])
    ends = [bytes([1]) * (4 if version == 4 else 16), bytes([2]) * (4 if version == 4 else 16)]
    return ethernet(version, packet(version, 17, ends, outside + inner))


def taken(flow: Flow, data: bytes, *others: Flow) -> bool:
    """Whether VPP would take a frame, by the way in which it compares."""
    data = data.ljust(256, b"\0")
    for table in tables([flow, *others]):
        start = table.skip * VECTOR
        seen = bytes(a & b for a, b in zip(data[start:], table.mask, strict=False))
        for match in table.matches:
            if seen == bytes(a & b for a, b in zip(match[start:], table.mask, strict=True)):
                return True
    return False


FLOWS = [
    Flow("tcp", "10.1.1.2", "10.1.2.2", 61000, 80),
    Flow("udp", "10.1.1.2", "10.1.2.2", 61000, 53),
    Flow("icmp", "10.1.1.2", "10.1.2.2", 4711),
    Flow("tcp", "fd00:1::2", "fd00:2::2", 61000, 80),
    Flow("icmp", "fd00:1::2", "fd00:2::2", 4711),
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.protocol}{flow.version}")
def test_a_flow_is_taken_both_ways_plain_and_in_tunnels_of_both_versions(flow: Flow) -> None:
    for back in (False, True):
        plain = frame(flow, back=back)
        assert taken(flow, plain)
        assert taken(flow, in_tunnel(plain, 4))
        assert taken(flow, in_tunnel(plain, 6))


def test_what_a_service_may_make_of_a_flow_is_taken_as_well() -> None:
    flow = Flow("tcp", "10.1.1.2", "10.96.0.1", 61000, 80)
    others = [Flow("tcp", "10.1.1.2", f"10.1.{number}.2", 61000, 8080) for number in range(1, 40)]
    for one, back in itertools.product((flow, *others), (False, True)):
        plain = frame(one, back=back)
        assert taken(flow, plain, *others)
        assert taken(flow, in_tunnel(plain, 4), *others)
        assert one is flow or not taken(flow, plain)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.protocol}{flow.version}")
def test_no_other_flow_is_taken(flow: Flow) -> None:
    others = [
        Flow(flow.protocol, flow.source, flow.destination, flow.source_port + 1, flow.destination_port),
        Flow(flow.protocol, flow.source, flow.destination[:-1] + "3", flow.source_port, flow.destination_port),
        Flow(flow.protocol, flow.source[:-1] + "3", flow.destination, flow.source_port, flow.destination_port),
        Flow("udp" if flow.protocol != "udp" else "tcp", flow.source, flow.destination, flow.source_port, 80),
    ]
    if flow.protocol != "icmp":
        others.append(Flow(flow.protocol, flow.source, flow.destination, flow.source_port, flow.destination_port + 1))
    for other, back in itertools.product(others, (False, True)):
        for data in (plain := frame(other, back=back), in_tunnel(plain, 4), in_tunnel(plain, 6)):
            assert not taken(flow, data), other


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.protocol}{flow.version}")
def test_a_filter_is_as_vpp_takes_it(flow: Flow) -> None:
    for table in tables([flow]):
        vectors, rest = divmod(len(table.mask), VECTOR)
        assert rest == 0
        assert 1 <= vectors <= MOST_VECTORS
        assert {len(match) for match in table.matches} == {(table.skip + vectors) * VECTOR}


@pytest.mark.parametrize(
    "flow",
    [
        Flow("tcp", "10.1.1.2", "fd00::1", 61000, 80),
        Flow("tcp", "10.1.1.2", "10.1.2.2", 61000, 0),
        Flow("udp", "10.1.1.2", "10.1.2.2", 0, 53),
        Flow("tcp", "10.1.1.2", "10.1.2.2", 70000, 80),
        Flow("tcp", "web-1", "10.1.2.2", 61000, 80),
    ],
)
def test_a_flow_that_cannot_be_is_refused(flow: Flow) -> None:
    with pytest.raises(ValueError, match=r"port|versions|address"):
        flow.check()
