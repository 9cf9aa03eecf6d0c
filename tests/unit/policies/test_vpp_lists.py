"""Access lists for VPP say what the oracle says, in every case of the matrix; what VPP cannot see opens nothing."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from contivpp.agent.pods.api import Sandbox
from contivpp.agent.policies.vpp import DENY, VppPolicies
from contivpp.agent.view import LocalPod, OwnNode
from contivpp.dataplane.vpp.values.acl import Acl, AclList
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from tests.conformance.matrix import NAMES, NAMESPACES, PORTS, admin, cases, policy
from tests.conformance.oracle_policies import Pod, allowed
from tests.conformance.simulation import Simulation, pod_of

CONFIG = ContivConfig.parse(
    "{dataplane: vpp, ipamConfig: {podSubnetCIDR: '10.1.0.0/16,fd00:10:1::/48'}}", node_name="node1"
)
PODS = {f"{where}/{name}": pod_of(where, name) for where in NAMESPACES for name in NAMES}
NUMBERS = {"ICMP": 1, "TCP": 6, "UDP": 17, "SCTP": 132}
HOST = "192.168.7.1"
SYN, ACK = 0x02, 0x10
TAGS = ("target", "peers", "block", "ports", "rules", "conflict", "action", "admin")
"""Every case has one of these at least, and is tried under the first one."""


@functools.cache  # the same few are asked for millions of times
def _lies_in(address: str, subnet: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet)


class Lists:
    """What the lists of all pods let open."""

    def __init__(self, world: Simulation) -> None:
        renderer = VppPolicies("if-{}".format)
        self._lists: dict[str, Acl] = {}
        self._places: dict[str, AclList] = {}
        for name, pod in world.cluster.pods.items():
            local = LocalPod(Sandbox(PodID(pod.name, pod.namespace), name, "/n", "eth0"), pod.addresses)
            index = world.nodes[pod.node]
            own = OwnNode(pod.node, id=1, host=(HOST,))
            values = renderer.pod(local, index.tables(name), own, CONFIG.plan, index.sets.members)
            for value in values.values():
                if isinstance(value, AclList):
                    self._places[name] = value
                else:
                    self._lists[value.name] = value
        self._lists[DENY] = next(iter(renderer.base(CONFIG.plan).values()))

    def opens(self, source: Pod, target: Pod, protocol: str, port: int, version: int) -> bool:
        if source == target:
            return True
        own, other = (next(a for a in pod.addresses if (":" in a) == (version == 6)) for pod in (source, target))
        ways = [(source, target, own, other)]
        if protocol == "SCTP":  # which knows no connections: answers are packets like any other
            ways.append((target, source, other, own))
        return all(
            self.passes(self._places[str(one)].inbound, first, second, protocol, port)
            and self.passes(self._places[str(another)].outbound, first, second, protocol, port)
            for one, another, first, second in ways
        )

    def comes(self, pod: Pod, source: str, protocol: str, port: int) -> bool:
        return self.passes(self._places[str(pod)].outbound, source, pod.addresses[0], protocol, port)

    def leaves(self, pod: Pod, source: str, target: str) -> bool:
        return self.passes(self._places[str(pod)].inbound, source, target, "TCP", 80)

    def passes(self, names: tuple[str, ...], source: str, target: str, protocol: str, port: int) -> bool:
        return self.decides(names, source, target, protocol, port) != "deny"

    def decides(
        self, names: tuple[str, ...], source: str, target: str, protocol: str, port: int, flags: int = SYN
    ) -> str:
        for rule in (rule for name in names for rule in self._lists[name].rules):
            if not (_lies_in(source, rule.source) and _lies_in(target, rule.destination)):
                continue
            if rule.protocol not in (0, NUMBERS[protocol]):
                continue
            if rule.protocol and not rule.destination_ports[0] <= port <= rule.destination_ports[1]:
                continue
            if flags & rule.tcp_flags[0] != rule.tcp_flags[1]:
                continue
            return rule.action
        raise AssertionError("the last list decides on everything")

    def inbound(self, pod: str) -> tuple[str, ...]:
        return self._places[pod].inbound

    def outbound(self, pod: str) -> tuple[str, ...]:
        return self._places[pod].outbound

    def all(self) -> list[Acl]:
        return list(self._lists.values())


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("version", [4, 6])
def test_lists_say_what_kubernetes_says(tag: str, version: int) -> None:
    failed: list[Any] = []
    mine = [case for case in cases(PODS, version) if next((one for one in TAGS if one in case.tags), "") == tag]
    assert mine
    for case in mine:
        world = Simulation()
        for step in case.steps:
            for action in step:
                world.do(action)
            lists, pods = Lists(world), list(world.cluster.pods.values())
            for source in pods:
                for target in pods:
                    address = next(a for a in target.addresses if (":" in a) == (version == 6))
                    for port in PORTS:
                        for protocol in ("TCP", "UDP", "SCTP"):
                            expected = allowed(world.cluster, source, target, protocol, port, address)
                            found = lists.opens(source, target, protocol, port, version)
                            if found != expected and not (protocol == "SCTP" and not found):
                                failed.append((case.name, str(source), str(target), protocol, port, expected))
    assert not failed, (len(failed), failed[:5])


def test_single_ports_of_sctp_are_closed_and_all_of_it_can_be_open() -> None:
    world = Simulation()
    for port in ({"protocol": "SCTP", "port": 80}, {"protocol": "SCTP"}):
        world.apply(policy("p", "x", policyTypes=["Ingress"], ingress=[{"ports": [port]}]))
        found = Lists(world).opens(PODS["y/a"], PODS["x/a"], "SCTP", 80, 4)
        assert found is ("port" not in port)
    on_80 = [{"portNumber": {"protocol": "SCTP", "port": 80}}]
    world.apply(admin("no", 1, ingress=[{"action": "Deny", "from": [{"namespaces": {}}], "ports": on_80}]))
    lists = Lists(world)
    assert not lists.opens(PODS["y/a"], PODS["x/a"], "SCTP", 81, 4)
    assert not lists.opens(PODS["y/a"], PODS["x/a"], "TCP", 81, 4)


def test_sctp_passes_only_where_both_directions_are_open() -> None:
    world = Simulation()
    assert Lists(world).opens(PODS["y/a"], PODS["x/a"], "SCTP", 80, 4)
    by_pod = {"podSelector": {"matchLabels": {"pod": "b"}}}
    ways = {"policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{"to": [by_pod]}]}
    world.apply(policy("p", "x", pods={"matchLabels": {"pod": "a"}}, **ways))
    lists = Lists(world)
    for protocol, opened in (("TCP", True), ("SCTP", False)):
        assert lists.opens(PODS["y/a"], PODS["x/a"], protocol, 80, 4) is opened
        assert lists.opens(PODS["x/b"], PODS["x/a"], protocol, 80, 4)
    for rule in (rule for one in lists.all() for rule in one.rules):
        assert rule.action != "reflect" or rule.protocol != NUMBERS["SCTP"]


def test_what_a_free_direction_sends_on_an_old_connection_makes_no_new_one_of_it() -> None:
    world = Simulation()
    source, target = PODS["x/a"].addresses[0], PODS["y/a"].addresses[0]
    pods = ("x/a", "y/a")
    for flags, decisions in ((SYN, ["reflect", "reflect"]), (ACK, ["permit", "permit"])):
        lists = Lists(world)
        assert [
            lists.decides(names, source, target, "TCP", 80, flags)
            for names in (lists.inbound(pods[0]), lists.outbound(pods[1]))
        ] == decisions
    world.apply(policy("p", "y", policyTypes=["Ingress"], ingress=[{"from": [{"namespaceSelector": {}}]}]))
    lists = Lists(world)
    # What is allowed by a rule goes on after any change of the rules; answers on what is not are no connection.
    assert lists.decides(lists.outbound("y/a"), source, target, "TCP", 80, ACK) == "reflect"
    assert lists.decides(lists.inbound("y/a"), target, source, "TCP", 40000, SYN | ACK) == "permit"
    assert lists.decides(lists.inbound("y/a"), target, source, "UDP", 40000) == "reflect"


def test_the_own_host_always_comes_in_and_nobody_else_does_and_a_pod_sends_as_itself_only() -> None:
    world = Simulation()
    world.apply(policy("p", "x", policyTypes=["Ingress"]))
    lists, pod = Lists(world), PODS["x/a"]
    assert lists.comes(pod, HOST, "TCP", 80) and not lists.comes(pod, "192.168.7.2", "TCP", 80)
    assert lists.leaves(pod, pod.addresses[0], "10.1.9.9") and not lists.leaves(pod, "10.1.1.99", "10.1.9.9")
    closed = Simulation()
    assert Lists(closed).comes(pod, "192.168.7.2", "TCP", 80)


def test_neighbouring_peers_are_written_out_together() -> None:
    world = Simulation()
    for number in range(8):
        peer = replace(PODS["x/b"], name=f"n{number}", labels={"pod": "n"}, addresses=(f"10.1.9.{number}",))
        world.put_pod(peer)
    by_pod = {"podSelector": {"matchLabels": {"pod": "n"}}}
    world.apply(policy("p", "x", pods={"matchLabels": {"pod": "a"}}, ingress=[{"from": [by_pod]}]))
    rules = [rule for one in Lists(world).all() for rule in one.rules if one.name.endswith("/out")]
    towards = {rule.source for rule in rules if rule.destination == f"{PODS['x/a'].addresses[0]}/32"}
    assert {source for source in towards if source.startswith("10.1.9.")} == {"10.1.9.0/29"}
