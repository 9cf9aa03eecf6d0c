"""The two laws of features hold for services: history does not matter, and no change is missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.changes import Change, LocalPodChange, OwnNodeChange
from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.desired import Desired
from contivpp.agent.feature import Feature
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.program import features_of
from contivpp.agent.services.feature import ServicesFeature
from contivpp.agent.services.linux import LinuxServices
from contivpp.agent.services.vpp import VppServices
from contivpp.agent.view import LocalPod, OwnNode, View
from contivpp.model.config import ContivConfig
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.keys import PodID
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.service import Service, ServicePort
from contivpp.model.vppnode import VppNode

CONFIG = ContivConfig.parse("ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'}", node_name="node1")
NODES = ("node1", "node2")
IPS = ("10.1.1.2", "10.1.2.2", "fd00:10:1:1::2")
PORTS = (EndpointPort(port=8080, protocol="TCP"), EndpointPort(port=53, protocol="UDP"))

services = st.builds(
    Service,
    port=st.lists(
        st.builds(
            ServicePort,
            protocol=st.sampled_from(("TCP", "UDP")),
            port=st.sampled_from((0, 80, 30080)),
            node_port=st.sampled_from((0, 30080)),
        ),
        max_size=2,
    ).map(tuple),
    cluster_ip=st.sampled_from(("10.96.0.1", "10.96.0.2", "None", "nonsense", "10.0.0.1")),
    cluster_ips=st.sampled_from(((), ("10.96.0.1", "fd00:96::1"))),
    service_type=st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")),
    external_ips=st.lists(st.sampled_from(("203.0.113.1", "10.0.0.1", "10.0.0.2", "10.96.0.1")), max_size=2).map(tuple),
    lb_ingress_ips=st.lists(st.sampled_from(("203.0.113.1", "2001:db8::1")), max_size=1).map(tuple),
    external_traffic_policy=st.sampled_from(("", "Local")),
    internal_traffic_policy=st.sampled_from(("", "Local")),
    session_affinity=st.sampled_from(("", "ClientIP")),
    session_affinity_timeout=st.just(60),
    loadbalancer_source_ranges=st.sampled_from(((), ("198.51.100.0/24",))),
    other_proxy=st.sampled_from((False, False, False, True)),
)
addresses = st.builds(
    EndpointAddress,
    ip=st.sampled_from(IPS),
    node_name=st.sampled_from(("", *NODES)),
    serving=st.booleans(),
    terminating=st.booleans(),
    hint_zones=st.sampled_from(((), ("zone1",), ("zone2",))),
)
endpoints = st.builds(
    lambda ready, other: Endpoints(
        endpoint_subsets=(EndpointSubset(addresses=ready, not_ready_addresses=other, ports=PORTS),)
    ),
    st.lists(addresses, max_size=3).map(tuple),
    st.lists(addresses, max_size=2).map(tuple),
)
names = st.sampled_from(("default/a", "default/b", "other/a"))
steps = st.one_of(
    st.tuples(st.just("service"), names, st.none() | services),
    st.tuples(st.just("endpoints"), names, st.none() | endpoints),
    st.tuples(
        st.just("node"),
        st.sampled_from(NODES),
        st.none() | st.tuples(st.integers(1, 3), st.sampled_from(("", "zone1"))),
    ),
    st.tuples(st.just("vppnode"), st.integers(1, 3), st.none() | st.sampled_from(NODES)),
    st.tuples(st.just("own"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("pod"), st.sampled_from("ab"), st.none() | st.integers(2, 3)),
)
Step = tuple[str, Any, Any]
Features = Callable[[], list[Feature]]


def linux() -> list[Feature]:
    """Services alone."""
    return [ServicesFeature(LinuxServices())]


def vpp() -> list[Feature]:
    """With connectivity, as both have ways for the same kinds of addresses, and a key has one owner."""
    return list(features_of(VppConnectivity(), VppServices()))


def fresh() -> View:
    """A view of a node that is in sync, so that most histories have something to translate."""
    return View(CONFIG, CONFIG.plan, OwnNode("node1", id=1, addresses=("10.0.0.1/24",)))


def named(record: Any, record_id: str) -> Any:
    namespace, _, name = record_id.partition("/")
    kept = {field: getattr(record, field) for field in record.__struct_fields__}
    return type(record)(**(kept | {"name": name, "namespace": namespace}))


def apply(view: View, step: Step) -> list[Change]:
    match step:
        case ("service" | "endpoints" as kind, record_id, record):
            return view.put_record(kind, record_id, None if record is None else named(record, record_id))
        case ("node", name, None):
            return view.put_record("node", name, None)
        case ("node", name, (last, zone)):
            found = (NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.0.0.{last}"),)
            labels = {"topology.kubernetes.io/zone": zone} if zone else {}
            return view.put_record("node", name, Node(name=name, addresses=found, labels=labels))
        case ("vppnode", number, name):
            record = None if name is None else VppNode(id=number, name=name, ip_addresses=(f"10.0.0.{number}/24",))
            return view.put_record("vppnode", str(number), record)
        case ("own", number, last):
            given = (f"10.0.0.{last}/24",) if last else ()
            return [OwnNodeChange()] if view.set_own(id=number, addresses=given) else []
        case ("pod", name, last):
            pod = PodID(name, "default")
            if last is None:
                view.pods.pop(pod, None)
            else:
                given = (f"10.1.1.{last + 10 * (name == 'b')}",)
                view.pods[pod] = LocalPod(Sandbox(pod, f"c-{name}-{last}", "/run/netns/x", "eth0"), given)
            return [LocalPodChange(pod)]
    raise AssertionError(step)


@pytest.mark.parametrize("features", [linux, vpp])
@given(history=st.lists(st.lists(steps, min_size=1, max_size=3), max_size=8))
def test_any_history_ends_where_a_fresh_start_would(features: Features, history: list[list[Step]]) -> None:
    view = fresh()
    lived = Desired(features())
    applied = dict(lived.resync(view))
    for event in history:
        changes = [change for step in event for change in apply(view, step)]
        for key, value in lived.update(changes, view).items():
            if value is None:
                del applied[key]
            else:
                applied[key] = value
        anew = Desired(features())
        anew.resync(view.copy())
        assert lived.values() == anew.values() == applied


@pytest.mark.parametrize("features", [linux, vpp])
@given(history=st.lists(steps, max_size=12), last=steps)
def test_no_change_misses_a_unit_whose_rendering_changed(features: Features, history: list[Step], last: Step) -> None:
    view = fresh()
    for step in history:
        apply(view, step)
    before = view.copy()
    changes = apply(view, last)
    for feature in features():
        units = {*feature.units(before), *feature.units(view)}
        changed = {unit for unit in units if feature.render(unit, before) != feature.render(unit, view)}
        affected = {unit for change in changes for unit in feature.affected(change, view)}
        assert changed <= affected


@pytest.mark.parametrize("features", [linux, vpp])
@given(history=st.lists(steps, max_size=12))
def test_a_read_of_the_whole_cluster_keeps_the_same_claims(features: Features, history: list[Step]) -> None:
    view = fresh()
    for step in history:
        apply(view, step)
    twin = view.copy()
    kinds = ("service", "endpoints", "node")
    records = {kind: {_id_of(one): one for one in view.records(kind)} for kind in kinds}
    records["vppnode"] = {str(one.id): one for one in view.records("vppnode")}
    twin.replace_records(records)
    for feature in features():
        for unit in feature.units(view):
            assert feature.render(unit, view) == feature.render(unit, twin)


def _id_of(record: Any) -> str:
    return f"{record.namespace}/{record.name}" if hasattr(record, "namespace") else record.name
