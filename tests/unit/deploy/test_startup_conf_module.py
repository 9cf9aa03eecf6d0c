from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

SETTINGS = {"unix": {"nodaemon": True, "poll-sleep-usec": 100}, "memory": {"main-heap-size": "512M"}}
TEXT = "unix {\n  nodaemon\n  poll-sleep-usec 100\n}\nmemory {\n  main-heap-size 512M\n}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "startup.conf"


def test_a_file_is_made_and_a_second_run_changes_nothing(run: Run, path: Path) -> None:
    answer = run("contivpp_startup_conf", path=str(path), settings=SETTINGS)
    assert answer["changed"]
    assert answer["changes"]["unix.poll-sleep-usec"] == {"before": None, "after": "100"}
    assert path.read_text().endswith(TEXT)
    assert path.stat().st_mode & 0o777 == 0o644
    again = run("contivpp_startup_conf", path=str(path), settings=SETTINGS)
    assert not again["changed"] and again["changes"] == {} and again["kept"] == []


def test_a_check_says_what_would_change_by_setting_and_changes_nothing(run: Run, path: Path) -> None:
    path.write_text(TEXT)
    wanted = {"unix": {"nodaemon": True, "gid": "vpp"}, "memory": {"main-heap-size": "1G"}}
    answer = run("contivpp_startup_conf", check=True, diff=True, path=str(path), settings=wanted)
    assert answer["changed"]
    assert answer["diff"]["before"] == {"memory.main-heap-size": "512M", "unix.poll-sleep-usec": "100"}
    assert answer["diff"]["after"] == {"memory.main-heap-size": "1G", "unix.gid": "vpp"}
    assert path.read_text() == TEXT


def test_a_check_works_where_there_is_no_folder_yet_and_a_run_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "none" / "startup.conf"), "settings": SETTINGS}
    assert run("contivpp_startup_conf", check=True, **given)["changed"]
    answer = run("contivpp_startup_conf", **given)
    assert answer["failed"] and "make the folder first" in answer["msg"]


def test_what_is_unknown_in_the_file_survives_and_the_old_file_is_kept(run: Run, path: Path) -> None:
    path.write_text("unix { nodaemon } # ours\nodd { thing 1 }\n")
    path.chmod(0o600)
    answer = run("contivpp_startup_conf", path=str(path), settings=SETTINGS, backup=True)
    assert answer["kept"] == ["odd.thing"]
    assert "odd {" in path.read_text() and "# ours" in path.read_text()
    assert Path(answer["backup_file"]).read_text() == "unix { nodaemon } # ours\nodd { thing 1 }\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_unknown_setting_is_refused_by_name_unless_it_is_meant(run: Run, path: Path) -> None:
    wanted = {"unix": {"pol-sleep-usec": 100}}
    answer = run("contivpp_startup_conf", path=str(path), settings=wanted)
    assert answer["failed"]
    assert answer["problems"] == ["unix.pol-sleep-usec: is not a setting that is known; did you mean poll-sleep-usec?"]
    assert not path.exists()
    assert run("contivpp_startup_conf", path=str(path), settings=wanted, strict=False)["changed"]
    assert "pol-sleep-usec 100" in path.read_text()


def test_wrong_values_are_all_named_and_nothing_is_written(run: Run, path: Path) -> None:
    path.write_text(TEXT)
    wanted = {"unix": {"poll-sleep-usec": "often"}, "memory": {"main-heap-size": "lots"}}
    answer = run("contivpp_startup_conf", path=str(path), settings=wanted)
    assert answer["failed"] and len(answer["problems"]) == 2
    assert path.read_text() == TEXT
    path.write_text("unix {")
    answer = run("contivpp_startup_conf", path=str(path), settings=SETTINGS)
    assert answer["failed"] and "line 1" in answer["msg"]
    assert path.read_text() == "unix {"


def test_settings_must_be_given(run: Run, path: Path) -> None:
    answer = run("contivpp_startup_conf", path=str(path))
    assert answer["failed"] and "settings" in answer["msg"]


def test_undo_removes_the_file_that_was_made_and_puts_back_the_one_that_was_there(run: Run, path: Path) -> None:
    run("contivpp_startup_conf", path=str(path), settings=SETTINGS)
    answer = run("contivpp_startup_conf", path=str(path), state="absent")
    assert answer["changed"] and answer["changes"]["unix.nodaemon"] == {"before": "set", "after": None}
    assert not path.exists()
    assert not run("contivpp_startup_conf", path=str(path), state="absent")["changed"]
    run("contivpp_startup_conf", path=str(path), settings=SETTINGS)
    run("contivpp_startup_conf", path=str(path), settings={"unix": {"nodaemon": True}})
    assert list(path.parent.rglob("*.json")) == [], "a file that was made here leaves nothing to remember"
    run("contivpp_startup_conf", path=str(path), state="absent")
    assert not path.exists()

    path.write_text("unix { nodaemon } # ours\n")
    for poll in (100, 200):
        settings = {"unix": {"nodaemon": True, "poll-sleep-usec": poll}}
        assert run("contivpp_startup_conf", path=str(path), settings=settings)["changed"]
    foreseen = run("contivpp_startup_conf", path=str(path), state="absent", check=True, diff=True)
    assert foreseen["diff"]["before"] == {"unix.poll-sleep-usec": "200"} and foreseen["diff"]["after"] == {}
    assert "poll-sleep-usec 200" in path.read_text()
    run("contivpp_startup_conf", path=str(path), state="absent")
    assert path.read_text() == "unix { nodaemon } # ours\n", "to the letter, whatever came between"


def test_a_file_that_nobody_changed_is_not_taken_away(run: Run, path: Path) -> None:
    path.write_text(TEXT)
    assert not run("contivpp_startup_conf", path=str(path), settings=SETTINGS)["changed"]
    assert not run("contivpp_startup_conf", path=str(path), state="absent")["changed"]
    assert path.read_text() == TEXT


def test_cores_and_nics_that_the_host_has_not_are_refused_all_at_once(run: Run, path: Path) -> None:
    wanted = {
        "cpu": {"main-core": 4000, "corelist-workers": "4001-4002"},
        "dpdk": {"dev": {"0000:ff:1f.7": {"name": "uplink"}, "default": {}}},
    }
    answer = run("contivpp_startup_conf", path=str(path), settings=wanted)
    assert answer["failed"] and not path.exists()
    assert [problem.partition(",")[0] for problem in answer["problems"]] == [
        "cpu.main-core: this host has no core 4000",
        "cpu.corelist-workers: this host has no core 4001-4002",
        "dpdk.dev 0000:ff:1f.7: this host has no such device: see contivpp_facts for those that it has",
    ]
    assert run("contivpp_startup_conf", path=str(path), settings=wanted, check_host=False)["changed"]
