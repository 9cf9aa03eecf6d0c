"""Pods with IPv6, and with both families: what the options name, what they leave out, and what is a mistake."""

from __future__ import annotations

import pytest

from contivpp.model.config import ContivConfig
from contivpp.model.options import ConfigError


def plan_of(ipam: str):
    return ContivConfig.parse(f"ipamConfig: {{{ipam}}}").plan


def test_pods_with_ipv6_need_their_subnet_only():
    plan = plan_of("podSubnetCIDR: 'fd00:10:1::/48'")

    assert plan.version == 6
    assert plan.families == (plan,)
    assert str(plan.pod_subnet(1)) == "fd00:10:1:1::/64"
    assert str(plan.pod_gateway(1)) == "fd00:10:1:1::1"
    assert str(plan.host_link_subnet(1)) == "fd00:172:30:1::/64"
    assert str(plan.vxlan_address(1)) == "fd00:192:168:30::1/64"
    assert plan.service_subnet is None, "the default is IPv4"


def test_two_subnets_make_a_plan_for_each_family_and_the_first_is_the_main_one():
    plan = plan_of("podSubnetCIDR: '10.1.0.0/16, fd00:10:1::/48', serviceCIDR: '10.96.0.0/12,fd00:10:96::/112'")

    ipv4, ipv6 = plan.families
    assert (plan.version, ipv6.version) == (4, 6)
    assert plan.of(6) is ipv6 and plan.of(4) is plan
    assert str(ipv4.pod_subnet(3)) == "10.1.3.0/24"
    assert str(ipv6.pod_subnet(3)) == "fd00:10:1:3::/64"
    assert str(ipv6.service_subnet) == "fd00:10:96::/112"


def test_the_main_family_can_be_ipv6():
    plan = plan_of("podSubnetCIDR: 'fd00:10:1::/48,10.1.0.0/16'")

    assert [family.version for family in plan.families] == [6, 4]
    assert plan.families[0].service_subnet is None
    assert str(plan.families[1].service_subnet) == "10.96.0.0/12"


def test_the_parts_of_nodes_have_prefix_lengths_of_their_own_in_each_family():
    plan = plan_of(
        "podSubnetCIDR: '10.0.0.0/10,fd00:10::/56', podSubnetOneNodePrefixLen: 20, "
        "vppHostSubnetOneNodePrefixLenIPv6: 72"
    )

    assert [family.pod_prefix for family in plan.families] == [20, 66]  # 1,024 nodes in both
    assert [family.host_link_prefix for family in plan.families] == [24, 72]


def test_one_block_of_each_family_is_cut_alike():
    plan = plan_of("contivCIDR: '10.128.0.0/14,fe10::/64'")

    assert [str(family.pod_subnet_all) for family in plan.families] == ["10.128.0.0/16", "fe10::/112"]
    assert [str(family.vxlan_subnet) for family in plan.families] == ["10.130.2.0/23", "fe10::2:200/119"]


def test_what_is_used_names_both_families():
    used = ContivConfig.parse("ipamConfig: {podSubnetCIDR: 'fd00:10:1::/48,10.1.0.0/16'}").ipam_as_used()

    assert used["podSubnetCIDR"] == "fd00:10:1::/48,10.1.0.0/16"
    assert used["vxlanCIDR"] == "fd00:192:168:30::/64,192.168.30.0/24"
    assert (used["podSubnetOneNodePrefixLen"], used["podSubnetOneNodePrefixLenIPv6"]) == (24, 64)


def test_a_node_has_an_address_of_each_family():
    config = ContivConfig.parse(
        "{dataplane: vpp, nodeConfig: [{nodeName: node1, mainVPPInterface: {interfaceName: eth1, "
        "ip: '192.168.16.1/24,fd16::1/64'}}]}",
        node_name="node1",
    )

    assert config.own_node.main_vpp_interface.addresses == ("192.168.16.1/24", "fd16::1/64")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "ipamConfig: {podSubnetCIDR: '10.1.0.0/16,10.2.0.0/16'}",
            "ipamConfig.podSubnetCIDR: '10.1.0.0/16,10.2.0.0/16' has two of one IP version; "
            "name one, or an IPv4 and an IPv6 one",
        ),
        (
            "ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:1::/48', vxlanCIDR: 192.168.30.0/24}",
            "ipamConfig.vxlanCIDR: has no IPv6 subnet, and pods have one; add it, separated by a comma",
        ),
        (
            "ipamConfig: {podSubnetCIDR: 'fd00:10:1::/48', serviceCIDR: 10.96.0.0/12}",
            "ipamConfig.serviceCIDR: 10.96.0.0/12 is IPv4 and pods are IPv6; name an IPv6 one",
        ),
        (
            "ipamConfig: {serviceCIDR: '10.96.0.0/12,fd00:96::/112'}",
            "ipamConfig.serviceCIDR: names two subnets and pods have one; name one of the pods' family",
        ),
        (
            "ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:1::/62', podSubnetOneNodePrefixLenIPv6: 62}",
            "ipamConfig.podSubnetOneNodePrefixLenIPv6: must be 63 to 125 to cut fd00:1::/62 into parts for nodes, "
            "not 62",
        ),
        (
            "ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:172:30::/48'}",
            "ipamConfig.podSubnetCIDR: fd00:172:30::/48 overlaps ipamConfig.vppHostSubnetCIDR fd00:172:30::/48; "
            "choose disjoint subnets",
        ),
        (
            "nodeConfig: [{nodeName: node1, mainVPPInterface: {ip: '10.0.0.1/24,10.0.0.2/24'}}]",
            "nodeConfig[0].mainVPPInterface.ip: '10.0.0.1/24,10.0.0.2/24' has two of one IP version; "
            "name one, or an IPv4 and an IPv6 one",
        ),
    ],
)
def test_a_mistake_names_the_option_and_the_remedy(text, problem):
    with pytest.raises(ConfigError) as caught:
        ContivConfig.parse(text, node_name="node1")
    assert caught.value.problems == [problem]
