"""Random clusters of records: small worlds of labels, ports and addresses, in which things happen to meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from contivpp.model.adminpolicy import AdminPeer, AdminPolicy, AdminPort, AdminRule
from contivpp.model.labels import Label, LabelExpression, LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.nodeconfig import Unreadable
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

KEYS = ["pod", "ns"]
VALUES = ["a", "b"]
NAMESPACES = ["x", "y"]
PODS = [f"{namespace}/{name}" for namespace in NAMESPACES for name in "ab"]
OPERATORS = ["IN", "NOT_IN", "EXISTS", "DOES_NOT_EXIST", "GREATER"]

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)


@st.composite
def expressions(draw: st.DrawFn) -> LabelExpression:
    operator = draw(st.sampled_from(OPERATORS))
    values = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=2)) if operator.endswith("IN") else []
    return LabelExpression(key=draw(st.sampled_from(KEYS)), operator=operator, value=tuple(values))


selectors = st.builds(
    lambda wanted, more: LabelSelector(match_label=sorted_labels(wanted), match_expression=tuple(more)),
    labels,
    st.lists(expressions(), max_size=1),
)
protocols = st.sampled_from(["TCP", "UDP", "SCTP"])


@st.composite
def ports(draw: st.DrawFn) -> Port:
    protocol = draw(protocols)
    sctp, protocol = protocol == "SCTP", "TCP" if protocol == "SCTP" else protocol
    kind = draw(st.sampled_from(["all", "number", "range", "name", "bad"]))
    number = PortNameOrNumber(number=draw(st.sampled_from([80, 81])))
    match kind:
        case "all":
            return Port(protocol=protocol, sctp=sctp)
        case "number":
            return Port(port=number, protocol=protocol, sctp=sctp)
        case "range":
            return Port(port=number, protocol=protocol, sctp=sctp, end_port=81)
        case "name":
            name = PortNameOrNumber(
                type=PortType.NAME, name=draw(st.sampled_from(["web", "dns", "much-too-long-name"]))
            )
            return Port(port=name, protocol=protocol, sctp=sctp)
        case _:
            return Port(port=number, protocol=protocol, sctp=sctp, end_port=7)


blocks = st.sampled_from(
    [
        IPBlock(cidr="10.1.0.0/16"),
        IPBlock(cidr="10.1.0.0/16", except_=("10.1.1.0/24",)),
        IPBlock(cidr="10.1.1.0/24", except_=("10.1.1.0/31", "10.1.1.4/32")),
        IPBlock(cidr="fd00::/16"),
        IPBlock(cidr="10.1.1.0/24", except_=("10.9.0.0/24",)),
        IPBlock(cidr="0.0.0.0/0"),
    ]
)
peers = st.one_of(
    st.builds(Peer, pods=selectors),
    st.builds(Peer, namespaces=selectors),
    st.builds(Peer, pods=selectors, namespaces=selectors),
    st.builds(Peer, ip_block=blocks),
    st.just(Peer()),
)
some_peers = st.lists(peers, max_size=2).map(tuple)
some_ports = st.lists(ports(), max_size=2).map(tuple)
policies = st.builds(
    Policy,
    pods=selectors,
    policy_type=st.sampled_from(PolicyType),
    ingress_rule=st.lists(st.builds(IngressRule, port=some_ports, from_=some_peers), max_size=2).map(tuple),
    egress_rule=st.lists(st.builds(EgressRule, port=some_ports, to=some_peers), max_size=2).map(tuple),
)
admin_peers = st.one_of(
    st.builds(AdminPeer, namespaces=selectors),
    st.builds(AdminPeer, namespaces=selectors, pods=selectors),
    st.builds(AdminPeer, nodes=selectors),
    st.builds(
        AdminPeer, networks=st.lists(st.sampled_from(["10.1.0.0/16", "10.1.1.2/32", "x"]), max_size=2).map(tuple)
    ),
    st.just(AdminPeer(unknown="something new")),
)
admin_ports = st.one_of(
    st.builds(AdminPort, protocol=protocols, port=st.sampled_from([80, 81])),
    st.builds(AdminPort, protocol=protocols, port=st.just(80), end_port=st.sampled_from([0, 7, 81])),
    st.builds(AdminPort, name=st.sampled_from(["web", "dns"])),
)
admin_rules = st.lists(
    st.builds(
        AdminRule,
        action=st.sampled_from(["Allow", "Deny", "Pass", "Ask"]),
        peer=st.lists(admin_peers, max_size=2).map(tuple),
        port=st.lists(admin_ports, max_size=1).map(tuple),
    ),
    max_size=2,
).map(tuple)
admin_policies = st.builds(
    AdminPolicy,
    priority=st.integers(1, 2),
    namespaces=selectors,
    pods=selectors,
    ingress_rule=admin_rules,
    egress_rule=admin_rules,
)
container_ports = st.lists(
    st.builds(
        ContainerPort,
        name=st.sampled_from(["web", "dns", ""]),
        container_port=st.sampled_from([80, 81]),
        protocol=st.sampled_from(["TCP", "UDP"]),
    ),
    max_size=2,
)


@st.composite
def pods(draw: st.DrawFn, pod_id: str) -> Pod:
    namespace, _, name = pod_id.partition("/")
    # Two pods may claim one address for a moment.
    last = draw(st.integers(0, 3))
    addresses = draw(st.sampled_from([(), (f"10.1.1.{last}",), (f"10.1.1.{last}", f"fd00::{last}"), ("nonsense",)]))
    found = draw(labels)
    return Pod(
        name=name,
        namespace=namespace,
        label=sorted_labels(found),
        labels=found,
        ip_address=addresses[0] if addresses else "",
        ip_addresses=addresses if len(addresses) > 1 else (),
        container=(Container(port=tuple(draw(container_ports))),),
        host_network=draw(st.sampled_from([False, False, False, True])),
        terminated=draw(st.sampled_from([False, False, False, True])),
    )


@st.composite
def record_steps(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A kind, an ID, and the record that is put there; None for its end."""
    kind = draw(
        st.sampled_from(
            [
                "pod",
                "pod",
                "pod",
                "namespace",
                "policy",
                "policy",
                "adminnetworkpolicy",
                "baselineadminnetworkpolicy",
                "node",
            ]
        )
    )
    gone = draw(st.sampled_from([False, False, False, True]))
    match kind:
        case "pod":
            pod_id = draw(st.sampled_from(PODS))
            return kind, pod_id, None if gone else draw(pods(pod_id))
        case "namespace":
            name = draw(st.sampled_from(NAMESPACES))
            return kind, name, None if gone else Namespace(name=name, label=sorted_labels(draw(labels)))
        case "policy":
            policy_id = draw(st.sampled_from(["x/p", "x/q", "y/p"]))
            record = draw(st.one_of(policies, policies, policies, st.just(Unreadable("garbage"))))
            return kind, policy_id, None if gone else record
        case "node":
            name = draw(st.sampled_from(["node1", "node2"]))
            address = NodeAddress(type=AddressType.INTERNAL_IP, address=f"10.0.0.{draw(st.integers(1, 2))}")
            return kind, name, None if gone else Node(name=name, labels=draw(labels), addresses=(address,))
        case _:
            name = "default" if kind.startswith("baseline") else draw(st.sampled_from(["p", "q"]))
            record = draw(st.one_of(admin_policies, admin_policies, st.just(Unreadable("garbage"))))
            return kind, name, None if gone else record


local_steps = st.tuples(st.just("local"), st.sampled_from(PODS), st.one_of(st.none(), st.integers(2, 5)))
steps = st.one_of(record_steps(), record_steps(), local_steps)


def selector(**wanted: str) -> LabelSelector:
    """A selector by labels."""
    return LabelSelector(match_label=tuple(Label(key=key, value=value) for key, value in sorted(wanted.items())))
