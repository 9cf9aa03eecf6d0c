"""Nodes go and come back: without links, without anything, and under other addresses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest

from tests.conformance.places import PODS
from tests.conformance.table import all_pairs, check_all_pairs, wrong
from tests.conformance.world import PORT, PROTOCOLS, Endpoint, World

pytestmark = [pytest.mark.timeout(240)]


def test_a_node_without_links_is_missing_and_all_others_are_not(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    gone = world.nodes[1]
    undisturbed = pods["a1"].station.start("pulse", address=pods["c1"].address(version), port=PORT, every=0.02)
    held = pods["a1"].station.start("stream", address=pods["b1"].address(version), port=PORT, rate=200_000).begin()
    world.cut_off(gone)
    try:
        asked = all_pairs(world, version, ("UDP",))
        results = world.probe([probe for probe, _ in asked], timeout=1.0)
        # Pods of that node and its host still reach each other, and nobody else.
        unexpected = [
            result
            for result, (probe, target) in zip(results, asked, strict=True)
            if (wrong(result, target) == "") != ((probe.source.node == gone) == (target.node == gone))
        ]
        assert unexpected == []
    finally:
        world.join(gone)
    world.until(lambda: all(one.reached for one in world.probe([probe for probe, _ in asked])), "all is as before")
    check_all_pairs(world, version, PROTOCOLS)
    found = undisturbed.stop()
    assert (found["answered"], found["errors"]) == (found["sent"], {})
    answer = held.stop(60)
    assert (answer["error"], answer["same"]) == ("", True), answer


@pytest.mark.representative
@pytest.mark.parametrize("with_state", [True, False], ids=["with its disk", "installed anew"])
def test_a_node_that_leaves_and_returns_with_another_address_has_its_pods_reached_again(
    world: World, pods: Mapping[str, Endpoint], needs: Callable[[str], None], with_state: bool
) -> None:
    needs("new-address")
    node = world.nodes[2]
    versions = world.families
    undisturbed = pods["a1"].station.start("pulse", address=pods["b1"].address(versions[0]), port=PORT, every=0.02)
    old = world.leave(node)
    for version in versions:
        world.until(lambda version=version: nobody_is_missed(world, version), "the others reach each other", 20)
    world.come_back(node, with_state=with_state)
    world.make_pods(*((name, world.nodes[place]) for name, place in PODS.items() if world.nodes[place] == node))
    for version in versions:
        world.until(lambda version=version: nobody_is_missed(world, version), "everybody reaches its pods", 20)
        check_all_pairs(world, version, PROTOCOLS)
    with world.witness(old) as seen:
        for version in versions:
            check_all_pairs(world, version, PROTOCOLS)
        time.sleep(0.5)
    assert seen["frames"] == 0, f"somebody still sends to {old}: {seen}"
    found = undisturbed.stop()
    assert (found["answered"], found["errors"]) == (found["sent"], {})


def nobody_is_missed(world: World, version: int) -> bool:
    """Whether everybody who is there reaches everybody."""
    asked = all_pairs(world, version, ("ICMP",))
    return all(one.reached for one in world.probe([probe for probe, _ in asked], timeout=1.0))


def test_a_witness_sees_what_is_sent_to_an_address(world: World, needs: Callable[[str], None]) -> None:
    needs("witness")
    host = world.hosts[world.nodes[0]]
    for version in world.families:
        stranger = world.unused_neighbour(version)
        with world.witness(stranger) as seen:
            assert host.station.ask("ping", address=stranger)["answer"] == "reply"
        assert seen["frames"] >= 1
