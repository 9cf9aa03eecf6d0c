"""The module contivpp_stn over a contiv-stn that is played by a script with a file for its state."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

NIC: dict[str, Any] = {
    "name": "eth0",
    "driver": "vfio-pci",
    "kernel_driver": "e1000e",
    "pci": "0000:00:03.0",
    "addresses": ["10.0.0.5/24"],
    "reason": "",
    "problems": [],
}
SCRIPT = f"""#!{sys.executable}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
state = json.loads((folder / "state").read_text())
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(word for word in words if "/" not in word and word != "--socket") + "\\n")
if words[0] in state.get("refuses", {{}}):
    sys.exit("contiv-stn: " + state["refuses"][words[0]])
if words[0] == "confirm":
    state["phase"] = state.get("then", "confirmed")
if words[0] == "release" and "--dry-run" not in words:
    state = {{"phase": ""}}
if words[0] == "steal" and "--dry-run" not in words:
    state["phase"] = "stolen"
(folder / "state").write_text(json.dumps(state))
print(json.dumps({{"phase": "", "reason": "", "name": "", "driver": "", "kernel_driver": "", "pci": "", "problems": [], **state}}
                 if words[0] != "steal" else {{**state, "phase": ""}}))
"""


class Daemon:
    """What the script has and was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "contiv-stn"
        self.program.write_text(SCRIPT)
        self.program.chmod(0o755)
        (folder / "stn.sock").touch()
        self.has(phase="")

    def has(self, **state: Any) -> None:
        (self.folder / "state").write_text(json.dumps({**NIC, **state}))

    @property
    def state(self) -> Any:
        return json.loads((self.folder / "state").read_text())

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


@pytest.fixture
def stn(run: Run, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Run:
    import contivpp_stn  # type: ignore[import-not-found]

    monkeypatch.setattr(contivpp_stn, "JOURNAL", str(daemon.folder / "journal.json"))

    def ask(action: str, **options: Any) -> dict[str, Any]:
        where = {"program": str(daemon.program), "socket": str(daemon.folder / "stn.sock")}
        return run("contivpp_stn", **{"action": action, "nic": "eth0", **where, **options})

    return ask


def test_a_theft_is_begun_for_later_and_a_second_run_changes_nothing(stn: Run, daemon: Daemon) -> None:
    answer = stn("begin", confirm_within=90, delay=3, diff=True)
    assert answer["changed"] and answer["delay"] == 3
    assert answer["diff"]["before"] == {"eth0": {"phase": "kernel", "driver": "e1000e"}}
    assert answer["diff"]["after"] == {"eth0": {"phase": "stolen", "driver": "vfio-pci"}}
    assert daemon.calls == ["state eth0", "steal eth0 --dry-run", "steal eth0 --delay 3.0 --confirm-within 90"]
    again = stn("begin")
    assert not again["changed"] and again["phase"] == "stolen" and again["pci"] == "0000:00:03.0"


def test_a_check_says_that_it_would_be_stolen_and_steals_nothing(stn: Run, daemon: Daemon) -> None:
    answer = stn("begin", check=True, diff=True)
    assert answer["changed"] and answer["diff"]["after"]["eth0"]["phase"] == "stolen"
    assert daemon.state["phase"] == ""
    assert not any("--delay" in call for call in daemon.calls)


def test_what_is_asked_for_is_passed_on(stn: Run, daemon: Daemon) -> None:
    stn("begin", driver="af_packet", dhcp=True, force=True)
    assert daemon.calls[1] == "steal eth0 --dry-run --driver af_packet --dhcp --force"


def test_what_contiv_stn_refuses_is_the_modules_error(stn: Run, daemon: Daemon) -> None:
    daemon.has(phase="", refuses={"steal": "eth0 does not carry the default route"})
    answer = stn("begin")
    assert answer["failed"] and answer["msg"] == "eth0 does not carry the default route"


def test_a_word_confirms_and_a_second_one_changes_nothing(stn: Run, daemon: Daemon) -> None:
    daemon.has(phase="stolen")
    assert stn("confirm", check=True)["changed"] and daemon.state["phase"] == "stolen"
    answer = stn("confirm", diff=True)
    assert answer["changed"] and answer["phase"] == "confirmed"
    assert answer["diff"] == {"before": {"phase": "stolen"}, "after": {"phase": "confirmed"}}
    assert not stn("confirm")["changed"]


def test_a_word_that_comes_too_late_says_why_the_nic_went_back(stn: Run, daemon: Daemon) -> None:
    daemon.has(phase="returned", reason="VPP does not run in time")
    answer = stn("confirm")
    assert answer["failed"] and answer["msg"] == "eth0 is not stolen, it is returned: VPP does not run in time"
    daemon.has(phase="")
    assert stn("confirm")["msg"] == "no NIC is stolen: begin first"
    assert not stn("confirm", check=True)["changed"], "in check mode nothing was begun"


def test_a_word_is_not_enough_when_not_all_is_well(stn: Run, daemon: Daemon) -> None:
    daemon.has(phase="stolen", then="stolen", problems=["the gateway does not answer by way of VPP"])
    answer = stn("confirm", timeout=0)
    assert answer["failed"] and "the gateway does not answer by way of VPP" in answer["msg"]


def test_a_nic_is_given_back_once(stn: Run, daemon: Daemon) -> None:
    daemon.has(phase="confirmed")
    answer = stn("release", check=True, diff=True)
    assert answer["changed"] and daemon.state["phase"] == "confirmed"
    assert answer["diff"]["after"] == {"eth0": {"phase": "kernel", "driver": "e1000e"}}
    assert stn("release")["changed"] and daemon.state["phase"] == ""
    assert not stn("release")["changed"]


def test_without_a_daemon_there_is_nothing_to_give_back_unless_a_journal_says_so(stn: Run, daemon: Daemon) -> None:
    (daemon.folder / "stn.sock").unlink()
    assert not stn("release")["changed"]
    (daemon.folder / "journal.json").write_text("{}")
    answer = stn("release")
    assert answer["failed"] and "start contiv-stn.service" in answer["msg"]


def test_a_node_without_the_software_is_told_so_and_a_check_goes_on(stn: Run, daemon: Daemon) -> None:
    daemon.program.unlink()
    assert stn("begin")["msg"].endswith("is not there: install the software first")
    assert stn("begin", check=True)["changed"]
    assert not stn("confirm", check=True)["changed"]
    assert stn("state")["phase"] == ""


def test_a_check_of_a_node_that_has_the_software_and_no_daemon_yet_says_that_it_would_be_stolen(
    stn: Run, daemon: Daemon
) -> None:
    (daemon.folder / "stn.sock").unlink()
    daemon.has(phase="", refuses={"state": "nobody answers: is contiv-stn running?"})
    assert stn("begin", check=True)["changed"]
    assert not stn("confirm", check=True)["changed"]
    assert stn("begin")["msg"] == "nobody answers: is contiv-stn running?"


def test_the_device_of_a_stolen_nic_is_known_from_the_journal(stn: Run, daemon: Daemon) -> None:
    journal = daemon.folder / "journal.json"
    journal.write_text(json.dumps({"nic": {"name": "eth0", "pci": "0000:00:03.0", "driver": "vfio-pci"}}))
    assert stn("device")["pci"] == "0000:00:03.0"
    journal.write_text(json.dumps({"nic": {"name": "eth0", "pci": "0000:00:03.0", "driver": "af_packet"}}))
    assert stn("device")["pci"] == ""
    assert stn("device", driver="af_packet")["pci"] == ""
    vmware = {"name": "eth0", "pci": "0000:00:03.0", "driver": "vfio-pci", "kernel_driver": "vmxnet3"}
    journal.write_text(json.dumps({"nic": vmware}))
    assert stn("device")["pci"] == "", "VPP takes it when the agent says so, and DPDK must not"
    assert daemon.calls == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"action": "steal"}, "value of action must be one of"),
        ({"action": "begin", "driver": "igb"}, "value of driver"),
    ],
)
def test_wrong_values_are_refused(run: Run, options: dict[str, Any], words: str) -> None:
    assert words in run("contivpp_stn", **options)["msg"]


def test_an_action_must_be_named(run: Run) -> None:
    assert "missing required arguments: action" in run("contivpp_stn")["msg"]
