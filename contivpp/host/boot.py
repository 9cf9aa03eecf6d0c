"""What has to be done again at every boot, for the kernel forgets it: drivers of NICs, and pages reserved.

A systemd unit runs a script of the shell before the network comes up; it needs nothing else of this project, so a node
whose software is gone or broken still boots as it was set up. Each subject has a file with one order on a line.
Script and unit are there as long as a subject has an order. What fails at boot is said in the journal and makes the
unit fail; the boot goes on.
"""

from __future__ import annotations

from typing import Mapping

from .system import System

FOLDER = "/etc/contiv/host"
SUBJECTS = ("nics", "hugepages")
UNIT = "contiv-host.service"
UNIT_PATH = "/etc/systemd/system/" + UNIT
WANTED_PATH = "/etc/systemd/system/sysinit.target.wants/" + UNIT
SCRIPT_PATH = "/usr/local/sbin/contiv-host-boot"

# Behind udev's first run, for it loads the drivers that are to let go; behind sysctl, which may set a number of pages.
UNIT_TEXT = """# Written by Ansible: it comes and goes with what is in %(folder)s.
[Unit]
Description=Contiv-VPP: drivers of NICs and huge pages of this node
DefaultDependencies=no
RequiresMountsFor=%(folder)s %(script)s
After=local-fs.target systemd-modules-load.service systemd-sysctl.service systemd-udev-trigger.service
Before=sysinit.target network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
ConditionPathExists=%(folder)s

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%(script)s
TimeoutStartSec=60

[Install]
WantedBy=sysinit.target
""" % {"folder": FOLDER, "script": SCRIPT_PATH}

SCRIPT_TEXT = """#!/bin/sh
# Written by Ansible: it comes and goes with what is in %(folder)s.
# %(folder)s/nics: address on the PCI bus, driver, and noiommu where VFIO is to go without an IOMMU.
# %(folder)s/hugepages: a file of the kernel, and how many pages it is to have.
sys=${1:-/sys}
orders=${2:-%(folder)s}
failed=0

complain() {
    echo "$*" >&2
    failed=1
}

has_driver() {
    [ "$(basename "$(readlink "$sys/bus/pci/devices/$1/driver")")" = "$2" ]
}

give() {
    device=$sys/bus/pci/devices/$1
    [ -e "$device" ] || { complain "$1 is not there any more"; return; }
    modprobe "$2" || complain "modprobe $2 failed"
    if [ "$3" = noiommu ]; then
        echo Y > "$sys/module/vfio/parameters/enable_unsafe_noiommu_mode" || complain "VFIO wants an IOMMU"
    fi
    echo "$2" > "$device/driver_override" || complain "$1 does not take $2 as its driver"
    # The driver of the kernel may be about to take it: what it has now is asked again and again.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        has_driver "$1" "$2" && return
        [ ! -e "$device/driver" ] || echo "$1" > "$device/driver/unbind"
        echo "$1" > "$sys/bus/pci/drivers_probe"
        has_driver "$1" "$2" && return
        sleep 0.2
    done
    complain "$2 did not take $1"
}

reserve() {
    [ -e "$sys/$1" ] || { complain "$sys/$1 is not there"; return; }
    [ "$(cat "$sys/$1")" -ge "$2" ] || echo "$2" > "$sys/$1"
    now=$(cat "$sys/$1")
    [ "$now" -ge "$2" ] || complain "only $now of $2 pages could be had in $sys/$1"
}

# Pages first: memory is in one piece now, and drivers take of it.
if [ -e "$orders/hugepages" ]; then
    while read -r file count; do
        reserve "$file" "$count"
    done < "$orders/hugepages"
fi
if [ -e "$orders/nics" ]; then
    while read -r address driver mode; do
        give "$address" "$driver" "$mode"
    done < "$orders/nics"
fi
exit $failed
""" % {"folder": FOLDER}


def read(system: System, subject: str) -> dict[str, str]:
    """The orders of a subject: the first word of a line, and the rest of it."""
    lines = (system.read("%s/%s" % (FOLDER, subject)) or "").splitlines()
    return {words[0]: words[1] for words in (line.split(None, 1) for line in lines) if len(words) == 2}


def is_whole(system: System, subject: str, orders: Mapping[str, str]) -> bool:
    """Whether the next boot does what is ordered, and nothing that is not."""
    if read(system, subject) != dict(orders):
        return False
    others = any(system.exists("%s/%s" % (FOLDER, other)) for other in SUBJECTS if other != subject)
    if not orders and not others:
        return not any(system.exists(path) for path in (UNIT_PATH, WANTED_PATH, SCRIPT_PATH))
    return (
        system.read(UNIT_PATH) == UNIT_TEXT.strip()
        and system.read(SCRIPT_PATH) == SCRIPT_TEXT.strip()
        and system.exists(WANTED_PATH)
    )


def write(system: System, subject: str, orders: Mapping[str, str]) -> None:
    """Makes the next boot do what is ordered; the unit goes with the last order.

    Raises:
        HostError: a file cannot be written.
    """
    if is_whole(system, subject, orders):
        return
    path = "%s/%s" % (FOLDER, subject)
    if orders:
        system.save(path, "".join("%s %s\n" % order for order in sorted(orders.items())))
    else:
        system.remove(path)
    if any(system.exists("%s/%s" % (FOLDER, other)) for other in SUBJECTS):
        system.save(SCRIPT_PATH, SCRIPT_TEXT, 0o755)
        system.save(UNIT_PATH, UNIT_TEXT)
        system.link(WANTED_PATH, UNIT_PATH)
    else:
        system.run("systemctl", "stop", UNIT)  # it has done its work, and would be there without a file until a reboot
        for gone in (WANTED_PATH, UNIT_PATH, SCRIPT_PATH):
            system.remove(gone)
    system.run("systemctl", "daemon-reload")  # one that does not run yet reads the units when it boots
