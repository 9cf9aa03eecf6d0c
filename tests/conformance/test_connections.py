"""Connections: thousands of short ones, many at once, resets, halves, and one that is silent for long."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from tests.conformance.places import PAIRINGS, ends, is_masqueraded
from tests.conformance.world import PORT, Endpoint, Probe, World

pytestmark = [pytest.mark.timeout(180)]

SHORT = 2000
SHORT_SECONDS = 30
MOST_LATE = 2
"""Of the short ones; a kernel that is busy with other things drops a packet now and then (/proc/net/softnet_stat)."""
AT_ONCE = 0.5


@pytest.mark.representative
@pytest.mark.parametrize("pairing", ["a1 -> a2", "a1 -> b1", "node1 -> b1", "outside -> a1"])
def test_none_of_many_short_connections_fails(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    found = source.station.ask(
        "connections", address=target.address(version), port=PORT, count=SHORT, at_once=20, seconds=90
    )
    assert (found["good"], found["errors"]) == (SHORT, {})
    assert found["seconds"] < SHORT_SECONDS
    assert found["late"] <= MOST_LATE, found


def test_many_connections_at_once_between_everybody(world: World, version: int) -> None:
    pairs = [ends(world, pairing) for pairing in PAIRINGS]
    running = [
        source.station.start("connections", address=target.address(version), port=PORT, count=200, at_once=100)
        for source, target in pairs
    ]
    found = [one.result(60) for one in running]
    assert [(one["good"], one["errors"]) for one in found] == [(200, {})] * len(pairs)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_every_source_port_gets_its_answer(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    kept = not is_masqueraded(world, source, target)
    found = source.station.ask(
        "many-ports", address=target.address(version), port=PORT, count=500, kept=kept, seconds=60
    )
    assert (found["good"], found["errors"]) == (500, {})


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_reset_arrives_at_once_in_both_directions(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    address = target.address(version)
    answer = source.station.ask("be-reset", address=address, port=PORT)
    assert (answer["error"], answer["seconds"] < AT_ONCE) == ("reset", True), answer
    before = target.station.ask("endings")
    port = source.station.ask("abort", address=address, port=PORT)

    def arrived() -> bool:
        endings = target.station.ask("endings")
        if is_masqueraded(world, source, target):
            return endings != before and endings[-1][1] == "reset"
        return [port, "reset"] in endings

    world.until(arrived, "the server saw the reset", 3)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_half_closed_connection_still_brings_the_other_half(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    answer = source.station.ask("half-close", address=target.address(version), port=PORT, size=1_000_000)
    assert answer == {"same": True, "error": ""}


def test_a_connection_to_a_pod_that_is_gone_does_not_open(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    gone = world.make_pod("gone", world.nodes[1])
    address = gone.address(version)
    [first] = world.probe([Probe(pods["a1"], address)], timeout=0.9)
    assert first.reached, first
    held = pods["a1"].station.start("hold", address=address, port=PORT).begin()
    world.delete_pod(gone)
    assert held.stop()["error"] in ("closed", "reset", "timeout", "unreachable")
    found = pods["a1"].station.ask("probes", questions=[[address, PORT, "TCP"]], timeout=1)
    assert not found[0]["reached"]


def test_random_transfers_between_random_pairs(world: World, version: int, dice: random.Random) -> None:
    everybody = world.everybody()
    running = []
    for _ in range(40):
        source, target = dice.sample(everybody, 2)
        arguments = {"size": dice.randrange(1, 400_000), "mss": dice.choice([0, 0, 300, 1000])}
        started = source.station.start("send", address=target.address(version), port=PORT, **arguments)
        running.append((str(source), str(target), arguments, started))
    wrong = []
    for source, target, arguments, one in running:
        answer = one.result(90)
        if answer["error"] or not answer["same"]:
            wrong.append((source, target, arguments, answer))
    assert not wrong
