"""Links of a machine that is a folder: which device they are, and how one is waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contivpp.stn.commands import CommandError
from contivpp.stn.journal import SavedNic
from contivpp.stn.machine import Machine, MachineError
from contivpp.stn.services import Services

DEVICES = "sys/devices/pci0000:00"


class Time:
    """Passes when somebody sleeps; something may happen meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: dict[float, Any] = {}

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for moment in [moment for moment in self.events if moment <= self.now]:
            self.events.pop(moment)()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def machine(tmp_path: Path, time: Time, calls: list[str]) -> Machine:
    def run(words: list[str], **_: Any) -> str:
        calls.append(" ".join(words))
        return ""

    return Machine(tmp_path, run, clock=time.clock, sleep=time.sleep)


def device(root: Path, pci: str, driver: str) -> Path:
    """A device of the PCI bus, and its driver."""
    folder = root / DEVICES / pci
    folder.mkdir(parents=True)
    (root / "sys/bus/pci/devices").mkdir(parents=True, exist_ok=True)
    (root / "sys/bus/pci/devices" / pci).symlink_to(folder)
    (root / f"sys/bus/pci/drivers/{driver}").mkdir(parents=True)
    (folder / "driver").symlink_to(root / f"sys/bus/pci/drivers/{driver}")
    return folder


def link(root: Path, name: str, parent: Path | None, index: int = 3) -> None:
    """A link of a device, or of none."""
    folder = (parent if parent is not None else root / "sys/devices/virtual") / "net" / name
    folder.mkdir(parents=True)
    for file, text in (("flags", "0x1003"), ("ifindex", str(index)), ("address", "02:00:00:00:00:01"), ("mtu", "1500")):
        (folder / file).write_text(f"{text}\n")
    if parent is not None:
        (folder / "device").symlink_to(parent)
    (root / "sys/class/net").mkdir(parents=True, exist_ok=True)
    (root / "sys/class/net" / name).symlink_to(folder)


def test_a_link_knows_its_device_and_a_virtio_one_the_device_that_it_is_on(tmp_path: Path, machine: Machine) -> None:
    intel = device(tmp_path, "0000:00:03.0", "e1000e")
    link(tmp_path, "enp0s3", intel)
    virtio = device(tmp_path, "0000:00:04.0", "virtio-pci") / "virtio1"
    virtio.mkdir()
    link(tmp_path, "enp0s4", virtio)
    link(tmp_path, "veth0", None)
    found = {name: machine.link(name) for name in machine.names()}
    assert {name: (one.pci, one.driver) for name, one in found.items() if one} == {
        "enp0s3": ("0000:00:03.0", "e1000e"),
        "enp0s4": ("0000:00:04.0", "virtio-pci"),
        "veth0": ("", ""),
    }
    assert machine.link_of_device("0000:00:04.0") == "enp0s4"
    assert machine.link("eth9") is None


NIC = SavedNic(name="enp0s3", index=3, mac="02:00:00:00:00:01", mtu=1500, pci="0000:00:03.0", driver="vfio-pci")


def test_a_link_that_comes_back_under_its_name_is_taken_at_once(
    tmp_path: Path, machine: Machine, time: Time, calls: list[str]
) -> None:
    intel = device(tmp_path, "0000:00:03.0", "e1000e")
    time.events[1.0] = lambda: link(tmp_path, "enp0s3", intel)
    machine.await_link(NIC, 20)
    assert 1.0 <= time.now < 1.2
    assert calls == []


def test_a_link_that_nobody_names_gets_its_name(tmp_path: Path, machine: Machine, time: Time, calls: list[str]) -> None:
    intel = device(tmp_path, "0000:00:03.0", "e1000e")
    time.events[1.0] = lambda: link(tmp_path, "eth0", intel)
    machine.await_link(NIC, 20)
    assert 5.9 < time.now < 6.2
    assert calls == ["ip link set dev eth0 down", "ip link set dev eth0 name enp0s3"]


def test_a_link_that_does_not_come_is_an_error(tmp_path: Path, machine: Machine, time: Time) -> None:
    device(tmp_path, "0000:00:03.0", "e1000e")
    with pytest.raises(MachineError, match="enp0s3 did not appear within 20 s"):
        machine.await_link(NIC, 20)


class Systemd:
    """Units that end some time after they were told to."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.calls: list[str] = []
        self.asked = 0
        self.stubborn = stubborn

    def __call__(self, words: list[str], **_: Any) -> str:
        self.calls.append(" ".join(words[1:]))
        if words[1] == "kill":
            raise CommandError("nothing is left of it")
        if words[1] == "show":
            self.asked += 1
            return "deactivating\n" if self.stubborn or self.asked < 4 else "inactive\n"
        return ""


def test_vpp_and_the_agent_end_at_once_and_are_waited_for(time: Time) -> None:
    systemd = Systemd()
    Services("vpp", "agent", systemd, clock=time.clock, sleep=time.sleep).end()
    assert systemd.calls[:2] == ["stop --no-block agent vpp", "kill --signal=KILL agent vpp"]
    assert systemd.calls[-1] == "show --property=ActiveState --value vpp"
    with pytest.raises(CommandError, match="agent, vpp did not end within 15 s"):
        Services("vpp", "agent", Systemd(stubborn=True), clock=time.clock, sleep=time.sleep).end()


def test_vpp_alone_is_started_anew_for_a_new_device(time: Time) -> None:
    systemd = Systemd()
    services = Services("vpp", "agent", systemd, clock=time.clock, sleep=time.sleep)
    services.end_vpp()
    assert systemd.calls[-2:] == ["show --property=ActiveState --value vpp", "reset-failed vpp"]
    services.start_vpp()
    assert systemd.calls[-1] == "start --no-block vpp"
    assert not any("agent" in call for call in systemd.calls)
    nothing = Systemd()
    Services("", "", nothing).end()
    Services("", "", nothing).start()
    assert nothing.calls == []


class Dressed(Machine):
    """A machine whose link loses an address a second after it got it, so many times."""

    def __init__(self, root: Path, time: Time, times: int) -> None:
        super().__init__(root, clock=time.clock, sleep=time.sleep)
        self._time, self._times = time, times
        self._until = 1.0 if times else float("inf")
        self.dressings = 0

    def missing(self, nic: SavedNic) -> list[str]:
        return ["10.0.0.5/24"] if self._time.now >= self._until else []

    def clothe(self, nic: SavedNic, *, elapsed: float, within: float) -> dict[str, str]:
        self.dressings += 1
        self._until = self._time.now + 1.0 if self.dressings < self._times else float("inf")
        return {}


def test_what_a_manager_takes_off_a_moment_later_is_put_back_until_it_stays(tmp_path: Path, time: Time) -> None:
    machine = Dressed(tmp_path, time, times=2)
    assert machine.keep_clothed(NIC, elapsed=0.0, within=10.0) == []
    assert machine.dressings == 2 and time.now == 4.0, "it is left alone when nobody was seen for two seconds"


def test_who_never_stops_taking_off_an_address_is_told_of(tmp_path: Path, time: Time) -> None:
    machine = Dressed(tmp_path, time, times=100)
    said = machine.keep_clothed(NIC, elapsed=0.0, within=10.0)
    assert said == ["somebody takes 10.0.0.5/24 off enp0s3 again and again"] and time.now <= 10.5


def test_what_the_bonding_driver_has_among_the_links_is_none(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "sys/class/net/eth0").mkdir(parents=True)
    (tmp_path / "sys/class/net/bonding_masters").write_text("bond0\n")
    assert machine.names() == ("eth0",)
