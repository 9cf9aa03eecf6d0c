"""Which driver has a PCI device: changed by `driver_override`, and changed back.

The override makes the kernel take one driver for one device and leaves all others of its kind alone; nothing is
written to `new_id`, which would not. A change is a list of steps that can be shown. It is verified by asking which
driver has the device; when it is not the one that is wanted, the device goes back to the driver that it had, and the
error says so.

`kernel` is the driver that the kernel chooses by itself. VFIO without an IOMMU lets the NIC, and so whoever drives it,
write to all memory of the machine: it is done only when it is asked for by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection

from .nics import PCI_DEVICES, Nic
from .system import HostError, System

VFIO = "vfio-pci"
UIO = "uio_pci_generic"
KERNEL = "kernel"
CHOICES = (VFIO, UIO, KERNEL)
USER_SPACE = (VFIO, UIO)
HARMLESS = ("", VFIO, "pci-stub")
"""Drivers of a companion that let VFIO have the group."""
DRIVERS = "/sys/bus/pci/drivers"
PROBE = "/sys/bus/pci/drivers_probe"
NO_IOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
NONE = "\n"
"""What takes an override away."""
TRIES = 50
SECONDS = 0.1


@dataclass(frozen=True)
class Step:
    """One thing to do: load a kernel module, or write a text to a file of the kernel."""

    path: str
    text: str = ""
    module: str = ""

    def __str__(self) -> str:
        if self.module:
            return "modprobe %s" % self.module
        return "write %r to %s" % (self.text.strip(), self.path)


@dataclass(frozen=True)
class Change:
    """How a device gets from one driver to another; no steps where it has the right one already."""

    address: str
    before: str
    after: str
    override: str
    """The override that it has before."""
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Kernel:
    """What the kernel offers: drivers that are there or can be loaded, and whether VFIO goes without an IOMMU now."""

    available: frozenset[str]
    loaded: frozenset[str]
    no_iommu: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "available": sorted(self.available),
            "loaded": sorted(self.loaded),
            "unsafe_noiommu_mode": self.no_iommu,
        }


def read(system: System) -> Kernel:
    """Reads what the kernel offers for user space."""
    loaded = {name for name in USER_SPACE if system.exists("%s/%s" % (DRIVERS, name))}
    available = loaded | {
        name for name in USER_SPACE if name not in loaded and system.run("modprobe", "-n", "-q", name).code == 0
    }
    return Kernel(frozenset(available), frozenset(loaded), system.read(NO_IOMMU) in ("Y", "1"))


def problems(
    nic: Nic, wanted: str, kernel: Kernel, *, no_iommu: bool = False, together: Collection[str] = ()
) -> list[str]:
    """Why a NIC cannot have a driver, each with its remedy; `together` are the NICs that VFIO gets as well."""
    name = "%s (%s)" % (nic.name, nic.address) if nic.name else nic.address
    if wanted not in USER_SPACE:
        return []
    if nic.bus != "pci":
        return ["%s is not a PCI device, and no driver of user space can have it: attach VPP to its link" % name]
    found = []
    if wanted not in kernel.available:
        found.append("this kernel has no driver %s: install one that has it, or choose another driver" % wanted)
    if nic.driver.startswith("mlx"):
        found.append(
            "%s is driven by %s, which VPP uses together with the kernel: leave its driver" % (name, nic.driver)
        )
    if nic.virtual_functions:
        found.append(
            "%s has %d virtual functions, which would go with it: take one of them, or write 0 to its sriov_numvfs"
            % (name, nic.virtual_functions)
        )
    if wanted != VFIO:
        return found
    if not nic.iommu_group and not no_iommu:
        found.append(
            "%s has no IOMMU, and %s needs one: switch it on in the firmware and with intel_iommu=on for the kernel, or"
            " set noiommu to true, which lets the NIC write to all memory" % (name, VFIO)
        )
    others = [
        one for one in nic.companions if not one.bridge and one.driver not in HARMLESS and one.pci not in together
    ]
    if others:
        found.append(
            "%s shares IOMMU group %s with %s: VFIO takes a group only whole; take them off their drivers, or put the"
            " NIC into another slot"
            % (name, nic.iommu_group, ", ".join("%s (%s)" % (one.pci, one.driver) for one in others))
        )
    return found


def plan(
    nic: Nic,
    wanted: str,
    kernel: Kernel,
    *,
    no_iommu: bool = False,
    override: str | None = None,
    together: Collection[str] = (),
) -> Change:
    """Plans the change of a NIC's driver; pure.

    Args:
        nic: as it is.
        wanted: one of `CHOICES`; or, to put it back, the name of the driver that it had, "" for none.
        kernel: what it offers.
        no_iommu: whether VFIO may go without an IOMMU.
        override: the driver that the kernel is to be told to take, where that is not simply the one that is wanted.
        together: addresses of the NICs that VFIO gets as well, such as the other ports of a card.

    Raises:
        HostError: the NIC cannot have it, with all reasons.
    """
    refused = problems(nic, wanted, kernel, no_iommu=no_iommu, together=together)
    if refused:
        raise HostError(*refused)
    folder = "%s/%s" % (PCI_DEVICES, nic.address)
    steps = []
    if wanted in USER_SPACE:
        if wanted not in kernel.loaded:
            steps.append(Step("", module=wanted))
        if wanted == VFIO and not nic.iommu_group and not kernel.no_iommu:  # those who drive the NIC look at it too
            steps.append(Step(NO_IOMMU, "Y"))
    if override is None:
        override = wanted if wanted in USER_SPACE else ""
    right = nic.driver == wanted if wanted != KERNEL else nic.driver not in ("", *USER_SPACE)
    if right:
        # Where the NIC has its driver, an override is only for the time after the driver has been loaded anew.
        if nic.override != override:
            steps.append(Step(folder + "/driver_override", override or NONE))
        return Change(nic.address, nic.driver, wanted, nic.override, tuple(steps))
    if nic.override != override:
        steps.append(Step(folder + "/driver_override", override or NONE))
    if nic.driver:
        steps.append(Step("%s/driver/unbind" % folder, nic.address))
    if wanted not in USER_SPACE:
        steps.append(Step("", module="%s/modalias" % folder))
    if wanted:
        steps.append(Step(PROBE, nic.address))
    return Change(nic.address, nic.driver, wanted, nic.override, tuple(steps))


def apply(system: System, change: Change) -> None:
    """Makes the change and verifies it.

    Raises:
        HostError: the driver did not take the device, which has again the one that it had.
    """
    reason = ""
    try:
        for step in change.steps:
            _do(system, step)
    except HostError as error:
        reason = str(error)
    if not reason and system.wait(lambda: is_there(system, change), tries=TRIES, seconds=SECONDS):
        return
    back = _back(system, change)
    raise HostError(
        "%s did not take %s%s; %s: see the kernel's log (dmesg)"
        % (_named(change.after), change.address, " (%s)" % reason if reason else "", back)
    )


def load(system: System, change: Change) -> None:
    """Loads the drivers of a change beforehand, which touches no device: then the change itself is a few writes.

    Raises:
        HostError: one does not load.
    """
    for step in change.steps:
        if step.module:
            _do(system, step)


def is_there(system: System, change: Change) -> bool:
    """Verifies a change: whether the device has the driver that is wanted."""
    return has(system, change.address, change.after)


def has(system: System, address: str, wanted: str) -> bool:
    """Whether a device has a driver; `kernel` stands for any that is not of user space."""
    now = driver_of(system, address)
    return now == wanted if wanted != KERNEL else now not in ("", *USER_SPACE)


def driver_of(system: System, address: str) -> str:
    """The driver that a device has; "" for none."""
    return system.target("%s/%s/driver" % (PCI_DEVICES, address))


def set_no_iommu(system: System, allowed: bool) -> None:
    """Lets VFIO go without an IOMMU, or not; nothing where VFIO is not loaded.

    Raises:
        HostError: the kernel refuses.
    """
    now = system.read(NO_IOMMU)
    if now is not None and (now in ("Y", "1")) is not allowed:
        system.command(NO_IOMMU, "Y" if allowed else "N")


def _do(system: System, step: Step) -> None:
    if not step.module:
        # A driver that was there when the plan was made may have gone by itself.
        if step.path.endswith("/unbind") and not system.exists(step.path):
            return
        system.command(step.path, step.text)
        return
    module = step.module
    if module.endswith("/modalias"):
        alias = system.read(module)
        if alias:
            system.run("modprobe", "-a", "-q", alias)  # a driver that is built in has no module
        return
    done = system.run("modprobe", module)
    if done.code != 0:
        raise HostError("modprobe %s failed: %s" % (module, done.error.strip()))


def _back(system: System, change: Change) -> str:
    """Puts the device back to the driver that it had, and says in words what came of it."""
    folder = "%s/%s" % (PCI_DEVICES, change.address)
    now = driver_of(system, change.address)
    try:
        system.command(folder + "/driver_override", change.override or NONE)
        if now == change.before:
            return "it still has %s" % _named(change.before)
        if now:
            system.command(folder + "/driver/unbind", change.address)
        if change.before:
            system.command(PROBE, change.address)
            if driver_of(system, change.address) != change.before:
                # The kernel would choose another one: it had this one by somebody's word.
                system.command(folder + "/driver_override", change.before)
                system.command(PROBE, change.address)
    except HostError as error:
        return "and it could not be put back to %s: %s" % (_named(change.before), error)
    if system.wait(lambda: driver_of(system, change.address) == change.before, tries=TRIES, seconds=SECONDS):
        return "it is back at %s" % _named(change.before)
    return "and %s did not take it back" % _named(change.before)


def _named(driver: str) -> str:
    return {"": "no driver", KERNEL: "no driver of the kernel"}.get(driver, driver)
