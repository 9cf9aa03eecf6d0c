"""Segment routing in a real VPP."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import Table
from contivpp.dataplane.vpp.values.interfaces import Loopback
from contivpp.dataplane.vpp.values.srv6 import LocalSegment, SegmentList, SrPolicy, SrSource, Steering
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.laws import assert_lives, assert_refused, commit
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]

TABLES = [Table(7, 4, "pods"), Table(7, 6, "pods")]
NIC = Loopback("nic", "02:fe:00:00:00:01")
SOURCE = "2001:db8:1::1"
SEGMENTS: list[Any] = [
    *TABLES,
    NIC,
    LocalSegment("2001:db8::1", "End", pop=True),
    LocalSegment("2001:db8::2", "End.X", "nic", "2001:db8:9::1"),
    LocalSegment("2001:db8::3", "End.T", lookup_vrf=7),
    LocalSegment("2001:db8::4", "End.DX2", "nic"),
    LocalSegment("2001:db8::5", "End.DX4", "nic", "10.9.0.2"),
    LocalSegment("2001:db8::6", "End.DX6", "nic", "2001:db8:9::1"),
    LocalSegment("2001:db8::7", "End.DT4", lookup_vrf=7),
    LocalSegment("2001:db8::8", "End.DT6", lookup_vrf=7),
    LocalSegment("2001:db8::9", "End.DT4"),
    LocalSegment("2001:db8::a", "End.DT6", lookup_vrf=7, vrf=7),
]
ONE = SegmentList(("2001:db8:2::1", "2001:db8:3::1"))
TWO = SegmentList(("2001:db8:4::1",), 3)
THREE = SegmentList(("2001:db8:5::1",), 2)
POLICY = SrPolicy("2001:db8:b::1", (ONE, TWO), SOURCE)
POLICIES: list[Any] = [
    *TABLES,
    POLICY,
    SrPolicy("2001:db8:b::2", (SegmentList(tuple(f"2001:db8:2::{at:x}" for at in range(1, 17))),), SOURCE),
    SrPolicy("2001:db8:b::3", (ONE, TWO, THREE), SOURCE, spray=True, vrf=7),
    SrPolicy("2001:db8:b::4", (ONE,), encapsulate=False),
]
STEERING: list[Any] = [
    *POLICIES,
    NIC,
    Steering(POLICY.binding, "10.1.2.0/24", 7),
    Steering(POLICY.binding, "0.0.0.0/0"),
    Steering(POLICY.binding, "2001:db8:8::/48"),
    Steering(POLICY.binding, "::/0", 7),
    Steering(POLICY.binding, interface="nic"),
]


async def test_segments_live_as_all_values_do(plane: VppDataplane) -> None:
    changes = [
        LocalSegment("2001:db8::1", "End.DT6", lookup_vrf=7),
        LocalSegment("2001:db8::7", "End.DT4"),
        LocalSegment("2001:db8::5", "End.DX4", "nic", "10.9.0.3"),
    ]
    await assert_lives(plane, SEGMENTS, changes)


async def test_policies_live_as_all_values_do(plane: VppDataplane) -> None:
    changes = [
        dataclasses.replace(POLICY, lists=(THREE, TWO)),
        dataclasses.replace(POLICY, lists=(dataclasses.replace(TWO, weight=9),)),
        dataclasses.replace(POLICY, source="2001:db8:1::2"),
        dataclasses.replace(POLICY, source="", encapsulate=False),
    ]
    await assert_lives(plane, POLICIES, changes)


async def test_steering_lives_as_all_values_do(plane: VppDataplane) -> None:
    await assert_lives(plane, STEERING, [Steering("2001:db8:b::2", "10.1.2.0/24", 7)])


async def test_a_policy_in_use_may_change_in_every_way(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    wanted = keyed(STEERING)
    await commit(scheduler, wanted)
    for change in (dataclasses.replace(POLICY, lists=(THREE,)), dataclasses.replace(POLICY, source="2001:db8:1::3")):
        await commit(scheduler, {change.key: change})
        assert await found(plane) == wanted | {change.key: change}


async def test_the_source_lives_as_all_values_do(plane: VppDataplane) -> None:
    await assert_lives(plane, [SrSource("2001:db8:1::1")], [SrSource("2001:db8:1::2")])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (LocalSegment("2001:db8::f", "End.DX4", "nic"), "needs an IPv4 next hop"),
        (LocalSegment("10.1.1.1", "End"), "10.1.1.1"),
        (SrPolicy("2001:db8:b::f", (), SOURCE), "has no segment list"),
        (SrPolicy("2001:db8:b::f", (ONE,)), "needs a source if it encapsulates"),
        (SrPolicy("2001:db8:b::f", (SegmentList(("2001:db8::1",) * 17),), SOURCE), "more than 16"),
        (Steering(POLICY.binding), "either a subnet or an interface"),
        (Steering("2001:db8:b::4", "10.9.0.0/16"), "sr_steering_add_del: NO_SUCH_LABEL"),
    ],
)
async def test_what_cannot_be_is_named_and_hurts_nothing_else(plane: VppDataplane, wrong: Any, why: str) -> None:
    await assert_refused(plane, STEERING, wrong, why)


async def test_a_segment_that_has_a_route_already_is_refused_by_vpp(plane: VppDataplane, vpp: RealVpp) -> None:
    vpp.cli("ip route add 2001:db8::f/128 via drop")
    await assert_refused(plane, STEERING, LocalSegment("2001:db8::f", "End"), "sr_localsid_add_del: NO_SUCH_INNER_FIB")
