"""VPP's statistics, read from a segment that is made here by the documented layout."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from contivpp.dataplane.vpp.stats import VppStats
from contivpp.dataplane.vpp.stats_segment import Segment, StatsError

BASE = 0x7F0000000000
SCALAR, SIMPLE, COMBINED, LINK, GAUGE = 1, 2, 3, 6, 9


class Writer:
    """Makes a segment; pointers are those of a process that has it at BASE."""

    def __init__(self, *, version: int = 2) -> None:
        self.memory = bytearray(40)
        self.entries: list[tuple[int, int, str]] = []
        self.version = version
        self.epoch = 1
        self.in_progress = 0

    def vector(self, content: bytes, elements: int) -> int:
        self.memory += bytes(-len(self.memory) % 8) + struct.pack("=II", elements, 0)
        pointer = BASE + len(self.memory)
        self.memory += content
        return pointer

    def counters(self, threads: Sequence[Sequence[int]], width: int = 1) -> int:
        pointers = [self.vector(struct.pack(f"={len(one)}Q", *one), len(one) // width) for one in threads]
        return self.vector(struct.pack(f"={len(pointers)}Q", *pointers), len(pointers))

    def add(self, kind: int, value: int, name: str) -> int:
        self.entries.append((kind, value, name))
        return len(self.entries) - 1

    def link(self, target: int, position: int, name: str) -> None:
        self.add(LINK, position << 32 | target, name)

    def finish(self) -> bytearray:
        directory = b"".join(struct.pack("=I4xQ128s", kind, value, name.encode()) for kind, value, name in self.entries)
        pointer = self.vector(directory, len(self.entries))
        self.head(pointer)
        self.memory += bytes(64)
        return self.memory

    def head(self, directory: int) -> None:
        struct.pack_into("=QQQQQ", self.memory, 0, self.version, BASE, self.epoch, self.in_progress, directory)


def sample() -> Writer:
    made = Writer()
    made.add(SCALAR, 1_700_000_000, "/sys/boottime")
    made.add(GAUGE, 1, "/sys/num_worker_threads")
    made.add(COMBINED, made.counters([[1, 100, 2, 200, 3, 300], [10, 1000, 0, 0, 0, 0]], 2), "/if/rx")
    made.add(COMBINED, made.counters([[4, 400, 5, 500, 6, 600]], 2), "/if/tx")
    made.add(SIMPLE, made.counters([[0, 7, 8], [0, 1, 0]]), "/if/drops")
    errors = made.add(SIMPLE, made.counters([[0, 3, 0], [0, 2, 4]]), "/node/errors")
    made.link(errors, 0, "/err/ip4-input/no error")
    made.link(errors, 1, "/err/ip4-glean/request_sent")
    made.link(errors, 2, "/err/GigabitEthernet0/8/0-tx/no free slots")
    heap = made.add(SIMPLE, made.counters([[1000, 600, 400]]), "/mem/main heap")
    made.link(heap, 1, "/mem/main heap/used")
    made.link(heap, 2, "/mem/main heap/free")
    made.add(GAUGE, 8000, "/buffer-pools/default-numa-0/available")
    made.add(SIMPLE, made.counters([[3, 4, 0]]), "/sys/vector_rate_per_worker")
    made.add(0, 0, "")
    return made


class FixedStats(VppStats):
    """Reads a segment that is there from the start."""

    def __init__(self, segment: Segment, names: dict[int, str], version: str = "26.10") -> None:
        super().__init__(Path("/nowhere"), names=lambda: names, version=lambda: version)
        self._segment = segment


def values(stats: VppStats) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value for metric in stats.collect() for sample in metric.samples
    }


def test_counters_are_those_of_all_threads() -> None:
    segment = Segment(sample().finish())
    assert segment.read(lambda it: it.combined("/if/rx")) == [(11, 1100), (2, 200), (3, 300)]
    assert segment.read(lambda it: it.simple("/if/drops")) == [0, 8, 8]
    assert segment.read(lambda it: it.simple("/if/nothing")) == []
    assert segment.read(lambda it: it.number("/sys/boottime")) == 1_700_000_000


def test_interfaces_are_told_by_their_logical_names_and_others_are_not() -> None:
    stats = FixedStats(Segment(sample().finish()), {1: "afpacket-1", 2: "eth1", 9: "not-counted-yet"})
    first, second = stats.interface_counters()
    assert (first.name, first.receive_packets, first.transmit_bytes, first.drops) == ("afpacket-1", 2, 500, 8)
    assert (second.name, second.receive_bytes, second.punts) == ("eth1", 300, 0)


def test_what_operators_want_is_told_with_its_reasons() -> None:
    found = values(FixedStats(Segment(sample().finish()), {}))
    assert found["contiv_vpp_info", "26.10"] == 1
    assert found["contiv_vpp_stats_readable",] == 1
    assert found["contiv_vpp_errors_total", "ip4-glean", "request_sent"] == 5
    assert found["contiv_vpp_errors_total", "GigabitEthernet0/8/0-tx", "no free slots"] == 4
    assert not [one for one in found if one[1:] == ("ip4-input", "no error")]
    assert found["contiv_vpp_memory_bytes", "main heap", "used"] == 600
    assert found["contiv_vpp_buffers", "default-numa-0", "available"] == 8000
    assert found["contiv_vpp_start_time_seconds",] == 1_700_000_000
    assert [found["contiv_vpp_vector_rate", str(thread)] for thread in range(2)] == [3, 4]
    assert ("contiv_vpp_vector_rate", "2") not in found


def test_of_a_vpp_that_is_away_nothing_is_told() -> None:
    stats = FixedStats(Segment(sample().finish()), {1: "afpacket-1"}, version="")
    assert values(stats) == {}
    assert stats.interface_counters() == []
    assert stats.started() == 0


def test_a_directory_that_changes_meanwhile_is_read_again() -> None:
    made = sample()
    memory = made.finish()
    segment = Segment(memory)
    looks = []

    def reading(it: Segment) -> int | None:
        looks.append(it.number("/sys/boottime"))
        if len(looks) == 1:
            struct.pack_into("=Q", memory, 16, made.epoch + 1)
        return looks[-1]

    assert segment.read(reading) == 1_700_000_000
    assert len(looks) == 2


def test_a_new_entry_is_found_after_the_epoch_changed() -> None:
    made = sample()
    memory = made.finish()
    segment = Segment(memory)
    assert segment.read(lambda it: it.number("/sys/heartbeat")) is None
    directory = struct.unpack_from("=Q", memory, 32)[0] - BASE
    struct.pack_into("=I4xQ128s", memory, directory + 144 * (len(made.entries) - 1), SCALAR, 5, b"/sys/heartbeat")
    assert segment.read(lambda it: it.number("/sys/heartbeat")) is None
    struct.pack_into("=Q", memory, 16, made.epoch + 1)
    assert segment.read(lambda it: it.number("/sys/heartbeat")) == 5


def test_a_vpp_that_stopped_in_the_middle_of_a_change_delays_nobody() -> None:
    made = sample()
    made.in_progress = 1
    stats = FixedStats(Segment(made.finish()), {1: "afpacket-1"})
    assert stats.interface_counters() == []
    assert values(stats)["contiv_vpp_stats_readable",] == 0


def test_pointers_out_of_the_segment_are_refused() -> None:
    made = sample()
    made.add(SIMPLE, BASE + (1 << 40), "/if/punt")
    with pytest.raises(StatsError, match="point to"):
        Segment(made.finish()).read(lambda it: it.simple("/if/punt"))


def test_another_layout_is_refused() -> None:
    made = Writer(version=3)
    with pytest.raises(StatsError, match="layout 3"):
        Segment(made.finish())


def test_nobody_there_and_something_else_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(StatsError, match="statseg"):
        Segment.open(tmp_path / "stats.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen()
        answering = threading.Thread(target=lambda: listener.accept()[0].send(b"?"))
        answering.start()
        with pytest.raises(StatsError, match="no memory"):
            Segment.open(tmp_path / "other.sock")
        answering.join()


def test_a_vpp_that_hangs_is_waited_for_a_second(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "stats.sock"))
        listener.listen()
        with pytest.raises(StatsError, match="hung"):
            Segment.open(tmp_path / "stats.sock")
