"""Daemons die while packets flow: whoever does not carry packets is not missed, and whoever does is back soon."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from tests.conformance.places import ends
from tests.conformance.stations import Running
from tests.conformance.table import check_all_pairs
from tests.conformance.world import PORT, PROTOCOLS, ROLES, Endpoint, Role, World

pytestmark = [pytest.mark.timeout(240)]

FLOWS = ("a1 -> a2", "a1 -> b1", "b1 -> node1", "node2 -> a2", "outside -> c1", "c2 -> outside")
REFERENCE = "the outside to itself"
"""A flow that meets no network: what it is held up, the machine was busy with other things."""
HICCUP = 2.0
"""Seconds for which nothing may come; TCP makes up for a lost packet in less."""
BACK = 25.0
"""Seconds after which packets flow again when the one who carries them died: programming, and TCP's patience."""


def start_streams(world: World, version: int) -> dict[str, Running]:
    """A transfer in both directions for each of the flows; all of them carry something already."""
    loopback = "127.0.0.1" if version == 4 else "::1"
    running = {REFERENCE: world.outside.station.start("stream", address=loopback, port=PORT, rate=1_000_000)}
    for flow in FLOWS:
        source, target = ends(world, flow)
        running[flow] = source.station.start("stream", address=target.address(version), port=PORT, rate=1_000_000)
    for one in running.values():
        one.begin()
    return running


def check_streams(running: Mapping[str, Running], longest: float) -> None:
    """Ends the transfers.

    Raises:
        AssertionError: bytes were lost or changed, or a gap was longer than so many seconds and the reference's.
    """
    answers = {flow: one.stop(60) for flow, one in running.items()}
    patience = longest + answers[REFERENCE]["gap"]
    wrong = [
        f"{flow}: {answer}"
        for flow, answer in answers.items()
        if answer["error"] or not answer["same"] or answer["bytes"] < 100_000 or answer["gap"] > patience
    ]
    assert not wrong, "\n".join([f"more than {patience:.2f} s, or worse", *wrong])


@pytest.mark.representative
@pytest.mark.parametrize("role", [role for role in ROLES if role != "forwarder"])
def test_a_transfer_does_not_notice_that_a_daemon_dies_and_comes_back(world: World, version: int, role: Role) -> None:
    if role not in world.roles:
        pytest.skip(f"there is no {role} here")
    places = world.nodes if role == "agent" else ("",)
    streams = start_streams(world, version)
    for node in places:
        world.kill(role, node)
    time.sleep(1)
    for node in places:
        world.start(role, node)
    world.wait_until_ready()
    fresh = world.make_pod("fresh", world.nodes[1])
    check_all_pairs(world, version, PROTOCOLS)
    world.delete_pod(fresh)
    check_streams(streams, HICCUP)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "forwarder"])
def test_a_transfer_does_not_notice_that_a_daemon_hangs(world: World, version: int, role: Role) -> None:
    if role not in world.roles:
        pytest.skip(f"there is no {role} here")
    node = world.nodes[0] if role == "agent" else ""
    streams = start_streams(world, version)
    world.freeze(role, node)
    time.sleep(3)
    world.thaw(role, node)
    world.wait_until_ready()
    check_streams(streams, HICCUP)


def test_a_transfer_goes_on_after_the_one_who_carries_the_packets_died(world: World, version: int) -> None:
    if "forwarder" not in world.roles:
        pytest.skip("the kernel carries the packets")
    for node in world.nodes[:2]:
        streams = start_streams(world, version)
        world.kill("forwarder", node)
        time.sleep(0.5)
        world.start("forwarder", node)
        world.wait_until_ready()
        time.sleep(2)
        check_streams(streams, BACK)
    check_all_pairs(world, version, PROTOCOLS)


def test_a_transfer_goes_on_after_the_one_who_carries_the_packets_hung(world: World, version: int) -> None:
    if "forwarder" not in world.roles:
        pytest.skip("the kernel carries the packets")
    streams = start_streams(world, version)
    world.freeze("forwarder", world.nodes[0])
    time.sleep(3)
    world.thaw("forwarder", world.nodes[0])
    world.wait_until_ready()
    check_streams(streams, BACK)
    check_all_pairs(world, version, PROTOCOLS)


def test_a_silent_connection_lives_across_an_agents_restart(
    world: World, pods: Mapping[str, Endpoint], version: int
) -> None:
    held = {
        target.name: pods["a1"].station.start("hold", address=target.address(version), port=PORT)
        for target in (pods["a2"], pods["b1"], world.hosts[world.nodes[1]], world.outside)
    }
    for one in held.values():
        one.begin()
    for node in world.nodes:
        world.kill("agent", node)
        world.start("agent", node)
    world.wait_until_ready()
    assert {name: one.stop()["error"] for name, one in held.items()} == dict.fromkeys(held, "")
