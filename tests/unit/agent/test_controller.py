"""The controller: what comes first, what waits, what is healed, what is told, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path
from typing import Any

import pytest

from contivpp.agent import controller
from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.events import DownstreamResyncWanted, HealingWanted, PodAdded, PodDeleted, ResyncWanted
from contivpp.agent.healing import HealingConfig
from contivpp.agent.pods.api import Attachment, NotReadyError, PodError
from contivpp.agent.program import features_of
from contivpp.agent.startup import Startup
from contivpp.dataplane.linux.values import Route
from contivpp.model.config import ContivConfig
from contivpp.model.nodeconfig import NodeConfigRecord, NodeInterface, Unreadable
from contivpp.scheduler.state import ValueState
from tests.unit.agent.world import OWN, World, in_sync, node, published, sandbox

BLACKHOLE = "linux/route/node/254/10.1.0.0/16/0"
NODE_CONFIG = NodeConfigRecord(node_name=OWN, main_vpp_interface=NodeInterface(ip="10.0.0.77/24"))


def names(world: World) -> list[str]:
    return [record.name for record in world.controller.history]


def last(world: World) -> Any:
    return list(world.controller.history)[-1]


# ---- the first resync


async def test_nothing_is_touched_before_it_is_known_what_should_be_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    earlier = Route(to="10.9.0.0/16", kind="blackhole")
    world.plane.there[earlier.key] = earlier
    world.start()
    pod = await world.add("a")
    await world.push(ResyncWanted("a test"), DownstreamResyncWanted("a test"))
    await world.read()
    await world.change("node", OWN, node(OWN, 1))
    assert (world.plane.operations, pod.done()) == (0, False)
    assert world.controller.why_not_ready().startswith("node node1 has no ID yet")
    await world.change("vppnode", "1", published(1, OWN, 1))
    assert "no address of node node1 is known" in world.controller.why_not_ready()
    world.host = (("eth0", "10.0.0.1/24", 1500),)
    await world.read()
    assert world.controller.why_not_ready() == ""
    assert earlier.key not in world.plane.there
    assert pod.result().sandbox == sandbox("a")


async def test_what_waited_for_the_first_resync_comes_after_it_and_in_order(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.start()
    first, second = await world.add("b"), await world.add("a")
    await world.push(ResyncWanted("a test"))
    await world.read()
    waited = ["Add Pod", "Add Pod", "Requested Resync"]
    assert names(world) == ["Database Resync", "Host Addresses Change", *waited]
    assert [record.method for record in world.controller.history] == [2, 0, 3, 3, 0]
    assert [done.result().addresses[0].address for done in (first, second)] == ["10.1.1.2/32", "10.1.1.3/32"]


async def test_an_overdue_first_resync_fails_liveness_and_refuses_those_who_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    startup = Startup(world.start(), 30, clock=world.clock)
    pod = await world.add("a")
    world.now = 29.9
    assert startup.why_not_alive() == ""
    world.now = 30
    assert startup.why_not_alive() == (
        "no resync within the first 30 s (startupResyncDeadline): "
        "the agent has not read the cluster's state from etcd yet"
    )
    startup.expire()
    assert "no resync within 30 s" in caplog.text
    with pytest.raises(NotReadyError, match="has not read the cluster's state from etcd yet; try again"):
        pod.result()
    for number in (1, 2):
        world.put("node", f"node{number}", node(f"node{number}", number))
    world.put("vppnode", "1", published(1, OWN, 1))
    world.host = (("eth0", "10.0.0.1/24", 1500),)
    await world.read()
    assert startup.why_not_alive() == ""


# ---- pods


async def test_a_pod_that_fails_is_taken_back_and_the_record_says_who_and_why(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    before = dict(world.plane.there)
    world.plane.refuse.add("linux/route/node/254/10.1.1.2/32")
    pod = await world.add("a")
    with pytest.raises(PodError, match=r"pod default/a could not be connected: linux/route.*refused"):
        pod.result()
    assert world.plane.there == before
    record = last(world)
    assert record.txn_error == "linux/route/node/254/10.1.1.2/32/0: refused"
    forward, back = record.handlers
    assert (forward.handler, forward.revert, forward.change, forward.error) == ("local-pods", False, "7 put", True)
    assert forward.error_str == record.txn_error
    assert (back.handler, back.revert, back.change, back.error) == ("local-pods", True, "7 deleted", False)
    assert world.controller.scheduler.history[record.txn_seq_num].reverted
    assert world.controller.healing.problem == ""


async def test_whoever_gave_up_waiting_gets_no_pod(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    done: asyncio.Future[Attachment] = asyncio.get_running_loop().create_future()
    done.cancel()
    await world.push(PodAdded(sandbox("a"), done))
    assert not world.controller.view.pods


async def test_what_could_not_be_undone_of_a_failed_pod_is_healed(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    before = dict(world.plane.there)
    world.plane.refuse.add("linux/route/node/254/10.1.1.2/32")
    world.plane.stuck.add("linux/link")
    with pytest.raises(PodError):
        (await world.add("a")).result()
    assert world.plane.there != before
    for _ in range(10):
        await world.pass_time(1)
    world.plane.mend()
    await world.pass_time(100)
    assert world.plane.there == before


@pytest.mark.parametrize("refuse", ["linux/route/node/254/10.1.1.2/32", "nothing"])
async def test_whoever_gives_up_while_the_pod_is_connected_harms_nobody(tmp_path: Path, refuse: str) -> None:
    world = await in_sync(tmp_path)
    world.plane.gate = asyncio.Event()
    world.plane.refuse.add(refuse)
    done: asyncio.Future[Attachment] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(world.push(PodAdded(sandbox("a"), done)))
    while not world.controller.view.pods:
        await asyncio.sleep(0)
    done.cancel()
    world.plane.gate.set()
    await running
    assert [str(pod) for pod in world.controller.view.pods] == (["default/a"] if refuse == "nothing" else [])
    await world.settle()
    assert world.plane.there == (await world.twin()).plane.there


# ---- the configuration of the node


async def test_the_record_of_a_node_changes_it_without_a_restart_and_gives_it_back(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    assert world.plane.there["linux/link/vxlanBVI"].local == "10.0.0.1"
    await world.change("nodeconfig", OWN, NODE_CONFIG)
    assert world.plane.there["linux/link/vxlanBVI"].local == "10.0.0.77"
    assert world.wanted is not None and world.wanted.addresses == ("10.0.0.77/24",)
    cause, follow_up = list(world.controller.history)[-2:]
    assert (follow_up.name, follow_up.is_follow_up) == ("Node-specific Configuration Change", True)
    assert follow_up.follow_up_to == cause.seq_num
    await world.change("nodeconfig", OWN, None)
    assert world.plane.there["linux/link/vxlanBVI"].local == "10.0.0.1"


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            NodeConfigRecord(main_vpp_interface=NodeInterface(ip="10.0.0.300/24")),
            "mainVPPInterface.ip: failed to parse '10.0.0.300/24'; write an address with its prefix length",
        ),
        (
            NodeConfigRecord(main_vpp_interface=NodeInterface(ip="10.1.0.3/24")),
            "10.1.0.3 is inside ipamConfig.podSubnetCIDR 10.1.0.0/16; choose an address of the nodes' network",
        ),
        (NodeConfigRecord(steal_interface="eth1"), "stealInterface: is not supported on the linux data plane; remove"),
        (NodeConfigRecord(gateway="x"), "gateway: failed to parse 'x'; write an address without prefix length"),
        (Unreadable("Expected `str`, got `int`"), "the record: Expected `str`, got `int`; write it anew, or delete it"),
    ],
)
async def test_a_bad_record_is_refused_and_the_last_good_one_stays_also_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record: Any, sentence: str
) -> None:
    world = await in_sync(tmp_path)
    await world.change("nodeconfig", OWN, NODE_CONFIG)
    await world.change("nodeconfig", OWN, record)
    assert f"the record before it stays in force: /vnf-agent/contiv-ksr/k8s/nodeconfig/{OWN}: " in caplog.text
    assert sentence in caplog.text
    assert sentence in last(world).handlers[0].error_str
    assert world.controller.view.own.addresses == ("10.0.0.77/24",)
    world.start()
    await world.read()
    assert world.controller.view.own.addresses == ("10.0.0.77/24",)
    await world.change("nodeconfig", OWN, None)
    assert world.controller.view.own.addresses == ("10.0.0.1/24",)


async def test_records_of_other_nodes_and_records_that_do_not_count_change_nothing(tmp_path: Path) -> None:
    world = await in_sync(tmp_path, config=ContivConfig.parse("", node_name=OWN))
    await world.change("nodeconfig", "node2", NODE_CONFIG)
    assert names(world)[-1] == "Kubernetes State Change"
    await world.change("nodeconfig", OWN, NODE_CONFIG)
    assert world.controller.view.own.addresses == ("10.0.0.1/24",)


# ---- healing


async def test_what_a_retry_mends_is_not_healed(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.plane.refuse.add("linux/fdb")
    await world.change("vppnode", "3", published(3, "node3", 3))
    await world.change("node", "node3", node("node3", 3))
    assert last(world).txn_error
    world.plane.refuse.clear()
    await world.pass_time(1)
    assert "linux/fdb/vxlanBVI/12:2b:00:00:00:03" in world.plane.there
    await world.pass_time(10)
    assert "Healing Resync" not in names(world)


async def test_healing_waits_for_the_retries_and_then_does_what_they_could_not(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.plane.refuse.add("linux/fdb")
    await world.change("node", "node3", node("node3", 3))
    await world.change("vppnode", "3", published(3, "node3", 3))
    cause = last(world).seq_num
    key = "linux/fdb/vxlanBVI/12:2b:00:00:00:03"
    world.now = 5
    world.controller.healing.take(world.now)
    assert world.controller.scheduler.state_of(key) is ValueState.RETRYING
    assert len(world.controller.queue) == 0
    for _ in range(3):
        await world.pass_time(2)
    assert names(world)[-1] == "Healing Resync"
    assert last(world).follow_up_to == cause


async def test_a_healing_that_fails_is_tried_again_later_and_later_and_readiness_says_it(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.plane.refuse.add("linux/fdb")
    await world.change("node", "node3", node("node3", 3))
    await world.change("vppnode", "3", published(3, "node3", 3))
    moments: list[float] = []
    for _ in range(400):
        count = names(world).count("Healing Resync")
        await world.pass_time(1)
        moments += [world.now] * (names(world).count("Healing Resync") - count)
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(moments) >= 4
    assert waits == sorted(waits)
    assert waits[-1] >= 4 * waits[0]
    assert (
        "1 values could not be mended (linux/fdb/vxlanBVI/12:2b:00:00:00:03: refused"
        in world.controller.healing.problem
    )
    assert world.controller.ready.is_set()
    await world.settle()
    assert world.controller.healing.problem == ""
    assert "linux/fdb/vxlanBVI/12:2b:00:00:00:03" in world.plane.there


async def test_a_part_that_could_not_be_read_is_healed_though_nobody_retries_it(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.plane.blind.add("linux/route")
    await world.push(ResyncWanted("a test"))
    assert "cannot read the data plane" in last(world).txn_error
    del world.plane.there[BLACKHOLE]
    world.plane.blind.clear()
    await world.pass_time(5)
    assert names(world)[-1] == "Healing Resync"
    assert BLACKHOLE in world.plane.there


async def test_periodic_healings_compare_downstream_and_never_pile_up(tmp_path: Path) -> None:
    world = await in_sync(tmp_path, healing=HealingConfig(period=60))
    healing = world.controller.healing
    del world.plane.there[BLACKHOLE]
    for _ in range(3):
        healing.take(60)
    assert len(world.controller.queue) == 1
    await world.drain()
    assert (last(world).name, last(world).method) == ("Downstream Resync", 1)
    assert BLACKHOLE in world.plane.there


async def test_healing_without_a_delay_does_not_spin_while_the_scheduler_tries_again(tmp_path: Path) -> None:
    world = await in_sync(tmp_path, healing=HealingConfig(delay=0))
    world.plane.refuse.add("linux/fdb")
    await world.change("node", "node3", node("node3", 3))
    await world.change("vppnode", "3", published(3, "node3", 3))
    healing = world.controller.healing
    assert [healing.take(moment) for moment in (0.0, 0.5, 1.0)] == [False] * 3
    assert len(world.controller.queue) == 0


# ---- verification


async def test_verification_names_what_somebody_changed_and_mends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await in_sync(tmp_path, verify=True)
    assert names(world)[-1] == "Verification Resync"
    assert "verification, " not in caplog.text
    del world.plane.there[BLACKHOLE]
    with caplog.at_level(logging.ERROR):
        await world.change("node", "node3", node("node3", 3))
    assert f"verification, data plane: {BLACKHOLE}: wanted Route(to='10.1.0.0/16'" in caplog.text
    assert "found nothing" in caplog.text
    assert BLACKHOLE in world.plane.there


async def test_verification_finds_a_feature_that_misses_a_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def forgetful(renderer: LinuxConnectivity) -> list[Any]:
        features = list(features_of(renderer))
        features[1].affected = lambda change, view: ()  # type: ignore[method-assign]
        return features

    world = await in_sync(tmp_path, verify=True, features=forgetful)
    await world.change("node", "node3", node("node3", 3))
    await world.change("vppnode", "3", published(3, "node3", 3))
    assert (
        "linux/route/node/254/10.1.3.0/24/0 of remote-nodes RemoteNodeUnit(node_id=3) was not rendered" in caplog.text
    )
    assert "linux/route/node/254/10.1.3.0/24/0" in world.plane.there


async def test_verification_does_not_take_what_is_known_to_fail_for_a_difference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = await in_sync(tmp_path, verify=True)
    world.plane.refuse.add("linux/fdb")
    await world.change("node", "node3", node("node3", 3))
    await world.change("vppnode", "3", published(3, "node3", 3))
    await world.add("a")
    assert "verification, " not in caplog.text


# ---- the end


async def test_a_stop_finishes_the_event_under_way_removes_nothing_and_tells_the_others(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    before = set(world.plane.there)
    world.plane.gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    pods: list[asyncio.Future[Attachment]] = [loop.create_future() for _ in "abc"]
    running = asyncio.create_task(world.controller.run())
    for name, done in zip("abc", pods, strict=True):
        await world.controller.push(PodAdded(sandbox(name), done))
    await asyncio.sleep(0)
    while not world.controller.view.pods:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    world.plane.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pods[0].result().sandbox == sandbox("a")
    for done in pods[1:]:
        with pytest.raises(NotReadyError, match="the agent is stopping; try again"):
            done.result()
    with pytest.raises(NotReadyError, match="the agent is stopping; try again"):
        await world.controller.push(PodAdded(sandbox("d"), loop.create_future()))
    assert before < set(world.plane.there)
    assert list(world.controller.view.pods) == [sandbox("a").pod]


async def test_a_stop_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await in_sync(tmp_path)
    monkeypatch.setattr(controller, "STOP_DEADLINE", 0)
    world.plane.gate = asyncio.Event()
    done: asyncio.Future[Attachment] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(world.controller.run())
    await world.controller.push(PodAdded(sandbox("a"), done))
    while not world.controller.view.pods:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "stopping in the middle of Add Pod default/a" in caplog.text
    with pytest.raises(NotReadyError, match="the agent is stopping; try again"):
        done.result()


async def test_an_unknown_error_ends_the_loop_and_is_told_to_whoever_waits(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    world.controller.pods.find = broken  # type: ignore[assignment, method-assign]
    running = asyncio.create_task(world.controller.run())
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await world.controller.push(PodDeleted(sandbox("a"), done))
    with pytest.raises(RuntimeError, match="a fault"):
        await running
    with pytest.raises(RuntimeError, match="a fault"):
        done.result()
    assert last(world).txn_error == "RuntimeError: a fault"


async def test_a_healing_that_is_asked_for_by_an_event_follows_it(tmp_path: Path) -> None:
    world = await in_sync(tmp_path)
    world.controller.queue.follow(HealingWanted("a test"), 7)
    await world.drain()
    assert (last(world).is_follow_up, last(world).follow_up_to, last(world).method) == (True, 7, 0)
