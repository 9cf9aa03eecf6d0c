from __future__ import annotations

from typing import Any

import pytest

from tests.unit.deploy.machine import Machine

PAGES = [{"size": "2M", "count": 64, "node": 0}]
NODE_0 = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"


@pytest.fixture
def node(machine: Machine) -> Machine:
    machine.kernel.add_memory(2048)
    machine.kernel.add_memory(2048, 0)
    machine.kernel.add_pages("2M", room=500)
    machine.kernel.add_pages("2M", 0, room=500)
    return machine


def test_pages_are_reserved_and_a_second_run_changes_nothing(node: Machine) -> None:
    answer = node("contivpp_hugepages", pages=PAGES)
    assert answer["changed"]
    assert answer["before"] == {"pages": {"2M on NUMA node 0": {"now": 0, "at_boot": 0}}, "mounts": {}}
    assert answer["after"] == {"pages": {"2M on NUMA node 0": {"now": 64, "at_boot": 64}}, "mounts": {}}
    assert {"size": "2M", "node": 0, "pages": 64, "free": 64} in answer["pools"]
    again = node("contivpp_hugepages", pages=PAGES, diff=True)
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_tells_the_same_diff_and_writes_nothing(node: Machine) -> None:
    before = node.files()
    wanted: dict[str, Any] = {"pages": PAGES, "mounts": [{"path": "/dev/huge"}]}
    foreseen = node("contivpp_hugepages", check=True, diff=True, **wanted)
    assert foreseen["changed"] and node.files() == before and node.kernel.written == []
    done = node("contivpp_hugepages", diff=True, **wanted)
    assert done["diff"] == foreseen["diff"] and done["diff"]["after"]["mounts"] == {"/dev/huge": "2M"}
    assert node.kernel.read(NODE_0) == "64\n"
    assert not node("contivpp_hugepages", check=True, **wanted)["changed"]


def test_undo_gives_all_of_it_back(node: Machine) -> None:
    before = node.files()
    node("contivpp_hugepages", pages=PAGES, mounts=[{"path": "/dev/huge", "size": "2M"}])
    assert node("contivpp_hugepages", state="absent", check=True)["changed"]
    answer = node("contivpp_hugepages", state="absent")
    assert answer["changed"] and answer["after"]["pages"]["2M on NUMA node 0"] == {"now": 0, "at_boot": 0}
    assert {**node.files(), "proc/self/mountinfo": ""} == {**before, "proc/self/mountinfo": ""}
    assert not node("contivpp_hugepages", state="absent")["changed"]


def test_too_few_pages_are_refused_also_in_check_mode(node: Machine) -> None:
    many = [{"count": 2000}, {"size": "1G", "count": 1}]
    for check in (True, False):
        answer = node("contivpp_hugepages", pages=many, check=check)
        assert answer["failed"] and len(answer["problems"]) == 2
        assert "need 4000 MiB and only 2048 MiB of memory can be had" in answer["problems"][0]
        assert "this host has no pages of 1G, only 2M" in answer["problems"][1]
    assert node.kernel.written == []


def test_pages_that_the_kernel_could_not_reserve_are_an_error_and_not_a_change(node: Machine) -> None:
    before = node.files()
    node.kernel.free["node0", 2048] = 10
    answer = node("contivpp_hugepages", pages=PAGES)
    assert answer["failed"] and "only 10 of 64 pages of 2M on NUMA node 0 could be had" in answer["msg"]
    assert node.files() == before
    answer = node("contivpp_hugepages", pages=PAGES, now=False)
    assert answer["changed"] and answer["after"]["pages"]["2M on NUMA node 0"] == {"now": 0, "at_boot": 64}


def test_pages_of_others_are_not_free_until_ours_runs(node: Machine) -> None:
    wanted = [{"size": "2M", "count": 64, "node": 0, "free": 32}]
    assert node("contivpp_hugepages", pages=wanted)["changed"]
    for folder in ("devices/system/node/node0", "kernel/mm"):
        node.kernel.put(f"sys/{folder}/hugepages/hugepages-2048kB/free_hugepages", "5\n")
    answer = node("contivpp_hugepages", pages=wanted)
    assert answer["failed"] and "only 5 of 64 pages of 2M on NUMA node 0 are free and 32 are needed" in answer["msg"]
    node.kernel.active.add("contiv-vpp")
    assert not node("contivpp_hugepages", pages=wanted)["changed"]
    assert node("contivpp_hugepages", pages=wanted, user="other")["failed"]


def test_wrong_and_missing_arguments_are_named(node: Machine) -> None:
    assert "count" in node("contivpp_hugepages", pages=[{"size": "2M"}])["msg"]
    assert "many" in node("contivpp_hugepages", pages=[{"count": "many"}])["msg"]
    assert "gone" in node("contivpp_hugepages", state="gone")["msg"]
    assert "'huge' is not the size of a page" in node("contivpp_hugepages", pages=[{"size": "huge", "count": 1}])["msg"]
    assert "path" in node("contivpp_hugepages", mounts=[{"size": "2M"}])["msg"]
    assert not node("contivpp_hugepages")["changed"], "nothing asked for is nothing to do"
