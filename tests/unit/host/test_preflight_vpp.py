from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contivpp.host import preflight, preflight_vpp

LINKS = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
    {"ifname": "eth0", "addr_info": [{"local": "10.0.0.5"}, {"local": "fe80::1"}]},
    {"ifname": "eth1", "addr_info": [{"local": "fe80::2"}]},
    {"ifname": "eth2", "addr_info": [{"local": "10.9.0.5"}]},
]
ROUTES = [{"dst": "default", "dev": "eth0"}, {"dst": "10.0.0.0/24", "dev": "eth0"}]
WANTED = {"uplink": "eth1", "address": "10.0.0.5", "alone": False, "memory": 700, "program": ""}


def nothing_runs(unit: str) -> bool:
    return False


def found(active: Callable[[str], bool] = nothing_runs, available: int = 2000, **changed: Any) -> list[str]:
    return preflight_vpp.problems(
        {**WANTED, **changed},
        links=LINKS,
        routes=ROUTES,
        session="10.0.0.1 4711 10.9.0.5 22",
        available=available,
        active=active,
    )


def test_a_nic_of_its_own_and_enough_memory_are_all_that_vpp_needs() -> None:
    assert found() == []
    assert found(uplink="GigabitEthernet0/8/0") == [], "a NIC of VPP is not among the kernel's"


def test_a_nic_that_is_to_be_stolen_is_left_to_contiv_stn() -> None:
    assert found(uplink="", steals=True) == []
    assert found(uplink="eth0", steals=True) == []


def test_a_nic_that_is_not_there_is_named_with_those_that_are() -> None:
    [problem] = found(uplink="eth7")
    assert problem.startswith("there is no interface eth7 on this host, only eth0, eth1, eth2: correct nodeConfig")


def test_the_nic_that_kubernetes_and_ssh_need_is_refused_with_the_reasons() -> None:
    [problem] = found(uplink="eth0")
    assert "has the address 10.0.0.5 that this host is reached by and carries the default route" in problem
    assert "name another NIC" in problem and "stealInterface" in problem
    [problem] = found(uplink="eth2")
    assert "10.9.0.5" in problem, "the session's own address counts, whatever the inventory says"


def test_an_ipv6_address_of_the_node_is_recognised_however_it_is_written() -> None:
    links = [{"ifname": "eth1", "addr_info": [{"local": "fd00::5"}]}]
    [problem] = preflight_vpp.problems(
        {**WANTED, "address": "FD00:0::5"},
        links=links,
        routes=[],
        session="",
        available=4096,
        active=lambda unit: False,
    )
    assert "eth1 has the address fd00::5 that this host is reached by" in problem


def test_a_vpp_without_a_nic_is_refused_unless_it_has_nobody_to_reach() -> None:
    [problem] = found(uplink="")
    assert "VPP has no NIC" in problem
    assert found(uplink="", alone=True) == []


def test_too_little_memory_is_refused_unless_our_vpp_has_it_already() -> None:
    [problem] = found(available=100)
    assert problem.startswith("100 MiB of memory can be had and VPP needs 700")
    assert found(available=100, active=lambda unit: unit == "contiv-vpp") == []


def test_another_vpp_that_runs_is_refused_and_one_that_was_to_be_there_is_missed() -> None:
    [problem] = found(active=lambda unit: unit == "vpp")
    assert "systemctl disable --now vpp" in problem
    [problem] = found(program="/nowhere/vpp")
    assert "/nowhere/vpp is not there: install VPP" in problem


def test_it_reads_the_host_when_nobody_says_what_is_there() -> None:
    problems = preflight_vpp.problems({**WANTED, "uplink": "none0", "memory": 1 << 40})
    assert any("no interface none0" in problem for problem in problems)
    assert any("MiB of memory can be had" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "wanted", "refused"),
    [
        ("mtuSize: 0\n", "linux", False),
        ("mtuSize: 0\n", "vpp", True),
        ("# x\ndataplane: vpp\nipamConfig: {}\n", "vpp", False),
        ("dataplane: vpp\n", "linux", True),
        ("dataplane: vpp\n", "", False),
    ],
)
def test_a_host_keeps_its_data_plane_until_it_is_reset(tmp_path: Any, text: str, wanted: str, refused: bool) -> None:
    path = tmp_path / "contiv.conf"
    assert preflight.dataplane(wanted, str(path)) == []
    path.write_text(text)
    problems = preflight.dataplane(wanted, str(path))
    assert bool(problems) is refused
    assert all("run playbooks/reset.yml first" in problem for problem in problems)
