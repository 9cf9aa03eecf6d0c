from __future__ import annotations

import pytest

from contivpp.host import nics, uses
from contivpp.host.system import HostError
from tests.unit.host.kernel import Kernel

MOUNTED = "27 1 254:0 / / rw - ext4 /dev/vda rw\n60 27 0:50 / /mnt/data\\040one rw shared:9 - %s %s %s\n"


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    kernel.add_nic("0000:00:03.0", "eth0", addresses=["10.0.0.5/24"])
    kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    kernel.add_nic("0000:00:08.0", "eth1", addresses=["10.9.0.5/24", "fd09::5/64"])
    return kernel


def against(kernel: Kernel, nic: str, *, stealing: bool = False, session: str = "", node_ip: str = "") -> list[str]:
    system = kernel.system()
    found = nics.read(system, node_ip=node_ip).find(nic)
    return uses.against(found, uses.read(system), stealing=stealing, session=session)


def test_nothing_stands_against_a_nic_that_carries_nothing_of_importance(machine: Kernel) -> None:
    assert against(machine, "eth1") == []


@pytest.mark.parametrize(
    ("kind", "source", "options"),
    [
        ("nfs4", "storage:/data", "rw,vers=4.2,addr=10.9.0.9,clientaddr=10.9.0.5"),
        ("cifs", "//nas/share", "rw,addr=10.9.0.9"),
        ("cifs", "//10.9.0.9/share", "rw"),
        ("ceph", "10.200.0.1:6789,10.9.0.9:6789:/", "rw,name=admin"),
        ("ceph", "[fd09::9]:6789:/", "rw"),
        ("lustre", "10.9.0.9@tcp:/fs", "rw"),
        ("fuse.sshfs", "root@nas:/srv", "rw"),
        ("9p", "10.9.0.9", "rw,trans=tcp,port=564"),
    ],
)
def test_a_network_file_system_over_the_nic_stands_against_it(
    machine: Kernel, kind: str, source: str, options: str
) -> None:
    machine.hosts = {"nas": "10.9.0.9", "storage": "10.9.0.9"}
    machine.put("proc/self/mountinfo", MOUNTED % (kind, source, options))
    [problem] = against(machine, "eth1")
    assert problem.startswith("eth1 (0000:00:08.0) is in use: the file system at /mnt/data one comes from ")
    assert "unmount that first, or name another NIC" in problem
    assert against(machine, "eth1", stealing=True) == [problem], "stealing would hang it just as well"


@pytest.mark.parametrize(
    ("kind", "source", "options"),
    [("nfs4", "storage:/data", "rw,addr=10.0.0.9"), ("9p", "share", "rw,trans=virtio"), ("ext4", "/dev/sda1", "rw")],
)
def test_one_that_comes_by_another_way_does_not(machine: Kernel, kind: str, source: str, options: str) -> None:
    machine.put("proc/self/mountinfo", MOUNTED % (kind, source, options))
    assert against(machine, "eth1") == []


def test_one_over_a_vlan_of_the_nic_does(machine: Kernel) -> None:
    machine.stand("eth1.7", "eth1", addresses=["10.77.0.5/24"])
    machine.put("proc/self/mountinfo", MOUNTED % ("nfs", "s:/d", "rw,addr=10.77.0.9"))
    problems = against(machine, "eth1")
    assert problems[0] == "eth1.7 stands on eth1 (0000:00:08.0) and would go with it: remove it first"
    assert "10.77.0.9" in problems[1]


def test_an_iscsi_disk_stands_against_it(machine: Kernel) -> None:
    machine.put("sys/class/iscsi_connection/connection1:0/address", "10.9.0.9\n")
    [problem] = against(machine, "eth1")
    assert "an iSCSI disk comes from 10.9.0.9" in problem


def test_a_member_of_a_bridge_is_refused_by_the_name_of_the_bridge(machine: Kernel) -> None:
    machine.stand("br0", "eth1", addresses=["10.5.0.1/16"])
    machine.links["eth1"]["master"] = "br0"
    assert against(machine, "eth1") == ["eth1 is part of br0: take it out, it would not come back into it"]


def test_the_nodes_own_way_into_the_network_is_refused_without_stealing(machine: Kernel) -> None:
    [problem] = against(machine, "eth0", node_ip="10.0.0.5", session="10.0.0.5")
    assert problem == (
        "eth0 (0000:00:03.0) carries the default route and has the address of the node in Kubernetes and has the address"
        " 10.0.0.5 that this session came in by, and the node would be off the network: name another NIC, or let"
        " contiv-stn give VPP the only one"
    )
    assert against(machine, "eth0", node_ip="10.0.0.5", session="10.0.0.5", stealing=True) == []
    [problem] = against(machine, "eth1", session="10.9.0.5")
    assert "10.9.0.5 that this session came in by" in problem


def test_a_machine_without_proc_is_not_guessed_at(machine: Kernel) -> None:
    (machine.root / "proc/self/mountinfo").unlink()
    with pytest.raises(HostError, match="/proc/self/mountinfo cannot be read"):
        uses.read(machine.system())


def test_the_session_is_that_of_ssh(machine: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 4711 10.9.0.5 22")
    assert uses.session(machine.system()) == "10.9.0.5"
    monkeypatch.delenv("SSH_CONNECTION")
    assert uses.session(machine.system()) == ""


def test_the_session_is_known_behind_sudo(machine: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, parent, words in (
        (1, 0, "HOME=/\0"),
        (70, 1, "HOME=/root\0"),  # sshd
        (71, 70, "HOME=/home/op\0SSH_CONNECTION=10.9.0.1 4711 10.9.0.5 22\0USER=op\0"),
        (72, 71, "SUDO_USER=op\0"),
    ):
        machine.put(f"proc/{number}/environ", words)
        machine.put(f"proc/{number}/status", f"Name:\tx\nPPid:\t{parent}\n")
    assert uses.session(machine.system(), 72) == "10.9.0.5"
    assert uses.session(machine.system(), 70) == ""
    monkeypatch.setenv("SSH_CONNECTION", "10.9.0.1 4711 10.0.0.5 22")
    assert uses.session(machine.system()) == "10.0.0.5"
