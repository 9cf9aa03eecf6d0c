"""The links of the machine that contiv-stn works on, by sysfs, `ip`, `nft` and sysctls; one step each, all repeatable.

A NIC without a device of its own (a veth, say), and one that is to stay with its kernel driver, is given to VPP by
AF_PACKET: VPP reads and writes the kernel's link under the link's own MAC. The kernel must then neither answer nor send
there, so it is made deaf: packets are dropped where they would enter its stack, which is behind where AF_PACKET sees
them, and IPv6 is off.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contivpp.dataplane.linux import offload
from contivpp.stn import saved
from contivpp.stn.commands import CommandError, Run, run
from contivpp.stn.journal import SavedAddress, SavedNic, SavedRoute

_PCI: Final = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_TABLE: Final = "contiv-stn"
_NO_TABLE: Final = f"table netdev {_TABLE}\ndelete table netdev {_TABLE}\n"
"""Whether there is one or not."""
_UP: Final = 0x1
_LOOK: Final = 0.5
_LOOKS: Final = 4
"""How often in a row nothing may be missing on a link until it counts as left alone; seconds between two looks."""
_DEFAULT: Final = "route default"
_NAMING: Final = 5.0
"""Seconds for udev to give a link its name."""


class MachineError(Exception):
    """Something about a link is not as it has to be; one sentence."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is now.

    Attributes:
        pci: address of its device, `driver` what drives that; "" for a link without one.
        stacked: what is on top of it, or what it is a part of.
    """

    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    pci: str = ""
    driver: str = ""
    stacked: tuple[str, ...] = ()


class Machine:
    """Reads and changes links."""

    def __init__(
        self,
        root: Path = Path("/"),
        run: Run = run,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Takes the file system with sys and proc, who runs programs, a clock in seconds and who waits."""
        self._net = root / "sys/class/net"
        self._devices = root / "sys/bus/pci/devices"
        self._conf = root / "proc/sys/net/ipv6/conf"
        self._run = run
        self._clock = clock
        self._sleep = sleep

    # ---- reading

    def link(self, name: str) -> Link | None:
        """A link by its name; None when there is none."""
        folder = self._net / name
        try:
            flags = int((folder / "flags").read_text(), 16)
            pci = self._pci_of(folder)
            return Link(
                name=name,
                index=int((folder / "ifindex").read_text()),
                mac=(folder / "address").read_text().strip(),
                mtu=int((folder / "mtu").read_text()),
                up=bool(flags & _UP),
                pci=pci,
                driver=self.driver_of(pci) if pci else "",
                stacked=tuple(sorted(set(self._stacked(folder)))),
            )
        except (OSError, ValueError):
            return None

    def names(self) -> tuple[str, ...]:
        """The names of all links, sorted."""
        return tuple(sorted(one.name for one in self._net.iterdir() if one.is_dir())) if self._net.is_dir() else ()

    def driver_of(self, pci: str) -> str:
        """What drives a device; "" for nothing."""
        with contextlib.suppress(OSError):
            return (self._devices / pci / "driver").resolve(strict=True).name
        return ""

    def has_device(self, pci: str) -> bool:
        """Whether a device is there."""
        return (self._devices / pci).exists()

    def link_of_device(self, pci: str) -> str:
        """The name of the link that a device is; "" for none."""
        folder = self._devices / pci
        found = sorted(one.name for pattern in ("net/*", "virtio*/net/*") for one in folder.glob(pattern))
        return found[0] if found else ""

    def addresses(self, name: str) -> tuple[SavedAddress, ...]:
        """The addresses of a link; () when it is not there."""
        link = self.link(name)
        return saved.addresses_of(link.index) if link is not None else ()

    def routes(self, name: str) -> tuple[SavedRoute, ...]:
        """The routes by a link; () when it is not there."""
        link = self.link(name)
        return saved.routes_of(link.index) if link is not None else ()

    def ipv6_is_off(self, name: str) -> bool:
        """Whether the kernel has no IPv6 on a link."""
        try:
            return (self._conf / name / "disable_ipv6").read_text().strip() == "1"
        except OSError:
            return True

    def merges(self, name: str) -> bool:
        """Whether the kernel merges frames that a link receives."""
        with contextlib.suppress(OSError):
            return offload.merging("", name)
        return False

    # ---- changing links

    def set_up(self, name: str, *, up: bool) -> None:
        """Switches a link on or off.

        Raises:
            CommandError: it is not there, or does not go.
        """
        self._run(["ip", "link", "set", "dev", name, "up" if up else "down"])

    def make_like(self, nic: SavedNic) -> None:
        """Gives a link the MAC and the MTU that it had.

        Raises:
            MachineError: it is not there.
            CommandError: it does not take them.
        """
        link = self._must(nic.name)
        if link.mtu != nic.mtu:
            self._run(["ip", "link", "set", "dev", nic.name, "mtu", str(nic.mtu)])
        if link.mac != nic.mac:
            self._run(["ip", "link", "set", "dev", nic.name, "down"])
            self._run(["ip", "link", "set", "dev", nic.name, "address", nic.mac])

    def await_link(self, nic: SavedNic, within: float) -> None:
        """Waits until a NIC is a link again, under its name.

        Raises:
            MachineError: it is not there in time.
            CommandError: it cannot get its name.
        """
        deadline = self._clock() + within
        naming = float("inf")
        while self.link(nic.name) is None:
            now = self._clock()
            other = self.link_of_device(nic.pci) if nic.pci else ""
            naming = min(naming, now + _NAMING) if other else float("inf")
            if now >= naming:  # nobody else gives it its name
                self._run(["ip", "link", "set", "dev", other, "down"])
                self._run(["ip", "link", "set", "dev", other, "name", nic.name])
                return
            if now >= deadline:
                raise MachineError(f"{nic.name} did not appear within {within:g} s")
            self._sleep(0.05)

    def remove_link(self, name: str) -> None:
        """Removes a link; one that is not there is no error.

        Raises:
            CommandError: it does not go.
        """
        if self.link(name) is not None:
            self._run(["ip", "link", "delete", "dev", name])

    def deafen(self, name: str) -> None:
        """The kernel takes nothing from a link any more; whoever reads it with AF_PACKET does.

        Raises:
            CommandError: nft is missing, or the kernel has no such hook.
        """
        chain = f'chain deaf {{\ntype filter hook ingress device "{name}" priority 0; policy drop;\n}}'
        self._run(["nft", "-f", "-"], given=f"{_NO_TABLE}table netdev {_TABLE} {{\n{chain}\n}}\n")

    def let_hear(self) -> None:
        """Ends that; when it was not so that is no error.

        Raises:
            CommandError: the kernel does not do it.
        """
        try:
            self._run(["nft", "-f", "-"], given=_NO_TABLE)
        except CommandError as error:
            if "not installed" not in str(error):
                raise

    def set_ipv6(self, name: str, *, off: bool) -> None:
        """Switches IPv6 of a link off or on; where the kernel has none that is no error."""
        with contextlib.suppress(OSError):
            (self._conf / name / "disable_ipv6").write_text("1" if off else "0")

    def set_merging(self, name: str, *, on: bool) -> None:
        """Lets the kernel merge received frames, or not: AF_PACKET cuts what is larger than the MTU."""
        with contextlib.suppress(OSError):  # a link that cannot is one that does not
            offload.set_merging("", name, on=on)

    # ---- addresses and routes

    def strip(self, nic: SavedNic) -> None:
        """Takes all addresses and routes off a link.

        Raises:
            MachineError: it is not there.
            RefusedError: the kernel does not.
        """
        link = self._must(nic.name)
        for route in saved.routes_of(link.index):
            saved.remove_route(route, link.index)
        for address in saved.addresses_of(link.index):
            saved.remove_address(address, link.index)

    def clothe(self, nic: SavedNic, *, elapsed: float, within: float) -> dict[str, str]:
        """Gives a link the addresses and routes that it had, until all are there.

        Returns:
            Routes that are not there in time and that the node is reached without, by what `missing` calls them, each
            with a sentence: one may lead over another link as well, which has gone.

        Raises:
            MachineError: an address or a default route is not there in time; which ones, and why.
        """
        deadline = self._clock() + within
        while True:
            refused = dict(self._clothe_once(nic, elapsed))
            missing = self.missing(nic)
            if not missing:
                return {}
            if self._clock() >= deadline:
                why = {what: f"{what}: {refused[what]}" if what in refused else what for what in missing}
                if all(what.startswith("route ") and what != _DEFAULT for what in missing):
                    return {what: f"{nic.name} lacks {said}" for what, said in why.items()}
                raise MachineError(f"{nic.name} lacks {'; '.join(why.values())}")
            self._sleep(0.2)

    def keep_clothed(self, nic: SavedNic, *, elapsed: float, within: float, without: Collection[str] = ()) -> list[str]:
        """Puts back what somebody takes off a link, until nobody does any more.

        Who manages a link sets it up a moment after it was told to, and takes off what it does not know.

        Args:
            nic: as it was.
            elapsed: seconds since then.
            within: seconds after which it is left as it is.
            without: what it could not be given at all.

        Returns:
            What is taken off again and again, in one sentence; nothing when all of it stays.
        """
        deadline = self._clock() + within
        looks = 0
        missing: list[str] = []
        while looks < _LOOKS:
            if self._clock() >= deadline:
                return [f"somebody takes {', '.join(missing)} off {nic.name} again and again"] if missing else []
            self._sleep(_LOOK)
            looks += 1
            if now_missing := [what for what in self.missing(nic) if what not in without]:
                looks, missing = 0, now_missing
                with contextlib.suppress(MachineError):  # the link may be about to change
                    self.clothe(nic, elapsed=elapsed, within=0.0)
        return []

    def missing(self, nic: SavedNic) -> list[str]:
        """Which of the addresses and routes that a NIC had its link lacks; nothing of what the kernel makes itself."""
        link = self.link(nic.name)
        if link is None:
            return [f"the link {nic.name}"]
        addresses, routes = saved.addresses_of(link.index), saved.routes_of(link.index)
        found = [
            one.text
            for one in nic.addresses
            if not one.automatic and not any(saved.same_address(one, other) for other in addresses)
        ]
        return found + [
            f"route {one.to}" if one.to else _DEFAULT
            for one in nic.routes
            if not one.automatic and not any(saved.same_route(one, nic.index, other, link.index) for other in routes)
        ]

    def _clothe_once(self, nic: SavedNic, elapsed: float) -> Iterator[tuple[str, str]]:
        link = self._must(nic.name)
        there = saved.addresses_of(link.index)
        for address in nic.addresses:
            if address.automatic or any(saved.same_address(address, other) for other in there):
                continue
            try:
                saved.put_address(address, link.index, elapsed=elapsed)
            except saved.RefusedError as error:
                yield address.text, str(error)
        routes = saved.routes_of(link.index)
        for route in nic.routes:
            if route.automatic or any(saved.same_route(route, nic.index, other, link.index) for other in routes):
                continue
            try:
                saved.put_route(route, nic.index, link.index)
            except saved.RefusedError as error:
                yield f"route {route.to}" if route.to else _DEFAULT, str(error)

    def take_from_others(self, nic: SavedNic) -> None:
        """Takes the NIC's addresses off all other links.

        Raises:
            RefusedError: the kernel does not.
        """
        texts = {address.text.partition("/")[0] for address in nic.addresses if not address.automatic}
        for name in self.names():
            link = self.link(name)
            if link is None or name == nic.name:
                continue
            for address in saved.addresses_of(link.index):
                if address.text.partition("/")[0] in texts:
                    saved.remove_address(address, link.index)

    # ---- the rest of the network

    def default_links(self) -> tuple[str, ...]:
        """The links that carry a default route, sorted."""
        found: set[str] = set()
        for family in ("-4", "-6"):
            for route in self._json(["ip", "-json", family, "route", "show", "default"]):
                found |= {str(hop["dev"]) for hop in (route, *route.get("nexthops", ())) if hop.get("dev")}
        return tuple(sorted(found))

    def _json(self, words: list[str]) -> list[dict[str, Any]]:
        try:
            return list(json.loads(self._run(words) or "[]"))
        except (CommandError, ValueError):
            return []

    def _must(self, name: str) -> Link:
        link = self.link(name)
        if link is None:
            raise MachineError(f"there is no link {name}")
        return link

    @staticmethod
    def _pci_of(folder: Path) -> str:
        """The nearest PCI device above a link: a virtio device is on one itself."""
        device = folder / "device"
        if not device.exists():
            return ""
        return next((part for part in reversed(device.resolve().parts) if _PCI.fullmatch(part)), "")

    @staticmethod
    def _stacked(folder: Path) -> Iterator[str]:
        for one in folder.iterdir():
            if one.name.startswith("upper_"):
                yield one.name.removeprefix("upper_")
            elif one.name == "master":
                yield one.resolve().name
