from __future__ import annotations

import pytest

from tests.unit.deploy.machine import Machine


@pytest.fixture
def node(machine: Machine) -> Machine:
    kernel = machine.kernel
    kernel.add_nic("0000:00:03.0", "eth0", addresses=["10.0.0.5/24"])
    kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    kernel.add_nic("0000:00:08.0", "eth1", group="7", numa=0)
    kernel.add_memory(2048)
    kernel.add_pages("2M", pages=12, free=4)
    for path, text in {
        "cpu/present": "0-7",
        "cpu/online": "0-7",
        "cpu/isolated": "2-5",
        "node/node0/cpulist": "0-7",
    }.items():
        kernel.put(f"sys/devices/system/{path}", text + "\n")
    return machine


def test_what_matters_to_vpp_is_told_and_nothing_changes(node: Machine) -> None:
    before = node.files()
    answer = node("contivpp_facts", node_ip="10.0.0.5")
    facts = answer["ansible_facts"]["contivpp"]
    assert not answer["changed"] and node.files() == before
    main, spare = facts["nics"]
    assert main["default_route"] and main["node_ip"] and main["routes"][0]["destination"] == "10.0.0.0/24"
    assert spare["iommu_group"] == "7" and spare["numa_node"] == 0 and facts["iommu"]
    assert facts["hugepages"] == [{"size": "2M", "node": None, "pages": 12, "free": 4}]
    assert facts["cpus"]["isolated"] == "2-5" and facts["taken"] == {}
    assert facts["drivers"]["available"] == ["uio_pci_generic", "vfio-pci"]
    assert "cpu_layout" not in facts


def test_a_nic_that_was_taken_is_told_with_its_name(node: Machine) -> None:
    assert node("contivpp_nic", nic="eth1")["changed"]
    facts = node("contivpp_facts", check=True)["ansible_facts"]["contivpp"]
    assert facts["taken"] == {"0000:00:08.0": ["0000:00:08.0", "00:08.0", "eth1", "52:54:00:00:00:08"]}
    assert [(nic["name"], nic["driver"]) for nic in facts["nics"]] == [("eth0", "e1000e"), ("eth1", "vfio-pci")]


def test_cores_are_laid_out_on_request(node: Machine) -> None:
    facts = node("contivpp_facts", workers=3, numa_node=0)["ansible_facts"]["contivpp"]
    assert facts["cpu_layout"] == {"main-core": 2, "corelist-workers": "3-5"} and facts["cpu_advice"] == []
    answer = node("contivpp_facts", workers=9)
    assert answer["failed"] and "9 workers are asked for and this host isolates only 4 cores" in answer["problems"][0]


def test_wrong_arguments_and_a_machine_without_iproute2_are_named(
    node: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "workers" in node("contivpp_facts", numa_node=0)["msg"]
    assert "few" in node("contivpp_facts", workers="few")["msg"]
    from contivpp.host.system import Answer

    monkeypatch.setattr(node.kernel, "run", lambda words: Answer(127, "", "ip: No such file or directory"))
    answer = node("contivpp_facts")
    assert answer["failed"] and "ip: No such file or directory" in answer["msg"]
