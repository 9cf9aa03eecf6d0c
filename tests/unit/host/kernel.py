"""A kernel that is not there: a recorded sysfs in a folder, and what the kernel makes of writes to it and of `ip`.

It refuses what the kernel refuses: a driver that does not take a device, VFIO without an IOMMU, a gateway that no route
reaches, more pages than there is memory. Nothing runs and nobody has to be root.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contivpp.host.system import Answer, System

OWN = {"0x8086": "e1000e", "0x1af4": "virtio-pci", "0x15b3": "mlx5_core"}
FOR_EVER = 4294967295


class Killed(BaseException):
    """The end of a run in its midst; nothing in the code under test can catch it."""


def killed_at(system: System, change: int) -> System:
    """Makes the run that uses this machine end before its change with this number, of the kernel or on the disk."""
    left = change

    def once(what: Any) -> Any:
        def call(*words: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return what(*words, **more)

        return call

    for name in ("command", "save", "remove"):
        setattr(system, name, once(getattr(system, name)))
    return system


class Kernel:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.sys = root / "sys"
        self.modules = {"vfio-pci", "uio_pci_generic"}  # that can be loaded
        self.brings: dict[str, dict[str, str]] = {}  # files that come with a module
        self.refusing: set[str] = set()  # drivers that take no device
        self.names: dict[str, str] = {}  # of the link that a device gets, by its address
        self.links: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, list[dict[str, Any]]] = {"4": [], "6": []}
        self.hosts: dict[str, str] = {}
        self.active: set[str] = set()  # services that run
        self.free: dict[tuple[str, int], int] = {}  # pages that can still be had, by NUMA node and kB
        self.ran: list[str] = []
        self.written: list[tuple[str, str]] = []
        self.waited = 0.0
        self._index = 1
        for folder in ("bus/pci/devices", "bus/pci/drivers", "class/net", "kernel/iommu_groups", "devices/pci0000:00"):
            (self.sys / folder).mkdir(parents=True)
        self.put("sys/bus/pci/drivers_probe", "")
        self.put("proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n")
        self.add_link("lo", mac="00:00:00:00:00:00", addresses=["127.0.0.1/8"])

    def system(self, kind: Any = System) -> Any:
        """The machine, as the code under test sees it."""
        return kind(str(self.root), run=self.run, write=self.write, pause=self.pause)

    # What is there.

    def put(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def add_nic(
        self,
        address: str,
        name: str = "",
        *,
        driver: str | None = None,
        vendor: str = "0x8086",
        device: str = "0x10d3",
        group: str = "",
        numa: int = -1,
        mac: str = "",
        addresses: Sequence[str] = (),
        kind: str = "0x020000",
    ) -> None:
        """A PCI device; with a link when it has a name."""
        place = self.sys / "devices/pci0000:00" / address
        for file, text in {
            "class": kind,
            "vendor": vendor,
            "device": device,
            "numa_node": str(numa),
            "driver_override": "(null)",
            "modalias": f"pci:v0000{vendor[2:].upper()}d0000{device[2:].upper()}",
        }.items():
            self.put(f"sys/devices/pci0000:00/{address}/{file}", text + "\n")
        (self.sys / "bus/pci/devices" / address).symlink_to(f"../../../devices/pci0000:00/{address}")
        if group:
            devices = self.sys / "kernel/iommu_groups" / group / "devices"
            devices.mkdir(parents=True, exist_ok=True)
            (devices / address).symlink_to(f"../../../../devices/pci0000:00/{address}")
            (place / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
        if name:
            self.names[address] = name
        own = OWN.get(vendor, "e1000e") if driver is None else driver
        if own:
            self._bind(address, own, mac=mac, addresses=addresses)

    def add_link(self, name: str, *, mac: str, addresses: Sequence[str] = (), **more: Any) -> None:
        self.links[name] = {
            "ifindex": self._index,
            "ifname": name,
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "mtu": 1500,
            "operstate": "UP",
            "address": mac,
            "addr_info": [],
            **more,
        }
        self._index += 1
        for address in addresses:
            self._add_address(address, name)

    def add_route(self, family: str, **entry: Any) -> None:
        self.routes[family].append({"flags": [], **entry})

    def stand(self, upper: str, lower: str, **more: Any) -> None:
        """A bridge or a VLAN on a link."""
        self.add_link(upper, mac="02:00:00:00:00:aa", **more)
        (self.sys / "class/net" / upper).mkdir()
        (self.sys / "class/net" / lower / f"upper_{upper}").symlink_to(f"../{upper}")

    def loaded(self, module: str) -> None:
        self.modules.add(module)
        self._load(module)

    def driver(self, address: str) -> str:
        link = self.sys / "bus/pci/devices" / address / "driver"
        return link.readlink().name if link.is_symlink() else ""

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def add_pages(self, size: str, node: int | None = None, *, pages: int = 0, free: int = 0, room: int = 0) -> None:
        """Huge pages: how many there are and are free, and how many more can be had."""
        kilobytes = {"2M": 2048, "1G": 1 << 20}[size]
        folder = "kernel/mm" if node is None else f"devices/system/node/node{node}"
        for file, number in {"nr": pages, "free": free, "surplus": 0, "resv": 0}.items():
            self.put(f"sys/{folder}/hugepages/hugepages-{kilobytes}kB/{file}_hugepages", f"{number}\n")
        self.free["" if node is None else f"node{node}", kilobytes] = room

    def add_memory(self, mebibytes: int, node: int | None = None, *, free: int | None = None) -> None:
        """Memory that is there, all of it to be had unless `free` says how much."""
        kilobytes, left = mebibytes << 10, (mebibytes if free is None else free) << 10
        if node is None:
            text = f"MemTotal: {kilobytes} kB\nMemAvailable: {left} kB\nHugepagesize: 2048 kB\n"
            self.put("proc/meminfo", text)
        else:
            text = f"Node {node} MemTotal: {kilobytes} kB\nNode {node} MemFree: {left} kB\n"
            self.put(f"sys/devices/system/node/node{node}/meminfo", text)

    # What the kernel does.

    def pause(self, seconds: float) -> None:
        self.waited += seconds

    def write(self, path: str, text: str) -> None:
        place = Path(path)
        if not place.exists():
            raise FileNotFoundError(2, "No such file or directory", path)
        relative = str(place.relative_to(self.root))
        self.written.append((relative, text))
        if place.name == "driver_override":
            place.write_text((text.strip() or "(null)") + "\n")
        elif place.name == "unbind":
            self._unbind(text.strip())
        elif place.name == "drivers_probe":
            self._probe(text.strip())
        elif place.name == "nr_hugepages":
            self._reserve(place, int(text))
        else:
            place.write_text(text + "\n")

    def run(self, words: Sequence[str]) -> Answer:
        words = list(words)
        self.ran.append(" ".join(words))
        if words[0] == "modprobe":
            return self._modprobe(words[1:])
        if words[0] == "getent":
            address = self.hosts.get(words[2])
            return Answer(0, f"{address} STREAM {words[2]}\n") if address else Answer(2)
        if words[0] == "ip":
            return self._ip(list(words[1:]))
        if words[0] == "systemctl" and words[-1].endswith(".mount"):
            return self._mount(words[1], self.root / "etc/systemd/system" / words[-1])
        if words[:2] == ["systemctl", "is-active"]:
            return Answer(0 if words[-1] in self.active else 3)
        return Answer(0)

    def _mount(self, verb: str, unit: Path) -> Answer:
        if not unit.exists():
            return Answer(5, "", f"Unit {unit.name} not found.")
        said = dict(line.partition("=")[::2] for line in unit.read_text().splitlines() if "=" in line)
        lines = [line for line in self.read("proc/self/mountinfo").splitlines() if line.split()[4] != said["Where"]]
        if verb == "start":
            (self.root / said["Where"].lstrip("/")).mkdir(parents=True, exist_ok=True)
            size = said["Options"].partition("pagesize=")[2]
            lines.append(f"70 27 0:60 / {said['Where']} rw - hugetlbfs hugetlbfs rw,mode=755,pagesize={size}")
        self.put("proc/self/mountinfo", "".join(line + "\n" for line in lines))
        return Answer(0)

    def _modprobe(self, words: Sequence[str]) -> Answer:
        flags, names = [word for word in words if word[0] == "-"], [word for word in words if word[0] != "-"]
        module = names[0]
        if module.startswith("pci:"):
            return Answer(0)
        sysfs = self.sys / "module" / module.replace("-", "_")
        if "-v" in flags and module in self.modules:
            return Answer(0, "" if sysfs.exists() else f"insmod /lib/modules/6/{module}.ko\n")
        if "-r" in flags:
            shutil.rmtree(sysfs, ignore_errors=True)
            shutil.rmtree(self.sys / "bus/pci/drivers" / module, ignore_errors=True)
            return Answer(0)
        if module not in self.modules:
            return Answer(1, "", f"modprobe: FATAL: Module {module} not found")
        if "-n" not in flags:
            self._load(module)
        return Answer(0)

    def _load(self, module: str) -> None:
        for path, text in self.brings.get(module, {}).items():
            self.put(path, text)
        (self.sys / "module" / module.replace("-", "_")).mkdir(parents=True, exist_ok=True)
        (self.sys / "bus/pci/drivers" / module).mkdir(exist_ok=True)
        parameter = self.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode"
        if module == "vfio-pci" and not parameter.exists():
            self.put(str(parameter.relative_to(self.root)), "N\n")

    def _bind(self, address: str, driver: str, *, mac: str = "", addresses: Sequence[str] = ()) -> None:
        place = self.sys / "devices/pci0000:00" / address
        (self.sys / "bus/pci/drivers" / driver).mkdir(exist_ok=True)
        (place / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        self.put(f"sys/bus/pci/drivers/{driver}/unbind", "")
        name = self.names.get(address)
        if name and driver not in ("vfio-pci", "uio_pci_generic"):
            folder = place / ("virtio0/net" if driver == "virtio-pci" else "net") / name
            folder.mkdir(parents=True)
            up = folder / "device"
            up.symlink_to("../..")
            (self.sys / "class/net" / name).symlink_to(f"../../{folder.relative_to(self.sys)}")
            self.add_link(name, mac=mac or "52:54:00:00:00:" + address[8:10], addresses=addresses)
        if driver == "vfio-pci" and not (place / "iommu_group").is_symlink():
            self.put("sys/kernel/iommu_groups/900/name", "vfio-noiommu\n")
            (place / "iommu_group").symlink_to("../../../kernel/iommu_groups/900")

    def _unbind(self, address: str) -> None:
        place = self.sys / "devices/pci0000:00" / address
        (place / "driver").unlink()
        if (place / "iommu_group").is_symlink() and (place / "iommu_group").readlink().name == "900":
            (place / "iommu_group").unlink()
        for name in [name for name in self.links if (self.sys / "class/net" / name).is_symlink()]:
            where = self.sys / "class/net" / name
            if address in str(where.readlink()):
                where.unlink()
                shutil.rmtree(place / "net", ignore_errors=True)
                shutil.rmtree(place / "virtio0", ignore_errors=True)
                del self.links[name]
                for family in self.routes:
                    self.routes[family] = [route for route in self.routes[family] if route.get("dev") != name]

    def _probe(self, address: str) -> None:
        if self.driver(address):
            return
        place = self.sys / "devices/pci0000:00" / address
        override = (place / "driver_override").read_text().strip()
        driver = override if override != "(null)" else OWN.get((place / "vendor").read_text().strip(), "e1000e")
        there = (self.sys / "bus/pci/drivers" / driver).is_dir()
        parameter = self.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode"
        if driver == "vfio-pci" and not (place / "iommu_group").is_symlink() and parameter.read_text().strip() != "Y":
            raise OSError(22, "Invalid argument")
        if there and driver not in self.refusing:
            self._bind(address, driver)

    def _reserve(self, place: Path, wanted: int) -> None:
        size = int(place.parent.name[len("hugepages-") : -len("kB")])
        node = next((part for part in place.parts if part.startswith("node") and part[4:].isdigit()), "")
        now = int(place.read_text())
        used = now - int((place.parent / "free_hugepages").read_text())
        room = self.free.get((node, size), 0)
        new = max(used, min(wanted, now + room))
        self.free[node, size] = room - (new - now)
        place.write_text(f"{new}\n")
        (place.parent / "free_hugepages").write_text(f"{new - used}\n")
        total = self.sys / "kernel/mm/hugepages" / place.parent.name
        if node and total.is_dir():
            for file, change in (("nr_hugepages", new - now), ("free_hugepages", new - now)):
                (total / file).write_text(f"{int((total / file).read_text()) + change}\n")

    # iproute2, as far as it is asked.

    def _ip(self, words: list[str]) -> Answer:
        import json

        family = "4"
        if words[0] == "-json":
            words = words[1:]
            if words[0] in ("-4", "-6"):
                family, words = words[0][1], words[1:]
            if words == ["address"]:
                return Answer(0, json.dumps(list(self.links.values())))
            if words[:2] == ["route", "get"]:
                found = self._way(words[2])
                return (
                    Answer(0, json.dumps([{"dst": words[2], "dev": found}])) if found else Answer(2, "", "unreachable")
                )
            return Answer(0, json.dumps(self.routes[family]))
        if words[:2] == ["address", "add"]:
            given = words[2] if words[3] == "dev" else words[4]
            if words[words.index("dev") + 1] not in self.links:
                return Answer(1, "", "Cannot find device")
            self._add_address(given, words[words.index("dev") + 1], words)
            return Answer(0)
        if words[:2] == ["link", "set"]:
            return self._set(words[3], words[4:])
        if words[0] in ("-4", "-6") and words[1:3] == ["route", "add"]:
            return self._add_route(words[0][1], words[3:])
        return Answer(255, "", "not played: " + " ".join(words))

    def _set(self, name: str, words: list[str]) -> Answer:
        link = self.links[name]
        if words[0] == "mtu":
            link["mtu"] = int(words[1])
        elif words[0] == "name":
            self.links[words[1]] = {**self.links.pop(name), "ifname": words[1]}
            where = self.sys / "class/net"
            (where / name).rename(where / words[1])
        else:
            flags = [flag for flag in link["flags"] if flag not in ("UP", "LOWER_UP")]
            link["flags"] = [*flags, "UP", "LOWER_UP"] if words[0] == "up" else flags
        return Answer(0)

    def _add_address(self, text: str, name: str, words: Sequence[str] = ()) -> None:
        address = ipaddress.ip_interface(text)
        entry: dict[str, Any] = {
            "family": "inet6" if address.version == 6 else "inet",
            "local": str(address.ip),
            "prefixlen": address.network.prefixlen,
            "scope": "link" if address.is_link_local and address.version == 6 else "global",
            "valid_life_time": FOR_EVER,
            "preferred_life_time": FOR_EVER,
        }
        if "valid_lft" in words:
            entry |= {"dynamic": True, "valid_life_time": int(words[words.index("valid_lft") + 1])}
            entry["preferred_life_time"] = int(words[words.index("preferred_lft") + 1])
        self.links[name]["addr_info"].append(entry)
        self.routes[str(address.version)].append(
            {"dst": str(address.network), "dev": name, "protocol": "kernel", "scope": "link", "flags": []}
        )

    def _add_route(self, family: str, words: list[str]) -> Answer:
        pairs = dict(zip(words[1::2], words[2::2], strict=False))
        gateway = pairs.get("via", "")
        if gateway and "onlink" not in words and not self._way(gateway):
            return Answer(2, "", "Error: Nexthop has invalid gateway.")
        entry: dict[str, Any] = {"dst": words[0], "dev": pairs["dev"], "flags": []}
        for word, key in (("via", "gateway"), ("proto", "protocol"), ("src", "prefsrc"), ("table", "table")):
            if word in pairs:
                entry[key] = pairs[word]
        if "metric" in pairs:
            entry["metric"] = int(pairs["metric"])
        self.routes[family].append(entry)
        return Answer(0)

    def _way(self, address: str) -> str:
        """The link of the longest prefix."""
        wanted, best = ipaddress.ip_address(address), (-1, "")
        for route in self.routes["6" if wanted.version == 6 else "4"]:
            text = {"default": "::/0" if wanted.version == 6 else "0.0.0.0/0"}.get(route["dst"], route["dst"])
            network = ipaddress.ip_network(text)
            if wanted in network and "table" not in route:
                best = max(best, (network.prefixlen, route["dev"]))
        return best[1]
