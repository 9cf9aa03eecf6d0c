"""What is refused before a playground is built, and what the kubelet says of its pods."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from contivpp.playground.demo import reach
from contivpp.playground.kubelet.cni import Network, NoConfigurationError, load
from contivpp.playground.kubelet.records import Container, Record, Sandbox
from contivpp.playground.kubelet.status import pod_status
from contivpp.playground.machines.image import MASKED, trim
from contivpp.playground.machines.node import Node
from contivpp.playground.machines.plan import Machine, MachinesError, Used, check
from contivpp.playground.machines.plan import Network as Subnet
from contivpp.playground.machines.processes import hierarchies


def used(device: str, subnet: str) -> Used:
    return Used(device, ipaddress.IPv4Network(subnet))


def test_a_subnet_that_the_machine_uses_is_refused_with_what_uses_it() -> None:
    wanted = Subnet.parse("pg0", "10.210.0.0/24")
    check(wanted, [used("eth0", "10.211.0.0/24"), used("pg0", "10.210.0.0/24")])
    with pytest.raises(MachinesError, match=r"overlaps 10\.0\.0\.0/8.* on eth0: set playground_subnet"):
        check(wanted, [used("eth0", "10.0.0.0/8")])
    with pytest.raises(MachinesError, match="reserved"):
        check(Subnet.parse("pg0", "192.0.2.0/25"), [])


@pytest.mark.parametrize("subnet", ["10.0.0.1/24", "10.0.0.0/30", "fd00::/64", "nonsense"])
def test_a_subnet_that_is_none_is_refused(subnet: str) -> None:
    with pytest.raises(MachinesError, match="playground_subnet"):
        Subnet.parse("pg0", subnet)


@pytest.mark.parametrize("address", ["10.210.0.1", "10.210.0.0", "10.210.0.255", "10.211.0.5", "x"])
def test_a_machine_has_an_address_of_its_own_in_the_subnet(address: str) -> None:
    network = Subnet.parse("pg0", "10.210.0.0/24")
    assert str(Machine.parse("n", "10.210.0.11", network).address) == "10.210.0.11/24"
    with pytest.raises(MachinesError):
        Machine.parse("n", address, network)


def test_a_second_nic_needs_a_bridge_of_its_own_and_a_name_that_fits() -> None:
    network = Subnet.parse("pg0", "10.210.0.0/24", "pg1")
    assert Machine.parse("node1", "10.210.0.11", network).name == "node1"
    with pytest.raises(MachinesError, match="set playground_uplink_bridge"):
        Subnet.parse("pg0", "10.210.0.0/24", "pg0")
    with pytest.raises(MachinesError, match="too long"):
        Machine.parse("a-machine-of-many-words", "10.210.0.11", network)
    assert Machine.parse("a-machine-of-many-words", "10.210.0.11", Subnet.parse("pg0", "10.210.0.0/24"))


def test_a_machine_of_another_data_plane_is_refused_with_the_remedy(tmp_path: Path) -> None:
    plain, second = Subnet.parse("pg0", "10.210.0.0/24"), Subnet.parse("pg0", "10.210.0.0/24", "pg1")
    machine = Node("n1", tmp_path)
    machine.check(second)  # there is none yet
    machine.folder.mkdir(parents=True)
    (machine.folder / "machine.json").write_text('{"name": "n1", "uplink": "pg1"}')
    machine.check(second)
    with pytest.raises(MachinesError, match="n1 was made with a second NIC, for VPP: make cluster-down first"):
        machine.check(plain)
    (machine.folder / "machine.json").write_text('{"name": "n1"}')
    machine.check(plain)
    with pytest.raises(MachinesError, match="without a second NIC"):
        machine.check(second)


def test_the_image_has_no_identity_and_starts_nothing_of_its_own(tmp_path: Path) -> None:
    for name in ("etc/ssh/ssh_host_rsa_key", "var/cache/apt/archives/x.deb", "etc/ssh/sshd_config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    trim(tmp_path)
    trim(tmp_path)
    assert not list((tmp_path / "etc/ssh").glob("ssh_host_*"))
    assert (tmp_path / "etc/ssh/sshd_config").exists()
    assert "etcd.service" in MASKED
    for unit in MASKED:
        assert (tmp_path / "etc/systemd/system" / unit).readlink() == Path("/dev/null")


def test_control_groups_are_found_in_either_version(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nproc /proc proc rw 0 0\n")
    assert hierarchies(mounts) == [Path("/sys/fs/cgroup")]
    mounts.write_text("cgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/systemd cgroup rw,name=systemd 0 0\n")
    assert hierarchies(mounts) == [Path("/c/systemd")]
    mounts.write_text("")
    with pytest.raises(MachinesError, match="no control group"):
        hierarchies(mounts)


def test_the_first_usable_configuration_by_name_is_taken(tmp_path: Path) -> None:
    with pytest.raises(NoConfigurationError, match="no networks found"):
        load(tmp_path)
    (tmp_path / "05-broken.conflist").write_text("{")
    (tmp_path / "06-nameless.conflist").write_text('{"plugins": [{"type": "x"}]}')
    (tmp_path / "07-ignored.txt").write_text("")
    with pytest.raises(NoConfigurationError, match="05-broken"):
        load(tmp_path)
    (tmp_path / "10-a.conflist").write_text(
        '{"name": "a", "cniVersion": "0.3.1", "cniVersions": ["1.1.0", "1.0.0"], "plugins": [{"type": "x"}]}'
    )
    (tmp_path / "20-b.conf").write_text('{"name": "b", "cniVersion": "0.3.1", "type": "y"}')
    assert load(tmp_path).name == "a"
    assert load(tmp_path).supports("1.1.0")
    single = Network.parse({"name": "b", "cniVersion": "0.3.1", "type": "y"}, "test")
    assert not single.supports("0.4.0") and single.plugins[0]["type"] == "y"


def container(exit_code: int | None = None) -> Container:
    return Container(id="c", pid=1, start_time=1, started="then", started_at=0, exit_code=exit_code)


def status(record: Record, *, ready: bool = False, **old: Any) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "main", "image": "web"}]}, "status": old}
    return pod_status(record, pod, ready={"main": ready}, host_address="10.0.0.1", now="now", problem="why not")


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in found["conditions"]}


def test_a_pod_is_pending_then_running_then_ready() -> None:
    record = Record(namespace="d", name="p", uid="u")
    pending = status(record)
    assert pending["phase"] == "Pending" and pending["podIP"] is None
    sandbox = {"ips": [{"address": "10.1.1.2/32"}]}
    record.sandbox = Sandbox(container_id="c", netns="n", result=sandbox)
    record.addresses = record.sandbox.addresses
    record.containers = {"main": container()}
    assert conditions(status(record))["Ready"] == "False"
    running = status(record, ready=True)
    assert running["phase"] == "Running" and running["podIPs"] == [{"ip": "10.1.1.2"}]
    assert conditions(running)["Ready"] == "True"
    assert running["containerStatuses"][0]["state"] == {"running": {"startedAt": "then"}}


def test_conditions_keep_their_time_while_they_do_not_change_and_others_stay() -> None:
    record = Record(namespace="d", name="p", uid="u")
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "before"}
    unready = {"type": "Ready", "status": "False", "lastTransitionTime": "before"}
    found = {c["type"]: c for c in status(record, conditions=[scheduled, unready])["conditions"]}
    assert found["PodScheduled"] == scheduled
    assert found["Ready"]["lastTransitionTime"] == "before"
    assert found["ContainersReady"]["lastTransitionTime"] == "now"


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_pod_that_is_over_says_how_it_ended(code: int, phase: str) -> None:
    record = Record(namespace="d", name="p", uid="u", done=True, containers={"main": container(code)})
    record.addresses = ["10.1.1.2"]
    found = status(record)
    assert found["phase"] == phase and found["podIP"] == "10.1.1.2"
    assert found["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


def test_what_was_not_reached_is_no_success() -> None:
    pods = [reach.Pod("a", "n1", "10.1.1.2"), reach.Pod("b", "n2", "10.1.2.2"), reach.Pod("c", "n1", "10.1.1.3")]
    host = reach.Host("n1", "10.0.0.1")
    output = "a b 0.05 b\na c - c\nn1 a 0.01 b\nn1 b 0.2 -\n"
    found = {(r.source, r.target.name): r for r in reach.parse(output, [pods[0], host], pods)}
    assert len(found) == 5
    assert found["a", "b"].good and found["a", "b"].kind == "pod to pod, across nodes"
    assert found["a", "c"].kind == "pod to pod, same node" and not found["a", "c"].good
    assert not found["n1", "a"].served, "another pod answered"
    assert not found["n1", "b"].good and found["n1", "b"].kind == "host to pod"
    assert not found["n1", "c"].good, "a line that is missing is a failure"
