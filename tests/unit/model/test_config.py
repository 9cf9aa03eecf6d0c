"""contiv.conf and controller.conf: what they mean, and that every mistake is told with the option's name."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contivpp.model.config import ContivConfig, IpamConfig
from contivpp.model.controller_config import NANOSECONDS, ControllerConfig, seconds
from contivpp.model.options import ConfigError, as_options


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ContivConfig.parse(text, node_name="node1")
    return caught.value.problems


def test_an_empty_file_has_the_defaults_of_the_original():
    config = ContivConfig.parse("")

    assert config.dataplane == "linux"
    assert config.use_tap_interfaces and config.tap_interface_version == 2
    assert (config.main_vrf_id, config.pod_vrf_id) == (0, 1)
    assert config.nat_external_traffic and config.crd_node_configuration_disabled
    assert config.stn_socket_file == "/var/run/contiv/stn.sock"
    assert config.ipam_config == IpamConfig()
    assert as_options(config.ipam_config)["podSubnetCIDR"] == "10.1.0.0/16"
    assert as_options(config.ipam_config)["srv6"]["sfcIDLengthUsedInSidForServiceFunction"] == 16
    assert config.plan.node_subnet is None
    assert config.unsupported() == config.without_effect() == []


def test_the_file_that_the_original_ships_is_read():
    config = ContivConfig.parse(
        """
        # as rendered by the chart
        nodeToNodeTransport: vxlan
        useSRv6ForServices: false
        useTAPInterfaces: true
        tapInterfaceVersion: 2
        tapv2RxRingSize: 256
        tapv2TxRingSize: 256
        enableGSO: true
        tcpChecksumOffloadDisabled: true
        STNVersion: 2
        natExternalTraffic: true
        mtuSize: 1450
        scanIPNeighbors: true
        ipNeighborScanInterval: 1
        ipNeighborStaleThreshold: 4
        enablePacketTrace: false
        routeServiceCIDRToVPP: false
        crdNodeConfigurationDisabled: true
        ipamConfig:
          nodeInterconnectDHCP: false
          nodeInterconnectCIDR: 192.168.16.0/24
          podSubnetCIDR: 10.1.0.0/16
          podSubnetOneNodePrefixLen: 24
          vppHostSubnetCIDR: 172.30.0.0/16
          vppHostSubnetOneNodePrefixLen: 24
          vxlanCIDR: 192.168.30.0/24
        """
    )

    assert config.unsupported() == []
    assert config.mtu_size == 1450
    assert config.stn_version == 2
    assert str(config.plan.node_address(1)) == "192.168.16.1/24"
    told = {sentence.partition(":")[0] for sentence in config.without_effect()}
    assert {"stnVersion", "enableGSO", "tapv2RxRingSize", "routeServiceCIDRToVPP"} <= told
    assert "natExternalTraffic" not in told


def test_names_match_whatever_their_case_is():
    config = ContivConfig.parse("MTUSIZE: 1400\nIPAMConfig: {podsubnetcidr: 10.5.0.0/16}")

    assert config.mtu_size == 1400
    assert config.ipam_config.pod_subnet_cidr == "10.5.0.0/16"


def test_an_option_without_a_value_has_its_default():
    assert ContivConfig.parse("mtuSize:\nipamConfig:\nnodeConfig:\n") == ContivConfig.parse(
        "mtuSize:\nipamConfig:\nnodeConfig:\n"
    )
    assert ContivConfig.parse("ipamConfig:\n").ipam_config == IpamConfig()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mtuSiz: 1400", "mtuSiz: there is no such option; did you mean mtuSize?"),
        (
            "podSubnetCIDR: 10.1.0.0/16",
            "podSubnetCIDR: there is no such option; did you mean ipamConfig.podSubnetCIDR?",
        ),
        (
            "ipamConfig: {srv6: {sfcPolicyBSIDSubnet: 8eee::/16}}",
            "ipamConfig.srv6.sfcPolicyBSIDSubnet: there is no such option; did you mean sfcPolicyBSIDSubnetCIDR?",
        ),
        ("mtuSize: '1400'", "mtuSize: must be a whole number, not '1400'"),
        ("mtuSize: true", "mtuSize: must be a whole number, not True"),
        ("mtuSize: 100", "mtuSize: must be 0 or 576 to 65535 bytes, not 100"),
        ("enableGSO: 1", "enableGSO: must be true or false, not 1"),
        ("dataplane: vp", "dataplane: must be one of linux, vpp, not 'vp'; did you mean vpp?"),
        ("ipamConfig: 10.1.0.0/16", "ipamConfig: must be a mapping of options, not '10.1.0.0/16'"),
        ("nodeConfig: {nodeName: a}", "nodeConfig: must be a list, not {'nodeName': 'a'}"),
        ("tapInterfaceVersion: 3", "tapInterfaceVersion: must be 1 to 2, not 3"),
        ("mainVRFID: 1", "podVRFID: 1 is mainVRFID as well; give pods a table of their own"),
        (
            "ipamConfig: {podSubnetCIDR: 10.1.0/16}",
            "ipamConfig.podSubnetCIDR: failed to parse '10.1.0/16'; write a subnet with its prefix length, "
            "such as 10.1.0.0/16",
        ),
        (
            "ipamConfig: {serviceCIDR: 10.96.0.0}",
            "ipamConfig.serviceCIDR: failed to parse '10.96.0.0'; write a subnet with its prefix length, "
            "such as 10.1.0.0/16",
        ),
        (
            "ipamConfig: {vxlanCIDR: 192.168.30.0/255.255.255.0}",
            "ipamConfig.vxlanCIDR: failed to parse '192.168.30.0/255.255.255.0'; write a subnet with its "
            "prefix "
            "length, such as 10.1.0.0/16",
        ),
        (
            "ipamConfig: {podSubnetOneNodePrefixLen: 16}",
            "ipamConfig.podSubnetOneNodePrefixLen: must be 17 to 29 to cut 10.1.0.0/16 into parts for nodes, not 16",
        ),
        (
            "ipamConfig: {vppHostSubnetOneNodePrefixLen: 31}",
            "ipamConfig.vppHostSubnetOneNodePrefixLen: must be 17 to 30 to cut 172.30.0.0/16 into parts "
            "for nodes, "
            "not 31",
        ),
        (
            "ipamConfig: {podSubnetCIDR: 10.1.0.0/30}",
            "ipamConfig.podSubnetOneNodePrefixLen: 10.1.0.0/30 is too small to be cut into parts for nodes; "
            "choose a larger subnet",
        ),
        (
            "ipamConfig: {vxlanCIDR: 10.1.7.0/24}",
            "ipamConfig.podSubnetCIDR: 10.1.0.0/16 overlaps ipamConfig.vxlanCIDR 10.1.7.0/24; choose disjoint subnets",
        ),
        (
            "ipamConfig: {contivCIDR: 10.130.0.0/18}",
            "ipamConfig.contivCIDR: 10.130.0.0/18 is too small: it must have a prefix of at most /14",
        ),
        (
            "ipamConfig: {contivCIDR: 10.96.0.0/14}",
            "ipamConfig.contivCIDR (pods): 10.96.0.0/16 overlaps ipamConfig.serviceCIDR 10.96.0.0/12; "
            "choose disjoint subnets",
        ),
        (
            "ipamConfig: {podSubnetCIDR: 'fd00:1::/48', vppHostSubnetCIDR: 172.30.0.0/16}",
            "ipamConfig.vppHostSubnetCIDR: 172.30.0.0/16 is IPv4 and ipamConfig.podSubnetCIDR "
            "fd00:1::/48 is IPv6; "
            "choose the same family for both",
        ),
        (
            "ipamConfig: {defaultGateway: 10.0.0.1/24}",
            "ipamConfig.defaultGateway: failed to parse '10.0.0.1/24'; write an address without prefix "
            "length, "
            "such as 10.0.0.1",
        ),
        (
            "ipamConfig: {srv6: {sfcEndLocalSIDSubnetCIDR: 10.0.0.0/8}}",
            "ipamConfig.srv6.sfcEndLocalSIDSubnetCIDR: 10.0.0.0/8 is not an IPv6 subnet, and a segment "
            "identifier "
            "is an IPv6 address",
        ),
        (
            "nodeConfig: [{gateway: 10.0.0.1}]",
            "nodeConfig[0].nodeName: is missing; say which node the entry is for",
        ),
        (
            "nodeConfig: [{nodeName: a}, {nodeName: a}]",
            "nodeConfig[1].nodeName: a has an entry already, nodeConfig[0]; keep one of the two",
        ),
        (
            "nodeConfig: [{nodeName: a, mainVPPInterface: {ip: 10.9.0.1}}]",
            "nodeConfig[0].mainVPPInterface.ip: failed to parse '10.9.0.1'; write an address with its "
            "prefix length, "
            "such as 10.0.0.5/24",
        ),
        (
            "nodeConfig: [{nodeName: a, mainVPPInterface: {ip: 10.1.4.4/24}}]",
            "nodeConfig[0].mainVPPInterface.ip: 10.1.4.4 is inside ipamConfig.podSubnetCIDR 10.1.0.0/16; "
            "choose an address of the nodes' network",
        ),
        ("- 1", "the file: must be a mapping of options, not [1]"),
        (
            "mtuSize: 1400\nMTUsize: 1500",
            "the file: MTUsize stands in line 1 and again in line 2; keep one of the two",
        ),
        ("a: [", "the file: is not YAML in line 1: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_mistake_names_the_option_the_value_and_the_remedy(text, problem):
    assert problems_of(text) == [problem]


def test_all_mistakes_come_at_once_and_one_mistake_is_one_sentence():
    problems = problems_of(
        """
        mtuSiz: 1
        enableGSO: maybe
        ipamConfig:
          podSubnetCIDR: 5
          vxlanCIDR: 10.1.3.0/24
          serviceCIDR: nonsense
          nodeInterconnectCIDR: 172.30.4.0/30
        nodeConfig: [7, {nodeName: a, gateway: x}]
        """
    )

    assert [problem.partition(": ")[0] for problem in problems] == [
        "mtuSiz",
        "enableGSO",
        "ipamConfig.podSubnetCIDR",
        "nodeConfig[0]",
        "nodeConfig[1].gateway",
        "ipamConfig.serviceCIDR",
        "ipamConfig.vppHostSubnetCIDR",
    ]


def test_the_error_names_the_file_in_every_line():
    with pytest.raises(ConfigError) as caught:
        ContivConfig.parse("a: 1\nb: 2", source="/etc/contiv/contiv.conf")

    assert all(line.startswith("/etc/contiv/contiv.conf: ") for line in str(caught.value).splitlines())
    assert len(caught.value.problems) == 2


def test_a_node_finds_its_own_entry():
    text = "nodeConfig: [{nodeName: node1, gateway: 10.9.0.1}, {nodeName: node2}]"

    own = ContivConfig.parse(text, node_name="node1").own_node
    assert own is not None and own.gateway == "10.9.0.1"
    assert ContivConfig.parse(text, node_name="node3").own_node is None


@pytest.mark.parametrize(
    ("text", "subnets"),
    [
        ("{contivCIDR: 10.128.0.0/14}", ("10.128.0.0/16", "10.129.0.0/16", "10.130.0.0/23", "10.130.2.0/23")),
        (
            "{contivCIDR: 192.240.0.0/12}",
            ("192.240.0.0/16", "192.241.0.0/16", "192.242.0.0/23", "192.242.2.0/23"),
        ),
        ("{contivCIDR: 'fe10::/64'}", ("fe10::/112", "fe10::1:0/112", "fe10::2:0/119", "fe10::2:200/119")),
        (
            "{contivCIDR: 10.128.0.0/14, nodeInterconnectCIDR: 192.168.16.0/24}",
            ("10.128.0.0/16", "10.129.0.0/16", "192.168.16.0/24", "10.130.2.0/23"),
        ),
        (
            "{contivCIDR: 10.128.0.0/14, nodeInterconnectDHCP: true}",
            ("10.128.0.0/16", "10.129.0.0/16", "", "10.130.2.0/23"),
        ),
    ],
)
def test_one_block_is_cut_into_all_subnets(text, subnets):
    config = ContivConfig.parse(f"ipamConfig: {text}")
    used = config.ipam_as_used()

    names = ("podSubnetCIDR", "vppHostSubnetCIDR", "nodeInterconnectCIDR", "vxlanCIDR")
    assert tuple(used[name] for name in names) == subnets
    width = config.plan.pod_subnet_all.max_prefixlen
    assert used["podSubnetOneNodePrefixLen"] == used["vppHostSubnetOneNodePrefixLen"] == width - 7
    assert used["serviceCIDR"] == ("" if ":" in subnets[0] else "10.96.0.0/12")


def test_single_subnets_beside_the_one_block_are_told_to_have_no_effect():
    config = ContivConfig.parse("ipamConfig: {contivCIDR: 10.128.0.0/14, podSubnetCIDR: 10.5.0.0/16}")

    assert config.without_effect() == ["ipamConfig.podSubnetCIDR: has no effect: ipamConfig.contivCIDR decides"]


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("nodeToNodeTransport: srv6", "nodeToNodeTransport"),
        ("useSRv6ForServices: true", "useSRv6ForServices"),
        ("stealFirstNIC: true", "stealFirstNIC"),
        ("stealInterface: eth1", "stealInterface"),
        ("ipamConfig: {useExternalIPAM: true}", "ipamConfig.useExternalIPAM"),
        ("nodeConfig: [{nodeName: a, stealInterface: eth1}]", "nodeConfig[0].stealInterface"),
        (
            "nodeConfig: [{nodeName: a, otherVPPInterfaces: [{interfaceName: b}]}]",
            "nodeConfig[0].otherVPPInterfaces",
        ),
    ],
)
def test_what_this_build_cannot_do_is_told_and_never_ignored(text, option):
    (sentence,) = ContivConfig.parse(text).unsupported()

    assert sentence.startswith(f"{option}: ")
    assert "not supported on the" in sentence


@pytest.mark.parametrize(
    ("text", "steals", "nic"),
    [
        ("", False, ""),
        ("stealInterface: eth1", True, "eth1"),
        ("stealFirstNIC: true", True, ""),
        ("nodeConfig: [{nodeName: a, stealInterface: eth2}]", True, "eth2"),
        ("stealInterface: eth1, nodeConfig: [{nodeName: a, stealInterface: eth2}]", True, "eth2"),
        ("nodeConfig: [{nodeName: b, stealInterface: eth2}]", False, ""),
    ],
)
def test_which_nic_is_stolen_is_said_for_all_nodes_or_for_one(text, steals, nic):
    config = ContivConfig.parse(f"{{dataplane: vpp, {text}}}", node_name="a")

    assert config.unsupported() == []
    assert (config.steals_nic, config.nic_to_steal) == (steals, nic)


def test_what_has_no_effect_on_vpp_is_told():
    config = ContivConfig.parse("{dataplane: vpp, tapInterfaceVersion: 2, podVRFID: 7}")

    assert config.unsupported() == []
    assert config.without_effect() == [
        "tapInterfaceVersion: has no effect on the vpp data plane: VPP has version 2 only"
    ]


def test_every_option_survives_a_round_trip_through_its_own_name():
    config = ContivConfig.parse("nodeConfig: [{nodeName: node1, otherVPPInterfaces: [{interfaceName: eth1}]}]")
    again = ContivConfig.parse(yaml.safe_dump(as_options(config)))

    assert as_options(again) == as_options(config)
    assert len(as_options(config)) == 30


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*as_options(ContivConfig.parse("")), "nonsense"])


@given(tree=st.dictionaries(NAMES, JUNK, max_size=4))
def test_whatever_the_file_holds_it_is_read_or_refused(tree):
    try:
        config = ContivConfig.parse(yaml.safe_dump(tree))
    except ConfigError as error:
        assert error.problems
    else:
        assert config.plan.pod_subnet_all.prefixlen < config.plan.pod_prefix


def test_controller_conf_has_the_defaults_of_the_original():
    config = ControllerConfig.parse("")

    assert seconds(config.delay_retry) == 1
    assert seconds(config.remote_db_probing_interval) == 3
    assert seconds(config.startup_resync_deadline) == 30
    assert (config.max_retry_attempts, config.event_history_age_limit) == (3, 1440)
    assert config.enable_retry and not config.enable_periodic_healing


def test_controller_conf_is_read_by_the_original_names():
    config = ControllerConfig.parse("remoteDBProbingInterval: 500000000\nenablePeriodicHealing: true\ndelayRetry: 0")

    assert seconds(config.remote_db_probing_interval) == 0.5
    assert config.enable_periodic_healing
    assert config.delay_retry == 0


def test_mistakes_in_controller_conf_name_the_option():
    with pytest.raises(ConfigError) as caught:
        ControllerConfig.parse("startupResyncDeadline: 30\nmaxRetryAttempts: -1\nenableRetri: true\ndelayRetry: 1s")

    assert caught.value.problems == [
        "enableRetri: there is no such option; did you mean enableRetry?",
        "delayRetry: must be a whole number, not '1s'",
        "maxRetryAttempts: must not be negative, as -1 is",
        f"startupResyncDeadline: is in nanoseconds, and 30 are too few; for 30 s write {30 * NANOSECONDS}",
    ]
