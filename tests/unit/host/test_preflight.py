from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from contivpp.host import preflight

PODS = {"ipamConfig.podSubnetCIDR": "10.1.0.0/16"}


def test_subnets_that_a_host_reaches_already_are_named_with_the_option() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.1.5.0/24", "dev": "eth1"},
        {"dst": "10.1.6.0/24", "dev": "vxlanBVI"},
        {"dst": "10.1.7.0/24", "dev": "vpp1"},
        {"dst": "10.1.0.0/16", "protocol": "77"},
    ]
    [problem] = preflight.subnets(PODS, routes)
    assert problem.startswith("ipamConfig.podSubnetCIDR 10.1.0.0/16 overlaps 10.1.5.0/24")


def test_subnets_that_overlap_each_other_or_are_none_are_named() -> None:
    [problem] = preflight.subnets({**PODS, "ipamConfig.vxlanCIDR": "10.1.7.0/24"}, [])
    assert "overlaps ipamConfig.vxlanCIDR" in problem
    [problem] = preflight.subnets({"ipamConfig.vxlanCIDR": "10.1.7.1/24"}, [])
    assert "is not a subnet" in problem


def test_a_port_that_another_program_has_is_a_problem_and_one_of_ours_is_not() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted = {"agent": {"port": other.getsockname()[1], "unit": "contiv-agent"}}
        [problem] = preflight.ports(wanted, lambda unit: False)
        assert "for agent cannot be had" in problem
        assert preflight.ports(wanted, lambda unit: unit == "contiv-agent") == []


def test_another_plugins_configuration_that_comes_first_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "05-other.conflist").touch()
    (tmp_path / "10-contiv-vpp.conflist").touch()
    (tmp_path / "99-last.conflist").touch()
    [problem] = preflight.other_networks(str(tmp_path))
    assert "05-other.conflist" in problem
    assert preflight.other_networks(str(tmp_path / "nowhere")) == []


def test_a_kube_proxy_that_runs_is_a_problem(tmp_path: Path) -> None:
    for process, name in (("1", "systemd"), ("77", "kube-proxy"), ("self", "python3")):
        (tmp_path / process).mkdir()
        (tmp_path / process / "comm").write_text(name + "\n")
    (tmp_path / "2").mkdir()
    [problem] = preflight.other_services(str(tmp_path))
    assert "process 77" in problem
    (tmp_path / "77" / "comm").write_text("kube-proxyish\n")
    assert preflight.other_services(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "good"), [("node1", True), ("a.b-c", True), ("Node1", False), ("-x", False), ("", False)]
)
def test_names_that_kubernetes_takes(name: str, good: bool) -> None:
    assert (preflight.node_name(name) == []) is good


def test_a_clock_that_is_off_and_a_full_disk_are_problems(tmp_path: Path) -> None:
    assert preflight.clock(1000, 300, now=1200) == []
    assert "400 s off" in preflight.clock(1000, 300, now=1400)[0]
    assert preflight.free_space(1, str(tmp_path)) == []
    assert "make room" in preflight.free_space(1 << 40, str(tmp_path))[0]


def test_versions_of_kernels() -> None:
    assert preflight.kernel_version("6.1.0-13-amd64") == (6, 1)
    assert preflight.kernel_version("strange") == (0, 0)


def test_the_address_must_be_one_of_this_host_and_of_no_other() -> None:
    assert preflight.address("10.0.0.1", {"node2": "10.0.0.2", "node3": ""}, ["127.0.0.1", "10.0.0.1"]) == []
    [problem] = preflight.address("10.0.0.1", {"node2": "10.0.0.1"}, ["10.0.0.1"])
    assert problem.startswith("node2 has the address 10.0.0.1 as well")
    [problem] = preflight.address("10.0.0.9", {}, ["10.0.0.1"])
    assert "no interface of this host has the address 10.0.0.9" in problem
    [problem] = preflight.address("node1.example", {}, [])
    assert "set ansible_host" in problem


def test_an_address_of_ipv6_is_the_same_however_it_is_written() -> None:
    assert preflight.address("FD00:0::1", {}, ["fd00::1"]) == []
    [problem] = preflight.address("FD00:0::1", {"node2": "FD00::0:1"}, ["fd00::1"])
    assert problem.startswith("node2 has the address fd00::1 as well")


def test_wheels_for_another_python_are_a_problem() -> None:
    here = f"{sys.version_info[0]}.{sys.version_info[1]} {os.uname().machine}"
    assert preflight.python("") == preflight.python(here) == []
    [problem] = preflight.python("3.8 " + os.uname().machine)
    assert "set package_controller_python" in problem


def test_a_host_that_is_not_debian_or_without_systemd_is_a_problem(tmp_path: Path) -> None:
    text = "\n".join(preflight.host(str(tmp_path)))
    assert "is not Debian" in text
    assert "systemd does not run" in text
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/debian_version").touch()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    text = "\n".join(preflight.host(str(tmp_path)))
    assert "Debian" not in text
    assert "systemd does not run" not in text
