"""What would keep VPP from forwarding on a host, each as one sentence with its remedy.

Everything is read and nothing changed. Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping

from . import preflight, uses
from .links import canonical
from .system import System

UNIT = "contiv-vpp"
OWN_UNIT = "vpp"
"""The service that FD.io's packages bring."""
OPTION = "nodeConfig.mainVPPInterface.interfaceName"


def problems(
    wanted: Mapping[str, Any],
    *,
    links: list[dict[str, Any]] | None = None,
    routes: list[dict[str, Any]] | None = None,
    session: str | None = None,
    available: int | None = None,
    active: Callable[[str], bool] | None = None,
) -> list[str]:
    """Problems of a host that is to run VPP.

    Args:
        wanted: {"uplink": the NIC for VPP, "steals": whether VPP gets the host's own instead, "address": the one that
            other nodes reach this host by, "alone": whether there is no other node, "memory": MiB for VPP, "program": a
            file that must be there already or ""}.
        links: as `ip -json address` says them; read from the host when None, as the rest.
        routes: as `ip -json route` says them.
        session: SSH_CONNECTION of this session.
        available: MiB of memory that can be had.
        active: tells whether a unit is active.
    """
    is_active = active or preflight.is_active
    there = preflight.read_ip("address") if links is None else links
    ways = preflight.read_ip("-4", "route") + preflight.read_ip("-6", "route") if routes is None else routes
    words = (uses.connection(System()) if session is None else session).split()
    ours = {canonical(word) for word in (str(wanted["address"]), *words[2:3])} - {""}
    stealing = bool(wanted.get("steals", False))  # contiv-stn looks at the NIC itself
    found = [] if stealing else _uplink(str(wanted["uplink"]), bool(wanted["alone"]), there, ways, ours)
    if not is_active(UNIT):
        found += _memory(int(wanted["memory"]), _available() if available is None else available)
    return found + _program(str(wanted["program"]), is_active)


def _uplink(
    name: str, alone: bool, links: list[dict[str, Any]], routes: list[dict[str, Any]], ours: set[str]
) -> list[str]:
    if not name:
        return [] if alone else ["VPP has no NIC and would reach no other node: set %s for this node" % OPTION]
    if "/" in name:  # a NIC that VPP drives itself: the kernel does not see it
        return []
    link = next((link for link in links if link.get("ifname") == name), None)
    if link is None:
        others = ", ".join(sorted(str(link["ifname"]) for link in links if link.get("ifname") != "lo")) or "none"
        return ["there is no interface %s on this host, only %s: correct %s for this node" % (name, others, OPTION)]
    reasons = []
    addresses = {str(entry.get("local", "")) for entry in link.get("addr_info", [])} & ours
    if addresses:
        reasons.append("has the address %s that this host is reached by" % sorted(addresses)[0])
    if any(route.get("dst") in ("default", "0.0.0.0/0", "::/0") and route.get("dev") == name for route in routes):
        reasons.append("carries the default route")
    if not reasons:
        return []
    return [
        "%s %s, and VPP would take it away: name another NIC in %s, or have it stolen with stealInterface"
        % (name, " and ".join(reasons), OPTION)
    ]


def _memory(wanted: int, available: int) -> list[str]:
    if available >= wanted:
        return []
    return [
        "%d MiB of memory can be had and VPP needs %d: make room, or lower vpp_main_heap_size or vpp_buffers"
        % (available, wanted)
    ]


def _program(program: str, is_active: Callable[[str], bool]) -> list[str]:
    found = []
    if program and not os.access(program, os.X_OK):
        found.append("%s is not there: install VPP, or set vpp_source to prefix or packages" % program)
    if is_active(OWN_UNIT):
        found.append("a VPP runs here already (%s.service): systemctl disable --now %s" % (OWN_UNIT, OWN_UNIT))
    return found


def _available(path: str = "/proc/meminfo") -> int:
    with open(path) as lines:
        return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), 0)
