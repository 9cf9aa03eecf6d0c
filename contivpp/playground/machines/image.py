"""The base image: Debian by debootstrap, built once, and trimmed to what a node needs.

It is built beside its final place and renamed last, so a build that was cut off is never taken for an
image. Its recipe is stored with it; when the recipe changes the image is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contivpp.playground.machines.shell import run

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "ethtool",
    "etcd-client",
    "etcd-server",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "kmod",
    # The libraries that VPP stands on, for those who put one on the machines.
    "libelf1",
    "libmnl0",
    "libnl-3-200",
    "libnl-route-3-200",
    "libnuma1",
    "libpcap0.8",
    "libssl3",
    "libunwind8",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "systemd",
    "systemd-sysv",
    "tcpdump",
)
# Masked, not disabled: they can be started by hand from nowhere, and no preset brings them back.
# Debian's etcd would take the ports, and keep its data where nobody looks for it.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "etcd.service",
    "fstrim.timer",
    "getty@tty1.service",
    "console-getty.service",
    "iperf3.service",
    "man-db.timer",
    "systemd-firstboot.service",
    "systemd-pstore.service",
)
FILES = {
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/resolv.conf": "# A node has no way out, and asks nobody for names.\n",
    "etc/systemd/journald.conf.d/contiv-playground.conf": "[Journal]\nSystemMaxUse=64M\nRateLimitBurst=0\n",
    # Routes and rules that systemd-networkd did not make are not its to remove.
    "etc/systemd/networkd.conf.d/contiv-playground.conf": (
        "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"
    ),
    # A pod that does not end when it is told to must not hold up the machine for long.
    "etc/systemd/system.conf.d/contiv-playground.conf": "[Manager]\nDefaultTimeoutStopSec=10s\n",
    # Ansible opens many sessions at once.
    "etc/ssh/sshd_config.d/contiv-playground.conf": "MaxStartups 200\nUseDNS no\nPasswordAuthentication no\n",
}
_BUILD_TIMEOUT = 1200


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    Attributes:
        packages: Debian packages by name; what they need comes along.
        masked: systemd units that do not start.
        files: path below the root -> contents.
    """

    packages: tuple[str, ...] = PACKAGES
    masked: tuple[str, ...] = MASKED
    files: Mapping[str, str] = field(default_factory=lambda: FILES)

    def fingerprint(self) -> str:
        """Tells this recipe from every other one."""
        parts = json.dumps([SUITE, self.packages, self.masked, self.files])
        return hashlib.sha256(parts.encode()).hexdigest()


NODE = Recipe()


class Image:
    """The base image below a playground's state folder."""

    def __init__(self, state: Path, recipe: Recipe = NODE) -> None:
        self.recipe = recipe
        self.root = state / "base"
        self._part = state / "base.part"
        self._stamp = state / "base.recipe"

    def is_built(self) -> bool:
        """Tells whether an image of the present recipe is there."""
        return self.root.is_dir() and self._stamp.is_file() and self._stamp.read_text() == self.recipe.fingerprint()

    def build(self) -> None:
        """Builds the image anew; takes about a minute and a half.

        Raises:
            MachinesError: debootstrap is missing or failed.
        """
        self.remove()
        self._part.mkdir(parents=True)
        include = f"--include={','.join(self.recipe.packages)}"
        # A kernel among the packages must not make an initial RAM disk for all hardware that there is: minutes, for
        # one that is made anew for what the image is to run on.
        environment = {**os.environ, "INITRD": "No"}
        command = ["debootstrap", "--variant=minbase", include, SUITE, str(self._part)]
        run(command, environment=environment, timeout=_BUILD_TIMEOUT)
        trim(self._part, self.recipe)
        self._part.rename(self.root)
        self._stamp.write_text(self.recipe.fingerprint())

    def remove(self) -> bool:
        """Removes the image and what an unfinished build left."""
        there = self.root.exists() or self._part.exists()
        self._stamp.unlink(missing_ok=True)
        for folder in (self.root, self._part):
            if folder.exists():
                shutil.rmtree(folder)
        return there


def trim(root: Path, recipe: Recipe = NODE) -> None:
    """Makes a freshly unpacked Debian at `root` fit for a node: small, quiet, and with no identity."""
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    for listing in (root / "var/lib/apt/lists").glob("*_*"):
        listing.unlink()
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    units = root / "etc/systemd/system"
    for unit in recipe.masked:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    network = units / "multi-user.target.wants/systemd-networkd.service"
    network.parent.mkdir(parents=True, exist_ok=True)
    if not network.is_symlink():
        network.symlink_to("/lib/systemd/system/systemd-networkd.service")
    for name, content in recipe.files.items():
        file = root / name
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
