"""Whose doing it was: the pods, policies and services in what either data plane tells of a packet."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.program import features_of
from contivpp.agent.trace_names import named
from contivpp.dataplane.linux.nft.values import NftElement
from contivpp.dataplane.linux.tracing.steps import NO_ENDPOINTS
from contivpp.model.labels import LabelSelector
from contivpp.model.namespace import Namespace
from contivpp.model.pod import Pod
from contivpp.model.policy import Policy, PolicyType
from contivpp.model.service import Service, ServicePort
from contivpp.model.trace import Step, TracedPacket
from tests.unit.agent.world import World, in_sync

CLOSED = Policy(name="p", namespace="default", pods=LabelSelector(), policy_type=PolicyType.INGRESS)
DENIED = "no rule of NetworkPolicy default/p allows it"


@pytest.fixture
async def world(tmp_path: Path) -> World:
    made = await in_sync(tmp_path, features=functools.partial(features_of, policies=LinuxPolicies()))
    await made.change("namespace", "default", Namespace(name="default"))
    await made.change("policy", "default/p", CLOSED)
    await made.change("pod", "default/a", Pod(name="a", namespace="default"))
    await made.add("a")
    return made


def told(world: World, step: Step, *, reply: bool = False) -> Step:
    packet = TracedPacket(1.0, reply, "TCP SYN", "k", (step,), "dropped")
    [found] = named([packet], world.controller.view)
    return found.steps[0]


def chain_of_a(world: World) -> tuple[str, str]:
    """The address of the pod, and the chain that leads to it."""
    [found] = [
        value for value in world.plane.there.values() if isinstance(value, NftElement) and value.set == "policy/to4"
    ]
    return found.element, found.data.removeprefix("jump ")


async def test_a_chain_of_nftables_belongs_to_a_pod_and_its_policy_is_named(world: World) -> None:
    address, chain = chain_of_a(world)
    ends = {"source": "10.1.2.2:61000", "target": f"{address}:80", "way": "ingress"}
    denied = told(world, Step("policy", chain, rule="drop", allowed=False, **ends))
    assert (denied.interface.partition("-")[0], denied.policy) == ("veth2", DENIED)
    known = told(world, Step("policy", chain, **ends))
    assert (known.interface, known.policy) == (denied.interface, ""), "of a known connection only the pod is told"
    stale = told(world, Step("policy", chain, rule="drop", allowed=False, **{**ends, "way": "egress"}))
    assert stale.policy.startswith("the data plane says so")
    gone = Step("policy", "policy/to/0123456789/0", rule="drop", allowed=False, **ends)
    assert told(world, gone) == gone


async def test_an_access_list_of_vpp_belongs_to_a_pod_by_its_interface(world: World) -> None:
    address, chain = chain_of_a(world)
    ends = {"source": "10.1.2.2:61000", "target": f"{address}:80", "way": "ingress"}
    link = told(world, Step("policy", chain, rule="drop", allowed=False, **ends)).interface
    interface = link.replace("veth2", "afpacket")
    step = told(
        world, Step("policy", "acl-plugin-out-ip4-fa", interface, rule="acl 1 rule 0: deny", allowed=False, **ends)
    )
    assert (step.interface, step.policy) == (interface, DENIED)


async def test_a_service_that_refuses_is_named_and_so_is_that_there_is_none(world: World) -> None:
    port = ServicePort(name="http", protocol="TCP", port=80)
    record = Service(name="db", namespace="default", cluster_ip="10.96.0.7", service_type="ClusterIP", port=(port,))
    await world.change("service", "default/db", record)
    step = Step("service", "service/refuse", reason=NO_ENDPOINTS, source="10.1.1.2:61000", target="10.96.0.7:80")
    there = told(world, step)
    assert (there.service, there.reason) == ("default/db", NO_ENDPOINTS)
    nobody = told(world, Step("service", "service/refuse", reason=NO_ENDPOINTS, target="10.96.0.8:80"))
    assert (nobody.service, nobody.reason) == ("", "refused, for no service answers there")
    translated = Step("service", "x", source="10.1.2.2:8080", target="10.1.1.2:61000", translated="10.96.0.7:80")
    assert told(world, translated, reply=True).service == "default/db"
