"""What VPP counts, for Prometheus: of its interfaces, what it dropped and why, its memory, buffers and threads.

The segment is opened whenever the agent has connected to a VPP, and what it says is told as long as that connection
lasts: counters of a VPP that ended stand still, and are no news. What cannot be read is left out, is said once in the
log, and `contiv_vpp_stats_readable` is 0.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contivpp.dataplane.counters import InterfaceCounters
from contivpp.dataplane.vpp.stats_segment import Segment, StatsError

log = logging.getLogger(__name__)

T = TypeVar("T")

_AGAIN: Final = 5.0
_RECEIVED: Final = "/if/rx"
_RECEIVED_BY_KIND: Final = ("/if/rx-unicast", "/if/rx-multicast", "/if/rx-broadcast")
_SENT: Final = "/if/tx"
_SIMPLE: Final = {
    "drops": "/if/drops",
    "punts": "/if/punt",
    "ip4": "/if/ip4",
    "ip6": "/if/ip6",
    "no_buffer": "/if/rx-no-buf",
    "missed": "/if/rx-miss",
    "receive_errors": "/if/rx-error",
    "transmit_errors": "/if/tx-error",
}
_ERRORS: Final = "/node/errors"
_ERROR_NAMES: Final = "/err/"
_HEAPS: Final = "/mem/"
_POOLS: Final = "/buffer-pools/"


class VppStats:
    """The statistics of one VPP; `run` is part of a root task."""

    def __init__(
        self,
        path: Path,
        *,
        names: Callable[[], Mapping[int, str]],
        version: Callable[[], str],
        devices: Callable[[], Mapping[int, int]] = dict,
    ) -> None:
        """Takes where to ask, and what is known of the VPP that is connected.

        Args:
            path: of VPP's stats socket.
            names: logical names of its interfaces by number; empty while there is no connection.
            version: of the VPP; "" while there is no connection.
            devices: of interfaces that are attached with AF_PACKET, by number: the numbers of their devices.
        """
        self._path = path
        self._names = names
        self._version = version
        self._devices = devices
        self._segment: Segment | None = None
        self._appeared = asyncio.Event()
        self._said = ""

    def appeared(self) -> None:
        """There is a new VPP: what was read so far was another one's."""
        self._close()
        self._appeared.set()

    async def run(self) -> None:
        """Opens the segment of every VPP that appears; the waiting for it is done in another thread."""
        while True:
            await self._appeared.wait()
            self._appeared.clear()
            while self._segment is None and not self._appeared.is_set():
                try:
                    segment = await asyncio.to_thread(Segment.open, self._path)
                except StatsError as error:
                    self._say(f"no statistics of VPP: {error}")
                    await asyncio.sleep(_AGAIN)
                    continue
                if self._appeared.is_set():
                    segment.close()
                else:
                    self._segment, self._said = segment, ""

    def interface_counters(self) -> list[InterfaceCounters]:
        """The counters of every interface of ours; empty when they cannot be read."""
        return self._read(lambda segment: _interfaces(segment, self._names(), self._devices())) or []

    def started(self) -> int:
        """When VPP started, in seconds since the epoch; 0 when that cannot be read."""
        return self._read(lambda segment: segment.number("/sys/boottime")) or 0

    # ---- for Prometheus

    def collect(self) -> Iterable[Metric]:
        """What there is."""
        families = _families()
        version = self._version()
        if not version:
            return families.values()
        families["info"].add_metric([version], 1)
        readable = self._read(_health) if self._segment is not None else None
        families["readable"].add_metric([], 0 if readable is None else 1)
        for name, labels, value in readable or ():
            families[name].add_metric(labels, value)
        return families.values()

    # ---- inside

    def _read(self, reading: Callable[[Segment], T]) -> T | None:
        if self._segment is None or not self._version():
            return None
        try:
            return self._segment.read(reading)
        except StatsError as error:
            self._say(f"the statistics of VPP are not understood: {error}")
            return None

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            log.warning("%s", sentence)

    def _close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()


def _families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    return {
        "info": GaugeMetricFamily("contiv_vpp_info", "The VPP that is connected: 1", labels=["version"]),
        "readable": GaugeMetricFamily(
            "contiv_vpp_stats_readable",
            "Whether the statistics of the VPP that is connected can be read (1) or not (0)",
        ),
        "started": GaugeMetricFamily("contiv_vpp_start_time_seconds", "When VPP started, in seconds since the epoch"),
        "errors": CounterMetricFamily(
            "contiv_vpp_errors",
            "Packets that a node of VPP's graph counted for a reason, drops and others; those above zero",
            labels=["graph_node", "reason"],
        ),
        "memory": GaugeMetricFamily(
            "contiv_vpp_memory_bytes", "Memory of VPP's heaps, by state (used, free, total)", labels=["heap", "state"]
        ),
        "buffers": GaugeMetricFamily(
            "contiv_vpp_buffers",
            "Packet buffers, by state (used, available, cached by threads)",
            labels=["pool", "state"],
        ),
        "vectors": GaugeMetricFamily(
            "contiv_vpp_vector_rate", "Packets per turn of a thread that had any: 256 is the most", labels=["thread"]
        ),
        "loops": GaugeMetricFamily("contiv_vpp_loops_per_second", "Turns of a thread", labels=["thread"]),
    }


Sample = tuple[str, list[str], float]


def _health(segment: Segment) -> list[Sample]:
    found: list[Sample] = []
    if started := segment.number("/sys/boottime"):
        found.append(("started", [], started))
    reasons = segment.links(_ERROR_NAMES, _ERRORS)
    for position, count in enumerate(segment.simple(_ERRORS)):
        if count and (name := reasons.get(position)):
            graph_node, _, reason = name.rpartition("/")
            found.append(("errors", [graph_node, reason], count))
    for (heap, place), state in sorted(_links_of_heaps(segment).items()):
        found.append(("memory", [heap, state], segment.simple(_HEAPS + heap)[place]))
    for name in sorted(segment.names(_POOLS)):
        pool, _, state = name.removeprefix(_POOLS).rpartition("/")
        found.append(("buffers", [pool, state], segment.number(name) or 0))
    threads = (segment.number("/sys/num_worker_threads") or 0) + 1  # VPP's vectors are longer
    for family, name in (("vectors", "/sys/vector_rate_per_worker"), ("loops", "/sys/loops_per_worker")):
        found += [(family, [str(thread)], value) for thread, value in enumerate(segment.simple(name)[:threads])]
    return found


def _links_of_heaps(segment: Segment) -> dict[tuple[str, int], str]:
    """What the counters of the heaps are, by heap and position."""
    heaps = [name.removeprefix(_HEAPS) for name in segment.names(_HEAPS) if name.count("/") == 2]
    return {
        (heap, position): state
        for heap in heaps
        for position, state in segment.links(f"{_HEAPS}{heap}/", _HEAPS + heap).items()
    }


def _interfaces(segment: Segment, names: Mapping[int, str], devices: Mapping[int, int]) -> list[InterfaceCounters]:
    received, sent = _received(segment, devices), segment.combined(_SENT)
    simple = {field: segment.simple(name) for field, name in _SIMPLE.items()}
    return [
        InterfaceCounters(
            name=name,
            receive_packets=received[number][0],
            receive_bytes=received[number][1],
            transmit_packets=sent[number][0],
            transmit_bytes=sent[number][1],
            **{field: counters[number] if number < len(counters) else 0 for field, counters in simple.items()},
        )
        for number, name in sorted(names.items())
        if number < len(received) and number < len(sent)
    ]


def _received(segment: Segment, devices: Mapping[int, int]) -> list[tuple[int, int]]:
    """What every interface received, in packets and bytes.

    AF_PACKET counts what it receives under the number of its device, and there may be another interface of that number
    that counts there, too. What its interfaces really received is counted once more, by kinds of receivers.
    """
    found = list(segment.combined(_RECEIVED))
    kinds = [segment.combined(name) for name in _RECEIVED_BY_KIND] if devices else []
    real = {
        number: (sum(one[number][0] for one in kinds), sum(one[number][1] for one in kinds))
        for number in devices
        if all(number < len(one) for one in kinds)
    }
    for number, (packets, size) in real.items():
        device = devices[number]
        if device < len(found):
            found[device] = max(found[device][0] - packets, 0), max(found[device][1] - size, 0)
    for number, counted in real.items():
        if number < len(found):
            found[number] = counted
    return found


class VppMetrics(Collector):
    """Those of the VPP that this process drives, once there is one; registered when this module is imported."""

    def __init__(self) -> None:
        """Starts with none."""
        self.stats: VppStats | None = None

    def describe(self) -> Iterable[Metric]:
        """What there may be."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """What there is."""
        return _families().values() if self.stats is None else self.stats.collect()


VPP_METRICS: Final = VppMetrics()
REGISTRY.register(VPP_METRICS)
