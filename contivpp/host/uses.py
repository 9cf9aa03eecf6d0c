"""What a NIC is needed for, so that nobody takes it away without knowing.

Read once, then pure: who asks for a NIC is told in sentences what stands against it. What goes together with the NIC
and cannot be put back (a bond that it is part of, a VLAN on it, a file system that is mounted over it) stands against
every taking; the node's own way into the network only against one that does not give it back by another path.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Iterable

from .nics import PCI_DEVICES, Nic
from .system import HostError, System

MOUNTS = "/proc/self/mountinfo"
NETWORK_FILE_SYSTEMS = (
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.sshfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
)
CONNECTIONS = "/sys/class/iscsi_connection"


@dataclass(frozen=True)
class Use:
    """Something that reaches a server by a link."""

    device: str
    what: str


def read(system: System) -> tuple[Use, ...]:
    """Finds the links by which file systems and disks of other machines are reached.

    Raises:
        HostError: the mounts cannot be read.
    """
    text = system.read(MOUNTS)
    if text is None:
        raise HostError("%s cannot be read: mount /proc" % MOUNTS)
    found: dict[tuple[str, str], Use] = {}
    wanted = [(address, "the file system at %s" % place) for place, servers in _mounts(text) for address in servers]
    wanted += [(address, "an iSCSI disk") for address in _iscsi(system)]
    for server, what in wanted:
        for address in _addresses(system, server):
            for device in _ways(system, address):
                use = Use(device, "%s comes from %s" % (what, server))
                found[use.device, use.what] = use
    return tuple(found[key] for key in sorted(found))


def holders(system: System, nic: Nic) -> tuple[str, ...]:
    """The programs that drive a NIC from user space now: its driver would not let go before they end.

    Returns:
        Each as "vpp (process 123)", by the process's number.
    """
    folder = "%s/%s" % (PCI_DEVICES, nic.address)
    group = system.target(folder + "/iommu_group")
    files = {"/dev/vfio/%s" % group, "/dev/vfio/noiommu-%s" % group} if group else set()
    files |= {"/dev/vfio/devices/%s" % name for name in system.names(folder + "/vfio-dev")}
    files |= {"/dev/%s" % name for name in system.names(folder + "/uio")}
    found = []
    for process in sorted((name for name in system.names("/proc") if name.isdigit()), key=int):
        place = "/proc/%s/fd" % process
        if any(system.full_target("%s/%s" % (place, file)) in files for file in system.names(place)):
            found.append("%s (process %s)" % (system.read("/proc/%s/comm" % process) or "a program", process))
    return tuple(found)


def connection(system: System, process: int = 0) -> str:
    """What sshd said of the session that this runs in (SSH_CONNECTION); "" when it is not known.

    Args:
        system: the machine.
        process: whose session it is; 0 for our own. sudo hides the words from it and not from its ancestors.
    """
    if not process and os.environ.get("SSH_CONNECTION"):
        return os.environ["SSH_CONNECTION"]
    number = str(process or os.getpid())
    while number not in ("", "0"):
        for word in (system.read("/proc/%s/environ" % number) or "").split("\0"):
            if word.startswith("SSH_CONNECTION="):
                return word.partition("=")[2]
        parent = re.search(r"^PPid:\s*(\d+)", system.read("/proc/%s/status" % number) or "", re.MULTILINE)
        number = parent.group(1) if parent else ""
    return ""


def session(system: System, process: int = 0) -> str:
    """The address of this host that Ansible's ssh session came in by; "" when it is not known."""
    words = connection(system, process).split()
    return words[2] if len(words) > 2 else ""


def against(nic: Nic, uses: Iterable[Use], *, stealing: bool = False, session: str = "") -> list[str]:
    """What stands against taking a NIC from the kernel, one sentence with the remedy each.

    Args:
        nic: the NIC.
        uses: of all links.
        stealing: whether the node gets its way into the network back by VPP (STN).
        session: the address that Ansible's session came in by.
    """
    name = "%s (%s)" % (nic.name, nic.address) if nic.name else nic.address
    problems = [
        "%s is part of %s: take it out, it would not come back into it" % (link.name, link.master)
        for link in nic.links
        if link.master
    ]
    own = {link.name for link in nic.links}
    on_it = [link.name for link in nic.carries if link.name not in own and link.name not in _masters(nic)]
    if on_it:
        problems.append("%s stands on %s and would go with it: remove it first" % (", ".join(on_it), name))
    carried = {link.name for link in nic.carries}
    problems += [
        "%s is in use: %s, over it; unmount that first, or name another NIC" % (name, use.what)
        for use in uses
        if use.device in carried
    ]
    if stealing:
        return problems
    reasons = []
    if nic.default_route:
        reasons.append("carries the default route")
    if nic.node_ip:
        reasons.append("has the address of the node in Kubernetes")
    if session and session in nic.addresses:
        reasons.append("has the address %s that this session came in by" % session)
    if reasons:
        problems.append(
            "%s %s, and the node would be off the network: name another NIC, or let contiv-stn give VPP the only one"
            % (name, " and ".join(reasons))
        )
    return problems


def _masters(nic: Nic) -> set[str]:
    return {link.master for link in nic.links}


def _mounts(text: str) -> list[tuple[str, list[str]]]:
    """Where file systems of other machines are mounted, and from which servers."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        place, what = before.split(), after.split()
        if len(place) < 5 or len(what) < 2:
            continue
        options = dict(option.partition("=")[::2] for option in (what[2] if len(what) > 2 else "").split(","))
        kind, source = what[0], what[1]
        if kind not in NETWORK_FILE_SYSTEMS and not (kind == "9p" and options.get("trans") == "tcp"):
            continue
        servers = [options["addr"]] if options.get("addr") else _servers(source)
        found.append((place[4].replace("\\040", " "), servers))
    return found


def _servers(source: str) -> list[str]:
    """The servers in the source of a mount: //host/share, user@host:/path, a:6789,b:6789:/, 10.0.0.1@tcp:/path."""
    if source.startswith("//"):
        return [source[2:].split("/", maxsplit=1)[0]]
    servers = []
    for part in source.split(":/", maxsplit=1)[0].split(","):
        found = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:]+)\]|(?P<four>[^:\[\]]+))(?::\d+)?", part.strip())
        if found is None:
            servers.append(part.strip("[]"))
            continue
        server = found.group("six") or found.group("four")
        network = server.rpartition("@")
        servers.append(network[0] if network[2].startswith(("tcp", "o2ib")) else network[2])
    return servers


def _iscsi(system: System) -> list[str]:
    addresses = (
        system.read("%s/%s/address" % (CONNECTIONS, name))
        or system.read("%s/%s/persistent_address" % (CONNECTIONS, name))
        for name in system.names(CONNECTIONS)
    )
    return [address for address in addresses if address]


def _addresses(system: System, server: str) -> list[str]:
    server = server.split("%", maxsplit=1)[0]
    try:
        return [str(ipaddress.ip_address(server))]
    except ValueError:
        lines = system.run("getent", "ahosts", server).output.splitlines()
        return sorted({line.split()[0] for line in lines if line.split()})


def _ways(system: System, address: str) -> list[str]:
    try:
        answers = system.asked("route", "get", address)
    except HostError:
        return []  # no way there: it does not go by this NIC
    return [str(answer["dev"]) for answer in answers if "dev" in answer]
