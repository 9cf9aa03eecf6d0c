"""What is wrong with settings that are right each by itself: VPP would not start, or run otherwise than meant."""

from __future__ import annotations

import re

from .model import Cpu, Dpdk, DpdkDevice, Plugins, StartupConf

# A name longer than this does not fit into the address of a unix socket.
_SOCKET_PATH = 107
_PCI = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_VMBUS = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REAL_TIME = ("fifo", "rr")
# Less than this and VPP ends while it starts, whatever else is set.
SMALLEST_HEAP = 80 << 20


def together(conf: StartupConf) -> list[str]:
    """One sentence for each contradiction, by the paths of the settings."""
    problems = _paths(conf) + _cpu(conf.cpu) + _dpdk(conf.dpdk, conf.cpu) + _plugins(conf.plugins)
    if conf.unix.interactive and conf.unix.nodaemon:
        problems.append("unix: interactive and nodaemon: set one of them")
    if conf.memory.main_heap_size and size_in_bytes(conf.memory.main_heap_size) < SMALLEST_HEAP:
        problems.append(
            "memory.main-heap-size: %s is too little, VPP would not start: set %dM or more"
            % (conf.memory.main_heap_size, SMALLEST_HEAP >> 20)
        )
    if conf.buffers.buffers_per_numa == 0:
        problems.append("buffers.buffers-per-numa: 0 buffers carry no packet")
    problems += [
        "buffers.numa %s: is not the number of a NUMA node" % n for n, _ in conf.buffers.numa if not n.isdigit()
    ]
    if conf.api_trace.nitems is not None and not conf.api_trace.on:
        problems.append("api-trace.nitems: counts only together with api-trace.on")
    return problems


def size_in_bytes(text: str) -> int:
    """An amount of memory such as 512M in bytes."""
    factor = {"k": 10, "m": 20, "g": 30, "t": 40}.get(text[-1].lower())
    return int(text) if factor is None else int(text[:-1]) << factor


def cores(text: str) -> set[int]:
    """The cores that a list such as 2-3,18 names."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _paths(conf: StartupConf) -> list[str]:
    sockets = {
        "unix.cli-listen": conf.unix.cli_listen,
        "socksvr.socket-name": conf.socksvr.socket_name,
        "statseg.socket-name": conf.statseg.socket_name,
    }
    problems = [
        "%s: %s is longer than a unix socket's name may be (%d)" % (name, path, _SOCKET_PATH)
        for name, path in sockets.items()
        if path.startswith("/") and len(path) > _SOCKET_PATH
    ]
    by_path: dict[str, str] = {}
    for name, path in sockets.items():
        if path and by_path.setdefault(path, name) != name:
            problems.append("%s: %s is that of %s as well" % (name, path, by_path[path]))
    return problems


def _cpu(cpu: Cpu) -> list[str]:
    problems = []
    ways = {
        "corelist-workers": bool(cpu.corelist_workers),
        "coremask-workers": bool(cpu.coremask_workers),
        "workers": cpu.workers is not None,
    }
    if sum(ways.values()) > 1:
        problems.append("cpu: %s: set one of them" % " and ".join(name for name in ways if ways[name]))
    for name, is_set in (
        ("corelist-workers", ways["corelist-workers"]),
        ("coremask-workers", ways["coremask-workers"]),
        ("skip-cores", cpu.skip_cores is not None),
    ):
        if is_set and cpu.main_core is None:
            problems.append("cpu.%s: VPP wants main-core set as well" % name)
    if cpu.relative and cpu.main_core is None:
        problems.append("cpu.relative: VPP wants main-core set as well")
    if cpu.main_core is not None and cpu.main_core in cores(cpu.corelist_workers):
        problems.append("cpu.corelist-workers: core %d is main-core, and cannot be a worker's" % cpu.main_core)
    if cpu.scheduler_priority is not None and cpu.scheduler_policy not in _REAL_TIME:
        problems.append("cpu.scheduler-priority: counts only with scheduler-policy fifo or rr")
    return problems


def _dpdk(dpdk: Dpdk, cpu: Cpu) -> list[str]:
    problems = []
    names: dict[str, str] = {}
    for address, device in dpdk.dev:
        place = "dpdk.dev %s" % address
        if address != "default" and not _PCI.fullmatch(address) and not _VMBUS.fullmatch(address):
            problems.append("%s: is not a PCI address, such as 0000:00:08.0" % place)
        if device.name and names.setdefault(device.name, address) != address:
            problems.append("%s.name: %s is the name of %s as well" % (place, device.name, names[device.name]))
        problems += _device(place, device, cpu)
    if dpdk.no_pci and any(address != "default" for address, _ in dpdk.dev):
        problems.append("dpdk.no-pci: VPP would take none of the devices that dev names: remove one or the other")
    return problems


def _device(place: str, device: DpdkDevice, cpu: Cpu) -> list[str]:
    if not device.workers:
        return []
    problems = []
    workers, queues = cores(device.workers), device.num_rx_queues or 1
    if len(workers) != queues:
        problems.append("%s.workers: %d workers for %d receive queues: set as many" % (place, len(workers), queues))
    there = len(cores(cpu.corelist_workers)) if cpu.corelist_workers else cpu.workers or 0
    if not cpu.coremask_workers and max(workers) >= there:
        problems.append("%s.workers: there is no worker %d: cpu has %d of them" % (place, max(workers), there))
    return problems


def _plugins(plugins: Plugins) -> list[str]:
    return [
        "plugins.plugin %s: enable and disable: set one of them" % name
        for name, plugin in plugins.plugin
        if plugin.enable and plugin.disable
    ]
