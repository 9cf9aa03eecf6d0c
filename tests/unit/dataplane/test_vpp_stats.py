"""Counters of VPP's interfaces as they are told, without a VPP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp import stats
from contivpp.dataplane.vpp.stats import VppStats

BY_KIND = ("/if/rx-unicast", "/if/rx-multicast", "/if/rx-broadcast")
NONE = [(0, 0)] * 6


class _Segment:
    """Counters by name and number."""

    def __init__(self, counters: Mapping[str, list[tuple[int, int]]]) -> None:
        self._counters = counters

    def read(self, reading: Any) -> Any:
        return reading(self)

    def combined(self, name: str) -> list[tuple[int, int]]:
        return self._counters.get(name, NONE)

    def simple(self, name: str) -> list[int]:
        return [0] * len(NONE)


async def told(
    monkeypatch: pytest.MonkeyPatch, counters: Mapping[str, list[tuple[int, int]]], devices: Mapping[int, int]
) -> dict[str, tuple[int, int]]:
    names = {1: "eth1", 3: "tunnel", 5: "pod"}
    monkeypatch.setattr(stats.Segment, "open", lambda path: _Segment(counters))
    told = VppStats(Path("stats"), names=lambda: names, version=lambda: "26.10", devices=lambda: devices)
    told._segment = stats.Segment.open(Path("stats"))
    return {one.name: (one.receive_packets, one.receive_bytes) for one in told.interface_counters()}


async def test_what_af_packet_receives_is_that_of_its_interface_whatever_number_the_device_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pipe has two interfaces without a device: from then on the numbers of interfaces and devices differ."""
    counters = {
        "/if/rx": [(0, 0), (10, 1000), (0, 0), (7 + 22, 700 + 2200), (0, 0), (0, 0)],
        "/if/rx-unicast": [(0, 0), (8, 800), (0, 0), (0, 0), (0, 0), (20, 2000)],
        "/if/rx-broadcast": [(0, 0), (2, 200), (0, 0), (0, 0), (0, 0), (2, 200)],
    }
    found = await told(monkeypatch, counters, {1: 1, 5: 3})
    assert found == {"eth1": (10, 1000), "tunnel": (7, 700), "pod": (22, 2200)}


async def test_what_other_drivers_receive_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    counters = {"/if/rx": [(0, 0), (10, 1000), (0, 0), (7, 700), (0, 0), (22, 2200)]}
    assert await told(monkeypatch, counters, {}) == {"eth1": (10, 1000), "tunnel": (7, 700), "pod": (22, 2200)}
