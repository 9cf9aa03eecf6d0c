from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from .conftest import Run


def archive_of(path: Path, version: str) -> Path:
    """An archive with one wheel, whose program says its version."""
    wheel = path.parent / f"contivpp-{version}-py3-none-any.whl"
    info = f"contivpp-{version}.dist-info"
    files = {
        "contivpp/__init__.py": f'def main() -> None:\n    print("{version}")\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: contivpp\nVersion: {version}\nProvides-Extra: agent\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ncontiv-agent = contivpp:main\n",
    }
    with zipfile.ZipFile(wheel, "w") as content:
        for name, text in {**files, f"{info}/RECORD": "".join(f"{name},,\n" for name in files)}.items():
            content.writestr(name, text)
    with tarfile.open(path, "w") as content:
        content.add(wheel, arcname=wheel.name)
    wheel.unlink()
    return path


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    folder = tmp_path / "prefix"
    folder.mkdir()
    return folder


def says(prefix: Path) -> str:
    return os.popen(str(prefix / "venv/bin/contiv-agent")).read().strip()


def test_a_new_archive_takes_the_place_of_the_old_in_one_step_and_a_second_run_changes_nothing(
    run: Run, tmp_path: Path, prefix: Path
) -> None:
    archive = archive_of(tmp_path / "wheels.tar", "1.0")
    given = {"archive": str(archive), "prefix": str(prefix), "extras": ["agent"]}
    first = run("contivpp_package", **given)
    assert first["changed"]
    assert says(prefix) == "1.0"
    assert not run("contivpp_package", **given)["changed"]

    archive_of(archive, "2.0")
    checked = run("contivpp_package", check=True, diff=True, **given)
    assert checked["changed"]
    assert checked["diff"]["before"] == Path(first["venv"]).name + "\n"
    assert says(prefix) == "1.0"
    assert run("contivpp_package", **given)["changed"]
    assert says(prefix) == "2.0"
    # What still runs from the environment before can load the rest of itself.
    assert os.path.exists(first["venv"])
    assert not run("contivpp_package", check=True, **given)["changed"]


def test_an_archive_that_cannot_be_installed_leaves_what_was_there(run: Run, tmp_path: Path, prefix: Path) -> None:
    archive = archive_of(tmp_path / "wheels.tar", "1.0")
    given = {"archive": str(archive), "prefix": str(prefix), "extras": []}
    run("contivpp_package", **given)
    before = sorted(os.listdir(prefix))
    archive.write_bytes(b"no archive")
    answer = run("contivpp_package", **given)
    assert answer["failed"]
    assert "what was there stays" in answer["msg"]
    assert says(prefix) == "1.0"
    assert sorted(os.listdir(prefix)) == before


def test_an_installation_that_was_cut_off_is_made_again(run: Run, tmp_path: Path, prefix: Path) -> None:
    archive = archive_of(tmp_path / "wheels.tar", "1.0")
    given = {"archive": str(archive), "prefix": str(prefix), "extras": []}
    done = run("contivpp_package", **given)
    (Path(done["venv"]) / ".complete").unlink()
    (Path(done["venv"]) / "bin/contiv-agent").unlink()
    assert run("contivpp_package", **given)["changed"]
    assert says(prefix) == "1.0"


def test_a_folder_of_an_earlier_version_becomes_a_link(run: Run, tmp_path: Path, prefix: Path) -> None:
    (prefix / "venv/bin").mkdir(parents=True)
    (prefix / "venv/bin/contiv-agent").write_text("#!/bin/sh\necho old\n")
    archive = archive_of(tmp_path / "wheels.tar", "1.0")
    assert run("contivpp_package", archive=str(archive), prefix=str(prefix), extras=[])["changed"]
    assert (prefix / "venv").is_symlink()
    assert says(prefix) == "1.0"


def test_without_an_archive_a_check_says_that_something_will_change(run: Run, tmp_path: Path, prefix: Path) -> None:
    given = {"archive": str(tmp_path / "none.tar"), "prefix": str(prefix)}
    assert run("contivpp_package", check=True, **given)["changed"]
    answer = run("contivpp_package", **given)
    assert answer["failed"]
    assert "copy the wheels there first" in answer["msg"]
