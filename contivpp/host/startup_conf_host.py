"""What is wrong with a startup.conf on one machine, though it is right by itself: cores and NICs that are not there.

Everything is read and nothing changed.
"""

from __future__ import annotations

from . import cpus
from .nics import PCI_ADDRESS, PCI_DEVICES
from .startup_conf import StartupConf
from .system import System


def problems(system: System, conf: StartupConf) -> list[str]:
    """One sentence with the remedy for each setting that this machine cannot follow."""
    cpu = conf.cpu
    found = cpus.problems(
        cpus.read(system),
        {
            "main-core": cpu.main_core,
            "corelist-workers": cpu.corelist_workers,
            "coremask-workers": cpu.coremask_workers,
            "workers": cpu.workers,
            "skip-cores": cpu.skip_cores,
            "relative": cpu.relative,
        },
    )
    for address, _ in conf.dpdk.dev:
        name = address.lower()
        if not PCI_ADDRESS.fullmatch(name):
            continue  # the default for all, or a device of a hypervisor
        if not system.exists("%s/%s" % (PCI_DEVICES, name)):
            found.append(
                "dpdk.dev %s: this host has no such device: see contivpp_facts for those that it has" % address
            )
    return found
