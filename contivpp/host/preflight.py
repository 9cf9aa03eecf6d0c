"""What would break the network on a host, each as one sentence with its remedy.

Everything is read and nothing changed. Runs on any Python from 3.8 with the standard library only.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from typing import Any, Callable

from .links import canonical

OLDEST_PYTHON = (3, 11)
OLDEST_KERNEL = (5, 18)
OURS = "77"
OUR_LINKS = ("vpp1", "vxlanBVI")
CONFLIST = "10-contiv-vpp.conflist"
NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
TOOLS = {"ip": "iproute2", "nft": "nftables", "ping": "iputils-ping", "nsenter": "util-linux"}


def host(root: str = "/") -> list[str]:
    """Problems of the machine: user, distribution, Python, kernel, systemd, tools."""
    problems = []
    if not os.path.exists(os.path.join(root, "etc/debian_version")):
        problems.append("this host is not Debian or one of its kind: use one that is, for its packages are needed")
    if os.geteuid() != 0:
        problems.append("Ansible is not root on this host: set become to true, or log in as root")
    if sys.version_info[:2] < OLDEST_PYTHON:
        problems.append(
            "Python %d.%d is too old: install Python %d.%d or later and set ansible_python_interpreter to it"
            % (sys.version_info[:2] + OLDEST_PYTHON)
        )
    try:
        import ensurepip  # noqa: F401 - absent where Debian's python3-venv is
        import venv  # noqa: F401
    except ImportError:
        problems.append("Python cannot make virtual environments: install python3-venv")
    if kernel_version(os.uname().release) < OLDEST_KERNEL:
        problems.append("kernel %s is too old: it must be %d.%d or later" % ((os.uname().release, *OLDEST_KERNEL)))
    if not os.path.isdir(os.path.join(root, "run/systemd/system")):
        problems.append("systemd does not run this host: use one that boots with systemd")
    for tool, package in sorted(TOOLS.items()):
        if shutil.which(tool) is None:
            problems.append("the program %s is missing: install %s" % (tool, package))
    return problems


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a kernel's release."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers.group(1)), int(numbers.group(2))) if numbers else (0, 0)


def python(wheels: str) -> list[str]:
    """A problem when the wheels were made for another Python than this one.

    Args:
        wheels: version and machine, such as "3.11 x86_64"; "" when it does not matter.
    """
    here = "%d.%d %s" % (*sys.version_info[:2], os.uname().machine)
    if wheels in ("", here):
        return []
    return [
        "Python %s on this host cannot use packages for Python %s: set package_controller_python to a Python %s"
        " of the controller" % (here, wheels, here)
    ]


def address(own: str, others: dict[str, str], addresses: list[str] | None = None) -> list[str]:
    """Problems with the address that other nodes reach this host by.

    Args:
        own: as the inventory has it.
        others: the addresses of the other hosts by their names; "" where one has none.
        addresses: those of this host; read from it when None.
    """
    try:
        wanted = str(ipaddress.ip_address(own))
    except ValueError:
        return ["%r is not an IP address: set ansible_host to the one that the other nodes reach this host by" % own]
    problems = [
        "%s has the address %s as well: correct ansible_host of one of them" % (name, wanted)
        for name, other in sorted(others.items())
        if canonical(other) == wanted
    ]
    if wanted not in (_addresses() if addresses is None else addresses):
        problems.append(
            "no interface of this host has the address %s: set ansible_host to one that the other nodes reach" % wanted
        )
    return problems


def node_name(name: str) -> list[str]:
    """A problem when Kubernetes cannot have a node of this name."""
    if NODE_NAME.fullmatch(name) and len(name) <= 253:
        return []
    return ["%r cannot be the name of a node: rename it in the inventory to a DNS name in lower case" % name]


def subnets(wanted: dict[str, str], routes: list[dict[str, Any]] | None = None) -> list[str]:
    """Problems with the network's subnets: not valid, overlapping each other, or in use on this host.

    Args:
        wanted: CIDR by the option that decides it.
        routes: as `ip -json route` says them; read from the host when None.
    """
    problems, valid = [], {}
    for option, text in sorted(wanted.items()):
        try:
            valid[option] = ipaddress.ip_network(text)
        except ValueError as error:
            problems.append("%s is not a subnet (%s): correct it in contivpp_config" % (option, error))
    options = sorted(valid)
    for number, one in enumerate(options):
        for other in options[number + 1 :]:
            if _overlap(valid[one], valid[other]):
                problems.append("%s %s overlaps %s %s: change one of them" % (one, valid[one], other, valid[other]))
    for route in _routes() if routes is None else routes:
        if route.get("dst") in (None, "default") or str(route.get("protocol")) == OURS or route.get("dev") in OUR_LINKS:
            continue
        try:
            there = ipaddress.ip_network(route["dst"], strict=False)
        except ValueError:
            continue
        for option in options:
            if _overlap(valid[option], there):
                problems.append(
                    "%s %s overlaps %s, which this host reaches by %s: choose another in contivpp_config"
                    % (option, valid[option], there, route.get("dev", "a route"))
                )
    return problems


def ports(wanted: dict[str, dict[str, Any]], active: Callable[[str], bool] | None = None) -> list[str]:
    """Problems with TCP ports that somebody else has.

    Args:
        wanted: {"port": number, "unit": who may have it} by what it is for.
        active: tells whether a unit is active.
    """
    active = active or is_active
    problems = []
    for purpose, entry in sorted(wanted.items()):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("0.0.0.0", int(entry["port"])))  # noqa: S104 - every address must be free
            except OSError as error:
                if not active(entry["unit"]):
                    problems.append(
                        "TCP port %s for %s cannot be had (%s): stop the program that has it"
                        % (entry["port"], purpose, error.strerror)
                    )
    return problems


def other_networks(folder: str = "/etc/cni/net.d") -> list[str]:
    """Problems with configurations of other network plugins, of which the kubelet takes the first."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        "%s belongs to another network plugin and would be used instead: remove it" % os.path.join(folder, name)
        for name in names
        if name.endswith((".conf", ".conflist", ".json")) and name < CONFLIST
    ]


def other_services(proc: str = "/proc") -> list[str]:
    """A problem when kube-proxy runs: services would be translated twice, and by two opinions of what they are."""
    for process in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        try:
            with open(os.path.join(proc, process, "comm"), encoding="utf-8") as file:
                name = file.read().strip()
        except OSError:
            continue
        if name == "kube-proxy":
            return [
                "kube-proxy runs (process %s) and is not needed: delete its DaemonSet, and run kube-proxy --cleanup"
                % process
            ]
    return []


def dataplane(wanted: str, path: str = "/etc/contiv/contiv.conf") -> list[str]:
    """A problem when the host has another data plane: what that one made would stay where it is.

    Args:
        wanted: linux or vpp; "" when it is not known.
        path: of the configuration that the agent has now.
    """
    try:
        with open(path, encoding="utf-8") as file:
            said = re.search(r"^dataplane: *(\w+)", file.read(), re.MULTILINE)
    except OSError:
        return []
    now = said.group(1) if said else "linux"
    if wanted in ("", now):
        return []
    return [
        "the data plane of this host is %s and is to be %s: run playbooks/reset.yml first, its pods lose their network"
        % (now, wanted)
    ]


def free_space(mebibytes: int, folder: str = "/opt") -> list[str]:
    """A problem when there is not enough space for the installation."""
    if os.path.isdir(os.path.join(folder, "contivpp", "venv")):
        return []
    free = shutil.disk_usage(folder if os.path.isdir(folder) else "/").free >> 20
    if free >= mebibytes:
        return []
    return ["%s has only %d MiB free and %d are needed: make room" % (folder, free, mebibytes)]


def clock(controller: float, allowed: float, now: float | None = None) -> list[str]:
    """A problem when the clock is too far off; times in seconds since the epoch."""
    skew = (time.time() if now is None else now) - controller
    if abs(skew) <= allowed:
        return []
    return ["the clock is %.0f s off the controller's: synchronise it, or certificates are not valid" % skew]


def _overlap(one: Any, other: Any) -> bool:
    return bool(one.version == other.version and one.overlaps(other))


def _routes() -> list[dict[str, Any]]:
    return read_ip("-4", "route") + read_ip("-6", "route")


def _addresses() -> list[str]:
    return [
        str(ipaddress.ip_address(entry["local"]))
        for link in read_ip("address")
        for entry in link.get("addr_info", [])
        if "local" in entry
    ]


def read_ip(*words: str) -> list[dict[str, Any]]:
    """What iproute2 says; nothing where it is missing, which is a problem of its own."""
    try:
        done = subprocess.run(["ip", "-json", *words], stdout=subprocess.PIPE, check=True)
        return list(json.loads(done.stdout.decode() or "[]"))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return []


def is_active(unit: str) -> bool:
    """Tells whether a unit of systemd is active."""
    try:
        return subprocess.call(["systemctl", "is-active", "--quiet", unit]) == 0
    except OSError:
        return False
