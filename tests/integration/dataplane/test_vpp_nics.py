"""What VPP has without being asked, what it may lack, and what it says of its interfaces, with a real VPP."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.crossing import L3CrossConnect
from contivpp.dataplane.vpp.values.dhcp import DhcpClient
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback
from contivpp.dataplane.vpp.values.memif import Memif, MemifSocket
from contivpp.dataplane.vpp.values.nic import Nic, Vmxnet3
from contivpp.dataplane.vpp.values.observed import DeviceName, InterfaceState, pci_name
from contivpp.dataplane.vpp.values.receiving import RxMode, RxPlacement
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.dataplane.vpp.values.tap import Tap
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState
from tests.integration.cluster import ip
from tests.integration.dataplane.vpp import RealVpp, connected, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root]

LOOP = Loopback("loop", "02:fe:00:00:00:01", 1500)
UPLINK = Nic("uplink", "host-nic", 1400)


def pair(netns: str, name: str) -> None:
    """A pair of links in VPP's namespace."""
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far", netns=netns)
    for one in (name, f"{name}-far"):
        ip("link", "set", one, "up", netns=netns)


async def told(plane: VppDataplane, scheduler: Scheduler) -> None:
    """Gives the scheduler all that VPP says, as the agent does; for ever."""
    async for news in plane.watch_interfaces():
        await scheduler.notify(news)


async def until(check: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.02)


def interface(vpp: RealVpp, name: str) -> list[str]:
    """The words that VPP's command line has for an interface: name, number, state, MTUs."""
    return next((line.split()[:4] for line in vpp.cli("show", "interface").splitlines() if line.startswith(name)), [])


# ---- NICs


@pytest.mark.parametrize("state", ["up", "down"])
async def test_a_nic_is_adopted_and_given_back_as_it_was(
    plane: VppDataplane, vpp: RealVpp, netns: str, state: str
) -> None:
    pair(netns, "nic")
    vpp.cli("create", "host-interface", "name", "nic")
    vpp.cli("set", "interface", "mtu", "packet", "8000", "host-nic")
    vpp.cli("set", "interface", "state", "host-nic", state)
    before = interface(vpp, "host-nic")
    scheduler = Scheduler(plane.descriptors())
    wanted = keyed([UPLINK, InterfaceAddress("uplink", "10.9.0.1/24")])
    for _ in range(2):
        assert dict((await scheduler.resync(wanted)).errors) == {}
        assert await found(plane) == wanted
        assert interface(vpp, "host-nic")[2:4] == ["up", "1400/0/0/0"]
        again = Scheduler(plane.descriptors())
        assert (await again.resync(wanted)).executed == 0, "a restart has nothing to do"
        changed = dataclasses.replace(UPLINK, mtu=1300)
        assert dict((await again.commit({changed.key: changed})).errors) == {}
        assert interface(vpp, "host-nic")[3] == "1300/0/0/0"
        assert dict((await again.commit(dict.fromkeys(wanted))).errors) == {}
        assert interface(vpp, "host-nic") == before
        assert await found(plane) == {}


async def test_a_nic_is_found_by_its_pci_address_whatever_it_is_called(
    plane: VppDataplane, vpp: RealVpp, netns: str
) -> None:
    pair(netns, "nic")
    vpp.cli("create", "host-interface", "name", "nic")
    vpp.cli("set", "interface", "name", "host-nic", "TenGigabitEthernet0/1a/0")
    before = interface(vpp, "TenGigabitEthernet0/1a/0")
    scheduler = Scheduler(plane.descriptors())
    other, uplink = Nic("other", pci_name("0000:00:1b.0")), Nic("eth0", pci_name("0000:00:1a.0"), 1400)
    assert dict((await scheduler.resync(keyed([uplink, other]))).errors) == {}
    assert scheduler.state_of(other.key) is ValueState.PENDING
    assert await found(plane) == keyed([uplink])
    assert interface(vpp, "TenGigabitEthernet0/1a/0")[3] == "1400/0/0/0"
    assert (await Scheduler(plane.descriptors()).resync(keyed([uplink]))).executed == 0
    assert dict((await scheduler.commit({uplink.key: None})).errors) == {}
    assert interface(vpp, "TenGigabitEthernet0/1a/0") == before


async def test_a_nic_waits_for_its_device_and_goes_with_it(plane: VppDataplane, vpp: RealVpp, netns: str) -> None:
    pair(netns, "nic")
    scheduler = Scheduler(plane.descriptors())
    watching = asyncio.create_task(told(plane, scheduler))
    address = InterfaceAddress("uplink", "10.9.0.1/24")
    result = await scheduler.resync(keyed([UPLINK, address]))
    assert dict(result.errors) == {}, "a device that is not there yet is no error"
    assert scheduler.state_of(UPLINK.key) is ValueState.PENDING
    for _ in range(2):
        vpp.cli("create", "host-interface", "name", "nic")
        await until(lambda: scheduler.state_of(address.key) is ValueState.CONFIGURED)
        assert await found(plane) == keyed([UPLINK, address])
        vpp.cli("delete", "host-interface", "name", "nic")
        await until(lambda: scheduler.state_of(UPLINK.key) is ValueState.PENDING)
        assert await found(plane) == {}
    watching.cancel()


async def test_a_nic_has_one_name_and_is_given_back_when_everything_is_removed(
    plane: VppDataplane, vpp: RealVpp, netns: str
) -> None:
    pair(netns, "nic")
    vpp.cli("create", "host-interface", "name", "nic")
    before = interface(vpp, "host-nic")
    scheduler = Scheduler(plane.descriptors())
    second = Nic("second", "host-nic")
    address = InterfaceAddress("uplink", "10.9.0.1/24")
    await scheduler.resync(keyed([UPLINK, address]))
    result = await scheduler.commit(keyed([second]))
    assert "host-nic is uplink already" in result.errors[second.key]
    assert await VppDataplane(vpp.socket).remove_everything() == (2, "")
    assert interface(vpp, "host-nic") == before
    assert "10.9.0.1" not in vpp.cli("show", "interface", "address")


async def test_an_interface_that_somebody_switched_off_is_switched_on_again(plane: VppDataplane, vpp: RealVpp) -> None:
    scheduler = Scheduler(plane.descriptors())
    address = InterfaceAddress("loop", "10.9.0.1/24")
    await scheduler.commit(keyed([LOOP, address]))
    vpp.cli("set", "interface", "state", "loop0", "down")
    result = await scheduler.downstream_resync()
    assert (dict(result.errors), result.executed) == ({}, 1)
    assert interface(vpp, "loop0")[2] == "up"
    assert await found(plane) == keyed([LOOP, address])


# ---- what VPP may lack


async def test_a_tap_without_vhost_net_is_an_error_that_names_it(plane: VppDataplane, netns: str) -> None:
    if Path("/dev/vhost-net").exists():
        pytest.skip("this machine has vhost-net")
    scheduler = Scheduler(plane.descriptors())
    tap = Tap("tap", "tap0", "02:fe:00:00:00:01", "02:fe:00:00:00:02", netns=netns)
    elsewhere = Tap("elsewhere", "tap1", "02:fe:00:00:00:01", "02:fe:00:00:00:02", netns="no-such-namespace")
    result = await scheduler.commit(keyed([tap, elsewhere, LOOP]))
    assert set(result.errors) == {tap.key, elsewhere.key}
    assert "/dev/vhost-net cannot be opened: load the kernel module vhost_net" in result.errors[tap.key]
    assert "namespace no-such-namespace" in result.errors[elsewhere.key]
    assert set(await found(plane)) == {LOOP.key}


async def test_a_vmxnet3_that_is_not_there_is_refused_by_vpp(plane: VppDataplane, vpp: RealVpp) -> None:
    if "vmxnet3_plugin.so" not in vpp.cli("show", "plugins"):
        pytest.skip("this VPP was built without vmxnet3")
    scheduler = Scheduler(plane.descriptors())
    nic = Vmxnet3("nic", "ffff:0b:00.0")
    result = await scheduler.commit(keyed([nic, LOOP]))
    assert "nic: vmxnet3_create" in result.errors[nic.key]
    assert set(await found(plane)) == {LOOP.key}


async def test_a_vpp_without_the_plugins_that_nobody_asks_for_is_good_enough(tmp_path: Path, netns: str) -> None:
    vpp = RealVpp(tmp_path / "bare", netns=netns, without=("memif", "l3xc", "dhcp", "tap", "vmxnet3"))
    vpp.start()
    optional: dict[Any, str] = {
        MemifSocket(1, "abstract:x"): "memif_plugin.so",
        Memif("memory", 0, 1, "master"): "memif_plugin.so",
        Tap("tap", "tap0", "02:fe:00:00:00:01", "02:fe:00:00:00:02"): "tap_plugin.so",
        Vmxnet3("nic", "0000:0b:00.0"): "vmxnet3_plugin.so",
        L3CrossConnect("loop", 4, "other", "10.9.0.2"): "l3xc_plugin.so",
        DhcpClient("loop"): "dhcp_plugin.so",
    }
    others = [LOOP, Loopback("other", "02:fe:00:00:00:02", 1500), InterfaceAddress("loop", "10.9.0.1/24")]
    try:
        async with connected(vpp) as plane:
            scheduler = Scheduler(plane.descriptors())
            assert dict((await scheduler.resync(keyed(others))).errors) == {}
            result = await scheduler.commit(keyed([*others, *optional]))
            assert set(result.errors) == {value.key for value in optional}
            for value, plugin in optional.items():
                assert f"load {plugin}" in result.errors[value.key]
            assert await found(plane) == keyed(others)
            assert dict((await scheduler.commit(dict.fromkeys(keyed([*optional])))).errors) == {}
    finally:
        vpp.end()


# ---- what VPP says


async def test_states_of_interfaces_are_told_with_every_change(plane: VppDataplane, vpp: RealVpp, netns: str) -> None:
    pair(netns, "eth1")
    seen: dict[str, Any] = {}

    async def take(news: Mapping[str, Any | None]) -> None:
        seen.update(news)

    async def listen() -> None:
        async for news in plane.watch_interfaces():
            await take(news)

    listening = asyncio.create_task(listen())
    link = HostInterface("link", "eth1", "02:fe:00:00:00:11", 1500)
    key = InterfaceState("link", "UP").key
    scheduler = Scheduler(plane.descriptors())
    await scheduler.commit(keyed([link]))
    await until(lambda: seen.get(key) == InterfaceState("link", "UP"))
    vpp.cli("set", "interface", "state", "host-eth1", "down")
    await until(lambda: seen[key] == InterfaceState("link", "DOWN"))
    await scheduler.downstream_resync()
    await until(lambda: seen[key] == InterfaceState("link", "UP"))
    vpp.cli("create", "loopback", "interface")
    await until(lambda: seen.get(DeviceName("loop0").key) == DeviceName("loop0"))
    await scheduler.commit({link.key: None})
    await until(lambda: seen[key] is None)
    listening.cancel()


async def test_states_survive_another_vpp(plane: VppDataplane, vpp: RealVpp) -> None:
    scheduler = Scheduler(plane.descriptors())
    watching = asyncio.create_task(told(plane, scheduler))
    state = InterfaceState("loop", "UP")
    await scheduler.commit(keyed([LOOP]))
    await until(lambda: scheduler.state_of(state.key) is ValueState.OBTAINED)
    plane.ready.clear()
    vpp.end()
    vpp.start()
    await asyncio.wait_for(plane.ready.wait(), 20)
    await until(lambda: scheduler.state_of(state.key) is ValueState.NONEXISTENT)
    await scheduler.downstream_resync()
    await until(lambda: scheduler.state_of(state.key) is ValueState.OBTAINED)
    watching.cancel()


# ---- threads and size


async def test_queues_are_placed_on_workers(tmp_path: Path, netns: str) -> None:
    pair(netns, "eth1")
    vpp = RealVpp(tmp_path / "threads", netns=netns, more="cpu { workers 1 }")
    vpp.start()
    link = HostInterface("link", "eth1", "02:fe:00:00:00:11", 1500)
    mode = RxMode("link", "polling", 0)
    worker, main = RxPlacement("link", 0, 0), RxPlacement("link", 0, None)
    try:
        async with connected(vpp) as plane:
            scheduler = Scheduler(plane.descriptors())
            for placement in (main, worker, main):
                assert dict((await scheduler.commit(keyed([link, mode, placement]))).errors) == {}
                assert await found(plane) == keyed([link, mode, placement])
                where = vpp.cli("show", "interface", "rx-placement")
                assert ("vpp_main" in where) == (placement is main)
                assert (await Scheduler(plane.descriptors()).resync(keyed([link, mode, placement]))).executed == 0
            await scheduler.commit({main.key: None, mode.key: None})
            assert await found(plane) == keyed([link])
            wrong = RxPlacement("link", 0, 1)
            assert wrong.key in (await scheduler.commit(keyed([wrong]))).errors
    finally:
        vpp.end()


async def test_everything_of_a_full_node_is_read_within_a_second(plane: VppDataplane) -> None:
    gateway = Loopback("gateway", "02:fe:00:00:ff:ff", 1450)
    values: list[Any] = [
        *(Table(1, 4, "pods"), gateway, InterfaceTable("gateway", 1, 4), InterfaceAddress("gateway", "10.1.0.1/16", 1))
    ]
    for number in range(1, 111):
        name, address = f"afpacket-pod-{number:03}", f"10.1.1.{number}"
        values += [
            Loopback(name, f"02:fe:00:00:00:{number:02x}", 1450),
            InterfaceTable(name, 1, 4),
            Unnumbered(name, "gateway", 1),
            VppNeighbour(name, address, "02:fe:00:00:01:01"),
            VppRoute(f"{address}/32", 1, address, name),
        ]
    scheduler = Scheduler(plane.descriptors())
    assert dict((await scheduler.commit(keyed(values))).errors) == {}
    await found(plane)
    started = time.perf_counter()
    assert await found(plane) == keyed(values)
    took = time.perf_counter() - started
    print(f"{len(values)} values of 110 pods read in {took:.3f} s")
    assert took < 1
