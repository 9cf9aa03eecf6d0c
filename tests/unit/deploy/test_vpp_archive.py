from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installed VPP, as far as its files' names go."""
    root = tmp_path / "prefix"
    for name in (
        "bin/vpp",
        "bin/vppctl",
        "bin/vppapigen",
        "include/vlib/vlib.h",
        "lib/x86_64-linux-gnu/libvlib.so.26.10",
        "lib/x86_64-linux-gnu/libvlib.a",
        "lib/x86_64-linux-gnu/cmake/vpp/x.so",
        "lib/x86_64-linux-gnu/vpp_plugins/acl_plugin.so",
        "lib/x86_64-linux-gnu/vpp_api_test_plugins/acl_test_plugin.so",
        "lib/python3.11/site-packages/x.so",
        "share/vpp/api/core/vpe.api.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "bin/vpp").chmod(0o755)
    (root / "lib/x86_64-linux-gnu/libvlib.so").symlink_to("libvlib.so.26.10")
    return root


def test_a_node_gets_programs_and_libraries_and_nothing_else(run: Run, prefix: Path, tmp_path: Path) -> None:
    answer = run("contivpp_vpp_archive", prefix=str(prefix), dest=str(tmp_path / "out" / "vpp.tar.gz"))
    assert answer["changed"]
    assert answer["libraries"] == ["lib/x86_64-linux-gnu"]
    with tarfile.open(answer["archive"]) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert set(members) == {
        "bin/vpp",
        "bin/vppctl",
        "lib/x86_64-linux-gnu/libvlib.so",
        "lib/x86_64-linux-gnu/libvlib.so.26.10",
        "lib/x86_64-linux-gnu/vpp_plugins/acl_plugin.so",
    }
    assert members["bin/vpp"].mode & 0o111
    assert members["lib/x86_64-linux-gnu/libvlib.so"].issym()


def test_it_is_packed_again_only_when_a_file_has_another_content(run: Run, prefix: Path, tmp_path: Path) -> None:
    given = {"prefix": str(prefix), "dest": str(tmp_path / "vpp.tar.gz")}
    first = run("contivpp_vpp_archive", **given)
    assert not run("contivpp_vpp_archive", **given)["changed"]
    written = os.stat(given["dest"]).st_mtime_ns
    os.utime(prefix / "bin/vpp", (1, 1))
    again = run("contivpp_vpp_archive", **given)
    assert not again["changed"] and again["digest"] == first["digest"]
    assert os.stat(given["dest"]).st_mtime_ns == written
    (prefix / "bin/vpp").write_text("newer")
    checked = run("contivpp_vpp_archive", check=True, **given)
    assert checked["changed"] and checked["digest"] != first["digest"]
    assert os.stat(given["dest"]).st_mtime_ns == written
    assert run("contivpp_vpp_archive", **given)["digest"] == checked["digest"]
    assert os.stat(given["dest"]).st_mtime_ns != written


def test_an_archive_that_is_gone_is_made_again(run: Run, prefix: Path, tmp_path: Path) -> None:
    given = {"prefix": str(prefix), "dest": str(tmp_path / "vpp.tar.gz")}
    run("contivpp_vpp_archive", **given)
    os.unlink(given["dest"])
    assert run("contivpp_vpp_archive", **given)["changed"]
    assert os.path.exists(given["dest"])


def test_a_prefix_without_vpp_is_refused(run: Run, tmp_path: Path) -> None:
    answer = run("contivpp_vpp_archive", prefix=str(tmp_path), dest=str(tmp_path / "vpp.tar.gz"))
    assert answer["failed"] and "there is no VPP in" in answer["msg"]
    missing = run("contivpp_vpp_archive", dest=str(tmp_path / "vpp.tar.gz"))
    assert missing["failed"] and "prefix" in missing["msg"]
