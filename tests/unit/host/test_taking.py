from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from contivpp.host import boot, nics, taking
from contivpp.host.system import HostError
from contivpp.host.taking import Plan, Wanted
from tests.unit.host.kernel import Kernel, Killed, killed_at

MAIN, SPARE = "0000:00:03.0", "0000:00:08.0"
MEMORY = "var/lib/contiv/host/nics.json"


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    kernel.add_nic(MAIN, "eth0", addresses=["10.0.0.5/24"])
    kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    kernel.add_nic(SPARE, "eth1", group="7", addresses=["10.9.0.5/24", "fd09::5/64"])
    kernel.add_route("4", dst="172.16.0.0/12", gateway="10.9.0.1", dev="eth1", metric=50)
    kernel.add_route("6", dst="fd10::/32", gateway="fd09::1", dev="eth1", metric=1024)
    return kernel


def planned(kernel: Kernel, nic: str = "eth1", **more: Any) -> Plan:
    return taking.plan(taking.read(kernel.system(), node_ip="10.0.0.5"), Wanted(nic, **more))


def do(kernel: Kernel, nic: str = "eth1", **more: Any) -> Plan:
    made = planned(kernel, nic, **more)
    if made.changed:
        taking.apply(kernel.system(), made)
    return made


def picture(kernel: Kernel) -> dict[str, Any]:
    """All of a machine that a change could touch."""
    return {
        "links": {name: {**link, "ifindex": 0} for name, link in kernel.links.items()},
        "routes": {
            family: sorted(str(sorted(route.items())) for route in routes) for family, routes in kernel.routes.items()
        },
        "drivers": {nic.address: (nic.driver, nic.override) for nic in nics.read(kernel.system()).nics},
        "files": sorted(
            str(path.relative_to(kernel.root))
            for top in ("etc", "var", "usr")
            for path in (kernel.root / top).rglob("*")
            if not path.is_dir()
        ),
    }


def test_a_nic_is_taken_remembered_and_told_to_the_next_boot(machine: Kernel) -> None:
    made = do(machine)
    assert made.changed and made.before["driver"] == "e1000e" and made.after["driver"] == "vfio-pci"
    assert made.before["links"] == {
        "eth1": {"addresses": ["10.9.0.5/24", "fd09::5/64"], "routes": ["172.16.0.0/12", "fd10::/32"]}
    }
    assert made.after["links"] == {} and made.after["at_boot"] == "vfio-pci"
    assert machine.driver(SPARE) == "vfio-pci"
    assert boot.read(machine.system(), "nics") == {SPARE: "vfio-pci"}
    origin = json.loads(machine.read(MEMORY))[SPARE]
    assert origin["driver"] == "e1000e" and origin["links"][0]["name"] == "eth1"
    assert (machine.root / MEMORY).stat().st_mode & 0o777 == 0o600


def test_a_second_time_nothing_is_left_to_do_by_any_of_its_names(machine: Kernel) -> None:
    do(machine)
    for name in ("eth1", SPARE, "00:08.0"):
        assert not planned(machine, name).changed


def test_undo_gives_everything_back(machine: Kernel) -> None:
    before = picture(machine)
    do(machine)
    assert picture(machine) != before
    made = do(machine, present=False)
    assert made.changed and made.after["links"] == made_links()
    assert picture(machine) == before
    assert not planned(machine, present=False).changed
    assert "modprobe -r -q vfio-pci" in machine.ran, "what was not loaded before is not wanted any more"


def made_links() -> dict[str, Any]:
    return {"eth1": {"addresses": ["10.9.0.5/24", "fd09::5/64"], "routes": ["172.16.0.0/12", "fd10::/32"]}}


def test_undo_gives_everything_back_after_a_reboot_and_under_another_name(machine: Kernel) -> None:
    before = picture(machine)
    do(machine)
    machine.names[SPARE] = "ens8"  # the kernel calls it so until udev, or we, rename it
    do(machine, "52:54:00:00:00:08", present=False)
    assert picture(machine) == before


def test_undo_goes_back_to_the_very_first_state_whatever_came_between(machine: Kernel) -> None:
    before = picture(machine)
    do(machine)
    do(machine, driver="uio_pci_generic", at_boot=False)
    assert machine.driver(SPARE) == "uio_pci_generic" and boot.read(machine.system(), "nics") == {}
    do(machine, driver="kernel")
    assert picture(machine) == before, "the kernel's driver is the one that it had"


def test_what_somebody_else_had_bound_is_left_to_him(machine: Kernel) -> None:
    machine.loaded("vfio-pci")
    machine._unbind(SPARE)
    machine.put(f"sys/devices/pci0000:00/{SPARE}/driver_override", "vfio-pci\n")
    machine._probe(SPARE)
    before = picture(machine)
    do(machine, SPARE)  # only the next boot is told
    assert boot.read(machine.system(), "nics") == {SPARE: "vfio-pci"}
    do(machine, SPARE, present=False)
    assert picture(machine) == before and machine.driver(SPARE) == "vfio-pci"
    assert "modprobe -r -q vfio-pci" not in machine.ran


def test_the_kernels_driver_can_be_asked_for_where_nobody_remembers_another(machine: Kernel) -> None:
    machine.loaded("vfio-pci")
    machine._unbind(SPARE)
    machine.put(f"sys/devices/pci0000:00/{SPARE}/driver_override", "vfio-pci\n")
    machine._probe(SPARE)
    made = do(machine, SPARE, driver="kernel")
    assert made.changed and machine.driver(SPARE) == "e1000e"
    assert not planned(machine, "eth1", driver="kernel").changed
    do(machine, SPARE, present=False)
    assert machine.driver(SPARE) == "vfio-pci", "for that is how it was"


def test_vfio_without_an_iommu_is_allowed_for_as_long_as_a_nic_needs_it(kernel: Kernel) -> None:
    for address, name in ((SPARE, "eth1"), ("0000:00:09.0", "eth2")):
        kernel.add_nic(address, name)
    with pytest.raises(HostError, match="set noiommu to true"):
        do(kernel, "eth1")
    parameter = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    do(kernel, "eth1", no_iommu=True)
    do(kernel, "eth2", no_iommu=True)
    assert boot.read(kernel.system(), "nics") == dict.fromkeys((SPARE, "0000:00:09.0"), "vfio-pci noiommu")
    assert not planned(kernel, "eth1", no_iommu=True).changed
    do(kernel, "eth1", present=False)
    assert kernel.read(parameter) == "Y\n", "the other one still needs it"
    do(kernel, "eth2", present=False)
    assert kernel.read(parameter) == "N\n"


def test_what_stands_against_it_is_told_all_at_once_and_nothing_is_touched(machine: Kernel) -> None:
    before = picture(machine)
    with pytest.raises(HostError) as raised:
        planned(machine, "eth0")
    assert len(raised.value.problems) == 2
    assert "has no IOMMU" in raised.value.problems[0] and "carries the default route" in raised.value.problems[1]
    with pytest.raises(HostError, match="there is no NIC eth7"):
        planned(machine, "eth7")
    assert picture(machine) == before and machine.written == []


@pytest.mark.parametrize(
    ("driver", "file"),
    [("vfio-pci", "/dev/vfio/7"), ("vfio-pci", "/dev/vfio/devices/vfio0"), ("uio_pci_generic", "/dev/uio3")],
)
def test_a_nic_that_a_program_drives_is_not_torn_from_it(machine: Kernel, driver: str, file: str) -> None:
    do(machine, driver=driver)
    (machine.sys / f"devices/pci0000:00/{SPARE}/uio/uio3").mkdir(parents=True)
    (machine.sys / f"devices/pci0000:00/{SPARE}/vfio-dev/vfio0").mkdir(parents=True)
    machine.put("proc/123/comm", "vpp_main\n")
    (machine.root / "proc/123/fd").mkdir()
    (machine.root / "proc/123/fd/9").symlink_to(file)
    for more in ({"present": False}, {"driver": "kernel"}):
        with pytest.raises(HostError) as raised:
            planned(machine, **more)
        assert str(raised.value).startswith("vpp_main (process 123) drives eth1 (0000:00:08.0) now: stop it first")
    assert not planned(machine, driver=driver).changed, "who has what he is to have is not disturbed"
    (machine.root / "proc/123/fd/9").unlink()
    assert planned(machine, present=False).changed


def test_a_plan_changes_nothing(machine: Kernel) -> None:
    before = picture(machine)
    made = planned(machine)
    assert made.changed and "modprobe vfio-pci" in made.steps
    assert picture(machine) == before and machine.written == []
    do(machine)
    taken = picture(machine)
    assert planned(machine, present=False).changed
    assert picture(machine) == taken


def test_a_driver_that_does_not_take_it_leaves_the_nic_with_its_addresses_and_no_trace(machine: Kernel) -> None:
    before = picture(machine)
    machine.refusing = {"vfio-pci"}
    with pytest.raises(HostError, match="it is back at e1000e"):
        do(machine)
    assert picture(machine) == before


@pytest.mark.parametrize("interrupted_at", range(12))
@pytest.mark.parametrize("present", [True, False])
def test_a_run_that_was_killed_anywhere_ends_right_when_it_is_repeated(
    machine: Kernel, interrupted_at: int, present: bool
) -> None:
    before = picture(machine)
    if not present:
        do(machine)
    system = killed_at(machine.system(), interrupted_at)
    made = taking.plan(taking.read(system), Wanted("eth1", present=present))
    with contextlib.suppress(Killed):
        taking.apply(system, made)
    do(machine, present=present)
    assert not planned(machine, present=present).changed
    if present:
        assert machine.driver(SPARE) == "vfio-pci" and boot.read(machine.system(), "nics") == {SPARE: "vfio-pci"}
        do(machine, present=False)
    assert picture(machine) == before


def test_a_nic_that_is_gone_is_forgotten(machine: Kernel) -> None:
    do(machine)
    (machine.sys / "bus/pci/devices" / SPARE).unlink()
    made = do(machine, present=False)
    assert made.changed and made.nic is None
    assert boot.read(machine.system(), "nics") == {} and not (machine.root / MEMORY).exists()
    assert not planned(machine, "eth1", present=False).changed, "and there is nothing to give back any more"


def test_an_address_that_cannot_be_put_back_is_named_and_not_forgotten(machine: Kernel) -> None:
    do(machine)
    machine.names[SPARE] = ""  # the link does not come
    with pytest.raises(HostError) as raised:
        do(machine, present=False)
    assert "0000:00:08.0 has not got its link eth1 back" in raised.value.problems[0]
    assert "run it again, or remove /var/lib/contiv/host/nics.json" in raised.value.problems[1]
    assert (machine.root / MEMORY).exists()


def test_what_the_hosts_own_network_takes_off_again_is_put_back_until_it_stays(machine: Kernel) -> None:
    before = picture(machine)
    do(machine)
    times = iter(range(100))
    pause = machine.pause

    def networkd(seconds: float) -> None:
        pause(seconds)
        if next(times) < 2:  # it sets the new link up as its own files say
            machine.links["eth1"]["addr_info"].clear()
            machine.routes["4"] = [route for route in machine.routes["4"] if route["dev"] != "eth1"]
            machine.routes["6"] = []

    machine.pause = networkd  # type: ignore[method-assign]
    do(machine, present=False)
    assert picture(machine) == before


def test_a_network_that_never_leaves_it_alone_is_told(machine: Kernel) -> None:
    do(machine)
    machine.pause = lambda seconds: machine.links["eth1"]["addr_info"].clear()  # type: ignore[method-assign]
    with pytest.raises(HostError, match="somebody takes addresses or routes of eth1 off again"):
        do(machine, present=False)
    assert (machine.root / MEMORY).exists()


def test_a_memory_that_cannot_be_read_stops_everything(machine: Kernel) -> None:
    machine.put(MEMORY, "{")
    with pytest.raises(HostError, match=r"nics.json is damaged .* repair it, or remove it"):
        planned(machine)


def test_addresses_of_a_lease_come_back_with_what_was_left_of_it(machine: Kernel) -> None:
    entry = machine.links["eth1"]["addr_info"][0]
    entry |= {"dynamic": True, "valid_life_time": 3000, "preferred_life_time": 2000}
    before = picture(machine)
    do(machine)
    do(machine, present=False)
    assert picture(machine) == before
