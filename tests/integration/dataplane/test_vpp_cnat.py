"""Translations and source NAT in a real VPP."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.interfaces import Loopback
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.laws import assert_lives, assert_refused, commit
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]

BACKENDS = (Backend("10.1.1.2", 8080), Backend("10.1.1.3", 8080), Backend("10.1.2.2", 8080))
WEB = Translation("tcp", "10.96.0.1", 80, BACKENDS)
DNS = Translation("udp", "10.96.0.10", 53, BACKENDS[:1], affinity=True)
DNS_TCP = Translation("tcp", "10.96.0.10", 53, (Backend("10.1.1.9", 53, rewrite=False),), balancing="hash")
SIX = Translation("sctp", "fd00:96::1", 7, (Backend("fd00:1::2", 7), Backend("fd00:1::3", 7)), affinity=True)
TRANSLATIONS = [WEB, DNS, DNS_TCP, SIX]
POD, NIC = Loopback("pod", "02:fe:00:00:00:01"), Loopback("nic", "02:fe:00:00:00:02")
IDLE = Loopback("gateway", "02:fe:00:00:00:03")
SOURCE_NAT: list[Any] = [
    POD,
    NIC,
    IDLE,
    SourceNat("gateway", "192.168.16.1", "fd00:16::1"),
    SparedSubnet("10.1.0.0/16"),
    SparedSubnet("10.96.0.0/12"),
    SparedSubnet("192.168.16.2/32"),
    SparedSubnet("fd00:1::/48"),
    SourceNatInterface("pod", "inside4"),
    SourceNatInterface("pod", "inside6"),
    SourceNatInterface("pod", "pod"),
    SourceNatInterface("nic", "host"),
]


async def test_translations_live_as_all_values_do(plane: VppDataplane) -> None:
    changes = [
        dataclasses.replace(WEB, backends=BACKENDS[1:]),
        dataclasses.replace(WEB, backends=tuple(reversed(BACKENDS))),
        dataclasses.replace(WEB, affinity=True),
        dataclasses.replace(WEB, balancing="hash"),
        dataclasses.replace(DNS, affinity=False),
    ]
    await assert_lives(plane, TRANSLATIONS, changes)


async def test_interfaces_are_told_to_translate_once_and_only_ours_are_seen(plane: VppDataplane, vpp: RealVpp) -> None:
    vpp.cli("create loopback interface")
    vpp.cli("set cnat feature loop0 enable")
    values = [POD, NIC, TranslatedInterface("pod"), TranslatedInterface("nic", passing=True)]
    await assert_lives(plane, values, [TranslatedInterface("nic"), TranslatedInterface("pod", passing=True)])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Translation("tcp", "10.96.0.2", 80, ()), "to nowhere"),
        (Translation("tcp", "10.96.0.2", 80, (BACKENDS[0], BACKENDS[0])), "is there twice"),
        (Translation("tcp", "10.96.0.2", 80, (Backend("fd00:1::2", 80),)), "are of different IP versions"),
        (Translation("tcp", "10.96.0.2", 80, (Backend("10.1.1.2", 0),)), "has no port 0"),
        (Translation("tcp", "10.96.0.2", 70000, BACKENDS), "10.96.0.2 has no port 70000"),
    ],
)
async def test_a_wrong_translation_is_named_and_hurts_no_other(
    plane: VppDataplane, wrong: Translation, why: str
) -> None:
    await assert_refused(plane, TRANSLATIONS, wrong, why)


async def test_a_service_that_loses_its_backends_is_taken_away(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    await commit(scheduler, keyed(TRANSLATIONS))
    await commit(scheduler, {WEB.key: None})
    await commit(scheduler, {WEB.key: None})
    assert await found(plane) == keyed([DNS, DNS_TCP, SIX])


async def test_ten_thousand_translations_are_one_pipeline_and_a_change_of_one_touches_only_that(
    plane: VppDataplane, vpp: RealVpp
) -> None:
    services = [
        Translation(
            "tcp",
            f"10.{96 + at // 65536}.{at // 256 % 256}.{at % 256}",
            80,
            tuple(Backend(f"10.1.{node}.{at % 250 + 2}", 8080) for node in range(1, 4)),
        )
        for at in range(10_000)
    ]
    scheduler = Scheduler(plane.descriptors())
    started = time.monotonic()
    await commit(scheduler, keyed(services))
    assert time.monotonic() - started < 30
    changed = dataclasses.replace(services[77], backends=services[77].backends[1:])
    result = await scheduler.commit({changed.key: changed})
    assert (dict(result.errors), result.executed) == ({}, 1)
    assert await found(plane) == keyed(services) | {changed.key: changed}


# ---- source NAT


async def test_source_nat_lives_as_all_values_do(plane: VppDataplane) -> None:
    changes = [SourceNat("gateway", "192.168.16.9", "fd00:16::1"), SourceNat("gateway", "192.168.16.9")]
    await assert_lives(plane, SOURCE_NAT, changes)


async def test_spared_subnets_outlive_the_last_pod(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    wanted = keyed(SOURCE_NAT)
    await commit(scheduler, wanted)
    pods = [key for key in wanted if key.startswith(SourceNatInterface.prefix + "pod/")]
    await commit(scheduler, dict.fromkeys(pods))
    assert await found(plane) == {key: value for key, value in wanted.items() if key not in pods}
    await commit(scheduler, wanted)
    assert await found(plane) == wanted
    spared = SparedSubnet("10.96.0.0/12").key
    await commit(scheduler, {spared: None})
    assert await found(plane) == {key: value for key, value in wanted.items() if key != spared}


async def test_a_wrong_source_is_named_and_hurts_nothing_else(plane: VppDataplane) -> None:
    await assert_refused(plane, [*SOURCE_NAT, WEB], SparedSubnet("10.1.1.1/16"), "has host bits set")


async def test_source_nat_needs_an_address(plane: VppDataplane) -> None:
    await assert_refused(plane, [WEB, IDLE], SourceNat("gateway"), "the new source of connections is missing")


# ---- a VPP without the plugin


async def test_a_vpp_without_cnat_is_refused_by_name(tmp_path: Path, netns: str) -> None:
    made = RealVpp(tmp_path / "vpp", netns=netns, without=("cnat",))
    made.start()
    plane = VppDataplane(made.socket, timeout=2)
    running = asyncio.create_task(plane.run())
    try:
        async with asyncio.timeout(20):
            while "lacks" not in plane.problem:
                await asyncio.sleep(0.05)
        assert "cnat_translation_update" in plane.problem
        assert not plane.ready.is_set()
    finally:
        running.cancel()
        await asyncio.wait([running])
        made.end()
