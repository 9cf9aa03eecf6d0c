from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.host import cpus
from contivpp.host.cpus import Cpus, Layout, cores_of, list_text
from contivpp.host.system import HostError
from tests.unit.host.kernel import Kernel


def machine(cores: int, *, isolated: str = "", nodes: int = 1, threads: int = 1, offline: str = "") -> Cpus:
    """A machine whose NUMA nodes have neighbouring cores; second threads come behind all first ones."""
    physical = cores // threads
    return Cpus(
        present=frozenset(range(cores)),
        online=frozenset(range(cores)) - cores_of(offline),
        isolated=cores_of(isolated),
        nodes={core: (core % physical) * nodes // physical for core in range(cores)},
        siblings={core: frozenset(range(core % physical, cores, physical)) for core in range(cores)},
    )


@pytest.mark.parametrize(
    ("there", "workers", "node", "main", "chosen"),
    [
        (machine(8, isolated="2-5"), 3, None, 2, "3-5"),
        (machine(8, isolated="2-5"), 4, None, 1, "2-5"),
        (machine(8, isolated="2-5"), 0, None, 2, ""),
        (machine(4), 2, None, 1, "2-3"),
        (machine(4), 3, None, 0, "1-3"),
        (machine(2), 1, None, 0, "1"),
        (machine(1), 0, None, 0, ""),
        (machine(8, isolated="1-3,5-7", nodes=2), 2, 1, 5, "6-7"),
        (machine(8, isolated="1-3,5-7", nodes=2), 3, 1, 1, "5-7"),
        (machine(8, isolated="2-3,6-7", threads=2), 1, None, 2, "3"),
        (machine(8, isolated="2-3,6-7", threads=2), 3, None, 2, "3,6-7"),
    ],
)
def test_threads_run_where_the_kernel_lets_nobody_else(
    there: Cpus, workers: int, node: int | None, main: int, chosen: str
) -> None:
    found = cpus.layout(there, workers, node=node)
    assert (found.main, list_text(found.workers)) == (main, chosen)


@given(
    cores=st.integers(1, 24), isolated=st.sets(st.integers(0, 23)), workers=st.integers(0, 24),
    nodes=st.integers(1, 3), threads=st.integers(1, 2), node=st.none() | st.integers(0, 2),
)  # fmt: skip
def test_a_layout_is_always_one_that_the_machine_can_have(
    cores: int, isolated: set[int], workers: int, nodes: int, threads: int, node: int | None
) -> None:
    there = machine(cores * threads, nodes=nodes, threads=threads, isolated=list_text(isolated & set(range(cores))))
    try:
        found = cpus.layout(there, workers, node=node)
    except HostError as error:
        assert len(error.problems) == 1
        return
    assert len(found.workers) == workers and found.main not in found.workers
    assert {found.main, *found.workers} <= there.online
    if there.isolated:
        assert set(found.workers) <= there.isolated
    assert all(there.nodes[core] == node for core in found.workers if node is not None)
    assert cpus.problems(there, found.as_settings()) == []


@pytest.mark.parametrize(
    ("there", "workers", "node", "sentence"),
    [
        (machine(8, isolated="2-3"), 3, None, "3 workers are asked for and this host isolates only 2 cores (2-3): ask for"),
        (machine(2), 2, None, "can spare only 1 cores (1)"),
        (machine(8, isolated="1-3,5-7", nodes=2), 4, 1, "isolates only 3 cores on NUMA node 1 (5-7)"),
        (machine(4), 1, 5, "this host has no NUMA node 5, only 0"),
        (machine(4), -1, None, "-1 workers cannot be"),
        (machine(1), 1, None, "can spare only 0 cores (none)"),
    ],
)  # fmt: skip
def test_more_than_there_is_is_refused(there: Cpus, workers: int, node: int | None, sentence: str) -> None:
    with pytest.raises(HostError) as raised:
        cpus.layout(there, workers, node=node)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"main-core": 4}, "cpu.main-core: this host has no core 4, only 0-2: correct the list"),
        ({"main-core": 0, "corelist-workers": "1-2,7,9"}, "cpu.corelist-workers: this host has no core 7,9, only 0-2"),
        ({"corelist-workers": "3"}, "cpu.corelist-workers: core 3 is switched off"),
        ({"corelist-workers": "x"}, "'x' is not a list of cores"),
        ({"coremask-workers": "0x18"}, "cpu.coremask-workers: this host has no core 4"),
        ({"coremask-workers": "few"}, "'few' is not a mask"),
        ({"workers": 2, "skip-cores": 1}, "2 workers, the main thread and 1 skipped cores do not fit on the 3 cores"),
    ],
)
def test_a_list_outside_the_machine_is_refused(settings: dict[str, Any], sentence: str) -> None:
    found = cpus.problems(machine(4, offline="3"), settings)
    assert any(sentence in problem for problem in found), found


def test_a_list_within_it_is_fine() -> None:
    there = machine(4)
    for settings in ({}, {"main-core": 0, "corelist-workers": "1-3"}, {"workers": 3}, {"coremask-workers": "0xe"}):
        assert cpus.problems(there, settings) == []


def test_what_a_layout_will_suffer_from_is_told() -> None:
    there = machine(8, isolated="1-2,5-6", threads=2, nodes=2)
    assert cpus.advice(there, Layout(1, (2,)), node=1) == []
    assert cpus.advice(there, Layout(2, (3, 6)), node=0) == [
        "other programs run on cores 3 too: isolate them with isolcpus=",
        "threads on cores 2,6 share one physical core",
        "cores 3,6 are not on NUMA node 0, where the NIC is",
    ]


def test_the_machine_is_read_from_sysfs(kernel: Kernel) -> None:
    base = "sys/devices/system"
    for path, text in {
        "cpu/present": "0-4", "cpu/online": "0-3", "cpu/isolated": "2", "node/node0/cpulist": "0-1",
        "node/node1/cpulist": "2-3", "cpu/cpu2/topology/thread_siblings_list": "2-3",
        "cpu/cpu3/topology/thread_siblings_list": "2-3",
    }.items():  # fmt: skip
        kernel.put(f"{base}/{path}", text + "\n")
    kernel.put("sys/fs/cgroup/cpuset.cpus.isolated", "3\n")
    assert cpus.read(kernel.system()).as_dict() == {
        "present": "0-4",
        "online": "0-3",
        "isolated": "2-3",
        "numa_nodes": {"0": "0-1", "1": "2-3"},
        "siblings": ["2-3"],
    }


@given(st.frozensets(st.integers(0, 200)))
def test_lists_are_read_as_they_are_written(cores: frozenset[int]) -> None:
    assert cores_of(list_text(cores)) == cores
