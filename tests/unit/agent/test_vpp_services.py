"""What services are on VPP: the tables of what a frontend leads to, which interfaces translate, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.desired import Desired
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.program import features_of
from contivpp.agent.refusals import Refusals
from contivpp.agent.services.model import Backend as End
from contivpp.agent.services.model import Destination, Empty, Frontend, HealthCheck, Kind, Meaning
from contivpp.agent.services.model import Translation as Wanted
from contivpp.agent.services.vpp import VppServices
from contivpp.agent.view import LocalPod, NodeNic, OwnNode, View
from contivpp.dataplane.linux.health import HealthPort
from contivpp.dataplane.linux.values import Route
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.source_nat import SourceNat, SourceNatInterface, SparedSubnet
from contivpp.dataplane.vpp.values.translation import Backend, TranslatedInterface, Translation
from contivpp.model.config import ContivConfig
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.keys import PodID
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.service import Service, ServicePort
from contivpp.model.vppnode import VppNode

CONFIG = ContivConfig.parse(
    "{dataplane: vpp, ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48', serviceCIDR: '10.96.0.0/12,fd00:96::/112',"
    " nodeInterconnectCIDR: 192.168.16.0/24}}",
    node_name="node1",
)
PLAN = CONFIG.plan
OWN = OwnNode(
    "node1",
    id=1,
    addresses=("192.168.16.1/24",),
    management=("10.0.0.1",),
    main_nic=NodeNic("eth1"),
    other_nics=(NodeNic("eth2"),),
    host=("10.0.0.1",),
)
NEAR, FAR = End("10.1.1.2", 8080, local=True), End("10.1.2.2", 8080)
BOTH = Destination((NEAR, FAR))
NOWHERE, NO_ANSWER = Destination(), Destination(empty=Empty.DROP)


def values_of(found: Any, kind: type) -> list[Any]:
    return [one for one in found.values() if isinstance(one, kind)]


def wanted(inside: Destination, outside: Destination | None = None, **more: Any) -> Wanted:
    address = more.pop("address", "203.0.113.1")
    return Wanted(Frontend(address, "tcp", 80, Kind.LOAD_BALANCER), "", inside, outside, **more)


@pytest.mark.parametrize(
    ("one", "backends"),
    [
        (wanted(BOTH), ("10.1.1.2:8080", "10.1.2.2:8080")),
        (wanted(BOTH, Destination((NEAR,)), local=True), ("10.1.1.2:8080",)),
        (wanted(BOTH, NO_ANSWER, local=True), ("10.1.1.2:8080", "10.1.2.2:8080")),
        (wanted(NOWHERE), ("172.30.1.2:1",)),
        (wanted(NO_ANSWER), ("240.0.0.1:1",)),
        (wanted(BOTH, sources=("198.51.100.0/24",)), ("240.0.0.1:1",)),
        (wanted(NOWHERE, sources=("198.51.100.0/24",)), ("240.0.0.1:1",)),
    ],
    ids=["all", "own ones", "none of its own", "refused", "no answer", "guarded", "guarded and empty"],
)
def test_a_frontend_leads_to_one_set_of_backends(one: Wanted, backends: tuple[str, ...]) -> None:
    [made] = values_of(VppServices().service(Meaning((one,)), OWN, PLAN), Translation)
    assert tuple(f"{end.address}:{end.port}" for end in made.backends) == backends
    assert (made.protocol, made.address, made.port, made.balancing) == ("tcp", "203.0.113.1", 80, "maglev")


def test_what_has_no_endpoints_is_refused_or_silent_in_ipv6_as_well() -> None:
    found = VppServices().service(
        Meaning((wanted(NOWHERE, address="fd00:96::1"), wanted(NO_ANSWER, address="fd00:96::2"))), OWN, PLAN
    )
    refused, silent = (one.backends for one in values_of(found, Translation))
    family = PLAN.of(6)
    assert family is not None
    assert refused == (Backend(str(family.host_link_linux(1)), 1),)
    assert silent == (Backend("100::1", 1),)


def test_affinity_and_source_ranges_are_said_to_be_less_than_was_asked_for() -> None:
    renderer = VppServices()
    assert list(renderer.limits(Meaning((wanted(BOTH),)))) == []
    sticky = Meaning((wanted(BOTH, affinity=60),))
    assert values_of(renderer.service(sticky, OWN, PLAN), Translation)[0].affinity
    [timeout] = renderer.limits(sticky)
    assert "the timeout of 60 s is not heeded" in timeout
    [guarded] = renderer.limits(Meaning((wanted(BOTH, sources=("198.51.100.0/24",)),)))
    assert "nobody may connect to 203.0.113.1" in guarded


def test_sctp_over_ipv6_is_left_out_by_name() -> None:
    frontends = (
        Frontend("fd00:96::1", "sctp", 80, Kind.CLUSTER_IP),
        Frontend("10.96.0.1", "sctp", 80, Kind.CLUSTER_IP),
    )
    both = Meaning(tuple(Wanted(one, "", BOTH) for one in frontends))
    assert [one.address for one in values_of(VppServices().service(both, OWN, PLAN), Translation)] == ["10.96.0.1"]
    [sentence] = VppServices().limits(both)
    assert "nobody answers at fd00:96::1" in sentence


def test_the_health_of_a_service_is_told_by_the_host() -> None:
    found = VppServices().service(Meaning(health=HealthCheck("default/web", 32000, 2)), OWN, PLAN)
    assert values_of(found, HealthPort) == [HealthPort("default/web", 32000, 2)]


def test_every_interface_translates_and_the_tunnel_only_passes() -> None:
    found = dict(VppServices().node(OWN, PLAN, hide_pods=True))
    assert {one.interface: one.passing for one in values_of(found, TranslatedInterface)} == {
        "eth1": False,
        "eth2": False,
        "afpacket-vpp2": False,
        "pipe-main": False,
        "pipe-pods": True,
        "vxlanBVI": True,
    }
    assert values_of(found, SourceNatInterface) == [SourceNatInterface("vxlanBVI", "pod")]
    plain = VppServices(overlay=False).node(OWN, PLAN, hide_pods=True)
    assert {one.interface for one in values_of(plain, TranslatedInterface)} == {"eth1", "eth2", "afpacket-vpp2"}
    assert values_of(plain, SourceNatInterface) == [SourceNatInterface("afpacket-vpp2", "pod")]


def test_the_source_is_the_nodes_address_or_where_it_has_none_the_host_links() -> None:
    family = PLAN.of(6)
    assert family is not None
    found = VppServices().node(OWN, PLAN, hide_pods=True)
    assert values_of(found, SourceNat) == [SourceNat("podGwLoop", "192.168.16.1", str(family.host_link_vpp(1)))]


def test_what_is_in_the_cluster_keeps_its_source_and_everything_does_when_pods_are_not_hidden() -> None:
    hidden = values_of(VppServices().node(OWN, PLAN, hide_pods=True), SparedSubnet)
    assert {"10.1.0.0/16", "172.30.0.0/16", "192.168.30.0/24", "10.96.0.0/12", "10.0.0.1/32", "192.168.16.1/32"} <= {
        one.subnet for one in hidden
    }
    shown = values_of(VppServices().node(OWN, PLAN, hide_pods=False), SparedSubnet)
    assert {one.subnet for one in shown} - {one.subnet for one in hidden} == {"0.0.0.0/0", "::/0"}
    assert list(VppServices().node_address("10.0.0.2", PLAN).values()) == [SparedSubnet("10.0.0.2/32")]


def test_cluster_ips_that_are_nobodys_are_unreachable_in_both_tables() -> None:
    found = values_of(VppServices(main=2, pods=3).node(OWN, PLAN, hide_pods=True), VppRoute)
    assert {(one.vrf, one.to) for one in found if one.kind == "unreachable"} == {
        (vrf, subnet) for vrf in (2, 3) for subnet in ("10.96.0.0/12", "fd00:96::/112")
    }


def test_a_pods_interface_translates_and_is_a_pods() -> None:
    pod = LocalPod(Sandbox(PodID("a", "default"), "c0ffee" * 10, "/run/netns/a", "eth0"), ("10.1.1.2",))
    found = VppServices().local_pod(pod, OWN, PLAN)
    [translated] = values_of(found, TranslatedInterface)
    assert translated.key in found
    assert translated.interface in {
        one.name
        for one in VppConnectivity().local_pod(pod, OWN, PLAN).values()
        if hasattr(one, "host_name") and hasattr(one, "mode")
    }
    assert {one.role for one in values_of(found, SourceNatInterface)} == {"pod", "inside4", "inside6"}


def test_the_host_has_a_way_to_addresses_of_services_that_are_no_cluster_ips() -> None:
    found = VppServices().service_address("203.0.113.1", OWN, PLAN)
    assert list(found.values()) == [Route("203.0.113.1/32", via="172.30.1.1", link="vpp1")]
    assert VppServices().service_address("10.96.0.7", OWN, PLAN) == {}


# ---- node ports of other nodes


def cluster() -> View:
    """Two nodes, with a service that has an endpoint on the second."""
    view = View(CONFIG, PLAN, OWN)
    for number in (1, 2):
        name, address = f"node{number}", NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.0.0.{number}")
        view.put_record("node", name, Node(name=name, addresses=(address,)))
        view.put_record("vppnode", str(number), VppNode(number, name, ip_addresses=(f"192.168.16.{number}/24",)))
    serving = EndpointSubset((EndpointAddress(ip="10.1.2.2", node_name="node2"),), (), (EndpointPort(port=8080),))
    view.put_record("endpoints", "default/web", Endpoints("web", "default", endpoint_subsets=(serving,)))
    return view


def service(policy: str = "") -> Service:
    return Service(
        "web",
        "default",
        port=(ServicePort(port=80, node_port=30080),),
        cluster_ip="10.96.0.1",
        service_type="NodePort",
        external_traffic_policy=policy,
    )


def node_ports(view: View) -> dict[str, str]:
    desired = Desired(features_of(VppConnectivity(), VppServices(), Refusals()))
    desired.resync(view)
    found = values_of(desired.values(), Translation)
    return {one.address: one.backends[0].address for one in found if one.port == 30080}


def test_node_ports_of_all_nodes_are_translated_here() -> None:
    view = cluster()
    view.put_record("service", "default/web", service())
    assert node_ports(view) == dict.fromkeys(("10.0.0.1", "10.0.0.2", "192.168.16.1", "192.168.16.2"), "10.1.2.2")


def test_an_external_policy_binds_this_nodes_clients_at_other_nodes() -> None:
    view = cluster()
    view.put_record("service", "default/web", service("Local"))
    view.put_record(
        "endpoints",
        "default/web",
        Endpoints(
            "web",
            "default",
            endpoint_subsets=(
                EndpointSubset((EndpointAddress(ip="10.1.1.2", node_name="node1"),), (), (EndpointPort(port=8080),)),
            ),
        ),
    )
    assert node_ports(view) == {
        "10.0.0.1": "10.1.1.2",
        "192.168.16.1": "10.1.1.2",
        "10.0.0.2": "240.0.0.1",
        "192.168.16.2": "240.0.0.1",
    }
