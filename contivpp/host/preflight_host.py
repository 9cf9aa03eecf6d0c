"""What of a host's NICs, huge pages, cores and kernel could not be had, found before anything is changed.

The plans themselves are made and thrown away, so what is refused here is what would be refused later.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from . import cpus, hugepages, kernel, taking
from .system import HostError, System


def problems(wanted: Mapping[str, Any], system: System, *, session: str = "") -> list[str]:
    """One sentence with the remedy for each thing that cannot be had.

    Args:
        wanted: {"nics": [{"nic", "driver", "noiommu"}], "hugepages": [{"size", "count", "node", "free"}],
            "mounts": [{"path", "size"}], "modules": [...], "sysctl": {...}, "cpu": the block of startup.conf,
            "workers": how many are to be laid out, "numa_node": where, "node_ip": the node's address in Kubernetes}.
        system: the machine.
        session: the address that Ansible's session came in by.
    """
    found: list[str] = []
    found += _of(lambda: _nics(wanted, system, session))
    found += _of(lambda: _hugepages(wanted, system))
    found += _of(lambda: _kernel(wanted, system))
    found += _of(lambda: _cpus(wanted, system))
    return found


def _of(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except HostError as error:
        return error.problems


def _nics(wanted: Mapping[str, Any], system: System, session: str) -> list[str]:
    if not wanted.get("nics"):
        return []
    there = taking.read(system, node_ip=str(wanted.get("node_ip") or ""), session=session)
    found: list[str] = []
    names: dict[str, str] = {}
    for entry in wanted["nics"]:
        one = taking.Wanted(
            nic=str(entry.get("nic", "")),
            driver=str(entry.get("driver", "vfio-pci")),
            no_iommu=bool(entry.get("noiommu", False)),
        )
        try:
            address = taking.plan(there, one).address
        except HostError as error:
            found += error.problems
            continue
        if address in names:
            found.append("%s and %s are the same NIC (%s): name it once" % (names[address], one.nic, address))
        names[address] = one.nic
    return found


def _hugepages(wanted: Mapping[str, Any], system: System) -> list[str]:
    pages, mounts = wanted.get("hugepages") or [], wanted.get("mounts") or []
    if pages or mounts:
        hugepages.plan(
            hugepages.read(system, user_runs=hugepages.runs(system, "contiv-vpp")),
            [
                hugepages.Wanted(str(one.get("size", "2M")), int(one["count"]), _number(one.get("node")),
                                 int(one.get("free") or 0))
                for one in pages
            ],
            mounts=[(str(one["path"]), str(one.get("size") or "")) for one in mounts],
            now=bool(wanted.get("hugepages_now", True)),
        )  # fmt: skip
    return []


def _kernel(wanted: Mapping[str, Any], system: System) -> list[str]:
    modules, parameters = list(wanted.get("modules") or []), dict(wanted.get("sysctl") or {})
    if modules or parameters:
        kernel.plan(kernel.read(system, modules, parameters), modules, parameters)
    return []


def _cpus(wanted: Mapping[str, Any], system: System) -> list[str]:
    there = cpus.read(system)
    found = cpus.problems(there, wanted.get("cpu") or {})
    workers = int(wanted.get("workers") or 0)
    if workers:
        try:
            cpus.layout(there, workers, node=_number(wanted.get("numa_node")))
        except HostError as error:
            found += error.problems
    return found


def _number(value: Any) -> int | None:
    return None if value in (None, "") else int(value)
