"""The address plan: the specification's examples, and the laws of its arithmetic."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contivpp.model.addressplan import AddressPlan, AddressPlanError, cluster_subnets, fnv1a_32
from contivpp.model.config import ContivConfig


def plan_of(**ipam: object) -> AddressPlan:
    text = "\n".join(f"  {name}: {value}" for name, value in ipam.items())
    return ContivConfig.parse(f"ipamConfig:\n{text}\n").plan


SPECIFIED = {
    "podSubnetCIDR": "1.2.128.0/17",
    "podSubnetOneNodePrefixLen": 29,
    "vppHostSubnetCIDR": "2.3.192.0/18",
    "vppHostSubnetOneNodePrefixLen": 30,
    "nodeInterconnectCIDR": "3.4.5.192/26",
    "vxlanCIDR": "4.5.6.192/26",
}
SPECIFIED_IPV6 = {
    "podSubnetCIDR": "fe10:f00d::/90",
    "podSubnetOneNodePrefixLen": 120,
    "vppHostSubnetCIDR": "fe30:f00d::/90",
    "vppHostSubnetOneNodePrefixLen": 126,
    "nodeInterconnectCIDR": "fe11:f00d::/90",
    "vxlanCIDR": "fe20:f00d::/90",
}


def test_the_defaults_give_node_1_the_addresses_of_the_specification():
    plan = plan_of(nodeInterconnectCIDR="192.168.16.0/24")

    assert str(plan.pod_subnet(1)) == "10.1.1.0/24"
    assert str(plan.pod_gateway(1)) == "10.1.1.1"
    assert str(plan.nat_loopback(1)) == "10.1.1.254"
    assert str(plan.host_link_subnet(1)) == "172.30.1.0/24"
    assert str(plan.host_link_vpp(1)) == "172.30.1.1"
    assert str(plan.host_link_linux(1)) == "172.30.1.2"
    assert str(plan.vxlan_address(1)) == "192.168.30.1/24"
    assert str(plan.node_address(1)) == "192.168.16.1/24"
    assert str(plan.service_subnet) == "10.96.0.0/12"


def test_the_examples_of_the_originals_tests():
    plan = plan_of(**SPECIFIED)

    assert str(plan.node_address(5)) == "3.4.5.197/26"
    assert str(plan.vxlan_address(5)) == "4.5.6.197/26"
    assert str(plan.pod_subnet(5)) == "1.2.128.40/29"


def test_the_examples_of_the_originals_tests_for_ipv6():
    plan = plan_of(**SPECIFIED_IPV6)

    assert str(plan.node_address(5)) == "fe11:f00d::5/90"
    assert str(plan.vxlan_address(5)) == "fe20:f00d::5/90"
    assert str(plan.pod_subnet(5)) == "fe10:f00d::500/120"
    assert str(plan.host_link_subnet(5)) == "fe30:f00d::14/126"


def test_the_last_node_has_subnet_0_and_there_is_none_after_it():
    plan = plan_of(podSubnetCIDR="1.4.1.0/24", podSubnetOneNodePrefixLen=28, nodeInterconnectCIDR="3.4.5.192/26")

    assert str(plan.pod_subnet(1)) == "1.4.1.16/28"
    assert str(plan.node_address(1).ip) == "3.4.5.193"
    assert str(plan.pod_subnet(16)) == "1.4.1.0/28"
    assert str(plan.node_address(16).ip) == "3.4.5.208"
    with pytest.raises(AddressPlanError, match=r"ipamConfig.podSubnetCIDR: 1.4.1.0/24 has 16 parts .* node ID 17"):
        plan.pod_subnet(17)


def test_more_than_256_nodes():
    plan = plan_of(podSubnetCIDR="10.0.0.0/12", vxlanCIDR="192.168.32.0/20", vppHostSubnetCIDR="172.16.0.0/12")

    assert str(plan.pod_subnet(257)) == "10.1.1.0/24"
    assert str(plan.vxlan_address(257).ip) == "192.168.33.1"
    assert str(plan.host_link_subnet(257)) == "172.17.1.0/24"


@pytest.mark.parametrize("node_id", [15, 16, 17])
def test_a_node_beyond_the_small_subnets_is_an_error_that_names_the_option(node_id):
    plan = plan_of(
        podSubnetCIDR="1.4.0.0/17",
        podSubnetOneNodePrefixLen=28,
        vxlanCIDR="4.5.6.0/28",
        nodeInterconnectCIDR="3.3.3.0/28",
    )

    assert plan.pod_subnet(node_id)
    with pytest.raises(AddressPlanError, match=rf"ipamConfig.vxlanCIDR: 4.5.6.0/28 .* node ID {node_id}"):
        plan.vxlan_address(node_id)
    with pytest.raises(AddressPlanError, match=r"ipamConfig.nodeInterconnectCIDR: 3.3.3.0/28"):
        plan.node_address(node_id)


def test_no_node_gets_the_gateways_address():
    plan = plan_of(nodeInterconnectCIDR="3.4.5.192/26", defaultGateway="3.4.5.194")

    assert [str(plan.node_address(node_id).ip) for node_id in (1, 2, 3)] == [
        "3.4.5.193",
        "3.4.5.195",
        "3.4.5.196",
    ]
    with pytest.raises(AddressPlanError):
        plan.node_address(62)


def test_a_gateway_elsewhere_moves_nobody():
    assert str(plan_of(nodeInterconnectCIDR="3.4.5.192/26", defaultGateway="1.1.1.1").node_address(1).ip) == "3.4.5.193"
    assert str(plan_of(nodeInterconnectCIDR="3.4.5.192/26", defaultGateway="fd00::1").node_address(1).ip) == "3.4.5.193"


def test_without_a_subnet_for_nodes_their_addresses_come_from_elsewhere():
    plan = plan_of()

    assert not plan.has_node_subnet
    with pytest.raises(AddressPlanError, match=r"ipamConfig.nodeInterconnectCIDR is not set"):
        plan.node_address(1)


def test_host_bits_of_a_subnet_are_cut_off():
    assert str(plan_of(podSubnetCIDR="1.4.1.2/14", podSubnetOneNodePrefixLen=22).pod_subnet_all) == "1.4.0.0/14"


@pytest.mark.parametrize("node_id", [0, -1, 257])
def test_ids_outside_the_plan_are_errors(node_id):
    plan = plan_of()

    with pytest.raises(AddressPlanError):
        plan.pod_subnet(node_id)
    with pytest.raises(AddressPlanError):
        plan.host_link_vpp(node_id)


def test_an_address_outside_the_pods_subnet_belongs_to_no_node():
    with pytest.raises(AddressPlanError, match=r"192.0.2.1 is not in the pods' subnet 10.1.0.0/16"):
        plan_of().node_of_pod(ip_address("192.0.2.1"))
    with pytest.raises(AddressPlanError):
        plan_of().node_of_pod(ip_address("fd00::1"))


def test_macs_of_nodes():
    plan = plan_of()

    assert plan.vxlan_mac(1) == "12:2b:00:00:00:01"
    assert plan.host_link_mac(1) == "34:3c:00:00:00:01"
    assert plan.vxlan_mac(0x01020304) == "12:2b:01:02:03:04"
    with pytest.raises(AddressPlanError):
        plan.vxlan_mac(1 << 32)


def test_macs_of_pods_are_the_hash_of_the_container_and_its_inverse():
    # FNV-1a of "<container>/<interface>", published test vectors: "" and "foobar"
    assert fnv1a_32(b"") == 0x811C9DC5
    assert fnv1a_32(b"foobar") == 0xBF9CF968
    value = fnv1a_32(b"foo/bar")

    pod, other_end = plan_of().pod_macs("foo", "bar")
    assert pod == "02:fe:" + value.to_bytes(4, "little").hex(":")
    assert other_end == "02:fe:" + (value ^ 0xFFFFFFFF).to_bytes(4, "little").hex(":")
    assert plan_of().pod_macs("foo") == plan_of().pod_macs("foo", "")
    assert plan_of().pod_macs("foo")[0] == "02:fe:" + fnv1a_32(b"foo/").to_bytes(4, "little").hex(":")


# ---- laws


@st.composite
def subnets(draw: st.DrawFn, *, host_bits: int) -> tuple[str, int, int]:
    """A subnet, a prefix length for parts with at least `host_bits`, and the number of parts as bits."""
    version, width = draw(st.sampled_from([(4, 32), (6, 128)]))
    prefix = draw(st.integers(min_value=width - host_bits, max_value=width - host_bits))
    bits = draw(st.integers(min_value=1, max_value=min(prefix - 1, 40)))
    base = draw(st.integers(min_value=0, max_value=(1 << (prefix - bits)) - 1)) << (width - prefix + bits)
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return f"{kind(base)}/{prefix - bits}", prefix, bits


def plan_for(cidr: str, prefix: int) -> AddressPlan:
    network = ip_network(cidr)
    return AddressPlan(
        pod_subnet_all=network,
        pod_prefix=prefix,
        host_link_subnet_all=network,
        host_link_prefix=prefix,
        vxlan_subnet=network,
        node_subnet=network,
        service_subnet=ip_network("10.96.0.0/12"),
    )


@given(subnet=st.integers(3, 24).flatmap(lambda bits: subnets(host_bits=bits)), data=st.data())
def test_different_nodes_have_disjoint_subnets_inside_the_whole(subnet, data):
    cidr, prefix, bits = subnet
    plan = plan_for(cidr, prefix)
    ids = st.integers(min_value=1, max_value=1 << bits)
    one, other = data.draw(ids), data.draw(ids)
    first, second = plan.pod_subnet(one), plan.pod_subnet(other)

    assert first.subnet_of(plan.pod_subnet_all)
    assert first.prefixlen == prefix
    assert first.overlaps(second) == (one == other)


@given(subnet=st.integers(3, 64).flatmap(lambda bits: subnets(host_bits=min(bits, 24))), data=st.data())
def test_the_node_of_any_of_its_addresses_is_the_node(subnet, data):
    cidr, prefix, bits = subnet
    plan = plan_for(cidr, prefix)
    node_id = data.draw(st.sampled_from([1, 2, 1 << bits, (1 << bits) - 1]) | st.integers(1, 1 << bits))
    assume(1 <= node_id <= 1 << bits)
    part = plan.pod_subnet(node_id)
    address = part[data.draw(st.integers(0, part.num_addresses - 1))]

    assert plan.node_of_pod(address) == node_id


@given(subnet=subnets(host_bits=8))
def test_ids_are_1_to_the_number_of_parts_and_the_last_has_part_0(subnet):
    cidr, prefix, bits = subnet
    plan = plan_for(cidr, prefix)

    assert plan.pod_subnet(1 << bits).network_address == plan.pod_subnet_all.network_address
    for outside in (0, (1 << bits) + 1):
        with pytest.raises(AddressPlanError):
            plan.pod_subnet(outside)


@given(subnet=subnets(host_bits=8), data=st.data())
def test_gateway_loopback_and_link_ends_are_inside_and_different(subnet, data):
    cidr, prefix, bits = subnet
    plan = plan_for(cidr, prefix)
    node_id = data.draw(st.integers(1, 1 << bits))
    pods, links = plan.pod_subnet(node_id), plan.host_link_subnet(node_id)
    ends = {plan.host_link_vpp(node_id), plan.host_link_linux(node_id)}

    assert {plan.pod_gateway(node_id), plan.nat_loopback(node_id)} <= set(pods)
    assert plan.pod_gateway(node_id) != plan.nat_loopback(node_id)
    assert len(ends) == 2
    assert all(end in links for end in ends)


@given(
    width_and_prefix=st.sampled_from([(32, 14), (32, 8), (128, 110), (128, 64), (128, 1)]),
    base=st.integers(0, (1 << 128) - 1),
)
def test_one_block_is_cut_into_disjoint_parts_of_itself(width_and_prefix, base):
    width, prefix = width_and_prefix
    kind = ipaddress.IPv4Address if width == 32 else ipaddress.IPv6Address
    cluster = ip_network((kind(base >> (128 - width)), prefix), strict=False)
    parts = cluster_subnets(cluster)

    assert all(part.subnet_of(cluster) for part in parts)
    assert not any(one.overlaps(other) for one in parts for other in parts if one is not other)
    assert [width - part.prefixlen for part in parts] == [16, 16, 9, 9]


@given(prefix=st.integers(20, 29), gateway=st.integers(0, 300))
def test_no_two_nodes_and_no_gateway_share_an_address(prefix, gateway):
    network = ip_network((ip_address("10.8.0.0"), prefix))
    assume(gateway < network.num_addresses)
    plan = plan_of(nodeInterconnectCIDR=network, defaultGateway=network[gateway])
    given_out = []
    for node_id in range(1, 300):
        try:
            given_out.append(plan.node_address(node_id).ip)
        except AddressPlanError:
            break

    assert len(set(given_out)) == len(given_out) > 0
    assert not {network[gateway], network.network_address, network.broadcast_address} & set(given_out)
    assert set(given_out) <= set(network)
