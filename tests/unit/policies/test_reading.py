"""What cannot be read of a policy: it is named, everything else applies, and nothing is opened by it."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.agent.cluster import decode_record
from contivpp.model import codec, keys
from contivpp.model.adminpolicy import AdminPeer, AdminPolicy, AdminPort, AdminRule
from contivpp.model.labels import LabelExpression, LabelSelector, sorted_labels
from contivpp.model.pod import Container, ContainerPort, Pod
from contivpp.model.policy import (
    EgressRule,
    IngressRule,
    IPBlock,
    Peer,
    Policy,
    PolicyType,
    Port,
    PortNameOrNumber,
    PortType,
)
from contivpp.policies.explain import Connection, verdict
from contivpp.policies.index import PolicyIndex
from contivpp.policies.model import Direction

WEB = {"app": "web"}
ODD = LabelSelector(
    match_label=sorted_labels(WEB),
    match_expression=(LabelExpression(key="size", operator="GREATER", value=("3",)),),
)


def pod(name: str, last: int, labels: dict[str, str] = WEB, **more: Any) -> Pod:
    return Pod(
        name=name,
        namespace="x",
        labels=labels,
        label=sorted_labels(labels),
        ip_address=f"10.1.1.{last}",
        container=(Container(port=(ContainerPort(name="http", container_port=8080),)),),
        **more,
    )


class Node:
    """Pod x/a with labels app=web is on this node; x/b is elsewhere and has the address 10.1.1.3."""

    def __init__(self) -> None:
        self.index = PolicyIndex()
        self.index.put("pod", "x/a", pod("a", 2))
        self.index.put("pod", "x/b", pod("b", 3, {"app": "client"}))
        self.index.set_local("x/a", there=True)

    def policy(self, **fields: Any) -> None:
        self.index.put("policy", "x/p", Policy(name="p", namespace="x", **fields))

    def comes(self, port: int = 80, protocol: str = "TCP", source: str = "10.1.1.3") -> bool:
        return verdict(self.index, "x/a", Direction.INGRESS, Connection(source, "10.1.1.2", protocol, port)).allowed

    def leaves(self, port: int = 80, protocol: str = "TCP", target: str = "10.1.1.3") -> bool:
        return verdict(self.index, "x/a", Direction.EGRESS, Connection("10.1.1.2", target, protocol, port)).allowed

    @property
    def said(self) -> list[str]:
        return [problem for problems in self.index.problems().values() for problem in problems]


@pytest.fixture
def node() -> Node:
    return Node()


def test_an_unknown_operator_in_a_peer_allows_nothing_and_the_other_peer_still_does(node: Node) -> None:
    peers = (Peer(pods=ODD), Peer(ip_block=IPBlock(cidr="10.1.1.3/32")))
    node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(from_=peers),))
    assert node.comes() and not node.comes(source="10.1.1.9")
    assert node.said == ["ingress[0].peers[0]: matchExpressions, key 'size': operator 'GREATER' is unknown"]


def test_an_unknown_operator_in_the_selector_isolates_whoever_it_may_mean_and_allows_nothing(node: Node) -> None:
    node.policy(pods=ODD, ingress_rule=(IngressRule(),))
    assert not node.comes() and node.leaves()
    assert node.said == ["podSelector: matchExpressions, key 'size': operator 'GREATER' is unknown"]
    node.index.put("pod", "x/a", pod("a", 2, {"app": "db"}))
    assert node.comes()


@pytest.mark.parametrize(
    ("port", "said"),
    [
        (PortNameOrNumber(type=PortType.NAME, name="a-name-that-is-long"), "longer than 15 characters"),
        (PortNameOrNumber(type=PortType.NAME, name="Http"), "lower case"),
        (PortNameOrNumber(number=0), "0 is not a port"),
        (PortNameOrNumber(number=70000), "70000 is not a port"),
    ],
)
def test_a_port_that_is_none_is_left_out_and_the_others_apply(node: Node, port: PortNameOrNumber, said: str) -> None:
    ports = (Port(port=port), Port(port=PortNameOrNumber(number=81)))
    node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(port=ports),))
    assert node.comes(81) and not node.comes(80)
    assert [said in problem for problem in node.said] == [True], node.said


def test_a_rule_with_nothing_but_unreadable_ports_allows_nothing(node: Node) -> None:
    for bad in (
        Port(port=PortNameOrNumber(number=90), end_port=80),
        Port(end_port=80),
        Port(port=PortNameOrNumber(type=PortType.NAME, name="http"), end_port=90),
        Port(protocol="ICMP"),
    ):
        node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(port=(bad,)),))
        assert not node.comes(80) and not node.comes(90) and not node.comes(8080)
        assert len(node.said) == 1, node.said


@pytest.mark.parametrize(
    "block",
    [
        IPBlock(cidr="10.1.0.0/16", except_=("10.2.0.0/24",)),
        IPBlock(cidr="10.1.0.0/16", except_=("10.1.0.0/16",)),
        IPBlock(cidr="10.1.0.0/16", except_=("fd00::/64",)),
        IPBlock(cidr="10.1.0.0/33"),
        IPBlock(cidr="10.1.1.3"),
        IPBlock(cidr=""),
    ],
)
def test_a_block_that_is_none_matches_nobody(node: Node, block: IPBlock) -> None:
    node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(from_=(Peer(ip_block=block),)),))
    assert not node.comes() and len(node.said) == 1


def test_a_peer_of_two_minds_or_none_matches_nobody(node: Node) -> None:
    both = Peer(pods=LabelSelector(), ip_block=IPBlock(cidr="0.0.0.0/0"))
    node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(from_=(both, Peer())),))
    assert not node.comes() and len(node.said) == 2


def test_a_policy_of_which_nothing_can_be_read_isolates_its_namespace_until_it_can(node: Node) -> None:
    key = keys.record_key("policy", "x/p")
    for garbage in (b"no json", b'{"policy_type": "SIDEWAYS"}', b'{"pods": 3}'):
        decoded = decode_record(key, garbage)
        assert decoded is not None
        node.index.put(*decoded)
        assert not node.comes() and not node.leaves()
        assert "cannot be read" in node.said[0]
    node.policy(pods=LabelSelector(), policy_type=PolicyType.INGRESS, ingress_rule=(IngressRule(),))
    assert node.comes() and node.leaves() and node.said == []


def test_an_admin_policy_of_which_nothing_can_be_read_stops_nobody_and_is_named(node: Node) -> None:
    decoded = decode_record(keys.record_key("adminnetworkpolicy", "p"), b"no json")
    assert decoded is not None
    node.index.put(*decoded)
    assert node.comes() and len(node.said) == 1


def test_what_an_admin_policy_denies_and_cannot_be_read_is_denied_and_what_it_allows_is_not_allowed(node: Node) -> None:
    node.policy(pods=LabelSelector(), policy_type=PolicyType.EGRESS, egress_rule=(EgressRule(),))
    for action, allowed in (("Deny", False), ("Allow", True), ("Ask", False)):
        rule = AdminRule(action=action, peer=(AdminPeer(unknown="a peer from the future"),))
        node.index.put("adminnetworkpolicy", "p", AdminPolicy(namespaces=LabelSelector(), egress_rule=(rule,)))
        assert node.leaves() is allowed, action
        assert node.said


def test_deny_of_an_unreadable_port_denies_every_port(node: Node) -> None:
    rule = AdminRule(
        action="Deny", peer=(AdminPeer(networks=("10.1.1.3/32",)),), port=(AdminPort(port=80, end_port=7),)
    )
    node.index.put("adminnetworkpolicy", "p", AdminPolicy(namespaces=LabelSelector(), egress_rule=(rule,)))
    assert not node.leaves(9000) and node.leaves(9000, target="10.1.1.4")


@pytest.mark.parametrize("peer", [AdminPeer(networks=("10.1.1.3/32",)), AdminPeer(nodes=LabelSelector())])
def test_networks_and_nodes_have_no_names_of_ports(node: Node, peer: AdminPeer) -> None:
    rule = AdminRule(action="Deny", peer=(peer,), port=(AdminPort(name="http"),))
    node.index.put("adminnetworkpolicy", "p", AdminPolicy(namespaces=LabelSelector(), egress_rule=(rule,)))
    assert "nodes and networks have none" in node.said[0]
    assert node.leaves(9000) is not bool(peer.networks)


def test_a_named_port_that_the_pod_does_not_have_allows_nothing(node: Node) -> None:
    for name, open_at in (("http", 8080), ("https", None)):
        port = Port(port=PortNameOrNumber(type=PortType.NAME, name=name))
        node.policy(pods=LabelSelector(), ingress_rule=(IngressRule(port=(port,)),))
        assert [number for number in (80, 8080) if node.comes(number)] == ([open_at] if open_at else [])
        assert node.said == []


def test_a_pod_that_nobody_has_reflected_yet_is_closed_where_any_policy_of_its_namespace_closes(node: Node) -> None:
    node.index.set_local("x/new", there=True)
    connection = Connection("10.1.1.3", "10.1.1.7", "TCP", 80)
    directions = (Direction.INGRESS, Direction.EGRESS)
    assert [verdict(node.index, "x/new", one, connection).allowed for one in directions] == [True, True]
    node.policy(pods=ODD, policy_type=PolicyType.INGRESS, ingress_rule=(IngressRule(),))
    assert [verdict(node.index, "x/new", one, connection).allowed for one in directions] == [False, True]
    node.index.put("pod", "x/new", pod("new", 7, {"app": "db"}))
    assert [verdict(node.index, "x/new", one, connection).allowed for one in directions] == [True, True]


def test_a_pod_that_is_said_to_have_ended_is_as_closed_as_before_while_its_sandbox_is_there(node: Node) -> None:
    rule = IngressRule(from_=(Peer(pods=LabelSelector(match_label=sorted_labels({"app": "client"}))),))
    node.policy(pods=LabelSelector(), policy_type=PolicyType.INGRESS_AND_EGRESS, ingress_rule=(rule,))
    node.index.put("pod", "x/a", pod("a", 2, terminated=True))
    assert (node.comes(), node.comes(source="10.1.1.4"), node.leaves()) == (True, False, False)
    node.index.put("pod", "x/b", pod("b", 3, {"app": "client"}, terminated=True))
    assert not node.comes(), "its address may be somebody else's"


def test_the_original_types_default_as_kubernetes_does(node: Node) -> None:
    node.policy(pods=LabelSelector())
    assert not node.comes() and node.leaves()
    node.policy(pods=LabelSelector(), egress_rule=(EgressRule(port=(Port(port=PortNameOrNumber(number=81)),)),))
    assert not node.comes() and not node.leaves(80) and node.leaves(81)


def test_a_policy_decodes_with_words_that_are_not_known() -> None:
    policy = Policy(name="p", namespace="x", pods=ODD)
    assert codec.decode(Policy, codec.encode(policy)) == policy


def test_equal_selectors_share_a_set_whatever_the_order_in_which_they_are_written(node: Node) -> None:
    labels = sorted_labels({"app": "client", "tier": "front"})
    for number, wanted in enumerate((labels, labels[::-1])):
        peer = Peer(pods=LabelSelector(match_label=wanted))
        policy = Policy(namespace="x", pods=LabelSelector(), ingress_rule=(IngressRule(from_=(peer,)),))
        node.index.put("policy", f"x/p{number}", policy)
    assert len(list(node.index.sets)) == 1
