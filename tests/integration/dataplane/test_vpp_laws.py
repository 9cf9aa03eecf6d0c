"""Whatever goes wrong on the way, VPP ends with exactly what is wanted: the driver and the scheduler over a stand-in.

The values are those that an agent wants on a node of a small cluster. VPP refuses, hangs, dies and comes back between
any two of its messages; at the end nothing goes wrong any more, and everything is read and mended once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.view import LocalPod, NodeNic, OwnNode, RemoteNode
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.scheduler.retries import Retry
from contivpp.scheduler.scheduler import Result, Scheduler
from tests.standin.faults import ANY, Fault, Kind
from tests.standin.picture import picture
from tests.standin.vpp import StandIn

PLAN = ContivConfig.parse("dataplane: vpp").plan
RENDERER = VppConnectivity()
OWN = OwnNode(
    "node1",
    id=1,
    addresses=("192.168.16.1/24",),
    management=("10.0.0.1",),
    mtu=1500,
    main_nic=NodeNic("eth1", mtu=1500),
    gateways=("192.168.16.100",),
    host=("10.0.0.1",),
)
MOVED = dataclasses.replace(OWN, addresses=("192.168.16.9/24",), mtu=1400, gateways=())


def node(number: int, address: str) -> RemoteNode:
    return RemoteNode(number, f"node{number}", (address,), (f"10.0.0.{number}",))


def world(own: OwnNode, nodes: Mapping[int, str], pods: tuple[int, ...]) -> dict[str, Any]:
    """What VPP is to hold on a node that knows these nodes, each with its address, and has these pods."""
    values = dict(RENDERER.own_node(own, PLAN))
    for number, address in nodes.items():
        remote = node(number, address)
        values.update(RENDERER.remote_node(remote, own, PLAN))
        for one in remote.management:
            values.update(RENDERER.management_address(one, remote, PLAN))
    for number in pods:
        pod = PodID(f"p{number}", "default")
        sandbox = Sandbox(pod, f"{number:064x}", "/proc/self/ns/net", "eth0")
        values.update(RENDERER.local_pod(LocalPod(sandbox, (f"10.1.1.{number + 2}",)), own, PLAN))
    return {key: value for key, value in values.items() if key.startswith("vpp/")}


WORLDS = [
    {},
    world(OWN, {}, ()),
    world(OWN, {2: "192.168.16.2/24"}, (0, 1)),
    world(OWN, {2: "192.168.16.2/24", 3: "192.168.16.3/24"}, (1, 2)),
    world(OWN, {2: "192.168.16.7/24"}, (0, 1, 2)),
    world(MOVED, {2: "192.168.16.2/24"}, (0,)),
]


class Life:
    """An agent's data plane: the scheduler over the driver over a stand-in that outlives neither."""

    def __init__(self, folder: Path, *, timeout: float = 5) -> None:
        numbers = itertools.cycle([1, 9, 4])
        self.vpp = StandIn(folder, respawn=True, first_interface=lambda: next(numbers))
        self.vpp.start()
        self.plane = VppDataplane(self.vpp.socket, timeout=timeout)
        self.scheduler = Scheduler(self.plane.descriptors(), retry=Retry(delay=0.001))
        self._running = asyncio.create_task(self.plane.run())

    async def ready(self) -> None:
        """Waits until VPP can be used."""
        async with asyncio.timeout(20):
            await self.plane.ready.wait()
            while self.plane.problem:
                await asyncio.sleep(0.002)

    async def settle(self) -> None:
        """All works again, and what is there is read and mended, as the agent does whenever VPP appears."""
        self.vpp.faults.clear()
        self.vpp.thaw()
        await self.steadily(self.scheduler.downstream_resync)

    async def steadily(self, act: Callable[[], Awaitable[Result]]) -> Result:
        """Does it, again when a busy machine was taken for a VPP that hangs."""
        for _ in range(10):
            await self.ready()
            result = await act()
            if "hangs" not in str(result.errors):
                break
        return result

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        self.vpp.close()


async def fresh(wanted: Mapping[str, Any]) -> Any:
    """What a VPP holds that was told all of this once, and nothing went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        await life.ready()
        result = await life.scheduler.commit(wanted)
        assert dict(result.errors) == {}
        held = picture(life.vpp.state)
        await life.end()
        return held


HELD: dict[int, Any] = {}


def held(index: int) -> Any:
    """What a VPP holds in each of the worlds."""
    if index not in HELD:
        HELD[index] = asyncio.run(fresh(WORLDS[index]))
    return HELD[index]


REQUESTS = [
    ANY,
    "sw_interface_tag_add_del",
    "sw_interface_set_flags",
    "sw_interface_set_mtu",
    "af_packet_create_v3",
    "af_packet_delete",
    "create_loopback_instance",
    "delete_loopback",
    "vxlan_add_del_tunnel_v3",
    "ip_table_add_del_v2",
    "sw_interface_set_table",
    "sw_interface_add_del_address",
    "sw_interface_set_unnumbered",
    "ip_route_add_del_v2",
    "ip_neighbor_add_del",
    "bridge_domain_add_del_v2",
    "sw_interface_set_l2_bridge",
    "l2fib_add_del",
    "sw_interface_dump",
]
FAULTS = st.builds(
    Fault,
    kind=st.sampled_from([Kind.FAIL, Kind.FAIL, Kind.FAIL, Kind.DIE, Kind.HANG]),
    message=st.sampled_from(REQUESTS),
    nth=st.integers(1, 60),
    times=st.sampled_from([1, 1, 3, 1000]),
    retval=st.sampled_from([-1, -2, -168]),
    done=st.booleans(),
)
STEPS = st.lists(
    st.tuples(st.integers(0, len(WORLDS) - 1), st.lists(FAULTS, max_size=2), st.booleans()), min_size=1, max_size=4
)


async def live(folder: Path, steps: list[tuple[int, list[Fault], bool]], last: int, expected: Any) -> None:
    """A life with these failures, and in the end one that is as it should be."""
    hangs = any(fault.kind is Kind.HANG for _, faults, _ in steps for fault in faults)
    life = Life(folder, timeout=0.4 if hangs else 5)
    try:
        await life.ready()
        for index, faults, resync in steps:
            life.vpp.faults.planned += [Fault(**vars(fault)) for fault in faults]
            if resync:
                await life.scheduler.resync(WORLDS[index])
            else:
                gone = dict.fromkeys(key for world in WORLDS for key in world)
                await life.scheduler.commit(gone | WORLDS[index])
            await life.settle()
        result = await life.steadily(lambda: life.scheduler.resync(WORLDS[last]))
        assert dict(result.errors) == {}
        assert picture(life.vpp.state) == expected
        again = await life.steadily(lambda: Scheduler(life.plane.descriptors()).resync(WORLDS[last]))
        assert (dict(again.errors), again.executed) == ({}, 0), "a restart has nothing to do"
    finally:
        await life.end()


@pytest.mark.parametrize("message", [name for name in REQUESTS if name != "sw_interface_dump"])
@pytest.mark.parametrize("times", [1, 1000])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_any_request_that_fails_is_made_good(tmp_path: Path, message: str, times: int, done: bool) -> None:
    expected = held(3)
    fault = Fault(Kind.FAIL, message, nth=1, times=times, done=done)
    asyncio.run(live(tmp_path / "vpp", [(2, [fault], False), (3, [fault], False)], 3, expected))


@pytest.mark.parametrize("kind", [Kind.DIE, Kind.HANG])
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
def test_a_vpp_that_stops_anywhere_is_made_good(tmp_path: Path, kind: Kind, done: bool, nth: int) -> None:
    expected = held(3)
    asyncio.run(live(tmp_path / "vpp", [(3, [Fault(kind, nth=nth, done=done)], False)], 3, expected))


@given(steps=STEPS, last=st.integers(0, len(WORLDS) - 1))
@settings(max_examples=25)
def test_after_any_failures_vpp_holds_exactly_what_is_wanted(steps: list[Any], last: int) -> None:
    expected = held(last)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder), steps, last, expected))
