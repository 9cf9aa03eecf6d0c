"""Packets of every size: full-size ones, those that are one byte too large, fragments, and tiny segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.places import PAIRINGS, PODS, ends, is_masqueraded
from tests.conformance.world import PORT, World

pytestmark = [pytest.mark.timeout(180)]

SIZES = (1, 1000, 1472, 1473, 4000, 8000, 20000, 60000)
LARGE_FRAMES = 9000
TUNNEL_HEADERS = 70
"""What a tunnel adds at most, in bytes: Ethernet, IPv6, UDP, VXLAN."""
SMALLEST = 1500 - TUNNEL_HEADERS
BULK = 20_000_000


@pytest.mark.representative
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_full_size_packet_passes_whole_and_one_byte_more_is_refused(world: World, version: int, pairing: str) -> None:
    source, target = ends(world, pairing)
    address = target.address(version)
    mtu: int = source.station.ask("mtu", address=address)
    if source.kind == "outside" or target.kind == "outside":
        mtu = path_mtu(source, address)  # only within the cluster everybody knows at once what fits
    assert mtu >= SMALLEST
    answer = source.station.ask("ping", address=address, size=mtu, whole=True)
    assert answer["answer"] == "reply", (mtu, answer)
    answer = source.station.ask("ping", address=address, size=mtu + 1, whole=True)
    assert "too big" in (answer["answer"], answer["error"]), (mtu, answer)


def path_mtu(source: Any, address: str) -> int:
    """What fits in whole packets, once every router on the way has said what it thinks of larger ones."""
    for _ in range(5):
        mtu: int = source.station.ask("mtu", address=address)
        answer = source.station.ask("ping", address=address, size=mtu, whole=True)
        if answer["answer"] == "reply":
            return mtu
        assert answer["answer"] == "too big", (mtu, answer)
        assert 0 < answer["mtu"] < mtu, (mtu, answer)
    raise AssertionError(f"{answer['by']} refuses {mtu} bytes again and again: {answer}")


def test_a_packet_from_outside_that_pods_could_not_send_arrives_or_is_answered_with_what_fits(
    world: World, version: int
) -> None:
    source, target = ends(world, "outside -> c1")
    address = target.address(version)
    pod_mtu = target.station.ask("mtu", address=source.address(version))
    if pod_mtu == 1500:
        pytest.skip("pods have the MTU of the outside")
    answer = source.station.ask("ping", address=address, size=1500, whole=True)
    # Whoever refuses it, the sender learns what fits: afterwards the kernel itself refuses what is larger.
    assert source.station.ask("mtu", address=address) == (1500 if answer["answer"] == "reply" else pod_mtu), answer


@pytest.mark.representative
@pytest.mark.parametrize("how", ["want", "dont"])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_datagrams_of_every_size_come_back_as_they_were(world: World, version: int, pairing: str, how: str) -> None:
    source, target = ends(world, pairing)
    address = target.address(version)
    sizes = SIZES
    leaves = is_masqueraded(world, source, target) or is_masqueraded(world, target, source)  # an answer leaves as well
    if leaves and "masqueraded-fragments" in world.lacks:
        sizes = tuple(one for one in SIZES if one <= SMALLEST - 28)
    if how == "want":
        path_mtu(source, address)
    if is_masqueraded(world, source, target):  # nobody can ask what fits behind the node's address: an answer is lost
        source.station.ask("datagrams", address=address, port=PORT, sizes=SIZES[2:3], how=how, seconds=40)
    found = source.station.ask("datagrams", address=address, port=PORT, sizes=sizes, how=how, seconds=40)
    assert {size: said for size, said in found.items() if said} == {}
    assert len(found) == len(sizes)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("mss", [0, 200])
def test_a_bulk_transfer_arrives_as_it_was_sent(world: World, version: int, pairing: str, mss: int) -> None:
    source, target = ends(world, pairing)
    size = BULK // 20 if mss else BULK
    answer = source.station.ask("send", address=target.address(version), port=PORT, size=size, mss=mss, seconds=80)
    assert (answer["error"], answer["same"]) == ("", True), answer


@pytest.fixture
def large(build: Callable[..., World], world: World, needs: Callable[[str], None]) -> Iterator[World]:
    """A cluster whose nodes are joined by links for large frames."""
    needs("large-frames")
    made = build(mtu=LARGE_FRAMES)
    try:
        made.open()
        made.make_pods(*((name, made.nodes[number]) for name, number in PODS.items()))
        yield made
    finally:
        made.close()


def test_large_frames_are_used_where_the_links_have_them(large: World) -> None:
    for version in large.families:
        for pairing in ("a1 -> a2", "a1 -> b1", "node1 -> b1", "a1 -> node2"):
            source, target = ends(large, pairing)
            address = target.address(version)
            mtu = source.station.ask("mtu", address=address)
            assert mtu >= LARGE_FRAMES - TUNNEL_HEADERS, (pairing, mtu)
            answer = source.station.ask("ping", address=address, size=mtu, whole=True)
            assert answer["answer"] == "reply", (pairing, mtu, answer)
            found = source.station.ask("datagrams", address=address, port=PORT, sizes=[1, 8000, 60000], seconds=30)
            assert set(found.values()) == {""}, (pairing, found)
            sent = source.station.ask("send", address=address, port=PORT, size=BULK, seconds=60)
            assert (sent["error"], sent["same"]) == ("", True), (pairing, sent)
