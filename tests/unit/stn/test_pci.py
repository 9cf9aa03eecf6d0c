"""Drivers of the NIC's device, changed for contiv-stn: what takes time is done before the node is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from contivpp.stn.drivers import DriverError
from contivpp.stn.pci import PciDrivers
from tests.unit.host.kernel import Kernel

ONLY = "0000:00:04.0"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    made = Kernel(tmp_path)
    made.add_nic(ONLY, "enp0s4", group="7")
    return made


def test_what_is_prepared_is_a_few_writes_then(kernel: Kernel) -> None:
    drivers = PciDrivers(kernel.system())
    drivers.prepare(ONLY, "vfio-pci")
    assert kernel.driver(ONLY) == "e1000e" and kernel.written == [], "nobody notices"
    assert "modprobe vfio-pci" in kernel.ran
    kernel.ran.clear()
    drivers.give(ONLY, "vfio-pci")
    assert kernel.driver(ONLY) == "vfio-pci"
    assert [one for one in kernel.ran if not one.startswith("modprobe vfio-pci")] == [], "nothing is looked at anew"
    drivers.prepare(ONLY, "e1000e")
    drivers.give(ONLY, "e1000e")
    assert kernel.driver(ONLY) == "e1000e"
    drivers.give(ONLY, "vfio-pci")
    assert kernel.driver(ONLY) == "vfio-pci", "a plan is good for one change"


def test_a_driver_that_does_not_load_is_an_error_before_anything_is_touched(kernel: Kernel) -> None:
    kernel.modules.clear()
    with pytest.raises(DriverError, match="vfio-pci"):
        PciDrivers(kernel.system()).prepare(ONLY, "vfio-pci")
    assert kernel.driver(ONLY) == "e1000e" and kernel.written == []
