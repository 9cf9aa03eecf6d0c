"""What may be asked of VPP from outside: access lists, translations, source NAT and segment routing."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.dataplane.vpp.checks import checked
from contivpp.dataplane.vpp.values.acl import Acl, AclList, AclRule
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.srv6 import LocalSegment, SegmentList, SrPolicy, SrSource, Steering
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation

ANY = "0.0.0.0/0"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Acl("a|b"), "field name"),
        (Acl("a", (AclRule("deny", ANY, ANY, 6, (9, 8)),)), r"field rules\[0\].source_ports: 8 is not between 9 and"),
        (Acl("a", (AclRule("deny", ANY, ANY, 256),)), r"field rules\[0\].protocol"),
        (Acl("a", (AclRule("deny", ANY, "nowhere"),)), r"field rules\[0\].destination"),
        (AclList("pod"), "field inbound: 0 is not between 1 and 255"),
        (Translation("tcp", "10.96.0.1", 0, (Backend("10.1.1.2", 80),)), "field port"),
        (Translation("tcp", "10.96.0.1", 80, (Backend("10.1.1.2", 0),)), "field backends"),
        (Translation("tcp", "somewhere", 80, (Backend("10.1.1.2", 80),)), "field address"),
        (TranslatedInterface(""), "field interface"),
        (SourceNat("loop", "fd00::1"), "field ipv4"),
        (SparedSubnet("10.1.1.1/99"), "field subnet"),
        (SourceNatInterface("x y", "pod"), "field interface"),
        (LocalSegment("10.1.1.1", "End"), "field segment"),
        (SrPolicy("fd00::1", (SegmentList(("10.1.1.1",)),), "fd00::2"), "field lists"),
        (Steering("fd00::1", "10.1.1.1/8x"), "field subnet"),
        (SrSource("10.1.1.1"), "field address"),
        (VppRoute("10.96.0.0/12", via="10.1.1.1", kind="unreachable"), "of kind unreachable leads nowhere"),
    ],
)
def test_what_vpp_would_not_take_is_refused_by_field(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        checked(value)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (
            Acl("a", (AclRule("reflect", "FD00::/16", "::/0", 6),)),
            Acl("a", (AclRule("reflect", "fd00::/16", "::/0", 6),)),
        ),
        (AclList("pod", ("a",), ("b",)), AclList("pod", ("a",), ("b",))),
        (
            Translation("udp", "FD00::1", 53, (Backend("FD00::2", 53),)),
            Translation("udp", "fd00::1", 53, (Backend("fd00::2", 53),)),
        ),
        (SourceNat("loop", "10.1.1.1", "FD00::1"), SourceNat("loop", "10.1.1.1", "fd00::1")),
        (
            LocalSegment("FD00::1", "End.DX4", "nic", "10.1.1.1"),
            LocalSegment("fd00::1", "End.DX4", "nic", "10.1.1.1"),
        ),
        (
            SrPolicy("FD00::1", (SegmentList(("FD00::3",)),), "FD00::2"),
            SrPolicy("fd00::1", (SegmentList(("fd00::3",)),), "fd00::2"),
        ),
        (Steering("FD00::1", interface="nic"), Steering("fd00::1", interface="nic")),
        (VppRoute("10.96.0.0/12", kind="unreachable"), VppRoute("10.96.0.0/12", kind="unreachable")),
    ],
)
def test_what_vpp_takes_is_as_it_gives_it_back(asked: Any, given: Any) -> None:
    assert checked(asked) == given
