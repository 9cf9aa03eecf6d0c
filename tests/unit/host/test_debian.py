"""Which packages are brought in, what is kept from starting, and what is taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contivpp.host import debian
from contivpp.host.debian import PackagesError, Plan


class Apt:
    """Stands in for dpkg, apt and systemctl: says what is installed, and notes what it is told."""

    def __init__(
        self,
        *,
        installed: dict[str, str] | None = None,
        audit: str = "",
        needed_by: dict[str, set[str]] | None = None,
    ) -> None:
        self.installed, self.audit, self.needed_by = installed or {}, audit, needed_by or {}
        self.said: list[str] = []

    def __call__(self, *words: str, good: tuple[int, ...] = (0,)) -> str:
        if words[0] == "dpkg-query":
            return "".join(f"{name} installed {self.installed[name]}\n" for name in words[3:] if name in self.installed)
        if words == ("dpkg", "--audit"):
            return self.audit
        if words[0] == "dpkg-deb":
            return Path(words[-1]).read_text()
        if "--simulate" in words:
            purged = set(words[words.index("purge") + 1 :])
            while more := {other for name in purged for other in self.needed_by.get(name, ())} - purged:
                purged |= more
            return "Reading package lists...\n" + "".join(f"Purg {name}:amd64 [1]\n" for name in sorted(purged))
        self.said.append(" ".join(word for word in words if not word.startswith(("-", "DPkg"))))
        return ""


def test_only_what_is_missing_or_has_another_version_is_installed() -> None:
    wanted, installed = {"vpp": "2", "vpp-plugin-core": "1", "libvppinfra": ""}, {"vpp": "1", "vpp-plugin-core": "1"}
    plan = debian.plan(wanted, {}, installed)
    assert plan == Plan(("libvppinfra", "vpp=2"), {"vpp": "1"}, {"libvppinfra": "newest", "vpp": "2"})
    assert debian.plan(wanted, {}, {"vpp": "2", "vpp-plugin-core": "1", "libvppinfra": "7"}) == Plan((), {}, {})
    assert debian.plan({"vpp": "2"}, {"vpp": "/p/vpp.deb"}, {}).arguments == ("/p/vpp.deb",)


def test_services_are_masked_before_their_package_is_there_and_what_was_there_is_noted(tmp_path: Path) -> None:
    apt = Apt(audit="half configured")
    plan = debian.plan({"etcd-server": ""}, {}, {})
    debian.install("etcd", plan, ["etcd"], from_files=True, command=apt, folder=str(tmp_path))
    assert apt.said == ["systemctl mask etcd.service", "dpkg", "apt-get install etcd-server"]
    assert debian.note_of("etcd", str(tmp_path)) == {"before": {"etcd-server": ""}, "masked": {"etcd": ""}}


def test_an_upgrade_keeps_the_first_note_and_a_package_that_was_there_keeps_its_service(tmp_path: Path) -> None:
    apt = Apt()
    debian.install(
        "vpp", Plan(("vpp=2",), {"vpp": "1"}, {"vpp": "2"}), ["vpp"], from_files=True, command=apt, folder=str(tmp_path)
    )
    debian.install(
        "vpp", Plan(("vpp=3",), {"vpp": "2"}, {"vpp": "3"}), ["vpp"], from_files=True, command=apt, folder=str(tmp_path)
    )
    assert apt.said == ["apt-get install vpp=2", "apt-get install vpp=3"]
    assert debian.note_of("vpp", str(tmp_path)) == {"before": {"vpp": "1"}, "masked": {}}


def test_what_came_is_removed_and_what_was_there_stays(tmp_path: Path) -> None:
    apt = Apt(installed={"vpp": "2", "libvppinfra": "2"})
    plan = Plan(("vpp=2", "libvppinfra"), {"vpp": "1"}, {"vpp": "2", "libvppinfra": "2"})
    debian.install("vpp", plan, [], from_files=True, command=apt, folder=str(tmp_path))
    apt.said.clear()
    debian.remove("vpp", command=apt, folder=str(tmp_path))
    assert apt.said == ["apt-get purge libvppinfra"]
    assert not tmp_path.exists()
    debian.remove("vpp", command=apt, folder=str(tmp_path))
    assert apt.said == ["apt-get purge libvppinfra"]


def test_what_others_need_that_came_since_stays_with_them(tmp_path: Path) -> None:
    names = ["libelf1", "libnuma1", "vpp", "vpp-plugin-core"]
    apt = Apt(
        installed=dict.fromkeys([*names, "gdb"], "1"),
        needed_by={"libelf1": {"gdb", "vpp"}, "libnuma1": {"vpp"}, "vpp": {"vpp-plugin-core"}},
    )
    plan = Plan(tuple(names), {}, dict.fromkeys(names, "1"))
    debian.install("vpp", plan, [], from_files=True, command=apt, folder=str(tmp_path))
    apt.said.clear()
    assert debian.removable(debian.note_of("vpp", str(tmp_path)), apt.installed, apt) == names[1:]
    debian.remove("vpp", command=apt, folder=str(tmp_path))
    assert apt.said == ["apt-get purge libnuma1 vpp vpp-plugin-core"], "gdb would have gone with libelf1"


def test_a_service_that_was_masked_is_unmasked_when_its_package_has_gone(tmp_path: Path) -> None:
    apt = Apt(installed={"etcd-server": "3"})
    debian.install(
        "etcd",
        Plan(("etcd-server",), {}, {"etcd-server": "newest"}),
        ["etcd"],
        from_files=True,
        command=apt,
        folder=str(tmp_path),
    )
    apt.said.clear()
    debian.remove("etcd", command=apt, folder=str(tmp_path))
    assert apt.said == ["apt-get purge etcd-server", "systemctl unmask etcd.service"]


def test_a_folder_with_two_versions_of_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vpp_1.deb").write_text("vpp 1")
    assert debian.in_folder(str(tmp_path), Apt()) == ({"vpp": "1"}, {"vpp": str(tmp_path / "vpp_1.deb")})
    (tmp_path / "vpp_2.deb").write_text("vpp 2")
    with pytest.raises(PackagesError, match=r"vpp_1.deb and .*vpp_2.deb are both vpp: keep one"):
        debian.in_folder(str(tmp_path), Apt())


def test_a_program_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(PackagesError, match="dpkg-deb --show"):
        debian.run("dpkg-deb", "--show", "/no/such/file")


def test_a_note_is_on_the_disk_before_anything_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def sync(number: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{number}")).name)
        fsync(number)

    monkeypatch.setattr(os, "fsync", sync)
    debian.install(
        "etcd", debian.plan({"etcd": ""}, {}, {}), [], from_files=True, command=Apt(), folder=str(tmp_path / "notes")
    )
    assert synced == ["etcd.json.new", "notes"]


def test_a_note_that_is_damaged_is_an_error_and_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "etcd.json").write_text('{"before": {"etcd-ser')
    for wrong in (lambda: debian.note_of("etcd", str(tmp_path)), lambda: debian.remove("etcd", folder=str(tmp_path))):
        with pytest.raises(PackagesError, match=r"etcd\.json is damaged .* it says which packages were there before"):
            wrong()
    assert (tmp_path / "etcd.json").exists()
