"""Segment routing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from contivpp.dataplane import fields
from contivpp.dataplane.vpp.checks.names import logical_name, table
from contivpp.dataplane.vpp.values.srv6 import LocalSegment, SegmentList, SrPolicy, SrSource, Steering


def _local_segment(value: LocalSegment) -> LocalSegment:
    table("vrf", value.vrf)
    table("lookup_vrf", value.lookup_vrf)
    if value.interface:
        logical_name("interface", value.interface)
    return dataclasses.replace(
        value,
        segment=fields.address("segment", value.segment, 6),
        next_hop=fields.address("next_hop", value.next_hop) if value.next_hop else "",
    )


def _list(value: SegmentList) -> SegmentList:
    fields.within("lists", value.weight, 1, fields.UINT32)
    return dataclasses.replace(value, segments=tuple(fields.address("lists", one, 6) for one in value.segments))


def _policy(value: SrPolicy) -> SrPolicy:
    table("vrf", value.vrf)
    return dataclasses.replace(
        value,
        binding=fields.address("binding", value.binding, 6),
        lists=tuple(map(_list, value.lists)),
        source=fields.address("source", value.source, 6) if value.source else "",
    )


def _steering(value: Steering) -> Steering:
    table("vrf", value.vrf)
    if value.interface:
        logical_name("interface", value.interface)
    return dataclasses.replace(
        value,
        binding=fields.address("binding", value.binding, 6),
        subnet=fields.subnet("subnet", value.subnet) if value.subnet else "",
    )


def _source(value: SrSource) -> SrSource:
    return SrSource(fields.address("address", value.address, 6))


CHECKS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    LocalSegment: _local_segment,
    SrPolicy: _policy,
    Steering: _steering,
    SrSource: _source,
}
"""What makes a value of each type as VPP gives it back."""
