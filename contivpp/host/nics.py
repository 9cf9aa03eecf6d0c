"""The NICs of a machine: what they are, who drives them, what they carry, and what would break without them.

Read from sysfs and iproute2, nothing is changed. A NIC is a PCI device of the class of network controllers, or a virtio
device without PCI. The kernel's links belong to it by where they are in sysfs; what stands on its links (a bridge, a
bond, a VLAN) counts as carried by it. A NIC that a driver of user space has is no link of the kernel; it is found by
the name that it had, as long as that is remembered.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping

from . import links
from .links import Link
from .system import HostError, System

PCI_DEVICES = "/sys/bus/pci/devices"
LINKS = "/sys/class/net"
GROUPS = "/sys/kernel/iommu_groups"
PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
NETWORK_CONTROLLER = "0x02"
BRIDGE = "0x06"


@dataclass(frozen=True)
class Companion:
    """Another device in a NIC's IOMMU group, which can only be given away together with it."""

    pci: str
    driver: str
    bridge: bool


@dataclass(frozen=True)
class Nic:
    """One NIC.

    Attributes:
        address: on its bus: a PCI address such as 0000:00:08.0, or such as virtio2.
        bus: pci, or virtio for one without PCI.
        links: those of the kernel that it has, lowest index first; none while user space drives it.
        known_as: the name of the link that it had, where it has none now.
        driver: the one that has the device; "" for none.
        override: the driver that the kernel is told to take; "" for its own choice.
        vendor: four hexadecimal digits, as `device`.
        iommu_group: "" without an IOMMU.
        companions: the other devices of the group.
        numa_node: None where the machine has one only, or does not say.
        physical_function: PCI address of the NIC that it is a virtual function of.
        virtual_functions: how many it has.
        carries: the links that stand on it, itself included.
        default_route: whether the way to everywhere goes by it.
        node_ip: whether it has the address of the node in Kubernetes.
    """

    address: str
    bus: str
    links: tuple[Link, ...]
    driver: str
    vendor: str
    device: str
    known_as: str = ""
    override: str = ""
    iommu_group: str = ""
    companions: tuple[Companion, ...] = ()
    numa_node: int | None = None
    physical_function: str = ""
    virtual_functions: int = 0
    carries: tuple[Link, ...] = ()
    default_route: bool = False
    node_ip: bool = False

    @property
    def name(self) -> str:
        """The name of its link; the one that it had where user space drives it; "" where nobody knows."""
        return self.links[0].name if self.links else self.known_as

    @property
    def mac(self) -> str:
        """The MAC address of its link; "" without one."""
        return self.links[0].mac if self.links else ""

    @property
    def addresses(self) -> list[str]:
        """All addresses that it carries, without their prefixes."""
        return [address.local for link in self.carries for address in link.addresses]

    def as_dict(self) -> dict[str, Any]:
        """What an operator wants to know of it, for JSON."""
        link = self.links[0] if self.links else None
        return {
            "address": self.address,
            "bus": self.bus,
            "name": self.name,
            "driver": self.driver,
            "override": self.override,
            "vendor": self.vendor,
            "device": self.device,
            "iommu_group": self.iommu_group,
            "companions": [dataclasses.asdict(one) for one in self.companions],
            "numa_node": self.numa_node,
            "physical_function": self.physical_function,
            "virtual_functions": self.virtual_functions,
            "mac": self.mac,
            "mtu": link.mtu if link else 0,
            "state": ("up" if link.carrier else "no carrier") if link and link.up else ("down" if link else ""),
            "links": [one.name for one in self.links],
            "carries": [one.name for one in self.carries],
            "addresses": [address.cidr for one in self.carries for address in one.addresses],
            "routes": [
                {"destination": route.destination, "gateway": route.gateway, "device": one.name, "table": route.table}
                for one in self.carries
                for route in one.routes
            ],
            "default_route": self.default_route,
            "node_ip": self.node_ip,
        }


@dataclass(frozen=True)
class Inventory:
    """All NICs, by their addresses on the bus, and whether an IOMMU keeps devices apart."""

    nics: tuple[Nic, ...]
    iommu: bool

    def find(self, word: str) -> Nic:
        """The NIC with this PCI address, name or MAC address.

        Raises:
            HostError: there is none, or there are several with that MAC.
        """
        wanted = word.strip().lower()
        if not wanted:
            raise HostError("no NIC is named, and there are %s: name one" % _list(self.nics))
        if re.fullmatch(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", wanted):
            wanted = "0000:" + wanted
        found = [
            nic
            for nic in self.nics
            if wanted in (nic.address.lower(), nic.name.lower(), nic.mac.lower())
            or any(link.name.lower() == wanted for link in nic.links)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise HostError("%s is more than one NIC (%s): name it by its PCI address" % (word, _list(found)))
        hint = "write PCI and MAC addresses in quotes, or YAML takes them for numbers" if _is_number(wanted) else ""
        raise HostError(
            "there is no NIC %s on this host, only %s: %s" % (word, _list(self.nics), hint or "correct the name")
        )


def read(system: System, *, node_ip: str = "", known: Mapping[str, str] | None = None) -> Inventory:
    """Reads all NICs.

    Args:
        system: the machine.
        node_ip: the address of the node in Kubernetes; "" when it does not matter.
        known: the names of the links that NICs had, by their addresses on the bus.

    Raises:
        HostError: iproute2 fails or is missing.
    """
    there = links.read(system)
    node_ip = links.canonical(node_ip)
    owned: dict[str, list[str]] = {}
    without_pci: dict[str, str] = {}
    for name in system.names(LINKS):
        address, virtio = _owner(system, name)
        if address:
            owned.setdefault(address, []).append(name)
        elif virtio:
            owned.setdefault(virtio, []).append(name)
            without_pci[virtio] = name
    addresses = [
        address
        for address in system.names(PCI_DEVICES)
        if (system.read("%s/%s/class" % (PCI_DEVICES, address)) or "").startswith(NETWORK_CONTROLLER)
    ]
    nics = []
    for address in [*addresses, *sorted(without_pci)]:
        names = [name for name in owned.get(address, []) if name in there]
        mine = tuple(sorted((there[name] for name in names), key=lambda link: link.index))
        carried = _carried(system, mine, there)
        nic = (
            _virtio(system, address, without_pci[address], mine)
            if address in without_pci
            else _pci(system, address, mine, (known or {}).get(address, ""))
        )
        nics.append(
            dataclasses.replace(
                nic,
                carries=carried,
                default_route=any(route.is_default for link in carried for route in link.routes),
                node_ip=bool(node_ip) and any(node_ip == one.local for link in carried for one in link.addresses),
            )
        )
    real = [group for group in system.names(GROUPS) if not _is_pretended(system, group)]
    return Inventory(tuple(nics), iommu=bool(real))


def _is_number(word: str) -> bool:
    """Whether YAML made it of what has colons in it: 0000:00:08.0 is 8.0 for it, at sixty to each place."""
    return re.fullmatch(r"\d+(\.\d*)?", word) is not None


def _owner(system: System, name: str) -> tuple[str, str]:
    """The PCI address of the device that a link belongs to, or its name on the virtio bus."""
    device = "%s/%s/device" % (LINKS, name)
    if not system.exists(device):
        return "", ""
    parts = _real(system, "%s/%s" % (LINKS, name)).split("/")
    last = [part for part in parts if PCI_ADDRESS.fullmatch(part)]
    virtio = [part for part in parts if re.fullmatch(r"virtio\d+", part)]
    return (last[-1] if last else ""), (virtio[-1] if virtio else "")


def _real(system: System, path: str) -> str:
    """Where a link of sysfs leads, below the same root."""
    return os.path.realpath(system.path(path))


def _carried(system: System, mine: Iterable[Link], there: Mapping[str, Link]) -> tuple[Link, ...]:
    found: dict[str, Link] = {}
    waiting = [link.name for link in mine]
    while waiting:
        name = waiting.pop(0)
        if name in found or name not in there:
            continue
        found[name] = there[name]
        waiting += [
            entry[len("upper_") :] for entry in system.names("%s/%s" % (LINKS, name)) if entry.startswith("upper_")
        ]
        waiting += [one.name for one in there.values() if one.below == name]
        waiting += [there[name].master] if there[name].master else []
    return tuple(found.values())


def _pci(system: System, address: str, mine: tuple[Link, ...], known_as: str) -> Nic:
    folder = "%s/%s" % (PCI_DEVICES, address)
    group = system.target(folder + "/iommu_group")
    if group and _is_pretended(system, group):
        group = ""
    numa = system.number(folder + "/numa_node")
    override = system.read(folder + "/driver_override") or ""
    return Nic(
        address=address,
        bus="pci",
        links=mine,
        driver=system.target(folder + "/driver"),
        vendor=_digits(system.read(folder + "/vendor")),
        device=_digits(system.read(folder + "/device")),
        known_as="" if mine else known_as,
        override="" if override == "(null)" else override,
        iommu_group=group,
        companions=_companions(system, address, group),
        numa_node=numa if numa is not None and numa >= 0 else None,
        physical_function=system.target(folder + "/physfn"),
        virtual_functions=system.number(folder + "/sriov_numvfs") or 0,
    )


def _virtio(system: System, name: str, link: str, mine: tuple[Link, ...]) -> Nic:
    folder = "%s/%s/device" % (LINKS, link)
    return Nic(
        address=name,
        bus="virtio",
        links=mine,
        driver=system.target(folder + "/driver"),
        vendor=_digits(system.read(folder + "/vendor")),
        device=_digits(system.read(folder + "/device")),
    )


def _companions(system: System, address: str, group: str) -> tuple[Companion, ...]:
    if not group:
        return ()
    return tuple(
        Companion(
            pci=other,
            driver=system.target("%s/%s/driver" % (PCI_DEVICES, other)),
            bridge=(system.read("%s/%s/class" % (PCI_DEVICES, other)) or "").startswith(BRIDGE),
        )
        for other in system.names("%s/%s/devices" % (GROUPS, group))
        if other != address
    )


def _is_pretended(system: System, group: str) -> bool:
    """VFIO makes a group of its own for each device that it takes without an IOMMU."""
    return system.read("%s/%s/name" % (GROUPS, group)) == "vfio-noiommu"


def _digits(text: str | None) -> str:
    return (text or "")[2:].rjust(4, "0")[-4:]


def _list(nics: Iterable[Nic]) -> str:
    names = ["%s (%s)" % (nic.name, nic.address) if nic.name else nic.address for nic in nics]
    return ", ".join(names) or "none that is known"
