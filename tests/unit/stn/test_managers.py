"""Those who configure NICs, held off and let go, in a folder that plays the machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from contivpp.stn import managers
from contivpp.stn.commands import CommandError
from contivpp.stn.managers import Ifupdown, Networkd, NetworkManager, all_managers


class Programs:
    """Notes what is run; fails what it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: set[str] = set()
        self.says: dict[str, str] = {}

    def __call__(self, words: list[str], **_: Any) -> str:
        call = " ".join(words)
        self.calls.append(call)
        if call in self.fails:
            raise CommandError(f"{call}: no")
        return self.says.get(call, "")


@pytest.fixture
def programs() -> Programs:
    return Programs()


def files(root: Path) -> list[str]:
    return sorted(str(one.relative_to(root)) for one in root.rglob("*") if not one.is_dir() or one.is_symlink())


def test_networkd_is_told_that_the_nic_is_none_of_its_business(tmp_path: Path, programs: Programs) -> None:
    (tmp_path / "run/systemd/netif/links").mkdir(parents=True)
    one = Networkd(tmp_path, programs)
    assert one.concerns("eth0")
    one.hold("eth0")
    file = tmp_path / "run/systemd/network/00-contiv-stn-eth0.network"
    assert file.read_text() == "[Match]\nName=eth0\n\n[Link]\nUnmanaged=yes\n"
    assert file.stat().st_mode & 0o777 == 0o644, "networkd is another user"
    programs.fails.add("networkctl reconfigure eth0")  # it has not noticed the link yet
    one.let_go("eth0", [])
    assert files(tmp_path) == []
    assert programs.calls == ["networkctl reload", "networkctl reload", "networkctl reconfigure eth0"]


def test_before_networkd_runs_the_file_is_enough(tmp_path: Path, programs: Programs) -> None:
    unit = tmp_path / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    one = Networkd(tmp_path, programs)
    assert one.concerns("eth0")
    one.hold("eth0")
    assert programs.calls == []


def test_network_manager_is_told_now_and_for_its_next_start(tmp_path: Path, programs: Programs) -> None:
    (tmp_path / "run/NetworkManager").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth0").mkdir(parents=True)
    programs.says["nmcli -g RUNNING general"] = "running\n"
    one = NetworkManager(tmp_path, programs)
    assert one.concerns("eth0")
    one.hold("eth0")
    file = tmp_path / "run/NetworkManager/conf.d/90-contiv-stn-eth0.conf"
    assert "match-device=interface-name:eth0\nmanaged=0\n" in file.read_text()
    one.let_go("eth0", [])
    assert not file.exists()
    assert [call for call in programs.calls if "device set" in call] == [
        "nmcli device set eth0 managed no",
        "nmcli device set eth0 managed yes",
    ]
    one.hold("eth1")
    assert "nmcli device set eth1 managed no" not in programs.calls, "one that is no link any more it does not know"


def test_ifupdown_neither_sees_the_nic_appear_nor_renews_its_lease(tmp_path: Path, programs: Programs) -> None:
    (tmp_path / "etc/network/interfaces.d").mkdir(parents=True)
    (tmp_path / "etc/network/interfaces").write_text("source /etc/network/interfaces.d/*\n")
    (tmp_path / "etc/network/interfaces.d/eth0").write_text("auto eth0\niface eth0 inet dhcp\n")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    for number, words in ((7, "/sbin/dhclient -4 -1 -pf /run/dhclient.eth0.pid eth0"), (8, "/sbin/dhclient eth1")):
        (tmp_path / f"proc/{number}").mkdir(parents=True)
        (tmp_path / f"proc/{number}/cmdline").write_text(words.replace(" ", "\0") + "\0")
    killed: list[tuple[int, int]] = []
    one = Ifupdown(tmp_path, programs, kill=lambda number, what: killed.append((number, what)))
    assert one.concerns("eth0") and not one.concerns("eth1")
    note = one.note("eth0")
    one.hold("eth0")
    assert killed == [(7, signal.SIGTERM)]
    assert (tmp_path / "run/systemd/system/ifup@eth0.service").readlink() == Path("/dev/null")
    drop_in = tmp_path / "run/systemd/system/networking.service.d/contiv-stn-eth0.conf"
    assert drop_in.read_text() == "[Service]\nEnvironment=EXCLUDE_INTERFACES=eth0\n"
    (tmp_path / "proc/7/cmdline").unlink()
    one.let_go("eth0", note)
    assert "ifup@eth0.service" not in str(files(tmp_path)) and not drop_in.parent.exists()
    assert programs.calls[-1] == "/sbin/dhclient -nw -4 -pf /run/dhclient.eth0.pid eth0"


@pytest.mark.parametrize(
    ("nic", "unit"),
    [("eth0.7", "ifup@eth0.7.service"), ("lan-a", "ifup@lan\\x2da.service"), (".x", "ifup@\\x2ex.service")],
)
def test_the_unit_of_a_nic_has_the_name_that_systemd_gives_it(
    tmp_path: Path, programs: Programs, nic: str, unit: str
) -> None:
    one = Ifupdown(tmp_path, programs)
    one.hold(nic)
    assert (tmp_path / "run/systemd/system" / unit).is_symlink()
    one.let_go(nic, [])
    assert files(tmp_path) == []


def test_a_machine_without_any_of_them_is_left_alone(tmp_path: Path, programs: Programs) -> None:
    found = all_managers(tmp_path, programs)
    assert managers.notes_of(found, "eth0") == {}
    managers.hold_off(found, "eth0", {})
    assert managers.let_go(found, "eth0", {}) == []
    assert files(tmp_path) == [] and programs.calls == []


def test_one_that_cannot_be_let_go_is_named_and_does_not_stop_the_others(tmp_path: Path, programs: Programs) -> None:
    for folder in ("run/systemd/netif/links", "run/NetworkManager"):
        (tmp_path / folder).mkdir(parents=True)
    programs.says["nmcli -g RUNNING general"] = "running"
    found = all_managers(tmp_path, programs)
    notes = managers.notes_of(found, "eth0")
    managers.hold_off(found, "eth0", notes)
    programs.fails.add("networkctl reload")
    problems = managers.let_go(found, "eth0", notes)
    assert problems == ["systemd-networkd may not have noticed that eth0 is back: networkctl reload: no"]
    assert files(tmp_path) == []
