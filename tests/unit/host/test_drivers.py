from __future__ import annotations

import pytest

from contivpp.host import drivers, nics
from contivpp.host.drivers import KERNEL, UIO, VFIO
from contivpp.host.nics import Nic
from contivpp.host.system import HostError
from tests.unit.host.kernel import Kernel

SPARE = "0000:00:08.0"


def nic_of(kernel: Kernel) -> Nic:
    return nics.read(kernel.system()).find(SPARE)


def change(kernel: Kernel, wanted: str, *, no_iommu: bool = False) -> drivers.Change:
    return drivers.plan(nic_of(kernel), wanted, drivers.read(kernel.system()), no_iommu=no_iommu)


def move(kernel: Kernel, wanted: str, *, no_iommu: bool = False) -> None:
    drivers.apply(kernel.system(), change(kernel, wanted, no_iommu=no_iommu))


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    kernel.add_nic(SPARE, "eth1", group="7")
    return kernel


def test_a_nic_goes_to_vfio_and_back_and_no_other_of_its_kind_is_touched(machine: Kernel) -> None:
    machine.add_nic("0000:00:09.0", "eth2", group="8")
    move(machine, VFIO)
    assert machine.driver(SPARE) == VFIO and machine.driver("0000:00:09.0") == "e1000e"
    assert not any("new_id" in path for path, _ in machine.written)
    assert nic_of(machine).override == VFIO and nic_of(machine).links == ()
    assert change(machine, VFIO).steps == (), "a second time there is nothing to do"
    move(machine, KERNEL)
    assert machine.driver(SPARE) == "e1000e" and nic_of(machine).override == ""
    assert change(machine, KERNEL).steps == ()


def test_a_plan_says_its_steps_and_does_nothing(machine: Kernel) -> None:
    assert [str(step) for step in change(machine, UIO).steps] == [
        "modprobe uio_pci_generic",
        "write 'uio_pci_generic' to /sys/bus/pci/devices/0000:00:08.0/driver_override",
        "write '0000:00:08.0' to /sys/bus/pci/devices/0000:00:08.0/driver/unbind",
        "write '0000:00:08.0' to /sys/bus/pci/drivers_probe",
    ]
    assert machine.written == [] and machine.driver(SPARE) == "e1000e"
    move(machine, UIO)
    assert machine.driver(SPARE) == UIO
    move(machine, VFIO)
    assert machine.driver(SPARE) == VFIO, "from one driver of user space to the other"


def test_vfio_without_an_iommu_is_refused_unless_it_is_asked_for(kernel: Kernel) -> None:
    kernel.add_nic(SPARE, "eth1")
    with pytest.raises(HostError) as raised:
        change(kernel, VFIO)
    assert len(raised.value.problems) == 1
    assert "eth1 (0000:00:08.0) has no IOMMU" in str(raised.value) and "set noiommu to true" in str(raised.value)
    assert kernel.written == []
    move(kernel, VFIO, no_iommu=True)
    assert kernel.driver(SPARE) == VFIO
    assert drivers.read(kernel.system()).no_iommu
    assert change(kernel, VFIO, no_iommu=True).steps == ()
    drivers.set_no_iommu(kernel.system(), False)
    assert [str(step) for step in change(kernel, VFIO, no_iommu=True).steps] == [
        "write 'Y' to /sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    ], "who drives the NIC looks at the parameter as well"


def test_uio_needs_no_iommu(kernel: Kernel) -> None:
    kernel.add_nic(SPARE, "eth1")
    move(kernel, UIO)
    assert kernel.driver(SPARE) == UIO


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"vendor": "0x15b3", "group": "7"}, "is driven by mlx5_core, which VPP uses together with the kernel"),
        ({"group": "7", "companion": "snd_hda_intel"}, "shares IOMMU group 7 with 0000:00:08.1 (snd_hda_intel)"),
        ({"group": "7", "functions": "4"}, "has 4 virtual functions, which would go with it"),
        ({"group": "7", "modules": set()}, "this kernel has no driver vfio-pci"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    kernel: Kernel, given: dict[str, object], sentence: str
) -> None:
    kernel.add_nic(SPARE, "eth1", vendor=str(given.get("vendor", "0x8086")), group=str(given["group"]))
    if "companion" in given:
        kernel.add_nic("0000:00:08.1", driver=str(given["companion"]), kind="0x040300", group="7")
    if "functions" in given:
        kernel.put(f"sys/devices/pci0000:00/{SPARE}/sriov_numvfs", str(given["functions"]))
    if "modules" in given:
        kernel.modules = set()
    with pytest.raises(HostError) as raised:
        change(kernel, VFIO)
    assert len(raised.value.problems) == 1 and sentence in str(raised.value)
    assert kernel.written == []


def test_bridges_and_devices_without_a_driver_may_share_the_group(kernel: Kernel) -> None:
    kernel.add_nic(SPARE, "eth1", group="7")
    kernel.add_nic("0000:00:1c.0", driver="pcieport", kind="0x060400", group="7")
    kernel.add_nic("0000:00:08.1", driver="", group="7")
    move(kernel, VFIO)
    assert kernel.driver(SPARE) == VFIO


def test_a_driver_that_does_not_take_the_nic_is_an_error_and_the_nic_is_back(machine: Kernel) -> None:
    machine.refusing = {VFIO}
    with pytest.raises(HostError) as raised:
        move(machine, VFIO)
    assert str(raised.value).startswith(
        "vfio-pci did not take 0000:00:08.0; it is back at e1000e: see the kernel's log"
    )
    assert machine.driver(SPARE) == "e1000e" and nic_of(machine).override == ""
    assert machine.waited <= 10, "nobody waits for ever"


def test_a_kernel_that_refuses_a_write_is_named_with_the_file(kernel: Kernel) -> None:
    kernel.add_nic(SPARE, "eth1")
    kernel.loaded(VFIO)
    planned = change(kernel, VFIO, no_iommu=True)
    steps = tuple(step for step in planned.steps if step.path != drivers.NO_IOMMU)
    with pytest.raises(HostError, match=r"drivers_probe does not take '0000:00:08.0': Invalid argument\); it is back"):
        drivers.apply(kernel.system(), drivers.Change(planned.address, "e1000e", VFIO, "", steps))
    assert kernel.driver(SPARE) == "e1000e"


def test_a_module_that_does_not_load_leaves_everything_as_it_is(machine: Kernel) -> None:
    planned = change(machine, UIO)
    machine.modules.clear()
    with pytest.raises(HostError, match="modprobe uio_pci_generic failed: .* it still has e1000e"):
        drivers.apply(machine.system(), planned)
    assert machine.driver(SPARE) == "e1000e"


def test_a_nic_that_nobody_drove_is_left_so_again(kernel: Kernel) -> None:
    kernel.add_nic(SPARE, driver="", group="7")
    move(kernel, VFIO)
    move(kernel, "")
    assert kernel.driver(SPARE) == "" and nic_of(kernel).override == ""


def test_an_override_of_somebody_else_comes_back_with_the_driver(machine: Kernel) -> None:
    machine.put(f"sys/devices/pci0000:00/{SPARE}/driver_override", "e1000e\n")
    move(machine, VFIO)
    found = drivers.read(machine.system())
    drivers.apply(machine.system(), drivers.plan(nic_of(machine), KERNEL, found, override="e1000e"))
    assert nic_of(machine).override == "e1000e" and machine.driver(SPARE) == "e1000e"


def test_a_nic_without_pci_stays_with_the_kernel() -> None:
    nic = Nic("virtio1", "virtio", (), "virtio_net", "1af4", "0001", known_as="eth0")
    everything = drivers.Kernel(frozenset({VFIO, UIO}), frozenset(), False)
    with pytest.raises(HostError, match=r"eth0 \(virtio1\) is not a PCI device"):
        drivers.plan(nic, UIO, everything)
