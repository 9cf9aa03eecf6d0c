"""What a change may replace is kept, and is as before when it is put back."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from contivpp.host import snapshot
from contivpp.host.snapshot import SnapshotError

PATTERNS = ["/etc/contiv", "/etc/units/contiv-*", "/opt/venv", "/opt/none"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("etc/contiv/pki", "etc/units", "opt/venv-1", "opt/venv-2"):
        (root / name).mkdir(parents=True)
    (root / "etc/contiv/contiv.conf").write_text("old")
    (root / "etc/contiv/pki/key").write_text("secret")
    (root / "etc/contiv/pki/key").chmod(0o400)
    (root / "etc/units/contiv-agent").write_text("unit")
    (root / "etc/units/other").write_text("not ours")
    (root / "opt/venv").symlink_to("venv-1")
    return root


def tree(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): (
            os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "",
            path.lstat().st_mode,
        )
        for path in root.rglob("*")
    }


def places(root: Path) -> dict[str, str]:
    return {"root": str(root), "folder": str(root.parent / "kept")}


def test_what_was_changed_removed_and_added_is_as_before(root: Path) -> None:
    before = tree(root)
    snapshot.save("a change", PATTERNS, **places(root))
    assert snapshot.differences(**places(root)) == []
    (root / "etc/contiv/contiv.conf").write_text("new")
    (root / "etc/contiv/pki/key").unlink()
    (root / "etc/contiv/more").mkdir()
    (root / "etc/contiv/more/file").write_text("x")
    (root / "etc/units/contiv-fresh").write_text("x")
    (root / "etc/units/contiv-agent").chmod(0o600)
    (root / "opt/venv").unlink()
    (root / "opt/venv").symlink_to("venv-2")
    (root / "opt/none").write_text("x")
    restored = snapshot.restore(**places(root))
    assert restored == [
        "etc/contiv/contiv.conf",
        "etc/contiv/more",
        "etc/contiv/more/file",
        "etc/contiv/pki/key",
        "etc/units/contiv-agent",
        "etc/units/contiv-fresh",
        "opt/none",
        "opt/venv",
    ]
    assert tree(root) == before
    assert snapshot.restore(**places(root)) == []


def test_a_file_in_the_place_of_a_folder_goes(root: Path) -> None:
    before = tree(root)
    snapshot.save("a change", PATTERNS, **places(root))
    (root / "etc/contiv/pki/key").unlink()
    (root / "etc/contiv/pki").rmdir()
    (root / "etc/contiv/pki").write_text("x")
    snapshot.restore(**places(root))
    assert tree(root) == before


def test_a_link_to_what_is_no_more_is_refused_before_anything_is_touched(root: Path) -> None:
    snapshot.save("a change", PATTERNS, **places(root))
    (root / "etc/contiv/contiv.conf").write_text("new")
    (root / "opt/venv").unlink()
    (root / "opt/venv").symlink_to("venv-2")
    (root / "opt/venv-1").rmdir()
    with pytest.raises(SnapshotError, match="/opt/venv led to venv-1, which is no more"):
        snapshot.restore(**places(root))
    assert (root / "etc/contiv/contiv.conf").read_text() == "new"


def test_a_snapshot_says_what_it_was_taken_for_and_nobody_else_may_read_it(root: Path) -> None:
    folder = places(root)["folder"]
    assert snapshot.record(folder) is None
    with pytest.raises(SnapshotError, match="there is no snapshot"):
        snapshot.restore(**places(root))
    snapshot.save("version 2", PATTERNS, **places(root))
    known = snapshot.record(folder)
    assert known is not None and (known["purpose"], known["patterns"]) == ("version 2", PATTERNS)
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert snapshot.drop(folder) and not snapshot.drop(folder)
    assert not Path(folder).exists()


def test_a_snapshot_that_was_cut_off_is_none(root: Path) -> None:
    snapshot.save("version 2", PATTERNS, **places(root))
    (Path(places(root)["folder"]) / "snapshot.json").unlink()
    assert snapshot.record(places(root)["folder"]) is None


def test_a_snapshot_that_is_damaged_is_refused_with_a_sentence(root: Path) -> None:
    snapshot.save("version 2", PATTERNS, **places(root))
    archive = Path(places(root)["folder"]) / "snapshot.tar"
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1].offset
    for left in (last, last - 100, 0):
        os.truncate(archive, left)
        (root / "etc/contiv/contiv.conf").write_text("new")
        with pytest.raises(SnapshotError, match="snapshot.tar is damaged .*: nothing was put back"):
            snapshot.restore(**places(root))
        assert (root / "etc/contiv/contiv.conf").read_text() == "new"


def test_the_archive_is_on_the_disk_before_the_record_makes_it_count(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(number: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{number}")).name)
        fsync(number)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", lambda old, new: (done.append("renamed"), rename(old, new)))
    snapshot.save("version 2", PATTERNS, **places(root))
    assert done == ["snapshot.tar", "snapshot.json.new", "renamed", "kept"]
