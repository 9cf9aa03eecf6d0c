"""What of a host's NICs, huge pages, cores and kernel could not be had, found before anything is changed.

The plans themselves are made and thrown away, so what is refused here is what would be refused later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Mapping

from . import cpus, hugepages, kernel, startup_conf_host, taking
from .drivers import USER_SPACE, VFIO
from .startup_conf import StartupConf, StartupConfError, from_yaml
from .system import HostError, System


def problems(wanted: Mapping[str, Any], system: System, *, session: str = "") -> list[str]:
    """One sentence with the remedy for each thing that cannot be had.

    Args:
        wanted: {"nics": [{"nic", "driver", "noiommu"}], "hugepages": [{"size", "count", "node", "free"}],
            "mounts": [{"path", "size"}], "modules": [...], "sysctl": {...}, "startup_conf": what of it somebody chose,
            "strict": whether settings that are not known are refused, "workers": how many are to be laid out,
            "numa_node": where, "node_ip": the node's address in Kubernetes, "uplink": the NIC that nodeConfig names}.
        system: the machine.
        session: the address that Ansible's session came in by.
    """
    found: list[str] = []
    chosen: list[StartupConf] = []
    found += _of(lambda: _startup_conf(wanted, system, chosen))
    devices = [address.lower() for conf in chosen for address, _ in conf.dpdk.dev]
    found += _of(lambda: _nics(wanted, system, session, devices))
    found += _of(lambda: _hugepages(wanted, system))
    found += _of(lambda: _kernel(wanted, system))
    return found


def _of(look: Callable[[], list[str]]) -> list[str]:
    try:
        return look()
    except HostError as error:
        return error.problems


def _nics(wanted: Mapping[str, Any], system: System, session: str, devices: list[str]) -> list[str]:
    if not wanted.get("nics") and not devices:
        return []
    there = taking.read(system, node_ip=str(wanted.get("node_ip") or ""), session=session)
    found: list[str] = []
    names: dict[str, str] = {}
    entries = [
        taking.Wanted(
            nic=str(entry.get("nic", "")),
            driver=str(entry.get("driver", VFIO)),
            no_iommu=_truth(entry.get("noiommu", False)),
        )
        for entry in wanted.get("nics") or []
    ]
    together = tuple(one.nic for one in entries if one.driver == VFIO)
    for one in (replace(entry, together=together) for entry in entries):
        try:
            planned = taking.plan(there, one)
        except HostError as error:
            found += error.problems
            continue
        address = planned.address
        if planned.nic is not None and planned.nic.name and planned.nic.name == wanted.get("uplink"):
            found.append(
                "%s is in host_nics, so the kernel will have no link of that name: give interfaceName in nodeConfig"
                " VPP's name of it, which has a slash in it, or take it out of host_nics" % planned.nic.name
            )
        if address in names:
            found.append("%s and %s are the same NIC (%s): name it once" % (names[address], one.nic, address))
        names[address] = one.nic
    if not found:
        found = [
            "dpdk.dev %s: VPP would take this NIC from the kernel itself, and nobody would give it back: name it in"
            " host_nics" % nic.address
            for nic in there.inventory.nics
            if nic.address in devices and nic.address not in names and _would_be_taken(nic.driver)
        ]
    return found


def _would_be_taken(driver: str) -> bool:
    return driver not in USER_SPACE and not driver.startswith("mlx")


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
            now=_truth(wanted.get("hugepages_now", True)),
        )  # fmt: skip
    return []


def _kernel(wanted: Mapping[str, Any], system: System) -> list[str]:
    modules, parameters = list(wanted.get("modules") or []), dict(wanted.get("sysctl") or {})
    if modules or parameters:
        kernel.plan(kernel.read(system, modules, parameters), modules, parameters)
    return []


def _startup_conf(wanted: Mapping[str, Any], system: System, chosen: list[StartupConf]) -> list[str]:
    """Reads what was chosen, as the file would have it, and leaves it in `chosen` when it can be read."""
    found: list[str] = []
    settings = dict(wanted.get("startup_conf") or {})
    workers = int(wanted.get("workers") or 0)
    if workers:
        try:
            layout = cpus.layout(cpus.read(system), workers, node=_number(wanted.get("numa_node")))
            settings["cpu"] = {**layout.as_settings(), **(settings.get("cpu") or {})}
        except HostError as error:
            found += error.problems
    try:
        conf = from_yaml(settings, strict=_truth(wanted.get("strict", True)))
    except StartupConfError as error:
        return found + error.problems
    chosen.append(conf)
    return found + startup_conf_host.problems(system, conf)


def _truth(value: Any) -> bool:
    """Of what YAML or a command line says; a word is not true for being one."""
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "yes", "on", "1", "y", "t")


def _number(value: Any) -> int | None:
    return None if value in (None, "") else int(value)
