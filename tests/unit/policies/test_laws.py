"""The two laws of every feature, for policies: history does not matter, and no change is missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contivpp.agent.changes import Change, WorldChange
from contivpp.agent.desired import Desired
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.policies.feature import PoliciesFeature
from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.policies.vpp import VppPolicies
from contivpp.agent.view import LocalPod, OwnNode, View
from contivpp.model.addressplan import AddressPlan
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.policies.index import PolicyIndex
from contivpp.policies.model import Member, PeerSet, Tables
from tests.unit.policies.records import steps

CONFIG = ContivConfig.parse("ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'}", node_name="node1")
Step = tuple[str, str, Any]


@dataclass(frozen=True)
class Said:
    key: str
    about: Any


class Plainly:
    """A data plane that takes the model as it is."""

    writes_peers_out = False

    def base(self, plan: AddressPlan) -> Mapping[str, Any]:
        return {"base": Said("base", None)}

    def pod(self, pod: LocalPod, tables: Tables, own: OwnNode, plan: AddressPlan, members: Any) -> Mapping[str, Any]:
        return {f"pod/{pod.id}": Said(f"pod/{pod.id}", (pod.addresses, tables))}

    def peer_set(self, peers: PeerSet, plan: AddressPlan) -> Mapping[str, Any]:
        return {f"set/{peers.id}": Said(f"set/{peers.id}", None)}

    def member(self, peers: PeerSet, member: Member, plan: AddressPlan) -> Mapping[str, Any]:
        key = f"member/{peers.id}/{member}"
        return {key: Said(key, None)}


RENDERERS = pytest.mark.parametrize(
    "renderer", [Plainly(), LinuxPolicies(), VppPolicies(str)], ids=["plain", "linux", "vpp"]
)


def apply(view: View, step: Step) -> list[Change]:
    kind, name, value = step
    if kind != "local":
        return view.put_record(kind, name, value)
    namespace, _, bare = name.partition("/")
    pod = PodID(bare, namespace)
    if value is None:
        return view.remove_pod(pod)
    last = value + 10 * (namespace == "y") + 20 * (bare == "b")  # the address plan gives no address twice
    sandbox = Sandbox(pod, f"c-{namespace}-{bare}-{value}", "/run/netns/x", "eth0")
    return view.put_pod(LocalPod(sandbox, (f"10.1.1.{last}", f"fd00:10:1:1::{last}")))


@RENDERERS
@given(history=st.lists(st.lists(steps, min_size=1, max_size=3), max_size=8))
@settings(deadline=None)
def test_any_history_ends_where_a_fresh_start_would(renderer: Any, history: list[list[Step]]) -> None:
    view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
    lived = Desired([PoliciesFeature(renderer)])
    lived.resync(view)
    applied = lived.values()
    for event in history:
        changes = [change for step in event for change in apply(view, step)]
        for key, value in lived.update(changes, view).items():
            if value is None:
                del applied[key]
            else:
                applied[key] = value
        fresh = Desired([PoliciesFeature(renderer)])
        fresh.resync(view.copy())
        assert lived.values() == fresh.values() == applied


@RENDERERS
@given(history=st.lists(steps, max_size=12), last=steps)
@settings(deadline=None)
def test_no_change_misses_a_unit_whose_rendering_changed(renderer: Any, history: list[Step], last: Step) -> None:
    view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
    for step in history:
        apply(view, step)
    before = view.copy()
    changes = apply(view, last)
    feature = PoliciesFeature(renderer)
    units = {*feature.units(before), *feature.units(view)}
    affected = {unit for change in changes for unit in feature.affected(change, view)}
    for unit in units - affected:
        assert feature.render(unit, before) == feature.render(unit, view), unit


@given(history=st.lists(steps, max_size=12))
@settings(deadline=None)
def test_a_world_change_affects_every_unit(history: list[Step]) -> None:
    view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
    for step in history:
        apply(view, step)
    feature = PoliciesFeature(Plainly())
    assert set(feature.affected(WorldChange(), view)) == set(feature.units(view))


@given(history=st.lists(steps, max_size=12))
@settings(deadline=None)
def test_only_what_the_tables_of_local_pods_use_is_kept(history: list[Step]) -> None:
    view = View(CONFIG, CONFIG.plan, OwnNode("node1"))
    for step in history:
        apply(view, step)
    index = view.policies
    assert set(index.local()) == set(map(str, view.pods))
    assert set(index.sets) == {peers for pod in index.local() for peers in index.tables(pod).peer_sets()}
    fresh = PolicyIndex.of({kind: dict(found) for kind, found in view._records.items()}, index.local())
    assert all(set(fresh.sets.members(peers)) == set(index.sets.members(peers)) for peers in index.sets)
