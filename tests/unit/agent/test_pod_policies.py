"""Pods that are connected under policies: what enforces them is there with the pod, goes with it, and may fail it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contivpp.agent.pods.api import PodError
from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.program import features_of
from contivpp.agent.refusals import Refusals
from contivpp.dataplane.linux.nft.values import NftChain, NftElement
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.pod import Pod
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType
from tests.unit.agent.world import World, in_sync

CLIENT = LabelSelector(match_label=sorted_labels({"app": "client"}))
CLOSED = Policy(name="p", namespace="default", pods=LabelSelector(), policy_type=PolicyType.INGRESS)
SOME = Policy(
    name="p",
    namespace="default",
    pods=LabelSelector(),
    policy_type=PolicyType.INGRESS,
    ingress_rule=(IngressRule(from_=(Peer(pods=CLIENT),)),),
)


def record(name: str, address: str = "", **labels: str) -> Pod:
    return Pod(name=name, namespace="default", label=sorted_labels(labels), labels=labels, ip_address=address)


def enforced(world: World) -> dict[str, Any]:
    """What leads to chains of pods, by address."""
    return {
        value.element: value.data
        for value in world.plane.there.values()
        if isinstance(value, NftElement) and value.set == "policy/to4"
    }


def members(world: World) -> list[str]:
    return sorted(
        value.element
        for value in world.plane.there.values()
        if isinstance(value, NftElement) and value.set.startswith("policy/peers/")
    )


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = await in_sync(tmp_path, features=functools.partial(features_of, policies=LinuxPolicies()))
    await made.change("namespace", "default", Namespace(name="default"))
    return made


async def test_a_pod_comes_with_its_policies_and_they_go_with_it(world: World) -> None:
    await world.change("policy", "default/p", CLOSED)
    await world.change("pod", "default/a", record("a", app="web"))
    added = await world.add("a")
    [address] = enforced(world)
    assert added.result().addresses[0].address == f"{address}/32"
    name = enforced(world)[address].removeprefix("jump ")
    chain = world.plane.there[NftChain(name).key]
    assert chain.rules[-1] == "drop"
    await world.delete("a")
    assert enforced(world) == {} and NftChain(name).key not in world.plane.there


async def test_a_pod_whose_policies_cannot_be_put_in_place_is_not_connected(world: World) -> None:
    await world.change("policy", "default/p", CLOSED)
    before = dict(world.plane.there)
    world.plane.refuse.add("linux/nft/element/policy/to4")
    added = await world.add("a")
    with pytest.raises(PodError, match="could not be connected"):
        added.result()
    assert not world.controller.view.pods
    assert world.plane.there == before


async def test_a_pod_without_a_record_is_closed_where_a_policy_of_its_namespace_closes_until_the_record_comes(
    world: World,
) -> None:
    policy = Policy(name="p", namespace="default", pods=CLIENT, policy_type=PolicyType.INGRESS)
    await world.add("free")
    assert enforced(world) == {}
    await world.change("policy", "default/p", policy)
    await world.add("a")
    assert len(enforced(world)) == 2
    await world.change("pod", "default/a", record("a", app="web"))
    await world.change("pod", "default/free", record("free", app="client"))
    assert len(enforced(world)) == 1


async def test_one_pods_new_label_changes_one_member_and_no_chain(world: World) -> None:
    await world.change("policy", "default/p", SOME)
    await world.change("pod", "default/a", record("a", app="web"))
    await world.add("a")
    for number in range(3):
        await world.change("pod", f"default/c{number}", record(f"c{number}", f"10.1.2.{number + 2}", app="client"))
    assert members(world) == ["10.1.2.2", "10.1.2.3", "10.1.2.4"]
    before = world.plane.operations
    await world.change("pod", "default/c1", record("c1", "10.1.2.3", app="other"))
    assert members(world) == ["10.1.2.2", "10.1.2.4"] and world.plane.operations == before + 1
    await world.change("pod", "default/unrelated", record("unrelated", "10.1.2.9", app="other"))
    assert world.plane.operations == before + 1


async def test_rules_that_speak_of_other_peers_come_in_one_step_with_the_peers_and_without_those_of_before(
    world: World,
) -> None:
    await world.change("policy", "default/p", SOME)
    for name, address in (("client", "10.1.2.2"), ("other", "10.1.2.3")):
        await world.change("pod", f"default/{name}", record(name, address, app=name))
    await world.change("pod", "default/a", record("a", app="web"))
    await world.add("a")
    world.plane.batches.clear()
    other = LabelSelector(match_label=sorted_labels({"app": "other"}))
    rules = (IngressRule(from_=(Peer(pods=other),)),)
    await world.change("policy", "default/p", msgspec.structs.replace(SOME, ingress_rule=rules))
    [(name, operations)] = world.plane.batches
    assert name == "linux-nft"
    kinds = sorted((operation.kind, type(operation.value).__name__) for operation in operations)
    sets, elements = ("NftSet", "NftElement")
    assert kinds == [
        ("create", elements),
        ("create", sets),
        ("delete", elements),
        ("delete", sets),
        ("update", "NftChain"),
    ]
    assert members(world) == ["10.1.2.3"]


async def test_a_restarted_agent_finds_everything_and_does_nothing(world: World) -> None:
    await world.change("policy", "default/p", SOME)
    await world.change("pod", "default/c", record("c", "10.1.2.2", app="client"))
    await world.add("a")
    before = world.plane.operations
    world.start()
    await world.read()
    assert world.plane.operations == before and world.controller.ready.is_set()


async def test_a_policy_that_cannot_be_read_is_named_until_it_can_or_is_gone(tmp_path: Path) -> None:
    refusals = Refusals()
    world = await in_sync(
        tmp_path, features=lambda renderer: features_of(renderer, refusals=refusals, policies=LinuxPolicies())
    )
    bad = Policy(name="p", namespace="default", pods=LabelSelector(), ingress_rule=(IngressRule(from_=(Peer(),)),))
    await world.change("policy", "default/p", bad)
    assert refusals.as_json() == []  # nobody here is in its namespace
    await world.add("a")
    assert [one["id"] for one in refusals.as_json()] == ["default/p"]
    await world.change("policy", "default/p", CLOSED)
    assert refusals.as_json() == []
    await world.change("policy", "default/p", bad)
    assert refusals.of("policy", "default/p")
    world.put("policy", "default/p", None)
    await world.read()
    assert refusals.as_json() == []
