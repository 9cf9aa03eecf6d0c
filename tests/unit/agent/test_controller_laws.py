"""Whatever happens to an agent, it ends where a fresh start from the same inputs would."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contivpp.agent.events import HostChanged, PodsKept, ResyncWanted
from contivpp.model.nodeconfig import NodeConfigRecord, NodeInterface, Unreadable
from contivpp.model.pod import Pod
from tests.unit.agent.world import OWN, World, in_sync, node, published, sandbox

T = TypeVar("T")
PODS = ["a", "b", "c"]
PARTS = ["linux/link", "linux/route", "linux/address", "linux/neighbour", "linux/sysctl"]
NODE_CONFIGS = [
    None,
    Unreadable("Expected `str`, got `int`"),
    NodeConfigRecord(node_name=OWN, main_vpp_interface=NodeInterface(ip="10.0.0.77/24")),
    NodeConfigRecord(node_name=OWN, main_vpp_interface=NodeInterface(ip="10.0.0.78/16")),
    NodeConfigRecord(node_name=OWN, main_vpp_interface=NodeInterface(ip="10.0.0.999/24")),
    NodeConfigRecord(node_name=OWN, steal_interface="eth1"),
]


class AgentLives(RuleBasedStateMachine):
    """One node, its agent, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self._before = 0
        self.world: World

    def _run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(doing)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._run(self._settle_and_compare())
        finally:
            self._runner.close()
            self._folder.cleanup()

    @initialize(known=st.sampled_from([True, True, True, False]))
    def begin(self, known: bool) -> None:
        path = Path(self._folder.name)
        if known:
            self.world = self._run(in_sync(path))
        else:
            self.world = World(path)
            self.world.start()

    # ---- the cluster

    @rule()
    def read(self) -> None:
        self._run(self.world.read())

    @rule(number=st.integers(2, 3), last=st.none() | st.integers(2, 4))
    def another_node_changes(self, number: int, last: int | None) -> None:
        name = f"node{number}"
        self._run(self.world.change("node", name, None if last is None else node(name, last)))

    @rule(number=st.integers(2, 4), what=st.none() | st.tuples(st.integers(2, 3), st.integers(2, 4)))
    def another_node_publishes(self, number: int, what: tuple[int, int] | None) -> None:
        record = None if what is None else published(number, f"node{what[0]}", what[1])
        self._run(self.world.change("vppnode", str(number), record))

    @rule(last=st.none() | st.sampled_from([1, 1, 5]))
    def this_node_changes(self, last: int | None) -> None:
        self._run(self.world.change("node", OWN, None if last is None else node(OWN, last)))

    @rule(there=st.sampled_from([True, True, False]))
    def this_node_publishes(self, there: bool) -> None:
        self._run(self.world.change("vppnode", "1", published(1, OWN, 1) if there else None))

    @rule(name=st.sampled_from(PODS), there=st.booleans())
    def pod_record_changes(self, name: str, there: bool) -> None:
        record = Pod(name=name, namespace="default", ip_address="10.1.1.9") if there else None
        self._run(self.world.change("pod", f"default/{name}", record))

    @rule(record=st.sampled_from(NODE_CONFIGS) | st.sampled_from(NODE_CONFIGS[2:4]))
    def node_config_changes(self, record: Any) -> None:
        self._run(self.world.change("nodeconfig", OWN, record))

    @rule(lasts=st.sampled_from([(1, 5), (1, 77, 78), (1, 77, 78), (77,)]), mtu=st.sampled_from([1400, 9000]))
    def host_changes(self, lasts: tuple[int, ...], mtu: int) -> None:
        self.world.host = tuple(("eth0", f"10.0.0.{last}/24", mtu) for last in lasts)
        self._run(self.world.push(HostChanged(self.world.host)))

    # ---- the kubelet

    @rule(name=st.sampled_from(PODS), container=st.sampled_from("12"))
    def pod_is_added(self, name: str, container: str) -> None:
        done = self._run(self.world.add(name, container))
        if done.done() and not done.exception():
            assert done.result().sandbox == sandbox(name, container)

    @rule(name=st.sampled_from(PODS), container=st.sampled_from("12"))
    def pod_is_deleted(self, name: str, container: str) -> None:
        self._run(self.world.delete(name, container))

    @rule(names=st.sets(st.sampled_from(PODS)))
    def pods_are_kept(self, names: set[str]) -> None:
        async def keep() -> None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            await self.world.push(PodsKept(frozenset((sandbox(name).container_id, "eth0") for name in names), done))

        self._run(keep())

    # ---- what goes wrong

    @rule(part=st.sampled_from(PARTS))
    def part_refuses(self, part: str) -> None:
        self.world.plane.refuse.add(part)

    @rule(part=st.sampled_from(PARTS))
    def part_cannot_be_deleted(self, part: str) -> None:
        self.world.plane.stuck.add(part)

    @rule(part=st.sampled_from(PARTS))
    def part_cannot_be_read(self, part: str) -> None:
        self.world.plane.blind.add(part)

    @rule()
    def all_works_again(self) -> None:
        self.world.plane.mend()

    @rule(data=st.data())
    def somebody_takes_a_value_away(self, data: st.DataObject) -> None:
        there = self.world.plane.there
        if there:
            del there[data.draw(st.sampled_from(sorted(there)))]
            self._run(self.world.push(ResyncWanted("a law")))

    @rule(seconds=st.sampled_from([1, 10, 100]), times=st.integers(1, 4))
    def time_passes(self, seconds: int, times: int) -> None:
        for _ in range(times):
            self._run(self.world.pass_time(seconds))

    @rule()
    def agent_restarts(self) -> None:
        self.world.start()
        self._before = self.world.plane.operations

    # ---- the laws

    @invariant()
    def nothing_is_touched_before_the_first_resync(self) -> None:
        if not hasattr(self, "world"):
            return
        if not self.world.controller.ready.is_set():
            assert self.world.plane.operations == self._before

    @invariant()
    def what_is_wanted_is_what_a_fresh_start_wants(self) -> None:
        if not hasattr(self, "world"):
            return
        twin = self._run(self.world.twin())
        if self.world.controller.ready.is_set() and twin.controller.ready.is_set():
            assert self.world.controller.desired.values() == twin.controller.desired.values()

    async def _settle_and_compare(self) -> None:
        """Once all works again and time has passed, the data plane is that of a fresh start, without any help."""
        world = self.world
        await world.settle()
        twin = await world.twin()
        if world.controller.ready.is_set() and twin.controller.ready.is_set():
            assert world.plane.there == twin.plane.there
            assert world.controller.healing.problem == ""


AgentLives.TestCase.settings = settings(stateful_step_count=25, max_examples=100, deadline=None)
TestAgentLives = AgentLives.TestCase
