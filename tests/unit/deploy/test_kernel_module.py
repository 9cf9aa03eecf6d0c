from __future__ import annotations

from typing import Any

import pytest

from tests.unit.deploy.machine import Machine

WANTED: dict[str, Any] = {"modules": ["vhost_net"], "sysctl": {"vm.max_map_count": 262144}}


@pytest.fixture
def node(machine: Machine) -> Machine:
    machine.kernel.put("proc/sys/vm/max_map_count", "65530\n")
    machine.kernel.put("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    machine.kernel.put("proc/sys/net/ipv4/conf/eth0.5/rp_filter", "0\n")
    machine.kernel.modules |= {"vhost_net", "tun"}
    return machine


def test_modules_and_parameters_are_there_now_and_at_boot_and_a_second_run_changes_nothing(node: Machine) -> None:
    answer = node("contivpp_kernel", **WANTED)
    assert answer["changed"] and answer["before"] == {"modules": [], "sysctl": {"vm.max_map_count": "65530"}}
    assert answer["after"] == {"modules": ["vhost_net"], "sysctl": {"vm.max_map_count": "262144"}}
    assert node.kernel.read("proc/sys/vm/max_map_count") == "262144\n" and "modprobe vhost_net" in node.kernel.ran
    assert node.kernel.read("etc/modules-load.d/contiv.conf").endswith("\nvhost_net\n")
    assert node.kernel.read("etc/sysctl.d/90-contiv.conf").endswith("\nvm.max_map_count = 262144\n")
    assert not node("contivpp_kernel", **WANTED)["changed"]


def test_check_mode_tells_the_same_diff_and_changes_nothing(node: Machine) -> None:
    before = node.files()
    foreseen = node("contivpp_kernel", check=True, diff=True, **WANTED)
    assert foreseen["changed"] and node.files() == before and "modprobe vhost_net" not in node.kernel.ran
    assert node("contivpp_kernel", diff=True, **WANTED)["diff"] == foreseen["diff"]


def test_what_nobody_wants_any_more_is_as_it_was_before_the_first_change(node: Machine) -> None:
    before = node.files()
    node("contivpp_kernel", **WANTED)
    node(
        "contivpp_kernel",
        modules=["tun"],
        sysctl={"vm.max_map_count": 300000, "net.ipv4.tcp_rmem": "4096 131072 7000000"},
    )
    assert "modprobe -r -q vhost_net" in node.kernel.ran
    assert node.kernel.read("proc/sys/net/ipv4/tcp_rmem").split()[-1] == "7000000"
    node("contivpp_kernel", modules=["tun"])
    assert node.kernel.read("proc/sys/vm/max_map_count") == "65530\n"
    answer = node("contivpp_kernel", state="absent")
    assert answer["changed"] and answer["after"] == {"modules": [], "sysctl": {}}
    assert {path: text.split() for path, text in node.files().items()} == {
        path: text.split() for path, text in before.items()
    }
    assert not node("contivpp_kernel", state="absent")["changed"]


def test_a_module_that_was_there_before_stays(node: Machine) -> None:
    node.kernel.loaded("vhost_net")
    node("contivpp_kernel", **WANTED)
    answer = node("contivpp_kernel", state="absent")
    assert answer["after"]["modules"] == ["vhost_net"] and "modprobe -r -q vhost_net" not in node.kernel.ran


def test_a_module_may_be_written_with_a_dash_and_later_without_one(node: Machine) -> None:
    node.kernel.modules.add("vhost-net")
    node("contivpp_kernel", modules=["vhost-net"])
    node.kernel.ran.clear()
    node("contivpp_kernel", modules=["vhost_net"])
    assert "modprobe -r -q vhost-net" not in node.kernel.ran
    assert not node("contivpp_kernel", modules=["vhost_net"])["changed"]
    node("contivpp_kernel", state="absent")
    assert any(call.startswith("modprobe -r -q vhost") for call in node.kernel.ran)


def test_a_name_with_a_dot_in_it_is_written_with_slashes(node: Machine) -> None:
    assert node("contivpp_kernel", sysctl={"net/ipv4/conf/eth0.5/rp_filter": 2})["changed"]
    assert node.kernel.read("proc/sys/net/ipv4/conf/eth0.5/rp_filter") == "2\n"


def test_a_parameter_may_come_with_a_module_that_is_to_be_loaded(node: Machine) -> None:
    node.kernel.modules.add("br_netfilter")
    node.kernel.brings["br_netfilter"] = {"proc/sys/net/bridge/bridge-nf-call-iptables": "1\n"}
    wanted: dict[str, Any] = {"modules": ["br_netfilter"], "sysctl": {"net.bridge.bridge-nf-call-iptables": 0}}
    foreseen = node("contivpp_kernel", check=True, diff=True, **wanted)
    assert foreseen["changed"] and foreseen["before"] == {"modules": [], "sysctl": {}}
    answer = node("contivpp_kernel", diff=True, **wanted)
    assert answer["diff"] == foreseen["diff"]
    assert node.kernel.read("proc/sys/net/bridge/bridge-nf-call-iptables") == "0\n"
    assert not node("contivpp_kernel", **wanted)["changed"]
    node("contivpp_kernel", state="absent")
    assert node.kernel.read("proc/sys/net/bridge/bridge-nf-call-iptables") == "1\n"


def test_a_parameter_that_no_module_brings_is_refused_when_all_are_loaded(node: Machine) -> None:
    wanted: dict[str, Any] = {"modules": ["tun"], "sysctl": {"net.nosuch": 1}}
    assert node("contivpp_kernel", check=True, **wanted)["changed"], "who knows before it is loaded"
    for _ in range(2):
        answer = node("contivpp_kernel", **wanted)
        assert answer["failed"] and "this kernel has no parameter net.nosuch: correct the name" in answer["msg"]
    assert node("contivpp_kernel", modules=["tun"])["changed"]
    assert not node("contivpp_kernel", modules=["tun"])["changed"]


def test_what_the_kernel_has_not_is_refused_all_at_once(node: Machine) -> None:
    wanted = {"modules": ["nosuch", "../x"], "sysctl": {"vm.nosuch": 1, "../../etc/passwd": 1}}
    for check in (True, False):
        answer = node("contivpp_kernel", check=check, **wanted)
        assert answer["failed"] and len(answer["problems"]) == 4
        assert "this kernel has no module nosuch: correct the name" in answer["msg"]
        assert "this kernel has no parameter vm.nosuch: correct the name" in answer["msg"]
    assert node.kernel.written == []


def test_wrong_arguments_are_named(node: Machine) -> None:
    assert "sysctl" in node("contivpp_kernel", sysctl=["vm.x"])["msg"]
    assert "gone" in node("contivpp_kernel", state="gone")["msg"]
    assert not node("contivpp_kernel")["changed"]
