"""Cases of policies by tag: what is selected, who the peers are, which ports, how policies meet, and what changes.

The world of all cases: namespaces x, y and z with pods a, b and c each, every pod on a node of its own in its namespace,
listening on ports 80 and 81 by TCP, UDP and SCTP. A pod has its name as label `pod`, a namespace its name as label
`ns`. A case is a sequence of steps, and after each of them every pair of pods is asked on every port.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tests.conformance.oracle_policies import Manifest, Pod

NAMESPACES: Final = ("x", "y", "z")
NAMES: Final = ("a", "b", "c")
PORTS: Final = (80, 81)
PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
Do = Literal["apply", "delete", "label pod", "delete pod", "create pod"]


@dataclass(frozen=True)
class Action:
    """One thing that is done; `subject` is a manifest, or the name of a pod, `labels` those that it gets."""

    do: Do
    subject: Any
    labels: Mapping[str, str] = field(default_factory=dict)


Step = tuple[Action, ...]


@dataclass(frozen=True)
class Case:
    """What happens, in steps; every pair is asked after each of them."""

    name: str
    tags: tuple[str, ...]
    steps: tuple[Step, ...]


def names_of_ports(pod: str) -> tuple[tuple[str, str, int], ...]:
    """Names of a pod's ports: one per port, and `web`, which is another port in every pod."""
    named = [(f"serve-{port}-{protocol.lower()}", protocol, port) for port in PORTS for protocol in PROTOCOLS]
    return (*named, ("web", "TCP", 81 if pod == "b" else 80))


def node_of(namespace: str, name: str) -> int:
    """The place of a pod's node."""
    return (NAMES.index(name) + NAMESPACES.index(namespace)) % 3


def namespace(name: str, **more: str) -> Manifest:
    """A namespace with its labels."""
    return {"kind": "Namespace", "metadata": {"name": name, "labels": {"ns": name, **more}}}


def policy(name: str, where: str, *, pods: Manifest | None = None, **spec: Any) -> Manifest:
    """A NetworkPolicy; `spec` has policyTypes, ingress, egress."""
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": {"podSelector": {} if pods is None else pods, **spec},
    }


def one_way(direction: str, rules: Sequence[Manifest], *, where: str = "x", pods: Manifest | None = None) -> Manifest:
    """A policy of one direction; rules have `peers` and `ports`."""
    key = "from" if direction == "Ingress" else "to"
    read = [
        {**({key: rule["peers"]} if "peers" in rule else {}), **({"ports": rule["ports"]} if "ports" in rule else {})}
        for rule in rules
    ]
    found = {"matchLabels": {"pod": "a"}} if pods is None else pods
    return policy("p", where, pods=found, policyTypes=[direction], **{direction.lower(): read})


def admin(name: str, priority: int, subject: Manifest | None = None, **rules: Any) -> Manifest:
    """An AdminNetworkPolicy."""
    spec = {"priority": priority, "subject": subject or {"namespaces": {"matchLabels": {"ns": "x"}}}, **rules}
    return {"kind": "AdminNetworkPolicy", "metadata": {"name": name}, "spec": spec}


def baseline(subject: Manifest | None = None, **rules: Any) -> Manifest:
    """The BaselineAdminNetworkPolicy."""
    return {
        "kind": "BaselineAdminNetworkPolicy",
        "metadata": {"name": "default"},
        "spec": {"subject": subject or {"namespaces": {}}, **rules},
    }


def cases(pods: Mapping[str, Pod], version: int) -> list[Case]:
    """All of them; blocks are about the addresses of the pods in an IP version."""
    found = [
        *_target(),
        *_peers(),
        *_blocks(pods, version),
        *_ports(),
        *_rules(),
        *_conflicts(),
        *_actions(),
        *_admin(),
    ]
    names = [case.name for case in found]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return found


_DIRECTIONS: Final = ("Ingress", "Egress")
_EVERYBODY: Final = [{"namespaceSelector": {}}]


def _labels(**wanted: str) -> Manifest:
    return {"matchLabels": wanted}


def _expression(key: str, operator: str, *values: str) -> Manifest:
    expression: Manifest = {"key": key, "operator": operator}
    if values:
        expression["values"] = list(values)
    return {"matchExpressions": [expression]}


def _applied(name: str, tags: Sequence[str], *manifests: Manifest) -> Case:
    return Case(name, tuple(tags), (tuple(Action("apply", one) for one in manifests),))


def _target() -> Iterator[Case]:
    selectors = {
        "all": {},
        "one": _labels(pod="a"),
        "none": _labels(pod="nobody"),
        "in": _expression("pod", "In", "a", "b"),
        "not in": _expression("pod", "NotIn", "a"),
        "exists": _expression("pod", "Exists"),
        "does not exist": _expression("pod", "DoesNotExist"),
        "label and expression": {**_labels(pod="a"), **_expression("pod", "NotIn", "b")},
    }
    for direction in _DIRECTIONS:
        for name, selector in selectors.items():
            rules = [{"peers": [{"podSelector": _labels(pod="b")}]}]
            yield _applied(
                f"target {name}, {direction}", ("target", direction), one_way(direction, rules, pods=selector)
            )
    yield _applied("target in another namespace", ("target",), one_way("Ingress", [], where="y", pods={}))


def _peers() -> Iterator[Case]:
    kinds = ("nil", "all", "label", "in", "not in", "exists", "does not exist")
    for direction in _DIRECTIONS:
        for namespaces in kinds:
            for pods in kinds:
                if namespaces == pods == "nil":
                    continue
                peer = {}
                if (found := _selector("ns", namespaces, "x", "y")) is not None:
                    peer["namespaceSelector"] = found
                if (found := _selector("pod", pods, "b", "c")) is not None:
                    peer["podSelector"] = found
                rules = [{"peers": [peer]}]
                yield _applied(
                    f"peers namespaces {namespaces}, pods {pods}, {direction}",
                    ("peers", direction),
                    one_way(direction, rules),
                )
        several = [
            {"podSelector": _labels(pod="b")},
            {"namespaceSelector": _labels(ns="y"), "podSelector": _labels(pod="c")},
        ]
        yield _applied(
            f"peers nobody in the list, {direction}", ("peers", direction), one_way(direction, [{"peers": []}])
        )
        yield _applied(f"peers no list, {direction}", ("peers", direction), one_way(direction, [{}]))
        yield _applied(f"peers several, {direction}", ("peers", direction), one_way(direction, [{"peers": several}]))


def _selector(key: str, kind: str, first: str, second: str) -> Manifest | None:
    match kind:
        case "nil":
            return None
        case "all":
            return {}
        case "label":
            return _labels(**{key: first})
        case "in":
            return _expression(key, "In", first, second)
        case "not in":
            return _expression(key, "NotIn", first, second)
        case "exists":
            return _expression(key, "Exists")
    return _expression(key, "DoesNotExist")


def _blocks(pods: Mapping[str, Pod], version: int) -> Iterator[Case]:
    addresses = {
        name: next(one for one in pod.addresses if ipaddress.ip_address(one).version == version)
        for name, pod in pods.items()
    }
    one = {name: str(ipaddress.ip_network(address)) for name, address in addresses.items()}
    bits = 32 if version == 4 else 128
    around = _around(addresses.values(), bits)
    node = _around([addresses[name] for name, pod in pods.items() if pod.node == pods["x/b"].node], bits)
    everything = "0.0.0.0/0" if version == 4 else "::/0"
    blocks: dict[str, list[Manifest]] = {
        "everything": [{"cidr": everything}],
        "everything but one pod": [{"cidr": everything, "except": [one["x/b"]]}],
        "one pod": [{"cidr": one["y/b"]}],
        "one pod and another": [{"cidr": one["y/b"]}, {"cidr": one["x/c"]}],
        "all pods": [{"cidr": around}],
        "all pods but two": [{"cidr": around, "except": sorted([one["y/a"], one["z/c"]])}],
        "all pods but those of a node": [{"cidr": around, "except": [node]}],
        "an except that another block has": [{"cidr": around, "except": [one["y/a"]]}, {"cidr": one["y/a"]}],
        "excepts that overlap": [{"cidr": around, "except": [node, one["x/b"]]}],
        "nobody": [{"cidr": "203.0.113.0/24" if version == 4 else "2001:db8:9::/48"}],
        "the other version": [{"cidr": "::/0" if version == 4 else "0.0.0.0/0"}],
    }
    for direction in _DIRECTIONS:
        for name, found in blocks.items():
            peers: list[Manifest] = [{"ipBlock": block} for block in found]
            yield _applied(
                f"block {name}, {direction}", ("peers", "block", direction), one_way(direction, [{"peers": peers}])
            )
        peers = [{"ipBlock": {"cidr": one["z/a"]}}, {"podSelector": _labels(pod="b")}]
        yield _applied(
            f"block or pods, {direction}", ("peers", "block", direction), one_way(direction, [{"peers": peers}])
        )
        named = [{"peers": [{"ipBlock": {"cidr": around, "except": [one["x/b"]]}}], "ports": [{"port": "web"}]}]
        yield _applied(
            f"block with a named port, {direction}", ("ports", "block", direction), one_way(direction, named)
        )


def _around(addresses: Any, bits: int) -> str:
    """The smallest subnet that holds several addresses, and no single one."""
    numbers = sorted(int(ipaddress.ip_address(one)) for one in addresses)
    length = min(bits - 1, bits - (numbers[0] ^ numbers[-1]).bit_length())
    kind = ipaddress.IPv4Address if bits == 32 else ipaddress.IPv6Address
    return str(ipaddress.ip_network(f"{kind(numbers[0])}/{length}", strict=False))


def _ports() -> Iterator[Case]:
    ports: dict[str, list[Manifest]] = {
        "empty": [],
        "no protocol": [{}],
        **{f"all {protocol}": [{"protocol": protocol}] for protocol in PROTOCOLS},
        **{
            f"{number} {protocol or 'no protocol'}": [{"port": number, **({"protocol": protocol} if protocol else {})}]
            for number in PORTS
            for protocol in (None, *PROTOCOLS)
        },
        **{
            f"named {number} {protocol}": [{"port": f"serve-{number}-{protocol.lower()}", "protocol": protocol}]
            for number in PORTS
            for protocol in PROTOCOLS
        },
        "named with another protocol": [{"port": "serve-80-tcp", "protocol": "UDP"}],
        "named and nobody has it": [{"port": "no-such-port"}],
        "named differently per pod": [{"port": "web"}],
        "a port that nobody has": [{"port": 79}],
        "range": [{"port": 80, "endPort": 81}],
        "range beside": [{"port": 82, "endPort": 90, "protocol": "TCP"}],
        "range from": [{"port": 81, "endPort": 65535, "protocol": "UDP"}],
        "range of one": [{"port": 80, "endPort": 80, "protocol": "SCTP"}],
        "two": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "UDP"}],
        "two, named and not": [{"port": "web"}, {"port": 81, "protocol": "SCTP"}],
        "overlapping": [{"port": 80, "endPort": 81}, {"port": 80}, {"protocol": "UDP"}],
        "all protocols": [{"protocol": protocol} for protocol in PROTOCOLS],
    }
    for direction in _DIRECTIONS:
        for name, found in ports.items():
            rule = {"peers": _EVERYBODY, "ports": found}
            yield _applied(f"ports {name}, {direction}", ("ports", direction), one_way(direction, [rule]))
        for name in ("named differently per pod", "80 TCP", "named and nobody has it"):
            yield _applied(
                f"ports {name} and no peers, {direction}",
                ("ports", direction),
                one_way(direction, [{"ports": ports[name]}]),
            )


def _rules() -> Iterator[Case]:
    for direction in _DIRECTIONS:
        yield _applied(f"rules none, {direction}", ("rules", "deny-all", direction), one_way(direction, [], pods={}))
        yield _applied(
            f"rules one for all, {direction}", ("rules", "allow-all", direction), one_way(direction, [{}], pods={})
        )
        two = [
            {"peers": [{"podSelector": _labels(pod="b")}], "ports": [{"port": 80}]},
            {"peers": [{"namespaceSelector": _labels(ns="z")}], "ports": [{"port": 81, "protocol": "UDP"}]},
        ]
        yield _applied(f"rules two, {direction}", ("rules", direction), one_way(direction, two))
    ways: dict[str, Manifest] = {
        "no types": {"ingress": [{}]},
        "no types, egress": {"egress": [{"to": [{"podSelector": {}}]}]},
        "no types, nothing": {},
        "both types, nothing": {"policyTypes": ["Ingress", "Egress"]},
        "egress without rules": {"policyTypes": ["Egress"]},
        "ingress rules that do not count": {"policyTypes": ["Egress"], "ingress": [{}], "egress": [{}]},
        "both, with rules": {
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": _labels(pod="c")}]}],
            "egress": [{"to": [{"namespaceSelector": _labels(ns="y")}]}],
        },
    }
    for name, spec in ways.items():
        yield _applied(f"types {name}", ("rules",), policy("p", "x", pods=_labels(pod="a"), **spec))


def _conflicts() -> Iterator[Case]:
    def same(name: str, direction: str, rules: Sequence[Manifest], **more: Any) -> Manifest:
        found = copy.deepcopy(one_way(direction, rules, **more))
        found["metadata"]["name"] = name
        return found

    for direction in _DIRECTIONS:
        other = "Egress" if direction == "Ingress" else "Ingress"
        closed, free = same("deny", direction, []), same("allow", direction, [{}])
        by_pod = same("pod", direction, [{"peers": [{"podSelector": _labels(pod="b")}]}])
        by_port = same("port", direction, [{"peers": _EVERYBODY, "ports": [{"port": 80}]}])
        tags = ("conflict", direction)
        yield _applied(f"conflict deny and allow all, {direction}", tags, closed, free)
        yield _applied(f"conflict allow all and deny, {direction}", tags, free, closed)
        yield _applied(f"conflict deny and some, {direction}", tags, closed, by_pod)
        yield _applied(f"conflict two that add up, {direction}", tags, by_pod, by_port)
        yield _applied(f"conflict all pods and one, {direction}", tags, same("all", direction, [], pods={}), by_pod)
        yield _applied(
            f"conflict source and target, {direction}",
            tags,
            same("here", direction, [{}]),
            same("there", other, [], where="y", pods={}),
        )
        yield _applied(
            f"conflict both must agree, {direction}",
            tags,
            same("here", direction, [{"peers": _EVERYBODY, "ports": [{"port": 80}]}]),
            same("there", other, [{"peers": _EVERYBODY, "ports": [{"port": 81}, {"port": 80}]}], where="y", pods={}),
        )
        yield _applied(
            f"conflict both must agree and do not, {direction}",
            tags,
            same("here", direction, [{"peers": _EVERYBODY, "ports": [{"port": 80}]}]),
            same("there", other, [{"peers": _EVERYBODY, "ports": [{"port": 81}]}], where="y", pods={}),
        )
    for namespace_name in NAMESPACES:
        yield _applied(
            f"conflict everything closed but {namespace_name}",
            ("conflict", "deny-all"),
            *(policy("deny", one, policyTypes=["Ingress", "Egress"]) for one in NAMESPACES),
            policy(
                "allow",
                namespace_name,
                policyTypes=["Ingress", "Egress"],
                ingress=[{"from": [{"podSelector": {}}]}],
                egress=[{"to": [{"podSelector": {}}]}],
            ),
        )


def _actions() -> Iterator[Case]:
    def apply(*manifests: Manifest) -> Step:
        return tuple(Action("apply", one) for one in manifests)

    for direction in _DIRECTIONS:
        tags = ("action", direction)
        by_pod = one_way(direction, [{"peers": [{"podSelector": _labels(pod="b")}]}])
        by_other = one_way(direction, [{"peers": [{"podSelector": _labels(pod="c")}], "ports": [{"port": 81}]}])
        by_namespace = one_way(direction, [{"peers": [{"namespaceSelector": _labels(ns="y")}]}])
        new = one_way(direction, [{"peers": [{"namespaceSelector": _labels(new="yes")}]}])
        on_all = one_way(direction, [], pods={})
        yield Case(
            f"action create, update and delete a policy, {direction}",
            (*tags, "policy"),
            (apply(by_pod), apply(by_other), (Action("delete", by_other),)),
        )
        yield Case(
            f"action a policy selects others, {direction}",
            (*tags, "policy"),
            (apply(on_all), apply(one_way(direction, [], pods=_labels(pod="c"))), apply(by_pod)),
        )
        yield Case(
            f"action a peer gets another label and its own again, {direction}",
            (*tags, "pod"),
            (
                apply(by_pod),
                (Action("label pod", "x/b", {"pod": "other"}),),
                (Action("label pod", "x/c", {"pod": "b"}),),
                (Action("label pod", "x/b", {"pod": "b"}), Action("label pod", "x/c", {"pod": "c"})),
            ),
        )
        yield Case(
            f"action the target gets another label and its own again, {direction}",
            (*tags, "pod"),
            (
                apply(by_pod),
                (Action("label pod", "x/a", {"pod": "other"}),),
                (Action("label pod", "x/c", {"pod": "a"}),),
                (Action("label pod", "x/a", {"pod": "a"}), Action("label pod", "x/c", {"pod": "c"})),
            ),
        )
        yield Case(
            f"action a namespace gets another label and its own again, {direction}",
            (*tags, "namespace"),
            (
                apply(by_namespace),
                apply({"kind": "Namespace", "metadata": {"name": "y", "labels": {"ns": "other"}}}),
                apply({"kind": "Namespace", "metadata": {"name": "z", "labels": {"ns": "y"}}}),
                apply(namespace("y"), namespace("z")),
            ),
        )
        yield Case(
            f"action a namespace gets one more label, {direction}",
            (*tags, "namespace"),
            (apply(new), apply(namespace("z", new="yes")), apply(namespace("z"))),
        )
        yield Case(
            f"action a pod goes and comes again, {direction}",
            (*tags, "pod"),
            (apply(by_pod), (Action("delete pod", "x/b"),), (Action("create pod", "x/b"),)),
        )
        yield Case(
            f"action the target goes and comes again, {direction}",
            (*tags, "pod"),
            (apply(by_pod), (Action("delete pod", "x/a"),), (Action("create pod", "x/a"),)),
        )


def _admin() -> Iterator[Case]:
    every: Manifest = {"namespaces": {}}
    of_y: Manifest = {"namespaces": _labels(ns="y")}
    b_of_all: Manifest = {"pods": {"namespaceSelector": {}, "podSelector": _labels(pod="b")}}
    on_80 = [{"portNumber": {"protocol": "TCP", "port": 80}}]
    closed = policy("deny", "x", policyTypes=["Ingress", "Egress"])

    def rule(direction: str, action: str, *peers: Manifest, **more: Any) -> Manifest:
        return {"action": action, "from" if direction == "Ingress" else "to": list(peers), **more}

    for direction in _DIRECTIONS:
        key, tags = direction.lower(), ("admin", direction)

        def one(
            *rules: Manifest, name: str = "one", priority: int = 5, subject: Manifest | None = None, key: str = key
        ) -> Manifest:
            return admin(name, priority, subject, **{key: list(rules)})

        def base(*rules: Manifest, subject: Manifest | None = None, key: str = key) -> Manifest:
            return baseline(subject, **{key: list(rules)})

        deny_y, allow_y = rule(direction, "Deny", of_y), rule(direction, "Allow", of_y)
        cases: dict[str, list[Manifest]] = {
            "denies": [one(deny_y)],
            "denies on a port": [one(rule(direction, "Deny", of_y, ports=on_80))],
            "denies a range": [
                one(rule(direction, "Deny", every, ports=[{"portRange": {"protocol": "UDP", "start": 79, "end": 80}}]))
            ],
            "denies a named port": [one(rule(direction, "Deny", every, ports=[{"namedPort": "web"}]))],
            "denies pods": [one(rule(direction, "Deny", b_of_all))],
            "denies several": [one(rule(direction, "Deny", b_of_all, of_y))],
            "speaks of pods": [
                one(deny_y, subject={"pods": {"namespaceSelector": {}, "podSelector": _labels(pod="a")}})
            ],
            "speaks of nobody": [one(deny_y, subject={"namespaces": _labels(ns="nowhere")})],
            "allows what a policy closes": [one(allow_y), closed],
            "denies what a policy allows": [
                one(deny_y),
                policy("allow", "x", policyTypes=["Ingress", "Egress"], ingress=[{}], egress=[{}]),
            ],
            "passes to a policy": [one(rule(direction, "Pass", b_of_all), allow_y), closed],
            "passes to nothing": [one(rule(direction, "Pass", b_of_all), rule(direction, "Deny", every))],
            "passes over the next one": [
                one(rule(direction, "Pass", of_y)),
                one(rule(direction, "Deny", every), name="two", priority=6),
            ],
            "first rule counts": [one(rule(direction, "Allow", b_of_all), rule(direction, "Deny", every))],
            "lower priority counts": [
                one(rule(direction, "Allow", of_y), name="late", priority=9),
                one(rule(direction, "Deny", every, ports=on_80), name="early", priority=1),
            ],
            "baseline denies": [base(rule(direction, "Deny", every))],
            "baseline allows some": [base(rule(direction, "Allow", b_of_all), rule(direction, "Deny", every))],
            "baseline and a policy": [
                base(rule(direction, "Deny", every)),
                one_way(direction, [{"peers": _EVERYBODY}]),
            ],
            "all three": [
                one(rule(direction, "Pass", of_y), rule(direction, "Deny", b_of_all)),
                one_way(direction, [{"peers": _EVERYBODY, "ports": [{"port": 81}]}]),
                base(rule(direction, "Deny", every)),
            ],
        }
        for name, manifests in cases.items():
            yield _applied(f"admin {name}, {direction}", tags, *manifests)
        yield Case(
            f"admin create, update and delete, {direction}",
            (*tags, "action"),
            (
                (Action("apply", one(deny_y)),),
                (
                    Action("apply", one(rule(direction, "Allow", every))),
                    Action("apply", base(rule(direction, "Deny", every))),
                ),
                (Action("delete", one()),),
                (Action("delete", base()),),
            ),
        )
    yield _applied(
        "admin egress to networks",
        ("admin", "Egress"),
        admin("one", 1, egress=[{"action": "Deny", "to": [{"networks": ["0.0.0.0/1", "::/1"]}]}]),
    )
    yield _applied(
        "admin egress to nodes",
        ("admin", "Egress"),
        admin("one", 1, egress=[{"action": "Deny", "to": [{"nodes": {}}]}]),
    )
