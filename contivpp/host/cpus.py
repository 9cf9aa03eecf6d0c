"""Where VPP's threads run: a layout within what the kernel isolates, and what is wrong with one that somebody chose.

A worker turns in a loop and wants a core that nobody else gets: one of those that the kernel isolates, where it
isolates any, on the NUMA node of the NIC, and not the second thread of another worker's core. The main thread takes a
core of that kind that is left, else one that the rest of the machine uses too. Where nothing is isolated the first core
stays with the rest of the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from .system import HostError, System

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
CGROUP = "/sys/fs/cgroup/cpuset.cpus.isolated"
_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


@dataclass(frozen=True)
class Cpus:
    """The cores of a machine, threads counted as the kernel counts them.

    Attributes:
        present: those that there are; `online` those that are switched on.
        isolated: those that the kernel gives to nobody who does not ask for them.
        nodes: the NUMA node of each.
        siblings: the threads of the physical core that each is on, itself included.
    """

    present: frozenset[int]
    online: frozenset[int]
    isolated: frozenset[int]
    nodes: Mapping[int, int]
    siblings: Mapping[int, frozenset[int]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "present": list_text(self.present),
            "online": list_text(self.online),
            "isolated": list_text(self.isolated),
            "numa_nodes": {
                str(node): list_text(core for core, where in self.nodes.items() if where == node)
                for node in sorted(set(self.nodes.values()))
            },
            "siblings": sorted({list_text(cores) for cores in self.siblings.values() if len(cores) > 1}),
        }


@dataclass(frozen=True)
class Layout:
    """Cores for the main thread and for the workers."""

    main: int
    workers: tuple[int, ...]

    def as_settings(self) -> dict[str, Any]:
        """The block `cpu` of startup.conf."""
        found: dict[str, Any] = {"main-core": self.main}
        if self.workers:
            found["corelist-workers"] = list_text(self.workers)
        return found


def read(system: System) -> Cpus:
    """Reads the machine."""
    present = cores_of(system.read(CPUS + "/present") or "")
    online = cores_of(system.read(CPUS + "/online") or "") or present
    isolated = cores_of(system.read(CPUS + "/isolated") or "") | cores_of(system.read(CGROUP) or "")
    nodes = {}
    for name in system.names(NODES):
        if re.fullmatch(r"node\d+", name):
            for core in cores_of(system.read("%s/%s/cpulist" % (NODES, name)) or ""):
                nodes[core] = int(name[4:])
    siblings = {}
    for core in sorted(online):
        text = system.read("%s/cpu%d/topology/thread_siblings_list" % (CPUS, core)) or ""
        siblings[core] = cores_of(text) or frozenset({core})
    return Cpus(present or online, online, isolated & online, nodes, siblings)


def layout(cpus: Cpus, workers: int, *, node: int | None = None) -> Layout:
    """Chooses cores; the same machine gives the same ones.

    Args:
        cpus: the machine.
        workers: how many; 0 leaves all to the main thread.
        node: the NUMA node that workers are to be on; None when it does not matter.

    Raises:
        HostError: there are not so many cores.
    """
    if workers < 0:
        raise HostError("%d workers cannot be: give a number from 0" % workers)
    if node is not None and cpus.nodes and node not in cpus.nodes.values():
        raise HostError(
            "this host has no NUMA node %d, only %s: correct it"
            % (node, ", ".join(str(one) for one in sorted(set(cpus.nodes.values()))))
        )
    shared = _in_order(cpus, cpus.online - cpus.isolated)
    pool = _in_order(cpus, cpus.isolated) if cpus.isolated else shared[1:]
    near = [core for core in pool if node is None or cpus.nodes.get(core, node) == node]
    if workers > len(near):
        where = "" if node is None else " on NUMA node %d" % node
        how = "isolates" if cpus.isolated else "can spare"
        raise HostError(
            "%d workers are asked for and this host %s only %d cores%s (%s): ask for fewer, or isolate more (isolcpus=)"
            % (workers, how, len(near), where, list_text(near) or "none")
        )
    # The main thread before the workers where a core is left for it, else one that is shared and not the first.
    if len(near) > workers and near:
        return Layout(near[0], tuple(sorted(near[1 : 1 + workers])))
    left = [core for core in pool if core not in near] or [core for core in shared if core not in near]
    if not left:
        raise HostError(
            "%d workers are asked for and none of the %d cores of this host is left for the main thread: ask for fewer"
            % (workers, len(cpus.online))
        )
    main = next((core for core in left if core not in shared[:1]), left[0])
    return Layout(main, tuple(sorted(near[:workers])))


def problems(cpus: Cpus, settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with a block `cpu` of startup.conf on this machine, one sentence with the remedy each."""
    found: list[str] = []
    if settings.get("relative") is True:  # numbers count within what the process may use, which is known when it runs
        return found
    asked: dict[str, frozenset[int]] = {}
    for name in ("main-core", "corelist-workers"):
        if settings.get(name) not in (None, ""):
            text = str(settings[name])
            if not _LIST.fullmatch(text):
                found.append("cpu.%s: %r is not a list of cores, such as 2-3,18" % (name, text))
            else:
                asked[name] = cores_of(text)
    mask = str(settings.get("coremask-workers") or "")
    if mask:
        try:
            number = int(mask, 16)
            asked["coremask-workers"] = frozenset(core for core in range(number.bit_length()) if number >> core & 1)
        except ValueError:
            found.append("cpu.coremask-workers: %r is not a mask, such as 0c" % mask)
    for name, cores in asked.items():
        beyond, off = cores - cpus.present, (cores & cpus.present) - cpus.online
        if beyond:
            found.append(
                "cpu.%s: this host has no core %s, only %s: correct the list"
                % (name, list_text(beyond), list_text(cpus.online))
            )
        if off:
            found.append(
                "cpu.%s: core %s is switched off: write 1 to its file online, or leave it out" % (name, list_text(off))
            )
    workers, skipped = settings.get("workers"), int(settings.get("skip-cores") or 0)
    if workers is not None and int(workers) + skipped + 1 > len(cpus.online):
        found.append(
            "cpu.workers: %s workers, the main thread and %d skipped cores do not fit on the %d cores of this host:"
            " ask for fewer" % (workers, skipped, len(cpus.online))
        )
    return found


def advice(cpus: Cpus, chosen: Layout, *, node: int | None = None) -> list[str]:
    """What a layout that works will suffer from."""
    found = []
    outside = [core for core in chosen.workers if core not in cpus.isolated]
    if outside:
        found.append("other programs run on cores %s too: isolate them with isolcpus=" % list_text(outside))
    taken = {*chosen.workers, chosen.main}
    pairs = sorted({list_text(cpus.siblings[core] & taken) for core in taken if core in cpus.siblings
                    and len(cpus.siblings[core] & taken) > 1})  # fmt: skip
    found += ["threads on cores %s share one physical core" % pair for pair in pairs]
    far = [core for core in chosen.workers if node is not None and cpus.nodes.get(core, node) != node]
    if far:
        found.append("cores %s are not on NUMA node %s, where the NIC is" % (list_text(far), node))
    return found


def cores_of(text: str) -> frozenset[int]:
    """The cores of a list such as 0-3,8; none for an empty one."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def list_text(cores: Iterable[int]) -> str:
    """Such as 0-3,8."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and parts[-1][-1] == core - 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(str(part[0]) if len(part) == 1 else "%d-%d" % (part[0], part[-1]) for part in parts)


def _in_order(cpus: Cpus, cores: Iterable[int]) -> list[int]:
    """One thread of every physical core first, then their second threads."""
    return sorted(cores, key=lambda core: (sorted(cpus.siblings.get(core, {core})).index(core), core))
