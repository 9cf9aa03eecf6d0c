"""contiv-stn as a process, with a NIC that is a veth pair and a driver layer that is pretended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stn.world import ADDRESS, GATEWAY, World, world_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture(params=["device", "link"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, request.param) as made:
        yield made


async def test_a_stolen_nic_is_vpps_and_comes_back_exactly_as_it_was(world: World) -> None:
    before = world.settled_picture()
    state = await world.stolen()
    assert not world.nic_is_here()
    assert world.is_deaf() is (world.mode == "link")
    assert state.pci == ("0000:00:03.0" if world.mode == "device" else "")
    assert state.kernel_driver == ("e1000e" if world.mode == "device" else "")
    assert f"{ADDRESS}/24" in state.addresses
    assert ("", GATEWAY) in [(hop.to, hop.via) for hop in state.routes]
    assert state.probed == f"icmp {GATEWAY}"
    await world.client.release("eth0", timeout=30)
    assert world.settled_picture() == before
    assert not world.is_deaf()
    assert (await world.state()).phase == ""
    assert world.pings()
