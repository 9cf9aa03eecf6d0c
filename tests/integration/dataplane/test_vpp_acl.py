"""Access lists in a real VPP, and which interface they filter."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule
from contivpp.dataplane.vpp.values.interfaces import Loopback
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.dataplane.laws import assert_lives, assert_refused, commit
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]

ANY4, ANY6 = "0.0.0.0/0", "::/0"
TCP, ICMP, ICMP6, SCTP = 6, 1, 58, 132
WEB = Acl(
    "pod-web-in",
    (
        AclRule("reflect", "10.1.0.0/16", "10.1.1.2/32", TCP, destination_ports=(80, 81)),
        AclRule("permit", "10.1.1.1/32", ANY4, ICMP, (8, 8), (0, 0)),
        AclRule("deny", ANY4, "10.1.1.2/32", TCP, tcp_flags=(18, 2)),
        AclRule("reflect", "fd00:1::/64", ANY6, SCTP, (1024, 65535), (7, 7)),
        AclRule("permit", ANY6, ANY6, ICMP6, (128, 255), (0, 255)),
    ),
)
NONE = Acl("deny-all", (AclRule("deny", ANY4, ANY4), AclRule("deny", ANY6, ANY6)))
EMPTY = Acl("empty")
POD = Loopback("pod", "02:fe:00:00:00:01")
LISTS = AclList("pod", ("pod-web-in", "deny-all"), ("deny-all", "empty", "pod-web-in"))
VALUES: list[Any] = [WEB, NONE, EMPTY, POD, LISTS]


async def test_lists_live_as_all_values_do(plane: VppDataplane) -> None:
    changes = [
        dataclasses.replace(WEB, rules=WEB.rules[1:]),
        dataclasses.replace(EMPTY, rules=NONE.rules),
        AclList("pod", ("deny-all",)),
        AclList("pod", (), ("pod-web-in", "deny-all")),
    ]
    await assert_lives(plane, VALUES, changes)


async def test_a_rule_that_vpp_refuses_is_said_by_its_name_and_hurts_no_other_list(plane: VppDataplane) -> None:
    wrong = Acl("wrong", (AclRule("permit", ANY4, ANY4, TCP, destination_ports=(90, 80)),))
    await assert_refused(plane, VALUES, wrong, "acl_add_replace: INVALID_VALUE_2")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Acl("mixed", (AclRule("permit", ANY4, ANY6),)), "rule 1 goes from 0.0.0.0/0 to ::/0"),
        (Acl("host-bits", (AclRule("permit", "10.1.1.1/16", ANY4),)), "has host bits set"),
        (Acl("n" * 60), "is longer than 56 characters"),
    ],
)
async def test_a_list_that_cannot_be_is_said_before_vpp_is_asked(plane: VppDataplane, wrong: Acl, why: str) -> None:
    await assert_refused(plane, VALUES, wrong, why)


async def test_an_interface_waits_for_its_lists(plane: VppDataplane) -> None:
    scheduler = Scheduler(plane.descriptors())
    await commit(scheduler, keyed([POD, LISTS, WEB, NONE]))
    assert scheduler.summary() == {"CONFIGURED": 3, "PENDING": 1}
    await commit(scheduler, keyed([EMPTY]))
    assert await found(plane) == keyed(VALUES)


async def test_a_list_of_somebody_else_on_our_interface_is_replaced(plane: VppDataplane, vpp: RealVpp) -> None:
    scheduler = Scheduler(plane.descriptors())
    await commit(scheduler, keyed(VALUES))
    vpp.cli("set acl-plugin acl permit tag somebody's")
    vpp.cli("set acl-plugin interface loop0 input acl 3 add")
    assert (await found(plane))[LISTS.key] == dataclasses.replace(LISTS, inbound=(*LISTS.inbound, ""))
    assert dict((await Scheduler(plane.descriptors()).resync(keyed(VALUES))).errors) == {}
    assert await found(plane) == keyed(VALUES)


async def test_ten_thousand_rules_are_one_pipeline_and_a_change_of_one_list_touches_only_that(
    plane: VppDataplane,
) -> None:
    lists = [
        Acl(
            f"pod-{pod}",
            tuple(
                AclRule("reflect", f"10.{pod}.{peer}.0/24", ANY4, TCP, destination_ports=(peer, peer))
                for peer in range(100)
            ),
        )
        for pod in range(100)
    ]
    scheduler = Scheduler(plane.descriptors())
    started = time.monotonic()
    await commit(scheduler, keyed(lists))
    assert time.monotonic() - started < 20
    changed = dataclasses.replace(lists[7], rules=lists[7].rules[:-1])
    result = await scheduler.commit({changed.key: changed})
    assert (dict(result.errors), result.executed) == ({}, 1)
    assert await found(plane) == keyed(lists) | {changed.key: changed}


async def test_one_list_may_have_ten_thousand_rules(plane: VppDataplane) -> None:
    rules = [AclRule("deny", f"10.{at >> 8}.{at & 255}.0/24", ANY4) for at in range(10_000)]
    large = Acl("large", tuple(rules))
    scheduler = Scheduler(plane.descriptors())
    await commit(scheduler, keyed([large, POD, AclList("pod", ("large",))]))
    smaller = Acl("large", tuple(rules[1:]))
    await commit(scheduler, keyed([smaller]))
    assert (await found(plane))[large.key] == smaller
