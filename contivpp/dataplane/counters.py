"""Counters of interfaces, in one form for every data plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceCounters:
    """What one interface has carried since it was made, from the data plane's side: it receives what a pod sends.

    What a data plane does not count is None.

    Attributes:
        name: the logical name.
        punts: packets that were handed to the host instead of being forwarded.
        no_buffer: packets that found no buffer.
        missed: packets that the driver lost before they were taken.
    """

    name: str
    receive_packets: int
    receive_bytes: int
    transmit_packets: int
    transmit_bytes: int
    drops: int
    receive_errors: int
    transmit_errors: int
    missed: int
    punts: int | None = None
    ip4: int | None = None
    ip6: int | None = None
    no_buffer: int | None = None
