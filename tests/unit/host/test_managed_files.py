"""Files as they are to be: what differs, what is refused, and what is made."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from contivpp.host import managed_files
from contivpp.host.managed_files import FilesError, Wanted

OWN = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def wanted(path: str, content: str = "", **more: object) -> Wanted:
    return Wanted.of({"path": path, "content": content, **OWN, **more})


def kinds(root: Path, *files: Wanted) -> list[str]:
    return [change.kind for change in managed_files.plan(files, str(root))]


def make(root: Path, *files: Wanted) -> None:
    managed_files.apply(managed_files.plan(files, str(root)), str(root))


def test_a_file_is_made_with_its_folders_and_a_second_look_finds_nothing(tmp_path: Path) -> None:
    file = wanted("/etc/contiv/contiv.conf", "a: 1\n", mode="0600")
    assert kinds(tmp_path, file) == ["created"]
    assert not (tmp_path / "etc").exists()
    make(tmp_path, file)
    path = tmp_path / "etc/contiv/contiv.conf"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("a: 1\n", 0o600)
    assert kinds(tmp_path, file) == []
    assert os.listdir(path.parent) == ["contiv.conf"]


def test_a_changed_file_has_a_diff_and_a_secret_one_has_none_of_its_content(tmp_path: Path) -> None:
    make(tmp_path, wanted("/open", "old\n"), wanted("/closed", "hidden\n"))
    changes = managed_files.plan([wanted("/open", "new\n"), wanted("/closed", "other\n", secret=True)], str(tmp_path))
    assert [change.kind for change in changes] == ["changed", "changed"]
    assert changes[0].diff() == {"before_header": "/open", "after_header": "/open", "before": "old\n", "after": "new\n"}
    said = changes[1].diff()
    assert "hidden" not in str(said) and "other" not in str(said) and said["before"] != said["after"]


def test_another_mode_alone_is_a_change_of_attributes(tmp_path: Path) -> None:
    make(tmp_path, wanted("/file", "x"))
    file = wanted("/file", "x", mode="0400")
    (change,) = managed_files.plan([file], str(tmp_path))
    assert (change.kind, change.before.split()[-1], change.after.split()[-1]) == ("attributes", "0644", "0400")
    make(tmp_path, file)
    assert kinds(tmp_path, file) == []


def test_a_folder_goes_with_all_that_is_in_it_and_what_is_absent_stays_so(tmp_path: Path) -> None:
    make(tmp_path, wanted("/a/b/c", "x"))
    gone = Wanted.of({"path": "/a", "state": "absent"})
    assert kinds(tmp_path, gone) == ["removed"]
    make(tmp_path, gone)
    assert list(tmp_path.iterdir()) == []
    assert kinds(tmp_path, gone) == []


def test_a_link_is_led_elsewhere_in_one_step(tmp_path: Path) -> None:
    make(tmp_path, wanted("/current", "one", state="link"))
    (tmp_path / "current.new").symlink_to("left by a run that was cut off")
    other = wanted("/current", "two", state="link")
    assert kinds(tmp_path, other) == ["changed"]
    make(tmp_path, other)
    assert os.readlink(tmp_path / "current") == "two"
    assert kinds(tmp_path, other) == []
    assert os.listdir(tmp_path) == ["current"]


@pytest.mark.parametrize("state", ["file", "link"])
def test_something_else_in_the_place_is_refused_by_name(tmp_path: Path, state: str) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(FilesError, match=f"/place is there and is no {state}"):
        kinds(tmp_path, wanted("/place", "x", state=state))


def test_a_content_that_its_program_refuses_changes_no_file_at_all(tmp_path: Path) -> None:
    first, bad = wanted("/first", "x"), wanted("/second", "wrong\n", validate="grep -q right %s")
    with pytest.raises(FilesError, match="/second is refused by grep"):
        make(tmp_path, first, bad)
    assert list(tmp_path.iterdir()) == []
    make(tmp_path, wanted("/second", "right\n", validate="grep -q right %s"))
    assert (tmp_path / "second").read_text() == "right\n"


def test_a_program_that_is_not_there_yet_validates_nothing(tmp_path: Path) -> None:
    make(tmp_path, wanted("/file", "x", validate="/no/such/program %s"))
    assert (tmp_path / "file").exists()


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(FilesError, match="/file: '0888' is not a mode"):
        wanted("/file", mode="0888")


def test_a_link_and_a_file_have_digests_that_tell_their_states_apart(tmp_path: Path) -> None:
    make(tmp_path, wanted("/file", "x"), wanted("/link", "file", state="link"))
    first = [managed_files.digest(str(tmp_path / name)) for name in ("file", "link", "none")]
    make(tmp_path, wanted("/file", "y"), wanted("/link", "elsewhere", state="link"))
    second = [managed_files.digest(str(tmp_path / name)) for name in ("file", "link", "none")]
    assert first[2] == second[2] == ""
    assert len({*first, *second}) == 5
