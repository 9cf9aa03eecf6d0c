"""Policies with real packets: every case of the matrix, all pairs of nine pods on every port after each of its steps.

A run that fails prints the failing cells. The random walk prints its seed, and replays with --seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.conformance.matrix import (
    NAMES,
    NAMESPACES,
    Action,
    Case,
    admin,
    baseline,
    cases,
    one_way,
    policy,
)
from tests.conformance.nine import Nine, table
from tests.conformance.oracle_policies import Manifest
from tests.conformance.world import Probe, Role, World

pytestmark = pytest.mark.timeout(1800)

TAGS = ("target", "peers", "block", "ports", "rules", "conflict", "action", "admin")
STEPS = 25
HICCUP = 2.0
"""Seconds for which a busy machine may hold up what is allowed; that no packet is lost is asked of datagrams."""


@pytest.fixture
def nine(world: World) -> Iterator[Nine]:
    """The nine pods; the other ones of the suite stay beside them."""
    yield Nine(world)


@pytest.mark.parametrize("tag", TAGS)
def test_packets_pass_and_do_not_as_kubernetes_says(nine: Nine, version: int, tag: str) -> None:
    found = [case for case in cases(nine.cluster.pods, version) if tag in case.tags]
    failed = nine.run(found, version)
    assert not failed, failed


@pytest.mark.representative
def test_some_cases_of_every_tag(nine: Nine, version: int) -> None:
    found: dict[str, list[Case]] = {tag: [] for tag in TAGS}
    for case in cases(nine.cluster.pods, version):
        found[next(tag for tag in TAGS if tag in case.tags)].append(case)
    some = [case for of_tag in found.values() for case in (of_tag[1], of_tag[len(of_tag) // 2], of_tag[-1])]
    failed = nine.run(some, version)
    assert not failed, failed


@pytest.mark.representative
def test_the_own_node_always_reaches_its_pods_and_others_by_their_address_only(
    nine: Nine, world: World, version: int
) -> None:
    outside = world.outside.address(version)
    block = {"ipBlock": {"cidr": f"{outside}/{32 if version == 4 else 128}"}}
    for where in NAMESPACES:
        nine.apply(policy("closed", where, policyTypes=["Ingress", "Egress"]))
    nine.apply(one_way("Ingress", [{"peers": [block], "ports": [{"port": 80}]}]))
    nine.apply(admin("no", 1, ingress=[{"action": "Deny", "from": [{"namespaces": {}}]}]))
    assert nine.wrong(version) == {}
    probes = {
        (host.name, name): Probe(host, end.address(version), 80)
        for host in world.hosts.values()
        for name, end in nine.ends.items()
        if end.node == host.node
    }
    probes |= {("outside", name): Probe(world.outside, end.address(version), 80) for name, end in nine.ends.items()}
    results = dict(zip(probes, world.probe(list(probes.values())), strict=True))
    wrong = {
        who: result for who, result in results.items() if result.reached != (who[0] != "outside" or who[1] == "x/a")
    }
    assert not wrong


@pytest.mark.representative
def test_hosts_of_other_nodes_are_matched_by_their_nodes_addresses(nine: Nine, world: World, version: int) -> None:
    target = nine.ends["x/a"]
    own, *others = sorted(world.hosts.values(), key=lambda host: host.node != target.node)
    block = {"ipBlock": {"cidr": f"{others[0].address(version)}/{32 if version == 4 else 128}"}}
    nine.apply(one_way("Ingress", [{"peers": [block], "ports": [{"port": 80}]}]))
    assert nine.wrong(version) == {}
    probes = [Probe(host, target.address(version), 80) for host in (own, *others)]
    reached = [result.reached for result in world.probe(probes)]
    assert reached == [True, True, *(False for _ in others[1:])]


@pytest.mark.representative
def test_a_connection_that_a_new_policy_forbids_is_cut_and_others_are_not(nine: Nine, version: int) -> None:
    address = nine.ends["y/a"].address(version)
    stations = {name: nine.ends[name].station for name in ("x/a", "x/b")}
    streams = {name: one.start("stream", address=address, port=80, patience=3.0) for name, one in stations.items()}
    pulses = {name: one.start("pulse", address=address, port=80, every=0.01) for name, one in stations.items()}
    time.sleep(1)
    by_label = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "b"}}}
    nine.apply(one_way("Ingress", [{"peers": [by_label]}], where="y"))
    assert nine.wrong(version) == {}
    time.sleep(3)
    said = {name: running.stop() for name, running in streams.items()}
    heard = {name: running.stop() for name, running in pulses.items()}
    assert said["x/a"]["error"] == "timeout" and heard["x/a"]["silence"] > 2, (said, heard)
    assert said["x/b"]["error"] == "" and said["x/b"]["same"] and said["x/b"]["gap"] < HICCUP, said
    assert heard["x/b"]["answered"] == heard["x/b"]["sent"], heard


@pytest.mark.representative
@pytest.mark.parametrize("role", ["agent", "forwarder"])
def test_nothing_forbidden_passes_for_a_moment_when_a_daemon_dies_during_a_change(
    nine: Nine, world: World, version: int, role: Role
) -> None:
    if role not in world.roles:
        pytest.skip(f"there is no {role} here")

    def only(*names: str) -> Manifest:
        by_label = {"podSelector": {"matchExpressions": [{"key": "pod", "operator": "In", "values": list(names)}]}}
        return one_way("Ingress", [{"peers": [{"namespaceSelector": {}, **by_label}]}], where="y")

    target = nine.ends["y/a"]
    nine.apply(only("b"))
    assert nine.wrong(version) == {}
    asked = {"address": target.address(version), "port": 80, "every": 0.001}
    pulses = {name: nine.ends[name].station.start("pulse", **asked) for name in ("x/a", "x/b", "z/a", "z/b")}
    time.sleep(1)
    world.kill(role, target.node)
    nine.apply(only("b", "c"))
    time.sleep(1)
    world.start(role, target.node)
    world.wait_until_ready()
    assert nine.wrong(version, within=20) == {}
    heard = {name: running.stop() for name, running in pulses.items()}
    assert [heard[name]["answered"] for name in ("x/a", "z/a")] == [0, 0], heard
    if role == "agent":
        lost = [heard[name]["sent"] - heard[name]["answered"] for name in ("x/b", "z/b")]
        assert max(lost) <= heard["x/b"]["sent"] / 100 and heard["x/b"]["silence"] < 2, heard


def walk(dice: random.Random, nine: Nine) -> Action:
    """Anything that may happen next."""
    pods = [f"{where}/{name}" for where in NAMESPACES for name in NAMES]
    peers = [
        {"podSelector": {"matchLabels": {"pod": dice.choice(NAMES)}}},
        {"namespaceSelector": {"matchLabels": {"ns": dice.choice(NAMESPACES)}}},
        {
            "namespaceSelector": {
                "matchExpressions": [{"key": "ns", "operator": "NotIn", "values": [dice.choice(NAMESPACES)]}]
            }
        },
    ]
    ports = [{"port": dice.choice([80, 81, "web"]), "protocol": "TCP"}, {"protocol": dice.choice(["UDP", "SCTP"])}]
    direction = dice.choice(["Ingress", "Egress"])
    rule = {"peers": dice.sample(peers, dice.randrange(1, 3)), "ports": dice.sample(ports, dice.randrange(3))}
    pods_of = {} if dice.random() < 0.3 else {"matchLabels": {"pod": dice.choice(NAMES)}}
    match dice.randrange(9):
        case 0 | 1 | 2:
            made = one_way(
                direction, [rule] if dice.random() < 0.8 else [], where=dice.choice(NAMESPACES), pods=pods_of
            )
            made["metadata"]["name"] = dice.choice("pq")
            return Action("apply", made)
        case 3 | 4 if nine.cluster.policies:
            return Action("delete", nine.cluster.policies[dice.choice(sorted(nine.cluster.policies))])
        case 5:
            return Action("label pod", dice.choice(sorted(nine.ends)), {"pod": dice.choice(NAMES)})
        case 6:
            name = dice.choice(NAMESPACES)
            labels = {"ns": dice.choice(NAMESPACES)}
            return Action("apply", {"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        case 7:
            gone = [pod for pod in pods if pod not in nine.ends]
            return Action("create pod", gone[0]) if gone else Action("delete pod", dice.choice(pods))
    key, way = direction.lower(), "from" if direction == "Ingress" else "to"
    peer = {"namespaces": {"matchLabels": {"ns": dice.choice(NAMESPACES)}}}
    rules = {key: [{"action": dice.choice(["Allow", "Deny", "Pass"]), way: [peer]}]}
    if dice.random() < 0.3:
        rules[key][0]["action"] = dice.choice(["Allow", "Deny"])
        return Action("apply", baseline(**rules))
    return Action("apply", admin(dice.choice("pq"), dice.randrange(3), **rules))


@pytest.mark.parametrize("start", range(2))
def test_a_random_walk_ends_nowhere_that_the_oracle_does_not_know(
    nine: Nine, version: int, dice: random.Random, start: int
) -> None:
    dice.seed(dice.random() + start)
    done: list[str] = []
    for _ in range(STEPS):
        for _ in range(dice.randrange(1, 3)):
            action = walk(dice, nine)
            done.append(f"{action.do} {action.subject} {dict(action.labels)}")
            nine.do(action)
        wrong = nine.wrong(version)
        assert not wrong, f"after {len(done)} actions, the last ones {done[-3:]}\n{table(wrong)}"
