"""Pods come and go: nobody else notices, and who comes is reached at once, whoever had the address before."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest

from tests.conformance.table import check_all_pairs, wrong
from tests.conformance.world import PORT, PROTOCOLS, Endpoint, Probe, World

pytestmark = [pytest.mark.timeout(240)]

EVERY = 0.01
SILENCE = 2.0
ROUNDS = 4
MOST_ADDRESSES = 30


@pytest.mark.representative
def test_pods_that_come_and_go_disturb_nobody(
    world: World, pods: Mapping[str, Endpoint], version: int, dice: random.Random
) -> None:
    pairs = [("a1", "a2"), ("b1", "a1"), ("c1", "b2")]
    pulses = [
        pods[one].station.start("pulse", address=pods[other].address(version), port=PORT, every=EVERY)
        for one, other in pairs
    ]
    # What a flow through no network is held up, the machine was busy with other things.
    reference = pods["a1"].station.start("pulse", address="127.0.0.1", port=PORT, every=EVERY)
    stream = pods["c2"].station.start("stream", address=pods["a2"].address(version), port=PORT, rate=1_000_000)
    alive: list[Endpoint] = []
    for number in range(ROUNDS):
        alive += world.make_pods(*((f"guest-{number}-{place}", node) for place, node in enumerate(world.nodes)))
        dice.shuffle(alive)
        while len(alive) > 3:
            world.delete_pod(alive.pop())
    check_all_pairs(world, version, PROTOCOLS)
    found = [pulse.stop() for pulse in pulses]
    carried = stream.stop(60)
    longest = SILENCE + reference.stop()["silence"]
    assert [(one["answered"], one["errors"]) for one in found] == [(one["sent"], {}) for one in found]
    assert [one for one in found if one["silence"] > longest or one["sent"] < 100] == []
    assert (carried["error"], carried["same"], carried["gap"] < longest) == ("", True, True), carried


def test_a_new_pod_is_reached_from_everywhere_at_once(world: World, version: int) -> None:
    for number, node in enumerate(world.nodes):
        pod = world.make_pod(f"new-{number}", node)
        others = [one for one in world.everybody() if one is not pod]
        probes = [Probe(one, pod.address(version), protocol=protocol) for one in others for protocol in PROTOCOLS]
        results = world.probe(probes, timeout=0.9)
        assert [one for one in results if wrong(one, pod)] == []


@pytest.mark.parametrize("place", [0, 1])
def test_an_address_that_is_used_again_leads_to_the_new_pod_at_once(
    world: World, pods: Mapping[str, Endpoint], needs: Callable[[str], None], version: int, place: int
) -> None:
    needs("reuse")
    node = world.nodes[place]
    others = [one for one in world.everybody() if one.kind != "outside"]
    first = world.make_pod("first", node)
    address = first.address(version)
    # Everybody has talked to the first one, so that whoever remembers something remembers it now.
    assert all(one.reached for one in world.probe([Probe(one, address) for one in others]))
    held = pods["c1"].station.start("hold", address=address, port=PORT).begin()
    world.delete_pod(first, abruptly=True)
    for number in range(MOST_ADDRESSES):
        pod = world.make_pod(f"next-{number}", node)
        if pod.address(version) == address:
            break
        world.delete_pod(pod)
    else:
        raise AssertionError(f"{address} was not used again in {MOST_ADDRESSES} pods")
    probes = [Probe(one, address, protocol=protocol) for one in others for protocol in PROTOCOLS]
    results = world.probe(probes, timeout=0.9)
    assert [one for one in results if wrong(one, pod)] == []
    # The old one said nothing when it went; the new one knows nothing of the connection, and says so.
    assert held.stop()["error"] == "reset"


def test_a_pod_of_the_same_name_is_reached_where_it_is_now(world: World, version: int) -> None:
    for node in (*world.nodes, world.nodes[0]):
        pod = world.make_pod("wanderer", node)
        others = [one for one in world.everybody() if one is not pod]
        results = world.probe([Probe(one, pod.address(version)) for one in others], timeout=0.9)
        assert [one for one in results if wrong(one, pod)] == []
        world.delete_pod(pod)
        results = world.probe([Probe(others[0], pod.address(version), protocol="ICMP")], timeout=0.3)
        assert not results[0].reached
