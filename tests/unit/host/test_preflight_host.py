from __future__ import annotations

from typing import Any

import pytest

from contivpp.host import preflight_host
from tests.unit.host.kernel import Kernel


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    kernel.add_nic("0000:00:03.0", "eth0", group="3", addresses=["10.0.0.5/24"])
    kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    kernel.add_nic("0000:00:08.0", "eth1", group="7", addresses=["10.9.0.5/24"])
    kernel.add_memory(1024)
    kernel.add_pages("2M", room=400)
    for path in ("present", "online"):
        kernel.put(f"sys/devices/system/cpu/{path}", "0-3\n")
    return kernel


def found(machine: Kernel, **wanted: Any) -> list[str]:
    return preflight_host.problems(wanted, machine.system())


def test_what_can_be_had_is_no_problem_and_nothing_changes(machine: Kernel) -> None:
    assert found(machine) == []
    assert (
        found(
            machine,
            nics=[{"nic": "eth1"}],
            hugepages=[{"size": "2M", "count": 100, "free": 50}],
            mounts=[{"path": "/dev/huge"}],
            modules=["vfio-pci"],
            startup_conf={"cpu": {"main-core": 1, "corelist-workers": "2-3"}, "dpdk": {"dev": {"0000:00:08.0": {}}}},
            node_ip="10.0.0.5",
        )
        == []
    )
    assert machine.written == [] and not (machine.root / "var").exists()


def test_all_that_cannot_be_had_is_told_at_once(machine: Kernel) -> None:
    machine.put("proc/self/mountinfo", "60 27 0:50 / /srv rw - nfs4 10.9.0.9:/srv rw,addr=10.9.0.9\n")
    problems = found(
        machine,
        nics=[{"nic": "eth7"}, {"nic": "eth0"}, {"nic": "eth1"}],
        hugepages=[{"size": "2M", "count": 1000}],
        modules=["nosuch"],
        sysctl={"vm.nosuch": 1},
        startup_conf={"cpu": {"main-core": 1, "corelist-workers": "2-9"}},
        workers=9,
    )
    for number, part in enumerate(
        [
            "9 workers are asked for",
            "cpu.corelist-workers: this host has no core 4-9, only 0-3: correct the list",
            "there is no NIC eth7 on this host",
            "eth0 (0000:00:03.0) carries the default route",
            "eth1 (0000:00:08.0) is in use: the file system at /srv comes from 10.9.0.9",
            "1000 more pages of 2M need 2000 MiB and only 1024 MiB of memory can be had",
            "this kernel has no module nosuch",
            "this kernel has no parameter vm.nosuch",
        ]
    ):
        assert part in problems[number]
    assert len(problems) == 8


def test_a_nic_that_is_named_twice_is_a_problem(machine: Kernel) -> None:
    [problem] = found(machine, nics=[{"nic": "eth1"}, {"nic": "0000:00:08.0"}])
    assert problem == "eth1 and 0000:00:08.0 are the same NIC (0000:00:08.0): name it once"


def test_no_iommu_is_a_problem_without_the_explicit_option(machine: Kernel) -> None:
    machine.add_nic("0000:00:09.0", "eth2")
    [problem] = found(machine, nics=[{"nic": "eth2"}])
    assert "eth2 (0000:00:09.0) has no IOMMU" in problem and "set noiommu to true" in problem
    assert found(machine, nics=[{"nic": "eth2", "noiommu": True}]) == []


def test_pages_that_ours_has_already_are_not_missed(machine: Kernel) -> None:
    machine.add_pages("2M", pages=100, free=3)
    wanted = [{"size": "2M", "count": 100, "free": 50}]
    [problem] = found(machine, hugepages=wanted)
    assert "only 3 of 100 pages of 2M are free and 50 are needed" in problem
    machine.active.add("contiv-vpp")
    assert found(machine, hugepages=wanted) == []


def test_what_startup_conf_cannot_be_is_a_problem_before_anything_is_changed(machine: Kernel) -> None:
    [problem] = found(machine, startup_conf={"unix": {"pol-sleep-usec": 100}})
    assert problem == "unix.pol-sleep-usec: is not a setting that is known; did you mean poll-sleep-usec?"
    assert found(machine, startup_conf={"unix": {"pol-sleep-usec": 100}}, strict=False) == []
    [problem] = found(machine, startup_conf={"dpdk": {"dev": {"0000:00:99.0": {}}}})
    assert problem.startswith("dpdk.dev 0000:00:99.0: this host has no such device")


def test_workers_that_are_laid_out_are_those_that_a_nic_may_name(machine: Kernel) -> None:
    nic = {"0000:00:08.0": {"num-rx-queues": 2, "workers": "0-1"}}
    assert found(machine, workers=2, startup_conf={"dpdk": {"dev": nic}}, nics=[{"nic": "eth1"}]) == []
    [problem] = found(machine, workers=1, startup_conf={"dpdk": {"dev": nic}}, nics=[{"nic": "eth1"}])
    assert "there is no worker 1" in problem


def test_a_nic_that_vpp_would_take_and_nobody_give_back_is_a_problem(machine: Kernel) -> None:
    wanted = {"dpdk": {"dev": {"default": {}, "0000:00:08.0": {}}}}
    [problem] = found(machine, startup_conf=wanted)
    assert problem.startswith("dpdk.dev 0000:00:08.0: VPP would take this NIC from the kernel itself")
    assert found(machine, startup_conf=wanted, nics=[{"nic": "eth1"}]) == []
    machine.loaded("vfio-pci")
    machine._unbind("0000:00:08.0")
    machine._bind("0000:00:08.0", "vfio-pci")
    assert found(machine, startup_conf=wanted) == [], "somebody has bound it already"


def test_an_uplink_cannot_be_the_kernels_and_vpps_at_once(machine: Kernel) -> None:
    [problem] = found(machine, nics=[{"nic": "0000:00:08.0"}], uplink="eth1")
    assert problem.startswith("eth1 is in host_nics, so the kernel will have no link of that name")
    assert found(machine, nics=[{"nic": "eth1"}], uplink="GigabitEthernet0/8/0") == []


def test_the_ports_of_one_card_are_taken_together(machine: Kernel) -> None:
    machine.add_nic("0000:00:09.0", "eth2", group="9", addresses=["10.8.0.5/24"])
    machine.add_nic("0000:00:09.1", "eth3", group="9")
    assert found(machine, nics=[{"nic": "eth2"}, {"nic": "0000:00:09.1"}]) == []
    [problem] = found(machine, nics=[{"nic": "eth2"}])
    assert "shares IOMMU group 9 with 0000:00:09.1 (e1000e)" in problem


def test_a_word_is_no_leave_to_go_without_an_iommu(machine: Kernel) -> None:
    machine.add_nic("0000:00:09.0", "eth2")
    [problem] = found(machine, nics=[{"nic": "eth2", "noiommu": "false"}])
    assert "has no IOMMU" in problem
    assert found(machine, nics=[{"nic": "eth2", "noiommu": "yes"}]) == []
