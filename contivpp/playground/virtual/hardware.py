"""The hardware of a virtual machine: what QEMU is told, and what the machine is told of its NICs.

A NIC's place on the PCI bus and its MAC follow from its position and its address, so that the machine's own names
of them are known before it starts: the first is enp0s4, the second enp0s5.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contivpp.playground.machines.plan import MachinesError

PROGRAM = "qemu-system-x86_64"
# Those that the machine's Debian and DPDK both have a driver for.
MODELS = {"virtio": "virtio-net-pci", "e1000e": "e1000e", "e1000": "e1000", "vmxnet3": "vmxnet3"}
_FIRST_SLOT = 4
# The kernel's own hugepages and VPP's heap, and what Debian needs.
MEMORY = 3072
PROCESSORS = 2
_KERNEL_LINE = (
    *("root=/dev/vda", "rw", "console=ttyS0", "quiet", "systemd.show_status=no", "mitigations=off"),
    # The machine's IOMMU is what lets a program drive a NIC; pass-through keeps the kernel's own drivers fast.
    *("intel_iommu=on", "iommu=pt"),
    # On a busy host the timer ticks too late for a kernel that wants to see that it does; one that fails starts again.
    *("no_timer_check", "panic=5"),
    # Tests of ciphers that nobody uses here take minutes on an emulated processor.
    "cryptomgr.notests",
)


@dataclass(frozen=True)
class Nic:
    """A NIC: its kind, the host's bridge that it is plugged into, and the address that the machine gives it."""

    model: str
    bridge: str
    address: ipaddress.IPv4Interface
    position: int

    @property
    def mac(self) -> str:
        """Its MAC address; two machines with different addresses never share one."""
        return ":".join(["52", "54", *(f"{byte:02x}" for byte in self.address.ip.packed)])

    @property
    def name(self) -> str:
        """What the machine's kernel calls it."""
        return f"enp0s{_FIRST_SLOT + self.position}"

    @property
    def pci(self) -> str:
        """Its PCI address in the machine."""
        return f"0000:00:{_FIRST_SLOT + self.position:02x}.0"

    def link(self, machine: str) -> str:
        """What this end of its cable is called."""
        return f"vt{self.position}-{machine}"


def nics(models: Sequence[str], places: Sequence[tuple[str, ipaddress.IPv4Interface]]) -> list[Nic]:
    """Plugs NICs of these kinds into bridges, in order, each with an address.

    Raises:
        MachinesError: A kind is not known, or there are more NICs than bridges.
    """
    if unknown := sorted(set(models) - set(MODELS)):
        raise MachinesError(f"there is no NIC of the kind {unknown[0]}: choose among {', '.join(MODELS)}")
    if not 0 < len(models) <= len(places):
        raise MachinesError(f"a machine has one to {len(places)} NICs, not {len(models)}")
    return [
        Nic(model, bridge, address, position)
        for position, (model, (bridge, address)) in enumerate(zip(models, places, strict=False))
    ]


def command(
    *, machine: str, folder: Path, disk: Path, kernel: Path, initial: Path, cards: Sequence[Nic], shares: Sequence[Path]
) -> list[str]:
    """The command that runs a machine until it is powered off.

    Args:
        machine: its name.
        folder: where its console is written, and the scripts lie that plug in its NICs.
        disk: raw image, written to.
        kernel: what is booted.
        initial: its initial RAM disk.
        cards: its NICs, in order.
        shares: folders of this machine that the virtual one may read; see `tag_of`.
    """
    line = " ".join(_KERNEL_LINE)
    words = [
        *(PROGRAM, "-name", machine, "-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-smp", str(PROCESSORS), "-m", str(MEMORY)),
        *("-device", "intel-iommu,intremap=on"),
        *("-kernel", str(kernel), "-initrd", str(initial), "-append", line),
        # What is lost with this machine's power is lost; the virtual machine's own power cut loses nothing written.
        *("-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk"),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{folder / 'console.log'}"),
    ]
    for nic in cards:
        link = f"ifname={nic.link(machine)},script={plug(folder, nic)},downscript=no"
        place = f"addr={_FIRST_SLOT + nic.position:#x}"
        words += ["-netdev", f"tap,id=net{nic.position},{link}"]
        words += ["-device", f"{MODELS[nic.model]},netdev=net{nic.position},mac={nic.mac},{place}"]
    for share in shares:
        options = f"path={share},mount_tag={tag_of(share)},security_model=none,readonly=on,multidevs=remap"
        words += ["-virtfs", f"local,{options}"]
    return words


def plug(folder: Path, nic: Nic) -> Path:
    """Where the script lies that joins a NIC's cable to its bridge once QEMU has made it."""
    return folder / f"plug{nic.position}"


def tag_of(share: Path) -> str:
    """The name by which the machine mounts a shared folder; at most 31 characters, and the same in every process."""
    return f"share-{zlib.crc32(str(share).encode()):08x}"
