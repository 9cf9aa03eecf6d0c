"""When a service is started, restarted and left alone, and what an interrupted run leaves for the next."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contivpp.host import units
from contivpp.host.units import Found, Plan, UnitError

RUNS = Found(known=True, active=True, enabled=True, stale=False, invocation="one", since=0.0)
FRESH = Found(known=False, active=False, enabled=False, stale=False, invocation="", since=0.0)


class Systemd:
    """Stands in for systemctl and journalctl: notes what it is told, and starts with a new invocation."""

    def __init__(self, *, starts: bool = True) -> None:
        self.said: list[str] = []
        self.starts = starts
        self.invocation = 0

    def __call__(self, *words: str) -> str:
        if words[0] == "journalctl":
            return "the last words"
        if words[1] == "show":
            return (
                f"LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
                f"InvocationID={self.invocation}\nExecMainStartTimestampMonotonic={int(time.monotonic() * 1e6)}"
            )
        self.said.append(" ".join(words[1:]))
        if words[1] in ("start", "restart"):
            if not self.starts:
                raise UnitError("exit code 1")
            self.invocation += 1
        return ""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "file"
    path.write_text("one")
    yield path


def test_a_unit_that_is_new_is_made_known_enabled_and_started() -> None:
    assert units.plan(FRESH, "started") == Plan(("reload", "enable", "start"))


def test_a_unit_that_runs_and_whose_files_are_as_then_is_left_alone() -> None:
    assert units.plan(RUNS, "started") == Plan(())


def test_what_changed_is_the_reason_of_a_restart_and_starts_nothing_twice() -> None:
    assert units.plan(RUNS, "started", newer=["/b"], changed=["/a", "/b"]) == Plan(("restart",), ("/a", "/b"))
    assert units.plan(replace(RUNS, active=False), "started", newer=["/a"]) == Plan(("start",))
    assert units.plan(replace(RUNS, stale=True), "started") == Plan(("reload",))


def test_a_unit_is_stopped_before_its_file_goes_and_one_that_is_not_there_is_left() -> None:
    assert units.plan(RUNS, "stopped") == Plan(("stop", "disable"))
    assert units.plan(RUNS, "absent") == Plan(("stop", "disable", "remove", "reload"))
    assert units.plan(FRESH, "absent", there=False) == Plan(())


def test_a_change_after_the_start_is_seen_also_when_nobody_told_of_it(tmp_path: Path, file: Path) -> None:
    systemd, notes = Systemd(), str(tmp_path / "notes")
    units.apply("web", Plan(("start",)), [str(file)], systemd, notes)
    found = Found.read("web", systemd)
    assert units.newer(found, [str(file)], units.recall("web", notes)) == []
    file.write_text("two")
    assert units.newer(found, [str(file)], units.recall("web", notes)) == [str(file)]
    units.apply("web", Plan(("restart",)), [str(file)], systemd, notes)
    assert units.newer(Found.read("web", systemd), [str(file)], units.recall("web", notes)) == []
    assert systemd.said == ["start web.service", "restart web.service"]


def test_a_file_that_goes_is_a_change_and_one_of_the_same_content_is_none(tmp_path: Path, file: Path) -> None:
    systemd, notes = Systemd(), str(tmp_path / "notes")
    units.apply("web", Plan(("start",)), [str(file)], systemd, notes)
    found, note = Found.read("web", systemd), units.recall("web", notes)
    os.utime(file)
    file.write_text("one")
    assert units.newer(found, [str(file)], note) == []
    file.unlink()
    assert units.newer(found, [str(file)], note) == [str(file)]


def test_a_service_that_started_otherwise_is_compared_by_times(file: Path) -> None:
    note = {"invocation": "another", "digests": {str(file): "old"}}
    assert units.newer(replace(RUNS, since=time.time() + 60), [str(file)], note) == []
    assert units.newer(replace(RUNS, since=time.time() - 60), [str(file)], note) == [str(file)]
    assert units.newer(replace(RUNS, since=time.time() - 60), [str(file) + "none"], {}) == []


def test_a_path_that_the_note_does_not_know_is_compared_by_times_too(file: Path) -> None:
    note = {"invocation": "one", "digests": {}}
    assert units.newer(replace(RUNS, since=time.time() + 60), [str(file)], note) == []
    assert units.newer(replace(RUNS, since=time.time() - 60), [str(file)], note) == [str(file)]


def test_a_service_that_does_not_start_is_an_error_with_its_last_words_and_no_note(tmp_path: Path, file: Path) -> None:
    notes = str(tmp_path / "notes")
    with pytest.raises(UnitError, match="web did not start: exit code 1\nthe last words"):
        units.apply("web", Plan(("restart",)), [str(file)], Systemd(starts=False), notes)
    assert units.recall("web", notes) == {}


def test_the_note_of_a_service_that_is_removed_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNITS", str(tmp_path))
    (tmp_path / "web.service").write_text("[Service]")
    notes = str(tmp_path / "notes")
    units.remember("web", "one", {}, notes)
    units.apply("web", Plan(("stop", "remove", "reload")), [], systemd := Systemd(), notes)
    assert systemd.said == ["stop web.service", "daemon-reload"]
    assert list(tmp_path.iterdir()) == []
