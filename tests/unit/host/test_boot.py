from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from contivpp.host import boot
from tests.unit.host.kernel import Kernel

SPARE = "0000:00:08.0"


def files(kernel: Kernel) -> set[str]:
    return {
        str(path.relative_to(kernel.root))
        for path in kernel.root.rglob("*")
        if "contiv" in str(path.relative_to(kernel.root))
    }


def test_orders_bring_script_and_unit_and_the_last_one_takes_them_away(kernel: Kernel) -> None:
    system = kernel.system()
    assert boot.is_whole(system, "nics", {}) and boot.read(system, "nics") == {}
    boot.write(system, "nics", {SPARE: "vfio-pci noiommu"})
    assert boot.is_whole(system, "nics", {SPARE: "vfio-pci noiommu"})
    assert not boot.is_whole(system, "nics", {}) and not boot.is_whole(system, "nics", {SPARE: "vfio-pci"})
    assert kernel.read("etc/contiv/host/nics") == "0000:00:08.0 vfio-pci noiommu\n"
    assert os.access(kernel.root / "usr/local/sbin/contiv-host-boot", os.X_OK)
    wanted = kernel.root / "etc/systemd/system/sysinit.target.wants/contiv-host.service"
    assert str(wanted.readlink()) == "/etc/systemd/system/contiv-host.service"
    assert kernel.ran == ["systemctl daemon-reload"]
    boot.write(system, "nics", {SPARE: "vfio-pci noiommu"})
    assert kernel.ran == ["systemctl daemon-reload"], "a second time nothing is written"

    boot.write(system, "hugepages", {"kernel/mm/x": "5"})
    boot.write(system, "nics", {})
    assert boot.is_whole(system, "hugepages", {"kernel/mm/x": "5"}), "the other subject keeps its own"
    boot.write(system, "hugepages", {})
    assert files(kernel) == set()


@pytest.mark.parametrize("path", [boot.UNIT_PATH, boot.SCRIPT_PATH, boot.WANTED_PATH])
def test_a_part_that_somebody_took_away_or_changed_is_mended(kernel: Kernel, path: str) -> None:
    system = kernel.system()
    boot.write(system, "nics", {SPARE: "vfio-pci"})
    os.unlink(system.path(path))
    assert not boot.is_whole(system, "nics", {SPARE: "vfio-pci"})
    boot.write(system, "nics", {SPARE: "vfio-pci"})
    assert boot.is_whole(system, "nics", {SPARE: "vfio-pci"})


@pytest.fixture
def sysfs(kernel: Kernel, tmp_path: Path) -> Kernel:
    """A sysfs whose drivers take a device as soon as their module is loaded: the shell plays no kernel."""
    kernel.add_nic(SPARE, "eth1", group="7")
    kernel.put("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "10\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    device = kernel.sys / "devices/pci0000:00" / SPARE
    (programs / "modprobe").write_text(
        f'#!/bin/sh\n[ "$1" != broken ] || exit 1\necho "$1" >> {tmp_path}/loaded\n'
        f"[ ! -e {tmp_path}/takes ] || {{ rm {device}/driver; ln -s ../../../bus/pci/drivers/$1 {device}/driver; }}\n"
    )
    (programs / "sleep").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    return kernel


def start(kernel: Kernel, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", kernel.root / "usr/local/sbin/contiv-host-boot", kernel.sys, kernel.root / "etc/contiv/host"],
        env={"PATH": f"{tmp_path}/programs:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script_binds_and_reserves_at_boot(sysfs: Kernel, tmp_path: Path) -> None:
    (tmp_path / "takes").touch()
    sysfs.put("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n")
    pages = "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
    boot.write(sysfs.system(), "nics", {SPARE: "vfio-pci noiommu"})
    boot.write(sysfs.system(), "hugepages", {pages: "64"})
    done = start(sysfs, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "loaded").read_text() == "vfio-pci\n"
    assert sysfs.read(f"sys/bus/pci/devices/{SPARE}/driver_override") == "vfio-pci\n"
    assert sysfs.read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode") == "Y\n"
    assert sysfs.read(f"sys/{pages}") == "64\n"
    sysfs.put(f"sys/{pages}", "100\n")
    assert start(sysfs, tmp_path).returncode == 0
    assert sysfs.read(f"sys/{pages}") == "100\n", "what has more keeps it"


def test_the_script_says_what_it_could_not_do_and_does_the_rest(sysfs: Kernel, tmp_path: Path) -> None:
    orders = {"0000:00:77.0": "vfio-pci", SPARE: "vfio-pci", "0000:00:79.0": "broken"}
    boot.write(sysfs.system(), "nics", orders)
    boot.write(sysfs.system(), "hugepages", {"none/nr_hugepages": "5"})
    done = start(sysfs, tmp_path)
    assert done.returncode == 1
    assert "none/nr_hugepages is not there" in done.stderr
    assert "0000:00:77.0 is not there any more" in done.stderr
    assert "vfio-pci did not take 0000:00:08.0" in done.stderr
    assert "0000:00:79.0 is not there any more" in done.stderr
    assert sysfs.read("sys/bus/pci/drivers_probe") == f"{SPARE}\n"


def test_systemd_takes_the_unit(kernel: Kernel) -> None:
    boot.write(kernel.system(), "nics", {SPARE: "vfio-pci"})
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", kernel.root / "etc/systemd/system/contiv-host.service"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("needs systemd-analyze: install systemd")
    complaints = [line for line in done.stderr.splitlines() if "contiv-host" in line and "not executable" not in line]
    assert complaints == []


def test_a_unit_that_ran_at_boot_is_no_ghost_after_its_last_order(kernel: Kernel) -> None:
    boot.write(kernel.system(), "nics", {"0000:00:08.0": "vfio-pci"})
    assert "systemctl stop contiv-host.service" not in kernel.ran
    boot.write(kernel.system(), "nics", {})
    assert kernel.ran[-2:] == ["systemctl stop contiv-host.service", "systemctl daemon-reload"]
