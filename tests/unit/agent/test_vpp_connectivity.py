"""What VPP is to hold, by the tables of the specification (8.2-8.5), and how a node on VPP gets its address."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from contivpp.agent.connectivity.vpp import VppConnectivity
from contivpp.agent.connectivity.vpp_attachment import Attachment, VethAttachment
from contivpp.agent.connectivity.vpp_taps import TapAttachment, taps_of
from contivpp.agent.node_address import attachment_of, choose_node_addresses, why_no_address
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.rendering import renderer_of
from contivpp.agent.view import LocalPod, NodeNic, OwnNode, RemoteNode
from contivpp.dataplane.linux.values import Address, Neighbour, Route, TapEnd, Veth
from contivpp.dataplane.vpp.descriptors.names import Tag
from contivpp.dataplane.vpp.values.arp import NeighbourLimits
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.tap import Tap
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID

CONFIG = ContivConfig.parse(
    "{dataplane: vpp, ipamConfig: {nodeInterconnectCIDR: 192.168.16.0/24},"
    " nodeConfig: [{nodeName: node1, gateway: 192.168.16.100, mainVPPInterface: {interfaceName: eth1}}]}",
    node_name="node1",
)
PLAN = CONFIG.plan
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
POD = LocalPod(Sandbox(PodID("a", "default"), "c0ffee" * 10, "/run/netns/a", "eth0"), ("10.1.1.2",))
HOST = (("eth0", "10.0.0.1/24", 1500), ("eth1", "", 9000), ("docker0", "172.17.0.1/16", 1500))


def routes(values: dict[str, Any]) -> set[tuple[int, str, str]]:
    """Table, subnet, and where to."""
    return {(one.vrf, one.to, _way(one)) for one in values.values() if isinstance(one, VppRoute)}


def _way(route: VppRoute) -> str:
    if route.kind == "drop":
        return "drop"
    return (route.interface if "pipe" in route.interface else route.via) or f"table {route.via_vrf}"


def test_between_the_tables_there_is_a_way_for_everything_and_no_loop() -> None:
    assert routes(dict(VppConnectivity().own_node(OWN, PLAN))) == {
        (0, "0.0.0.0/0", "192.168.16.100"),
        (0, "10.0.0.1/32", "table 1"),
        (0, "10.1.1.0/24", "table 1"),
        (0, "172.30.1.0/24", "table 1"),
        (0, "10.1.0.0/16", "pipe-main"),
        (0, "172.30.0.0/16", "pipe-main"),
        (1, "0.0.0.0/0", "table 0"),
        (1, "10.0.0.1/32", "172.30.1.2"),
        (1, "192.168.16.1/32", "pipe-pods"),
        (1, "10.1.0.0/16", "drop"),
        (1, "172.30.0.0/16", "drop"),
    }


def test_without_the_overlay_there_is_no_pipe_and_the_host_is_in_the_nodes_table() -> None:
    values = dict(VppConnectivity(overlay=False).own_node(OWN, PLAN))
    assert routes(values) == {
        (0, "0.0.0.0/0", "192.168.16.100"),
        (0, "10.0.0.1/32", "172.30.1.2"),
        (0, "10.1.1.0/24", "table 1"),
        (0, "10.1.0.0/16", "drop"),
        (0, "172.30.0.0/16", "drop"),
        (1, "0.0.0.0/0", "table 0"),
    }
    assert not [key for key in values if "pipe" in key]


def test_the_host_reaches_services_and_vpps_of_all_nodes_through_its_own_vpp() -> None:
    renderer, node = VppConnectivity(), RemoteNode(2, "node2", ("192.168.16.2/24",), ("10.0.0.2",))
    own = [one.to for one in renderer.own_node(OWN, PLAN).values() if isinstance(one, Route)]
    assert own == ["10.1.0.0/16", "172.30.0.0/16", "10.96.0.0/12", "192.168.16.1/32"]
    there = dict(renderer.published_address("192.168.16.2", node, OWN, PLAN))
    assert [one for one in there.values() if isinstance(one, Route)] == [
        Route("192.168.16.2/32", via="172.30.1.1", link="vpp1")
    ]
    assert routes(there) == {(1, "192.168.16.2/32", "192.168.30.2")}
    assert dict(renderer.published_address("192.168.16.1", node, OWN, PLAN)) == {}, "a node that claims this one's"
    known = dataclasses.replace(OWN, management=("10.0.0.1", "192.168.16.1"))
    assert "192.168.16.1/32" not in [
        one.to for one in renderer.own_node(known, PLAN).values() if isinstance(one, Route)
    ]


@pytest.mark.parametrize(
    ("host", "source"), [((), ""), (("10.0.0.1", "10.9.9.9"), "10.0.0.1"), (("10.9.9.9",), ""), (("fd00::1",), "")]
)
def test_the_host_asks_pods_by_the_address_that_kubernetes_knows_if_it_has_it(
    host: tuple[str, ...], source: str
) -> None:
    own = dataclasses.replace(OWN, host=host, management=("10.0.0.1", "fd00::1"))
    routes = [one for one in VppConnectivity().own_node(own, PLAN).values() if isinstance(one, Route)]
    assert {one.to: one.source for one in routes if one.source} == ({"10.1.0.0/16": source} if source else {})


def test_a_node_is_reached_through_its_tunnel_and_the_tunnel_never_through_itself() -> None:
    renderer = VppConnectivity()
    node = RemoteNode(2, "node2", ("192.168.16.2/24",), ("10.0.0.2", "192.168.16.2"))
    values = dict(renderer.remote_node(node, OWN, PLAN))
    assert values["vpp/interface/vxlan-default-2"] == VxlanTunnel("vxlan-default-2", "192.168.16.1", "192.168.16.2", 10)
    assert routes(values) == {(1, "10.1.2.0/24", "192.168.30.2"), (1, "172.30.2.0/24", "192.168.30.2")}
    there = {address: routes(dict(renderer.management_address(address, node, PLAN))) for address in node.management}
    assert there["10.0.0.2"] == {(1, "10.0.0.2/32", "192.168.30.2"), (0, "10.0.0.2/32", "pipe-main")}
    assert there["192.168.16.2"] == {(1, "192.168.16.2/32", "192.168.30.2")}


def test_the_kernels_end_of_a_pair_has_another_mac_than_vpp_on_it() -> None:
    values = {**VppConnectivity().local_pod(POD, OWN, PLAN), **VppConnectivity().own_node(OWN, PLAN)}
    pairs = [one for one in values.values() if isinstance(one, Veth)]
    macs = [mac for pair in pairs for mac in (pair.mac, pair.peer_mac)]
    macs += [one.mac for one in values.values() if isinstance(one, HostInterface | Loopback)]
    assert len(macs) == len(set(macs)) == 9
    assert not any(pair.offload for pair in pairs)
    assert not any(int(mac[:2], 16) & 1 for mac in macs), "none is a group's"


@pytest.mark.parametrize(
    ("configured", "addresses", "nic", "sent"),
    [(0, ("192.168.16.1/24",), 1500, 1450), (0, ("fd16::1/64",), 1500, 1430), (1400, ("192.168.16.1/24",), 9000, 1400)],
)
@pytest.mark.parametrize("attachment", [VethAttachment(), TapAttachment()])
def test_pods_send_what_the_tunnel_leaves_and_receive_what_the_nic_does(
    attachment: Attachment, configured: int, addresses: tuple[str, ...], nic: int, sent: int
) -> None:
    own = dataclasses.replace(OWN, addresses=addresses, mtu=nic)
    renderer = VppConnectivity(mtu=configured, attachment=attachment)
    assert renderer.mtu(own) == nic
    values = renderer.local_pod(POD, own, PLAN).values()
    assert {one.mtu for one in values if isinstance(one, HostInterface | Tap)} == {nic}
    assert {one.mtu or 1500 for one in values if isinstance(one, Veth)} <= {nic}
    assert {one.host_mtu for one in values if isinstance(one, Tap)} <= {nic}
    assert [one.mtu for one in values if isinstance(one, Route) and one.via] == [sent]
    gateway, tunnels = (renderer.own_node(own, PLAN)[f"vpp/interface/{name}"] for name in ("podGwLoop", "vxlanBVI"))
    assert (gateway.mtu, tunnels.mtu) == (sent, sent)


def test_without_a_tunnel_routes_say_nothing_of_sizes() -> None:
    values = VppConnectivity(overlay=False).local_pod(POD, OWN, PLAN).values()
    assert {one.mtu for one in values if isinstance(one, Route)} == {0}


def test_vpp_forgets_silent_neighbours_of_ipv4_only() -> None:
    config = ContivConfig.parse(
        "{dataplane: vpp, ipNeighborStaleThreshold: 2, ipamConfig: {podSubnetCIDR: '10.1.0.0/16, fd10:1::/112'}}",
        node_name="node1",
    )
    values = renderer_of(config).own_node(OWN, config.plan).values()
    assert {one.version: one.age for one in values if isinstance(one, NeighbourLimits)} == {4: 120, 6: 0}


def test_the_address_counts_once_the_link_for_vpp_is_there() -> None:
    assert choose_node_addresses(CONFIG, PLAN, 1, ("10.0.0.1",), HOST[:1]) == ((), 0)
    assert choose_node_addresses(CONFIG, PLAN, 1, ("10.0.0.1",), HOST) == (("192.168.16.1/24",), 9000)
    assert "there is no link eth1" in why_no_address(CONFIG, "node1", ())


def test_what_vpp_knows_of_the_host_is_what_others_reach_it_by() -> None:
    assert attachment_of(CONFIG, HOST) == {
        "main_nic": NodeNic("eth1", mtu=9000),
        "other_nics": (),
        "gateways": ("192.168.16.100",),
        "host": ("10.0.0.1",),
    }
    assert attachment_of(ContivConfig.parse(""), HOST) == {}


def test_with_taps_nothing_of_a_pods_link_is_on_the_node() -> None:
    renderer = VppConnectivity(attachment=TapAttachment(rx_ring=1024, gso=True))
    values = dict(renderer.local_pod(POD, OWN, PLAN))
    container = "c0ffee" * 10
    tap = Tap(
        f"vpp-tap-{container[:15]}",
        "eth0",
        PLAN.pod_macs(container)[1],
        PLAN.pod_macs(container)[0],
        "/run/netns/a",
        mtu=1500,
        host_mtu=1500,
        rx_ring=1024,
        gso=True,
    )
    assert values[tap.key] == tap
    [end] = [one for one in values.values() if isinstance(one, TapEnd)]
    assert (end.host_name, end.netns, end.made_by) == ("eth0", "/run/netns/a", tap.key)
    assert {one.link for one in values.values() if isinstance(one, Address | Route | Neighbour)} == {end.name}
    assert renderer.host_interface(container) == ""
    assert not any(isinstance(one, Veth) for one in {**values, **renderer.own_node(OWN, PLAN)}.values())


@pytest.mark.parametrize("attachment", [TapAttachment(), VethAttachment()], ids=["tap", "veth"])
def test_the_name_of_a_pods_interface_has_room_in_vpps_tag_with_what_is_noted_there(attachment: Attachment) -> None:
    name = attachment.interface("0123456789abcdef" * 4)
    assert Tag(name, "", {"m": "*:polling", "p": "0:worker-0"}).text.startswith(f"contiv:{name}")


def test_taps_are_used_where_the_kernel_has_vhost_net_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    there, missing = tmp_path / "vhost-net", tmp_path / "none"
    there.touch()
    config = ContivConfig.parse("{dataplane: vpp, tapv2RxRingSize: 512, tcpChecksumOffloadDisabled: false}")
    assert taps_of(config, vhost_net=there) == TapAttachment(rx_ring=512, checksum_offload=True)
    assert taps_of(config, vhost_net=missing) is None
    assert taps_of(ContivConfig.parse("{dataplane: vpp, useTAPInterfaces: false}"), vhost_net=there) is None
