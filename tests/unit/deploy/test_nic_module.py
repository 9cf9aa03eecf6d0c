from __future__ import annotations

import pytest

from tests.unit.deploy.machine import Machine

MAIN, SPARE = "0000:00:03.0", "0000:00:08.0"
LINKS = {"eth1": {"addresses": ["10.9.0.5/24"], "routes": ["172.16.0.0/12"]}}


@pytest.fixture
def node(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    machine.kernel.add_nic(MAIN, "eth0", group="3", addresses=["10.0.0.5/24"])
    machine.kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    machine.kernel.add_nic(SPARE, "eth1", group="7", addresses=["10.9.0.5/24"])
    machine.kernel.add_route("4", dst="172.16.0.0/12", gateway="10.9.0.1", dev="eth1")
    return machine


def test_a_nic_goes_to_vpp_and_a_second_run_changes_nothing(node: Machine) -> None:
    answer = node("contivpp_nic", nic="eth1")
    assert answer["changed"] and answer["address"] == SPARE
    assert answer["before"] == {"driver": "e1000e", "at_boot": "", "links": LINKS}
    assert answer["after"] == {"driver": "vfio-pci", "at_boot": "vfio-pci", "links": {}}
    assert answer["steps"][0] == "modprobe vfio-pci" and "diff" not in answer
    assert node.kernel.driver(SPARE) == "vfio-pci"
    again = node("contivpp_nic", nic="eth1", diff=True)
    assert not again["changed"] and again["steps"] == [] and again["diff"]["before"] == again["diff"]["after"]


def test_the_ports_of_one_card_go_one_after_the_other(node: Machine) -> None:
    ports = ["0000:00:09.0", "0000:00:09.1"]
    for number, port in enumerate(ports):
        node.kernel.add_nic(port, f"eth{2 + number}", group="9")
    assert "shares IOMMU group 9" in node("contivpp_nic", nic="eth2")["msg"]
    for name in ("eth2", "eth3"):
        assert node("contivpp_nic", nic=name, together=["eth2", "0000:00:09.1", "eth9"])["changed"]
    assert [node.kernel.driver(port) for port in ports] == ["vfio-pci", "vfio-pci"]
    assert not any(node("contivpp_nic", nic=name)["changed"] for name in ("eth2", "eth3"))
    assert all(node("contivpp_nic", nic=name, state="absent")["changed"] for name in ("eth2", "eth3"))


def test_check_mode_tells_the_same_diff_and_changes_nothing(node: Machine) -> None:
    before = node.files()
    foreseen = node("contivpp_nic", nic="eth1", check=True, diff=True)
    assert foreseen["changed"] and foreseen["diff"]["before"]["links"] == LINKS
    assert node.files() == before and node.kernel.written == [] and node.kernel.driver(SPARE) == "e1000e"
    done = node("contivpp_nic", nic="eth1", diff=True)
    assert {key: foreseen[key] for key in ("diff", "steps", "before", "after")} == {
        key: done[key] for key in ("diff", "steps", "before", "after")
    }
    assert not node("contivpp_nic", nic="eth1", check=True)["changed"]


def test_undo_gives_back_what_was_and_then_there_is_nothing_to_undo(node: Machine) -> None:
    before = node.files()
    node("contivpp_nic", nic="eth1")
    foreseen = node("contivpp_nic", nic="eth1", state="absent", check=True)
    assert foreseen["changed"] and node.kernel.driver(SPARE) == "vfio-pci"
    answer = node("contivpp_nic", nic="eth1", state="absent")
    assert answer["after"] == {"driver": "e1000e", "at_boot": "", "links": LINKS}
    assert node.files() == before and node.kernel.driver(SPARE) == "e1000e"
    assert not node("contivpp_nic", nic="eth1", state="absent")["changed"]
    assert not node("contivpp_nic", nic="eth7", state="absent")["changed"], "a NIC that nobody knows as well"


def test_every_driver_can_be_had_with_and_without_the_next_boot(node: Machine) -> None:
    answer = node("contivpp_nic", nic=SPARE, driver="uio_pci_generic", boot=False)
    assert answer["after"] == {"driver": "uio_pci_generic", "at_boot": "", "links": {}}
    answer = node("contivpp_nic", nic=SPARE, driver="uio_pci_generic")
    assert answer["changed"] and answer["steps"] == [] and answer["after"]["at_boot"] == "uio_pci_generic"
    answer = node("contivpp_nic", nic=SPARE, driver="kernel")
    assert answer["changed"] and answer["after"]["links"] == LINKS
    assert not node("contivpp_nic", nic=SPARE, driver="kernel")["changed"]


def test_what_must_not_be_taken_is_refused_with_every_reason(node: Machine) -> None:
    mounted = "60 27 0:50 / /srv rw - nfs4 10.0.0.9:/srv rw,addr=10.0.0.9\n"
    node.kernel.put("proc/self/mountinfo", mounted)
    answer = node("contivpp_nic", nic="eth0", node_ip="10.0.0.5")
    assert answer["failed"] and len(answer["problems"]) == 2
    assert "the file system at /srv comes from 10.0.0.9" in answer["problems"][0]
    assert "carries the default route and has the address of the node" in answer["problems"][1]
    assert answer["msg"] == "\n".join(answer["problems"])
    assert node.kernel.written == []


def test_the_session_of_ansible_is_not_cut(node: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.9.0.1 4711 10.9.0.5 22")
    answer = node("contivpp_nic", nic="eth1")
    assert answer["failed"] and "10.9.0.5 that this session came in by" in answer["msg"]


def test_a_nic_that_is_not_there_and_one_without_iommu_are_refused_in_check_mode_too(node: Machine) -> None:
    node.kernel.add_nic("0000:00:09.0", "eth2")
    answer = node("contivpp_nic", nic="eth7", check=True)
    assert answer["failed"] and answer["problems"][0].startswith("there is no NIC eth7 on this host, only eth0")
    answer = node("contivpp_nic", nic="eth2", check=True)
    assert answer["failed"] and "set noiommu to true" in answer["msg"]
    assert node("contivpp_nic", nic="eth2", noiommu=True)["after"]["at_boot"] == "vfio-pci noiommu"


def test_a_driver_that_fails_leaves_the_nic_as_it_was(node: Machine) -> None:
    before = node.files()
    node.kernel.refusing = {"vfio-pci"}
    answer = node("contivpp_nic", nic="eth1")
    assert answer["failed"] and "it is back at e1000e" in answer["msg"]
    assert node.files() == before


def test_wrong_and_missing_arguments_are_named(node: Machine) -> None:
    assert "nic" in node("contivpp_nic")["msg"]
    assert "igb_uio" in node("contivpp_nic", nic="eth1", driver="igb_uio")["msg"]
    assert "maybe" in node("contivpp_nic", nic="eth1", noiommu="maybe")["msg"]
    assert node.kernel.written == []
