"""TAPs of a real VPP, where the kernel has vhost-net: alone, with what the kernel shows of them, and with packets."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress
from contivpp.dataplane.vpp.values.receiving import RxMode
from contivpp.dataplane.vpp.values.tap import Tap
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.agent.test_vpp_cluster import transfers
from tests.integration.cluster import eventually, ip, netns_path
from tests.integration.dataplane.laws import assert_lives, assert_refused, commit
from tests.integration.dataplane.vpp import RealVpp, found, keyed

pytestmark = [pytest.mark.vpp, pytest.mark.root, pytest.mark.timeout(240)]

MAC, HOST_MAC = "02:fe:00:00:00:01", "02:fe:00:00:00:02"
HERE = Tap("here", "tap0", MAC, HOST_MAC, mtu=1450, host_mtu=1450)


@pytest.fixture(autouse=True)
def vhost_net() -> None:
    if not Path("/dev/vhost-net").exists():
        pytest.skip("this machine has no vhost-net: make test-vm runs this in a virtual machine that has")


@pytest.fixture
def pod(netns: str) -> Iterator[str]:
    """A namespace for the kernel's end of a TAP."""
    name = f"{netns}-pod"
    ip("netns", "add", name)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def in_pod(pod: str, **changes: Any) -> Tap:
    """A TAP whose other end is the pod's eth0."""
    tap = Tap("pod", "eth0", MAC, HOST_MAC, netns_path(pod), mtu=1450, host_mtu=1450)
    return dataclasses.replace(tap, **changes)


def kernel_end(netns: str, name: str) -> dict[str, Any]:
    """What the kernel says of a link; {} when it is not there."""
    done = subprocess.run(["ip", "-n", netns, "-json", "link", "show", name], check=False, capture_output=True)
    return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else {}


# ---- made, read back, changed, gone


async def test_a_tap_beside_vpp_lives_and_changes(plane: VppDataplane) -> None:
    changes = [
        dataclasses.replace(HERE, mtu=1400),
        dataclasses.replace(HERE, mtu=1400, mac="02:fe:00:00:00:09"),
        dataclasses.replace(HERE, host_name="tap1", rx_ring=1024, tx_ring=512),
        HERE,
    ]
    await assert_lives(plane, [HERE, RxMode("here", "polling")], changes)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rx_ring": 512, "tx_ring": 1024},
        {"gso": True},
        {"checksum_offload": True},
        {"gso": True, "checksum_offload": True, "rx_ring": 512, "mtu": 9000, "host_mtu": 9000},
    ],
    ids=["plain", "rings", "segments", "checksums", "everything"],
)
async def test_a_tap_in_a_pod_lives_and_changes(plane: VppDataplane, pod: str, options: dict[str, Any]) -> None:
    tap = in_pod(pod, **options)
    changes = [
        dataclasses.replace(tap, mtu=1300),
        dataclasses.replace(tap, host_mtu=1300),
        dataclasses.replace(tap, host_mac="02:fe:00:00:00:0a"),
    ]
    await assert_lives(plane, [tap], changes)


async def test_the_namespace_of_a_tap_may_be_named_in_every_way(plane: VppDataplane, pod: str) -> None:
    with subprocess.Popen(["ip", "netns", "exec", pod, "sleep", "60"]) as process:
        try:
            for name in (pod, netns_path(pod), f"pid:{process.pid}"):
                await assert_lives(plane, [in_pod(pod, netns=name)])
        finally:
            process.kill()


async def test_the_kernels_end_is_as_the_value_says_and_goes_with_it(plane: VppDataplane, pod: str) -> None:
    scheduler = Scheduler(plane.descriptors())
    tap = in_pod(pod)
    for mtu in (1450, 1300):
        await commit(scheduler, keyed([dataclasses.replace(tap, mtu=mtu, host_mtu=mtu)]))
        end = kernel_end(pod, "eth0")
        assert (end["address"], end["mtu"]) == (HOST_MAC, mtu)
    await commit(scheduler, {tap.key: None})
    assert kernel_end(pod, "eth0") == {}


@pytest.mark.parametrize("way", ["namespace", "name", "ring"])
async def test_a_tap_that_cannot_be_is_said_to_be_one_and_hurts_no_other(
    plane: VppDataplane, pod: str, way: str
) -> None:
    ip("link", "add", "taken", "type", "dummy", netns=pod)
    wrong, why = {
        "namespace": (in_pod(pod, netns="no-such-namespace"), "namespace no-such-namespace"),
        "name": (in_pod(pod, host_name="taken"), "the kernel refuses a link taken: is there one of that name already?"),
        "ring": (in_pod(pod, rx_ring=1000), "pod: tap_create_v3"),
    }[way]
    await assert_refused(plane, [HERE], wrong, why)
    right = in_pod(pod)
    scheduler = Scheduler(plane.descriptors())
    assert dict((await scheduler.resync(keyed([HERE, right]))).errors) == {}, "it is mended by the right one"
    assert await found(plane) == keyed([HERE, right])


async def test_a_tap_whose_namespace_is_gone_can_be_removed_and_made_again(plane: VppDataplane, pod: str) -> None:
    scheduler = Scheduler(plane.descriptors())
    tap = in_pod(pod)
    for _ in range(2):
        await commit(scheduler, keyed([tap]))
        ip("netns", "del", pod)
        await commit(scheduler, {tap.key: None})
        assert await found(plane) == {}
        ip("netns", "add", pod)
    await commit(scheduler, keyed([tap]))
    assert kernel_end(pod, "eth0")["address"] == HOST_MAC


async def test_many_taps_at_once_are_all_there(plane: VppDataplane, vpp: RealVpp, pod: str) -> None:
    taps = [
        Tap(f"tap-{n:02}", f"t{n}", f"02:fe:00:00:01:{n:02x}", f"02:fe:00:00:02:{n:02x}", netns_path(pod))
        for n in range(20)
    ]
    scheduler = Scheduler(plane.descriptors())
    await commit(scheduler, keyed(taps))
    assert await found(plane) == keyed(taps)
    for tap in taps:
        assert kernel_end(pod, tap.host_name)["address"] == tap.host_mac
    await commit(scheduler, dict.fromkeys(keyed(taps)))
    assert await found(plane) == {}
    assert "tap" not in vpp.cli("show", "interface")


# ---- with packets


def exec_in(netns: str, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command in a namespace."""
    command = ["ip", "netns", "exec", netns, *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("offload", [False, True], ids=["plain", "offload"])
async def test_two_pods_reach_each_other_through_their_taps(plane: VppDataplane, netns: str, offload: bool) -> None:
    pods, taps = [f"{netns}-pod{number}" for number in (1, 2)], []
    values: list[Any] = []
    for number, name in enumerate(pods, 1):
        ip("netns", "add", name)
        tap = Tap(
            f"pod{number}",
            "eth0",
            f"02:fe:00:00:01:0{number}",
            f"02:fe:00:00:02:0{number}",
            netns_path(name),
            mtu=1450,
            host_mtu=1450,
            gso=offload,
            checksum_offload=offload,
        )
        taps.append(tap)
        values += [tap, InterfaceAddress(tap.name, f"10.9.{number}.1/24")]
    try:
        await commit(Scheduler(plane.descriptors()), keyed(values))
        for number, name in enumerate(pods, 1):
            ip("addr", "add", f"10.9.{number}.2/24", "dev", "eth0", netns=name)
            ip("link", "set", "eth0", "up", netns=name)
            ip("route", "add", "default", "via", f"10.9.{number}.1", netns=name)
        await asyncio.to_thread(eventually, lambda: exec_in(pods[0], "ping", "-c1", "-W1", "10.9.2.2").returncode == 0)
        whole = exec_in(pods[0], "ping", "-q", "-c3", "-i0.2", "-M", "do", "-s", "1422", "10.9.2.2")
        assert whole.returncode == 0, whole.stdout
        too_large = exec_in(pods[0], "ping", "-q", "-c1", "-W1", "-M", "do", "-s", "1423", "10.9.2.2")
        assert too_large.returncode != 0
        for source, target, address in ((pods[0], pods[1], "10.9.2.2"), (pods[1], pods[0], "10.9.1.2")):
            assert await asyncio.to_thread(transfers, netns_path(source), netns_path(target), address, 5_000_000)
    finally:
        for name in pods:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
