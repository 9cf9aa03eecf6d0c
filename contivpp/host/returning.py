"""The links of a NIC that the kernel has again: with the names, addresses and routes that they had.

Whoever manages the network of a host (networkd, NetworkManager, ifupdown) sees a new link and sets it up as its files
say, which may take off what we have just put on. So what was put back is looked at again, and put back again, until it
stays.
"""

from __future__ import annotations

from . import links, nics
from .links import Link
from .system import System

TRIES = 100
SECONDS = 0.1
ROUNDS = 5
SETTLE_SECONDS = 3.0


def bring_back(system: System, address: str, before: tuple[Link, ...]) -> list[str]:
    """Makes the links of a NIC what they were.

    Args:
        system: the machine.
        address: of the NIC on its bus.
        before: its links as they were.

    Returns:
        A sentence for each thing that could not be put back.

    Raises:
        HostError: iproute2 cannot be asked.
    """
    if not before:
        return []
    there: list[Link] = []

    def has_come() -> bool:
        there[:] = [link for nic in nics.read(system).nics if nic.address == address for link in nic.links]
        return len(there) >= len(before)

    if not system.wait(has_come, tries=TRIES, seconds=SECONDS):
        return ["%s has not got its link %s back: see the kernel's log (dmesg)" % (address, before[0].name)]
    system.run("udevadm", "settle", "--timeout=10")  # it may be about to rename the link
    has_come()
    problems: list[str] = []
    pairs = []
    for old in before:
        now = next((link for link in there if link.mac == old.mac), there[0] if len(there) == 1 else None)
        if now is None:
            problems.append("%s has no link with the MAC %s any more: set %s up by hand" % (address, old.mac, old.name))
        elif now.name == old.name or _rename(system, now.name, old.name):
            pairs.append((old, old.name))
        else:
            problems.append("%s cannot be called %s again: rename it" % (now.name, old.name))
            pairs.append((old, now.name))
    return problems + _put_on(system, pairs)


def _rename(system: System, now: str, name: str) -> bool:
    system.run("ip", "link", "set", "dev", now, "down")
    return system.run("ip", "link", "set", "dev", now, "name", name).code == 0


def _put_on(system: System, pairs: list[tuple[Link, str]]) -> list[str]:
    problems: list[str] = []
    for _ in range(ROUNDS):
        problems = [problem for old, name in pairs for problem in links.restore(system, old, name)]
        system.pause(SETTLE_SECONDS)
        found = links.read(system)
        if all(name in found and links.restoring(old, found[name]) == [] for old, name in pairs):
            return []
    return problems or [
        "somebody takes addresses or routes of %s off again: write them where the network of this host is configured"
        % name
        for _, name in pairs
    ]
