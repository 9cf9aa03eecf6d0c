"""The two laws of every feature: history does not matter, and no change is missed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.changes import Change, OwnNodeChange, WorldChange
from contivpp.agent.connectivity.linux import LinuxConnectivity
from contivpp.agent.connectivity.nodes import OwnNodeFeature, RemoteNodesFeature
from contivpp.agent.connectivity.pods import LocalPodsFeature
from contivpp.agent.connectivity.renderer import ConnectivityRenderer
from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.desired import Desired
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.view import LocalPod, OwnNode, View
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.vppnode import VppNode

CONFIG = ContivConfig.parse("", node_name="node1")
NAMES = ["node1", "node2", "node3"]


BOTH_FAMILIES = ContivConfig.parse("ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'}", node_name="node1")
RENDERERS = pytest.mark.parametrize(
    ("renderer", "config"),
    [
        (renderer, config)
        for config in (CONFIG, BOTH_FAMILIES)
        for overlay in (True, False)
        for renderer in (LinuxConnectivity(overlay=overlay), VppConnectivity(main=2, pods=3, overlay=overlay))
    ],
)


def features(renderer: ConnectivityRenderer) -> list[Any]:
    return [OwnNodeFeature(renderer), RemoteNodesFeature(renderer), LocalPodsFeature(renderer)]


def node(name: str, last: int) -> Node:
    return Node(name=name, addresses=(NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.0.0.{last}"),))


steps = st.one_of(
    st.tuples(st.just("node"), st.sampled_from(NAMES), st.one_of(st.none(), st.integers(1, 3))),
    st.tuples(
        st.just("vppnode"),
        st.integers(1, 4),
        st.one_of(st.none(), st.tuples(st.sampled_from(NAMES), st.integers(0, 3))),
    ),
    st.tuples(st.just("own"), st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.just("pod"), st.sampled_from("ab"), st.one_of(st.none(), st.integers(2, 5))),
)


def apply(view: View, step: tuple[str, Any, Any]) -> list[Change]:
    match step:
        case ("node", name, last):
            return view.put_record("node", name, None if last is None else node(name, last))
        case ("vppnode", number, None):
            return view.put_record("vppnode", str(number), None)
        case ("vppnode", number, (name, last)):
            addresses = (f"10.0.0.{last}/24",) if last else ()
            return view.put_record("vppnode", str(number), VppNode(id=number, name=name, ip_addresses=addresses))
        case ("own", number, last):
            addresses = (f"10.0.0.{last}/24",) if last else ()
            return [OwnNodeChange()] if view.set_own(id=number, addresses=addresses, mtu=1500) else []
        case ("pod", name, last):
            pod = PodID(name, "default")
            if last is None:
                return view.remove_pod(pod)
            last += 10 * (name == "b")  # the address plan gives no address twice
            return view.put_pod(
                LocalPod(
                    Sandbox(pod, f"c-{name}-{last}", f"/run/netns/{name}{last}", "eth0"),
                    (f"10.1.1.{last}", f"fd00:10:1:1::{last}")[: len(view.plan.families)],
                )
            )
    raise AssertionError(step)


@RENDERERS
@given(history=st.lists(st.lists(steps, min_size=1, max_size=3), max_size=8))
def test_any_history_ends_where_a_fresh_start_would(
    renderer: ConnectivityRenderer, config: ContivConfig, history: list[list[tuple[str, Any, Any]]]
) -> None:
    view = View(config, config.plan, OwnNode("node1"))
    lived = Desired(features(renderer))
    applied: dict[str, Any] = {}
    for event in history:
        changes = [change for step in event for change in apply(view, step)]
        for key, value in lived.update(changes, view).items():
            if value is None:
                del applied[key]
            else:
                applied[key] = value
        fresh = Desired(features(renderer))
        fresh.resync(view.copy())
        assert lived.values() == fresh.values() == applied


@RENDERERS
@given(history=st.lists(steps, max_size=12), last=steps)
def test_no_change_misses_a_unit_whose_rendering_changed(
    renderer: ConnectivityRenderer,
    config: ContivConfig,
    history: list[tuple[str, Any, Any]],
    last: tuple[str, Any, Any],
) -> None:
    view = View(config, config.plan, OwnNode("node1"))
    for step in history:
        apply(view, step)
    before = view.copy()
    changes = apply(view, last)
    for feature in features(renderer):
        units = {*feature.units(before), *feature.units(view)}
        changed = {unit for unit in units if feature.render(unit, before) != feature.render(unit, view)}
        affected = {unit for change in changes for unit in feature.affected(change, view)}
        assert changed <= affected


def test_a_read_of_the_whole_cluster_renders_everything() -> None:
    renderer = LinuxConnectivity()
    view = View(CONFIG, CONFIG.plan, OwnNode("node1", id=1, addresses=("10.0.0.1/24",)))
    view.replace_records(
        {
            "node": {"node2": node("node2", 2)},
            "vppnode": {"2": VppNode(id=2, name="node2", ip_addresses=("10.0.0.2/24",))},
        }
    )
    rendered = Desired(features(renderer)).update([WorldChange()], view)
    assert "linux/route/node/254/10.1.2.0/24/0" in rendered
    assert "linux/link/vxlanBVI" in rendered
