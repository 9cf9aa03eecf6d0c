"""Random clusters and policies: the tables that nodes compute, step by step, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.matrix import NAMES, NAMESPACES, admin, baseline, namespace, policy
from tests.conformance.oracle_policies import Manifest
from tests.conformance.simulation import Simulation, pod_of

PODS = [f"{where}/{name}" for where in NAMESPACES for name in NAMES]
CIDRS = ["10.1.0.0/16", "10.1.1.0/24", "10.1.2.12/32", "0.0.0.0/0", "fd00:1:1::/48", "::/0", "10.0.0.0/24"]
NAMED = ["serve-80-tcp", "serve-81-udp", "web", "no-such-port"]


@st.composite
def selectors(draw: st.DrawFn, key: str, values: tuple[str, ...]) -> Manifest:
    found: Manifest = {}
    if draw(st.booleans()):
        found["matchLabels"] = {key: draw(st.sampled_from(values))}
    if draw(st.integers(0, 2)) == 0:
        operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]))
        one: Manifest = {"key": draw(st.sampled_from([key, "more"])), "operator": operator}
        if operator.endswith("In"):
            one["values"] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
        found["matchExpressions"] = [one]
    return found


pod_selectors = selectors("pod", (*NAMES, "other"))
namespace_selectors = selectors("ns", (*NAMESPACES, "other"))
protocols = st.sampled_from(["TCP", "UDP", "SCTP"])


@st.composite
def peers(draw: st.DrawFn) -> Manifest:
    match draw(st.integers(0, 3)):
        case 0:
            return {"podSelector": draw(pod_selectors)}
        case 1:
            return {"namespaceSelector": draw(namespace_selectors)}
        case 2:
            return {"namespaceSelector": draw(namespace_selectors), "podSelector": draw(pod_selectors)}
    cidr = draw(st.sampled_from(CIDRS))
    inner = {"10.1.0.0/16": ["10.1.1.0/24", "10.1.2.12/32"], "0.0.0.0/0": ["10.1.0.0/17"], "::/0": ["fd00:1:1::/48"]}
    block: Manifest = {"cidr": cidr}
    if cidr in inner and draw(st.booleans()):
        block["except"] = inner[cidr]
    return {"ipBlock": block}


@st.composite
def ports(draw: st.DrawFn) -> Manifest:
    found: Manifest = {} if draw(st.booleans()) else {"protocol": draw(protocols)}
    match draw(st.integers(0, 3)):
        case 0:
            found["port"] = draw(st.sampled_from([79, 80, 81]))
        case 1:
            found["port"] = draw(st.sampled_from(NAMED))
        case 2:
            found |= {"port": 80, "endPort": draw(st.sampled_from([80, 81, 90]))}
    return found


def rules(key: str) -> st.SearchStrategy[list[Manifest]]:
    optional = {key: st.lists(peers(), max_size=2), "ports": st.lists(ports(), max_size=2)}
    return st.lists(st.fixed_dictionaries({}, optional=optional), max_size=2)


types = st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"], []])
policies = st.builds(
    lambda name, where, pods, types, ingress, egress: policy(
        name, where, pods=pods, policyTypes=types, ingress=ingress, egress=egress
    ),
    st.sampled_from("pq"),
    st.sampled_from(NAMESPACES),
    pod_selectors,
    types,
    rules("from"),
    rules("to"),
)
chosen = st.one_of(
    st.builds(lambda one: {"namespaces": one}, namespace_selectors),
    st.builds(
        lambda one, other: {"pods": {"namespaceSelector": one, "podSelector": other}},
        namespace_selectors,
        pod_selectors,
    ),
)
admin_ports = st.one_of(
    st.builds(lambda one, port: {"portNumber": {"protocol": one, "port": port}}, protocols, st.sampled_from([80, 81])),
    st.builds(lambda one: {"portRange": {"protocol": one, "start": 80, "end": 81}}, protocols),
    st.builds(lambda one: {"namedPort": one}, st.sampled_from(NAMED)),
)


def admin_rules(key: str, actions: list[str]) -> st.SearchStrategy[list[Manifest]]:
    who = chosen
    if key == "to":
        networks = st.builds(lambda one: {"networks": [one]}, st.sampled_from(CIDRS))
        who = st.one_of(chosen, networks, st.just({"nodes": {}}))
    wanted = {"action": st.sampled_from(actions), key: st.lists(who, min_size=1, max_size=2)}
    rule = st.fixed_dictionaries(wanted, optional={"ports": st.lists(admin_ports, max_size=2)})
    return st.lists(rule.filter(lambda one: _accepted(one, key)), max_size=3)


def _accepted(rule: Manifest, key: str) -> bool:
    """Whether the API takes a rule: networks and nodes have no names of ports."""
    by_address = any("networks" in one or "nodes" in one for one in rule[key])
    return not (by_address and any("namedPort" in one for one in rule.get("ports", ())))


ALL = ["Allow", "Deny", "Pass"]
admins = st.builds(
    lambda name, priority, subject, ingress, egress: admin(name, priority, subject, ingress=ingress, egress=egress),
    st.sampled_from("pq"),
    st.integers(1, 3),
    chosen,
    admin_rules("from", ALL),
    admin_rules("to", ALL),
)
baselines = st.builds(
    lambda subject, ingress, egress: baseline(subject, ingress=ingress, egress=egress),
    chosen,
    admin_rules("from", ALL[:2]),
    admin_rules("to", ALL[:2]),
)
namespaces = st.builds(
    lambda name, label, more: {
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"ns": label, **({"more": "y"} if more else {})}},
    },
    st.sampled_from(NAMESPACES),
    st.sampled_from((*NAMESPACES, "other")),
    st.booleans(),
)


@st.composite
def pods(draw: st.DrawFn) -> Any:
    pod = pod_of(*draw(st.sampled_from(PODS)).split("/"))
    labels = {"pod": draw(st.sampled_from((*NAMES, "other"))), **({"more": "a"} if draw(st.booleans()) else {})}
    found = draw(st.sampled_from(["pod", "pod", "pod", "ended", "host network"]))
    if found == "host network":
        number = int(pod.node[-1])
        return replace(pod, labels=labels, host_network=True, addresses=(f"10.0.0.{number}", f"fd00::{number}"))
    return replace(pod, labels=labels, ended=found == "ended")


steps = st.lists(st.one_of(policies, policies, policies, admins, baselines, namespaces, pods()), max_size=8)


@given(history=steps, gone=st.sets(st.integers(0, 7), max_size=2), version=st.sampled_from([4, 6]))
@settings(deadline=None, max_examples=150)
def test_the_tables_say_what_the_oracle_says(history: list[Any], gone: set[int], version: int) -> None:
    world = Simulation()
    for step in history:
        if isinstance(step, dict):
            world.apply(step)
        else:
            world.put_pod(step)
    manifests = [step for step in history if isinstance(step, dict)]
    for manifest in [manifests[number] for number in sorted(gone) if number < len(manifests)]:
        if _key(manifest) in world.cluster.policies:
            world.delete(manifest)
    assert list(world.wrong(version)) == []


def _key(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def test_the_other_labels_matter() -> None:
    world = Simulation()
    world.apply(namespace("x", more="y"))
    world.apply(
        policy(
            "p",
            "y",
            policyTypes=["Ingress"],
            ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"more": "y"}}}]}],
        )
    )
    assert world.passes(pod_of("x", "a"), pod_of("y", "a"), "TCP", 80, 4)
    assert not world.passes(pod_of("z", "a"), pod_of("y", "a"), "TCP", 80, 4)
    assert list(world.wrong(4)) == []
