"""Who else configures NICs on a node, and would put back what was taken: held off by files that a restart takes away.

Everything is below /run, so that a machine that restarts is as if nobody had been held off; the next run of contiv-stn
that wants the NIC holds them off again before they start. Each manager says whether it is there at all, and letting go
is possible with nothing but the note that it made. What fails while one is held off is an error; while one is let go it
is a warning, for the NIC must come back with or without its manager.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from contivpp.stn.commands import CommandError, Run, run

OURS: Final = "contiv-stn"


class Manager(Protocol):
    """One program that configures NICs."""

    name: str

    def concerns(self, nic: str) -> bool:
        """Whether it is on this node and might touch a NIC."""
        ...

    def note(self, nic: str) -> list[str]:
        """What it must be told to go on, as long as nothing was changed."""
        ...

    def hold(self, nic: str) -> None:
        """Keeps it off a NIC. Repeating it is harmless."""
        ...

    def let_go(self, nic: str, note: Sequence[str]) -> None:
        """Gives it the NIC again. Repeating it is harmless."""
        ...


class Networkd:
    """systemd-networkd: a file that comes first, and says that the NIC is none of its business."""

    name = "systemd-networkd"

    def __init__(self, root: Path = Path("/"), run: Run = run) -> None:
        """Takes the file system, and who runs programs."""
        self._links = root / "run/systemd/netif/links"
        self._folder = root / "run/systemd/network"
        self._unit = root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
        self._run = run

    def concerns(self, nic: str) -> bool:
        """When it runs, or will."""
        return self._links.is_dir() or self._unit.exists()

    def note(self, nic: str) -> list[str]:
        """It knows by itself."""
        return []

    def hold(self, nic: str) -> None:
        """By its name: the MAC would fit what is stacked on it as well."""
        _write(self._file(nic), f"[Match]\nName={nic}\n\n[Link]\nUnmanaged=yes\n")
        if self._links.is_dir():
            self._run(["networkctl", "reload"])

    def let_go(self, nic: str, note: Sequence[str]) -> None:
        """Removes the file, and has it look at the NIC again."""
        self._file(nic).unlink(missing_ok=True)
        if self._links.is_dir():
            self._run(["networkctl", "reload"])
            with contextlib.suppress(CommandError):  # not before it has noticed the link; then it does so by itself
                self._run(["networkctl", "reconfigure", nic])

    def _file(self, nic: str) -> Path:
        return self._folder / f"00-{OURS}-{nic}.network"


class NetworkManager:
    """NetworkManager: a file that lists the NIC as not managed, and the same said to the one that runs."""

    name = "NetworkManager"

    def __init__(self, root: Path = Path("/"), run: Run = run) -> None:
        """Takes the file system, and who runs programs."""
        self._state = root / "run/NetworkManager"
        self._there = root / "sys/class/net"
        self._unit = root / "etc/systemd/system/multi-user.target.wants/NetworkManager.service"
        self._run = run

    def concerns(self, nic: str) -> bool:
        """When it runs, or will."""
        return self._state.is_dir() or self._unit.exists()

    def note(self, nic: str) -> list[str]:
        """It knows by itself."""
        return []

    def hold(self, nic: str) -> None:
        """For the one that runs, which need not be told of a NIC that is no link any more, and for a later one."""
        _write(self._file(nic), f"[device-{OURS}-{nic}]\nmatch-device=interface-name:{nic}\nmanaged=0\n")
        if self._is_running():
            self._run(["nmcli", "general", "reload", "conf"])
            if (self._there / nic).exists():
                self._run(["nmcli", "device", "set", nic, "managed", "no"])

    def let_go(self, nic: str, note: Sequence[str]) -> None:
        """Removes the file; what it has for the NIC it puts there by itself."""
        self._file(nic).unlink(missing_ok=True)
        if self._is_running():
            self._run(["nmcli", "general", "reload", "conf"])
            self._run(["nmcli", "device", "set", nic, "managed", "yes"])

    def _is_running(self) -> bool:
        try:
            return self._run(["nmcli", "-g", "RUNNING", "general"]).strip() == "running"
        except CommandError:
            return False

    def _file(self, nic: str) -> Path:
        return self._state / "conf.d" / f"90-{OURS}-{nic}.conf"


class Ifupdown:
    """ifupdown: acts when a NIC appears, and at boot; its DHCP client runs for ever."""

    name = "ifupdown"

    def __init__(self, root: Path = Path("/"), run: Run = run, *, kill: Callable[[int, int], None] = os.kill) -> None:
        """Takes the file system, who runs programs, and who sends signals."""
        self._root = root
        self._interfaces = root / "etc/network/interfaces"
        self._systemd = root / "run/systemd/system"
        self._run = run
        self._kill = kill

    def concerns(self, nic: str) -> bool:
        """When one of its files names the NIC."""
        folder = self._interfaces.with_name("interfaces.d")
        files = [self._interfaces, *(sorted(folder.iterdir()) if folder.is_dir() else ())]
        return any(nic in file.read_text(errors="replace").split() for file in files if file.is_file())

    def note(self, nic: str) -> list[str]:
        """The command line of its DHCP client, if there is one."""
        return next((words for _, words in self._clients(nic)), [])

    def hold(self, nic: str) -> None:
        """No hotplug, no `ifup -a`; the DHCP client ends without a word to the server."""
        mask = self._mask(nic)
        mask.parent.mkdir(parents=True, exist_ok=True)
        if not mask.is_symlink():
            mask.symlink_to("/dev/null")
        _write(self._drop_in(nic), f"[Service]\nEnvironment=EXCLUDE_INTERFACES={nic}\n")
        self._reload()
        for number, _ in self._clients(nic):
            with contextlib.suppress(ProcessLookupError):
                self._kill(number, signal.SIGTERM)

    def let_go(self, nic: str, note: Sequence[str]) -> None:
        """As it was, and the DHCP client is started as it had been."""
        self._mask(nic).unlink(missing_ok=True)
        self._drop_in(nic).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._drop_in(nic).parent.rmdir()
        self._reload()
        if note and not self._clients(nic):
            self._run([note[0], "-nw", *(word for word in note[1:] if word not in ("-d", "-nw", "-1"))])

    def _reload(self) -> None:
        if self._systemd.parent.is_dir() and self._systemd.is_dir():
            self._run(["systemctl", "daemon-reload"])

    def _clients(self, nic: str) -> list[tuple[int, list[str]]]:
        found = []
        for folder in sorted((self._root / "proc").glob("[0-9]*")):
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            except OSError:
                continue
            if Path(words[0]).name == "dhclient" and nic in words[1:]:
                found.append((int(folder.name), words))
        return found

    def _mask(self, nic: str) -> Path:
        """As systemd writes the name of an instance: what is no letter in it is a number."""
        letters = (
            letter
            if re.match(r"[A-Za-z0-9:_]", letter) or (letter == "." and place)
            else "".join(f"\\x{byte:02x}" for byte in letter.encode())
            for place, letter in enumerate(nic)
        )
        return self._systemd / f"ifup@{''.join(letters)}.service"

    def _drop_in(self, nic: str) -> Path:
        return self._systemd / "networking.service.d" / f"{OURS}-{nic}.conf"


def all_managers(root: Path = Path("/"), run: Run = run) -> tuple[Manager, ...]:
    """Those that are known."""
    return Networkd(root, run), NetworkManager(root, run), Ifupdown(root, run)


def notes_of(managers: Sequence[Manager], nic: str) -> dict[str, list[str]]:
    """The notes of all that are there, by name, before they are held off."""
    return {one.name: one.note(nic) for one in managers if one.concerns(nic)}


def hold_off(managers: Sequence[Manager], nic: str, notes: Mapping[str, Sequence[str]]) -> None:
    """Keeps those that made a note off a NIC.

    Raises:
        CommandError: one of them would not.
        OSError: a file cannot be written.
    """
    for one in managers:
        if one.name in notes:
            one.hold(nic)


def let_go(managers: Sequence[Manager], nic: str, notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Gives the NIC back to those that were held off; returns what did not work, one sentence each."""
    problems = []
    for one in managers:
        if one.name in notes:
            try:
                one.let_go(nic, notes[one.name])
            except (CommandError, OSError) as error:
                problems.append(f"{one.name} may not have noticed that {nic} is back: {error}")
    return problems


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    part.write_text(text)
    part.chmod(0o644)
    part.replace(path)
