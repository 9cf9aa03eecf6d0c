"""The doors to files, services, packages and snapshots: what they are told, what they say, and check mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


def core(name: str) -> Any:
    """The module of contivpp.host as Ansible's modules import it."""
    return sys.modules[f"ansible.module_utils.contivpp.host.{name}"]


def load(run: Run, name: str) -> None:
    """Has Ansible's module imported, so that what it stands on can be replaced."""
    assert run(name)["failed"]


def test_files_are_told_as_a_list_and_a_check_says_what_it_would_do(run: Run, tmp_path: Path) -> None:
    file = {"path": str(tmp_path / "new/file"), "content": "a: 1\n"}
    answer = run("contivpp_files", check=True, diff=True, files=[file])
    assert answer["changed"] and answer["changes"] == {file["path"]: "created"}
    assert answer["diff"][0]["after"] == "a: 1\n"
    assert not (tmp_path / "new").exists()


def test_a_file_that_cannot_be_made_is_a_failure_with_its_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    answer = run("contivpp_files", files=[{"path": str(tmp_path / "folder"), "content": "x"}])
    assert answer["failed"] and "folder is there and is no file" in answer["msg"]
    assert run("contivpp_files")["failed"]
    assert run("contivpp_files", files=[{"path": "/x", "state": "door"}])["failed"]


@pytest.fixture
def systemd(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A systemd that does what it is told, with one service that runs; what it was told."""
    load(run, "contivpp_service")
    units, told = core("units"), []

    def command(*words: str) -> str:
        if words[1] == "show":
            return "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nInvocationID=1"
        told.append(" ".join(words[1:]))
        return ""

    read = units.Found.read
    # This very machine may run none.
    monkeypatch.setattr("os.path.isdir", lambda path, isdir=os.path.isdir: path == "/run/systemd/system" or isdir(path))
    monkeypatch.setattr(units, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(units, "NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(units, "run", command)
    monkeypatch.setattr(units.Found, "read", staticmethod(lambda name, _=None: read(name, command)))
    monkeypatch.setattr(units.apply, "__defaults__", (command, str(tmp_path / "notes")))
    monkeypatch.setattr(units.recall, "__defaults__", (str(tmp_path / "notes"),))
    return told


def test_a_check_knows_of_a_restart_from_what_the_run_would_change(run: Run, systemd: list[str]) -> None:
    paths = ["/none/used", "/none/else"]
    answer = run("contivpp_service", check=True, diff=True, name="web", uses=paths[:1], changed=paths)
    assert (answer["changed"], answer["actions"], answer["reasons"]) == (True, ["restart"], ["/none/used"])
    assert "because of /none/used" in answer["diff"]["after"]
    assert systemd == []
    assert not run("contivpp_service", name="web", uses=paths[:1], changed=paths)["changed"]


def test_a_service_is_restarted_once_for_a_change(run: Run, systemd: list[str], tmp_path: Path) -> None:
    (tmp_path / "used").write_text("x")
    given = {"name": "web", "uses": [str(tmp_path / "used")]}
    core("units").remember("web", "1", {str(tmp_path / "used"): "other"}, str(tmp_path / "notes"))
    answer = run("contivpp_service", **given)
    assert (answer["actions"], answer["reasons"]) == (["restart"], given["uses"])
    assert not run("contivpp_service", **given)["changed"]
    assert systemd == ["restart web.service"]


def test_a_service_that_is_to_be_absent_goes_with_its_unit(run: Run, systemd: list[str], tmp_path: Path) -> None:
    unit = tmp_path / "units/web.service"
    unit.parent.mkdir()
    unit.write_text("[Service]")
    assert run("contivpp_service", check=True, name="web", state="absent")["actions"][-2:] == ["remove", "reload"]
    assert unit.exists()
    assert run("contivpp_service", name="web", state="absent")["changed"]
    assert not unit.exists()
    assert systemd == ["stop web.service", "disable web.service", "daemon-reload"]


def test_packages_are_told_by_version_and_a_check_installs_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    load(run, "contivpp_packages")
    debian = core("debian")
    monkeypatch.setattr(debian, "read", lambda names, *_: {"vpp": "1"})
    monkeypatch.setattr(debian, "install", lambda *_, **__: pytest.fail("a check installs nothing"))
    answer = run("contivpp_packages", check=True, diff=True, note="vpp", names=["vpp=2", "libvpp"])
    assert (answer["changed"], answer["before"], answer["after"]) == (
        True,
        {"vpp": "1"},
        {"libvpp": "newest", "vpp": "2"},
    )
    expected = run("contivpp_packages", check=True, note="vpp", folder="/not/there/yet", expected={"vpp": "1"})
    assert not expected["changed"]
    assert not run("contivpp_packages", note="vpp", names=["vpp=1"])["changed"]
    assert not run("contivpp_packages", note="none", names=["x"], libraries=["libc.so.6"])["changed"]


def test_an_installation_that_fails_says_what_was_there_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    load(run, "contivpp_packages")
    debian = core("debian")

    def install(*_: object, **__: object) -> None:
        raise debian.PackagesError("apt-get install: no space left on device")

    monkeypatch.setattr(debian, "read", lambda names, *_: {"vpp": "1"})
    monkeypatch.setattr(debian, "install", install)
    answer = run("contivpp_packages", note="vpp", names=["vpp=2"])
    assert answer["failed"] and "no space left" in answer["msg"]
    assert (answer["before"], answer["after"]) == ({"vpp": "1"}, {"vpp": "2"})


def test_packages_from_a_folder_that_is_not_there_are_refused(run: Run) -> None:
    answer = run("contivpp_packages", note="vpp", folder="/not/there")
    assert answer["failed"] and "copy the packages there first" in answer["msg"]
    assert run("contivpp_packages", note="vpp", folder="/x", names=["y"])["failed"]


def test_a_snapshot_of_the_same_purpose_is_kept_and_of_another_taken_anew(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load(run, "contivpp_snapshot")
    snapshot = core("snapshot")
    (tmp_path / "file").write_text("before")
    for name in ("record", "drop"):
        monkeypatch.setattr(getattr(snapshot, name), "__defaults__", (str(tmp_path / "kept"),))
    for name in ("save", "restore", "differences"):
        function = getattr(snapshot, name)
        monkeypatch.setattr(function, "__kwdefaults__", {"root": "/", "folder": str(tmp_path / "kept")})
    given = {"state": "saved", "paths": [str(tmp_path / "file")]}
    assert run("contivpp_snapshot", check=True, purpose="one", **given)["changed"]
    assert not (tmp_path / "kept").exists()
    assert run("contivpp_snapshot", purpose="one", **given)["changed"]
    (tmp_path / "file").write_text("after")
    assert not run("contivpp_snapshot", purpose="one", **given)["changed"]
    assert run("contivpp_snapshot", check=True, state="restored")["paths"] == [str(tmp_path / "file")]
    assert run("contivpp_snapshot", state="restored")["changed"]
    assert (tmp_path / "file").read_text() == "before"
    assert run("contivpp_snapshot", state="absent")["changed"]
    answer = run("contivpp_snapshot", state="restored")
    assert answer["failed"] and "there is no snapshot" in answer["msg"]
    assert run("contivpp_snapshot", state="saved")["failed"]
