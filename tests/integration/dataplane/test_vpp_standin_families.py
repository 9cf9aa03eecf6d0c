"""Every family that a real VPP is tried with, on the stand-in as well; and TAPs, which few machines have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.tap import Tap
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.test_vpp_cnat import (  # noqa: F401
    test_source_nat_lives_as_all_values_do,
    test_translations_live_as_all_values_do,
)
from tests.integration.dataplane.test_vpp_interfaces import (  # noqa: F401 - they are collected here
    test_a_change_is_what_is_there_then_and_so_is_the_way_back,
    test_what_is_made_is_read_back_and_taken_away_twice,
    test_what_is_wrong_is_said_and_hurts_nothing_else,
)
from tests.integration.dataplane.vpp import connected, found, keyed
from tests.standin.vpp import StandIn

TAP = Tap("pod", "tap1", "02:fe:00:00:00:01", "02:fe:00:00:00:02", "/run/netns/pod", mtu=1450, host_mtu=1450)


@pytest.fixture
def links() -> None:
    """The stand-in takes every link to be there, but for some names."""


@pytest.fixture
def vpp(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "vpp")
    made.start()
    made.state.no_links.add("nothing")
    yield made
    made.close()


async def test_a_tap_is_made_read_back_and_taken_away(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    assert dict((await scheduler.commit(keyed([TAP]))).errors) == {}
    assert await found(plane) == keyed([TAP])
    assert (await Scheduler(plane.descriptors()).resync(keyed([TAP]))).executed == 0
    assert dict((await scheduler.commit({TAP.key: None})).errors) == {}
    assert await found(plane) == {}


async def test_a_machine_without_vhost_net_is_said_to_be_one(vpp: StandIn, plane: VppDataplane) -> None:
    vpp.state.vhost = False
    result = await Scheduler(plane.descriptors()).commit(keyed([TAP]))
    assert "load the kernel module vhost_net" in result.errors[TAP.key]


async def test_what_a_vpp_lacks_hurts_only_who_asks_for_it(tmp_path: Path) -> None:
    vpp = StandIn(tmp_path / "small", lacks=["tap_create_v3", "memif_dump", "l3xc_details.l3xc", "dhcp_client_dump"])
    vpp.start()
    try:
        async with connected(vpp) as plane:
            result = await Scheduler(plane.descriptors()).commit(keyed([TAP]))
            assert result.errors == {TAP.key: "pod: this VPP has no tap (message tap_create_v3): load tap_plugin.so"}
            assert await found(plane) == {}
    finally:
        vpp.close()
