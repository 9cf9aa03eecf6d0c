"""Who reaches whom, as whom, over how many hops, and what happens to packets for nobody."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping

import pytest

from tests.conformance.places import PAIRINGS, ends
from tests.conformance.table import check_all_pairs
from tests.conformance.world import PROTOCOLS, Endpoint, Probe, World

pytestmark = [pytest.mark.representative, pytest.mark.timeout(240)]

MOST_HOPS = 5
CLOSED = 7099
AT_ONCE = 0.5


def test_everybody_reaches_everybody_by_tcp_udp_and_icmp(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    assert len(pods) == 6
    check_all_pairs(world, version, PROTOCOLS)


def test_sctp_passes_between_pods(world: World, pods: Mapping[str, Endpoint], version: int) -> None:
    probes = [
        Probe(source, target.address(version), protocol="SCTP")
        for source in pods.values()
        for target in pods.values()
        if source is not target
    ]
    results = world.probe(probes)
    assert [one for one in results if not one.reached or one.seen_source != one.probe.source.address(version)] == []
    closed = world.probe([Probe(pods["a1"], pods["b1"].address(version), CLOSED, "SCTP")])
    assert [one.error for one in closed] == ["refused"]


def test_the_address_of_the_one_who_asks_is_kept(world: World, version: int) -> None:
    results = check_all_pairs(world, version, ("TCP", "UDP"))
    beyond = world.outside.address(version)
    wrong = []
    for source in world.everybody():
        for leaves in (False, True):
            found = [one for one in results if one.probe.source is source and (one.probe.target == beyond) == leaves]
            seen = sorted({one.seen_source for one in found})
            if leaves and source.kind == "pod" and world.masquerades:
                right = set(seen) <= set(world.node_addresses(source.node))
            else:  # a host has several addresses, and any of them is its own
                right = seen in ([], [source.address(version)]) or (
                    source.kind == "host" and all(source.station.ask("owns", addresses=seen))
                )
            if not right:
                wrong.append(f"{source} was seen as {', '.join(seen)}")
    assert not wrong


def test_packets_take_few_hops(world: World, version: int) -> None:
    results = check_all_pairs(world, version, ("UDP",))
    far = [f"{one.probe.source} -> {one.answered_by}: {one.hops}" for one in results if one.hops > MOST_HOPS]
    assert not far
    assert any(one.hops for one in results), "nobody counted hops"


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_route_that_is_traced_has_no_loop(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    address = target.address(version)
    answers = [source.station.ask("ping", address=address, ttl=ttl) for ttl in range(1, MOST_HOPS + 1)]
    assert answers[-1]["answer"] == "reply", answers
    way = [one["by"] for one in answers if one["answer"] == "exceeded"]
    assert len(way) == len(set(way)), f"somebody is passed twice: {way}"
    first = next(number for number, one in enumerate(answers) if one["answer"] == "reply")
    assert all(one["answer"] == "reply" for one in answers[first:]), answers


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_closed_port_refuses_at_once(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    address = target.address(version)
    for result in world.probe([Probe(source, address, CLOSED, protocol) for protocol in ("TCP", "UDP")]):
        assert (result.error, result.latency < AT_ONCE) == ("refused", True), result


def test_packets_for_nobody_end_at_once(world: World, pods: Mapping[str, Endpoint], version: int) -> None:
    found = []
    for source in (pods["a1"], world.hosts[world.nodes[0]], world.outside):
        for what, address in world.unused_addresses(version).items():
            cookie = uuid.uuid4().hex
            unseen = contextlib.nullcontext({"frames": 0})  # a loop's end shows all the same: "exceeded"
            with unseen if "wire" in world.lacks else world.wire(cookie) as seen:
                answer = source.station.ask("ping", address=address, cookie=cookie, timeout=0.4)
                time.sleep(0.05)
            # From the outside over the router and one tunnel; a loop would show 60 times or so.
            if answer["answer"] in ("reply", "exceeded") or seen["frames"] > 3:
                found.append(f"{source} -> {what} ({address}): {answer}, {seen['frames']} frames between nodes")
    assert not found


def test_nobody_asks_the_other_nodes_who_has_a_pods_address(
    world: World, pods: Mapping[str, Endpoint], version: int, needs: Callable[[str], None]
) -> None:
    needs("wire")
    free = world.unused_addresses(version)
    addresses = [*(pod.address(version) for pod in pods.values()), *free.values()]
    with world.wire(who_has=addresses) as seen:
        check_all_pairs(world, version, ("ICMP",))
        world.probe([Probe(pods["a1"], address, protocol="ICMP") for address in free.values()], timeout=0.5)
    assert seen["frames"] == 0, seen
    # The instrument itself: whoever is on the nodes' own network has to be asked for.
    stranger = world.unused_neighbour(version)
    with world.wire(who_has=[stranger]) as seen:
        world.hosts[world.nodes[0]].station.ask("ping", address=stranger, timeout=0.5)
    assert seen["frames"] > 0
