"""The virtual machine's hardware and disk, and what is refused before anything is made of it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from contivpp.playground.machines.image import NODE
from contivpp.playground.machines.plan import MachinesError
from contivpp.playground.virtual import hardware, main
from contivpp.playground.virtual.disk import VIRTUAL, Disk
from contivpp.playground.virtual.hardware import Nic, nics
from contivpp.playground.virtual.machine import VirtualMachine, created, put

PLACES = [("br0", ipaddress.IPv4Interface("10.9.0.11/24")), ("br1", ipaddress.IPv4Interface("10.9.1.11/24"))]


def words(tmp_path: Path, cards: list[Nic], *shares: Path) -> list[str]:
    return hardware.command(
        machine="m",
        folder=tmp_path,
        disk=tmp_path / "disk",
        kernel=Path("/k"),
        initial=Path("/i"),
        cards=cards,
        shares=shares,
    )


def test_nics_are_where_their_names_say_and_no_two_machines_share_a_mac() -> None:
    first, second = nics(["virtio", "e1000e"], PLACES)
    assert (first.name, first.pci, second.name, second.pci) == ("enp0s4", "0000:00:04.0", "enp0s5", "0000:00:05.0")
    assert (first.mac, second.mac) == ("52:54:0a:09:00:0b", "52:54:0a:09:01:0b")
    assert (first.bridge, second.bridge) == ("br0", "br1")
    assert [card.model for card in nics(["e1000e"], PLACES)] == ["e1000e"]


@pytest.mark.parametrize(
    ("models", "said"), [(["rtl8139"], "no NIC of the kind rtl8139"), ([], "one to 2 NICs"), (["virtio"] * 3, "not 3")]
)
def test_nics_that_cannot_be_are_refused(models: list[str], said: str) -> None:
    with pytest.raises(MachinesError, match=said):
        nics(models, PLACES)


def test_the_machine_has_an_iommu_its_nics_in_their_slots_and_an_emulated_processor(tmp_path: Path) -> None:
    command = words(tmp_path, nics(["virtio", "e1000e"], PLACES), Path("/srv/x"))
    text = " ".join(command)
    assert "-accel tcg" in text and "kvm" not in text
    assert "-device intel-iommu" in text and "intel_iommu=on" in text
    assert "virtio-net-pci,netdev=net0,mac=52:54:0a:09:00:0b,addr=0x4" in command
    assert "e1000e,netdev=net1,mac=52:54:0a:09:01:0b,addr=0x5" in command
    [share] = [word for word in command if word.startswith("local,")]
    assert "path=/srv/x" in share and "readonly=on" in share and hardware.tag_of(Path("/srv/x")) in share
    assert hardware.tag_of(Path("/srv/x")) != hardware.tag_of(Path("/srv/y"))


def test_the_disk_is_the_nodes_image_with_a_kernel(tmp_path: Path) -> None:
    assert set(NODE.packages) < set(VIRTUAL.packages) and "linux-image-amd64" in VIRTUAL.packages
    assert NODE.fingerprint() != VIRTUAL.fingerprint()
    disk = Disk(tmp_path)
    disk.file.touch()
    assert not disk.is_built(), "a disk whose image nobody knows is none"
    assert disk.remove() and not disk.file.exists() and not disk.remove()


def test_a_machine_boots_with_the_initial_ram_disk_of_its_kernel_which_nothing_links_to(tmp_path: Path) -> None:
    boot = tmp_path / "base/boot"
    boot.mkdir(parents=True)
    (boot / "vmlinuz-6.1.0-9-amd64").touch()
    (tmp_path / "base/vmlinuz").symlink_to("boot/vmlinuz-6.1.0-9-amd64")
    assert Disk(tmp_path).kernel == boot / "vmlinuz-6.1.0-9-amd64"
    assert Disk(tmp_path).initial == boot / "initrd.img-6.1.0-9-amd64"


def test_files_are_put_on_a_disk_for_root_and_replace_those_that_are_there(tmp_path: Path) -> None:
    if shutil.which("mke2fs") is None or shutil.which("debugfs") is None:
        pytest.skip("needs e2fsprogs")
    first, own, disk = tmp_path / "first", tmp_path / "own", tmp_path / "disk"
    for folder, text in ((first, "old"), (own, "new")):
        (folder / "etc").mkdir(parents=True)
        (folder / "etc/hostname").write_text(text)
    (own / "root/.ssh").mkdir(parents=True)
    (own / "root/.ssh/key").write_text("secret")
    (own / "root/.ssh/key").chmod(0o600)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", first, disk, "4M"], check=True)
    for _ in range(2):
        put(disk, own)

    def asked(request: str) -> str:
        return subprocess.run(["debugfs", "-R", request, disk], check=True, capture_output=True, text=True).stdout

    assert asked("cat /etc/hostname") == "new"
    assert asked("cat /root/.ssh/key") == "secret"
    about = asked("stat /root/.ssh/key")
    assert "Mode:  0600" in about and "User:     0" in about
    assert subprocess.run(["e2fsck", "-fn", disk], check=False, capture_output=True).returncode == 0


def test_a_machine_that_is_not_there_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main.main(["cut", "--state", str(tmp_path)]) == 1
    assert "contiv-playground vm up makes it" in capsys.readouterr().err
    assert main.main(["status", "--state", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"changed": False, "disk": False, "machines": {}}
    assert created(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--subnet", "192.0.2.0/24"], "set --subnet to a free private"),
        (["--subnet2", "10.0.0.0/30"], "--subnet2 10.0.0.0/30 is too small"),
        (["--name", "much-too-long"], "too long"),
        (["--nic", "carrier-pigeon"], "no NIC of the kind"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    state, files = tmp_path / "state", tmp_path / "files"
    assert main.main(["up", "--state", str(state), "--files", str(files), *options]) == 1
    assert said in capsys.readouterr().err
    assert not state.exists() and not files.exists()


def test_a_machine_is_known_by_what_it_was_made_with(tmp_path: Path) -> None:
    machine = VirtualMachine("m", tmp_path)
    assert (machine.is_created(), machine.cards(), machine.shares()) == (False, [], [])
    machine.folder.mkdir(parents=True)
    cards = [{"model": "e1000e", "bridge": "br0", "address": "10.9.0.11/24"}]
    (machine.folder / "machine.json").write_text(json.dumps({"cards": cards, "shares": ["/srv/x"]}))
    assert machine.cards() == nics(["e1000e"], PLACES) and machine.shares() == [Path("/srv/x")]
    assert machine.address == "10.9.0.11"
    assert [one.name for one in created(tmp_path)] == ["m"]
