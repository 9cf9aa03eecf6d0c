"""What contiv-stn must not forget, on disk before anything changes.

One file holds it all: the NIC as it was, how far the daemon got, and what it waits for. It is written whole, beside the
old one, and takes its place in one step, with file and folder on the disk before the next thing happens. So whatever
dies, and whenever, the next run knows what to put back. A file that cannot be read is no reason to guess: it is named.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

Phase = Literal["stealing", "stolen", "confirmed", "releasing", "returned"]
AF_PACKET: Final = "af_packet"
MAIN: Final = 254
"""The number of the kernel's main table."""


class JournalError(Exception):
    """The journal cannot be read or written; the sentence names the file and what to do."""


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address as it was.

    Attributes:
        text: with prefix length.
        message: the kernel's own words for it (struct ifaddrmsg and attributes), hexadecimal.
        valid: seconds for which it was still good; 0 for ever. `preferred` as well.
        automatic: whether the kernel makes it by itself: link-local, or announced by a router.
    """

    text: str
    message: str
    valid: int = 0
    preferred: int = 0
    automatic: bool = False


class SavedHop(msgspec.Struct, frozen=True):
    """One next hop; `via` is "" when the destination is on the link."""

    via: str
    weight: int = 1


class SavedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route as it was.

    Attributes:
        to: the subnet; "" for the default route.
        hops: those by this NIC.
        table: its number.
        message: the kernel's own words for it (struct rtmsg and attributes), hexadecimal.
        automatic: whether the kernel makes it by itself: from an address, or announced by a router.
    """

    to: str
    hops: tuple[SavedHop, ...]
    metric: int
    message: str
    table: int = MAIN
    automatic: bool = False


class SavedNic(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC as it was.

    Attributes:
        index: of its link, which another one has after a change of driver.
        pci: address of its device; "" for a link without one.
        kernel_driver: of the device.
        driver: what it is given to: a driver for user space, or `AF_PACKET`.
        ipv6_off: whether the kernel had no IPv6 on it.
        merging: whether the kernel merged frames that it received.
        managers: who configured it, and is held off: see `managers`; their own notes by name.
        saved_at: when, in seconds of the clock that goes on while the machine sleeps.
    """

    name: str
    index: int
    mac: str
    mtu: int
    pci: str = ""
    kernel_driver: str = ""
    driver: str = AF_PACKET
    dhcp: bool = False
    ipv6_off: bool = False
    merging: bool = False
    addresses: tuple[SavedAddress, ...] = ()
    routes: tuple[SavedRoute, ...] = ()
    managers: dict[str, list[str]] = {}
    saved_at: float = 0.0

    @property
    def is_device(self) -> bool:
        """Whether VPP drives the device itself; else it is attached to the kernel's link."""
        return self.driver != AF_PACKET


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """How far the daemon is with the NIC.

    Attributes:
        phase: stealing (from before the first change), stolen (waits for health, and a word), confirmed, releasing,
            returned (the kernel has it again; kept so that it can be said why).
        boot: the machine's run that this is about.
        deadline: when a stolen NIC is given back if all is not well until then, by the clock of `saved_at`; 0: it
            counts from when the daemon starts.
        word: whether somebody has to confirm; health alone is not enough.
        probe: "icmp 10.0.0.1" or "tcp 10.0.0.1 22": what answered before; "" when nothing did.
        reason: why it is given back, or was.
        again: whether it is taken again as soon as the gateway answers the kernel: it was not VPP's fault.
        forgotten: whether nothing is to be remembered once it is given back.
        confirmed_once: whether it has been confirmed before: the machine has been started anew since.
    """

    phase: Phase
    nic: SavedNic
    boot: str = ""
    deadline: float = 0.0
    word: bool = False
    probe: str = ""
    reason: str = ""
    again: bool = False
    forgotten: bool = False
    confirmed_once: bool = False


class Store:
    """The journal's file."""

    def __init__(self, path: Path) -> None:
        """Takes where it is; its folder is made when it is needed."""
        self.path = path

    def load(self) -> Journal | None:
        """What was written last; None when there is nothing.

        Raises:
            JournalError: it cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Journal)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise JournalError(
                f"{self.path} cannot be read ({error}): what the NIC was is not known; put its addresses back by hand, "
                "and remove the file"
            ) from error

    def save(self, journal: Journal) -> None:
        """Writes it; it is on the disk when this returns.

        Raises:
            JournalError: it cannot be written; the old one stays.
        """
        part = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(journal), indent=1))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            self._settle()
        except OSError as error:
            raise JournalError(f"{self.path} cannot be written ({error}): nothing was changed") from error

    def forget(self) -> None:
        """Removes it.

        Raises:
            JournalError: it cannot be removed.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
                self._settle()
        except OSError as error:
            raise JournalError(f"{self.path} cannot be removed ({error})") from error

    def _settle(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
