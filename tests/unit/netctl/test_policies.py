"""What netctl says of policies, from records in a fake etcd and answers of fake agents."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.model import codec, keys
from contivpp.model.adminpolicy import AdminPeer, AdminPolicy, AdminPort, AdminRule
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType, Port, PortNameOrNumber
from contivpp.netctl import policies
from contivpp.netctl.agents import Answer
from contivpp.netctl.errors import ExitCode, UsageError
from contivpp.policies.explain import fingerprint
from contivpp.policies.index import PolicyIndex
from tests.unit.netctl.fakes import HOSTS, FakeAgents, FakeStore, pod, records


def labelled(name: str, last: int, node: str, **more: Any) -> Any:
    labels = {"app": name}
    return pod(name, f"10.1.{last}.2", node=node, labels=labels, label=sorted_labels(labels), **more)


PODS = (labelled("web", 1, "node1"), labelled("client", 2, "node2"), labelled("other", 3, "node3"))
WEB = Policy(
    name="web",
    namespace="default",
    pods=LabelSelector(match_label=sorted_labels({"app": "web"})),
    policy_type=PolicyType.INGRESS,
    ingress_rule=(
        IngressRule(
            port=(Port(port=PortNameOrNumber(number=80)),),
            from_=(Peer(pods=LabelSelector(match_label=sorted_labels({"app": "client"}))),),
        ),
    ),
)


def etcd(*more: tuple[str, str, Any]) -> FakeStore:
    items = records(pods=PODS)
    for kind, record_id, record in (("policy", "default/web", WEB), *more):
        value = record if isinstance(record, bytes) else codec.encode(record)
        items[keys.record_key(kind, record_id)] = value
    items[keys.record_key("namespace", "default")] = codec.encode(Namespace(name="default"))
    return FakeStore(items)


async def agents(store: FakeStore, **changes: Any) -> FakeAgents:
    """Agents that mean what etcd says."""
    found, _ = await policies.read_records(store)  # type: ignore[arg-type]
    answers: dict[tuple[str, str], Any] = {}
    for one in PODS:
        index = PolicyIndex.of(found, [f"default/{one.name}"])
        body = {"fingerprint": fingerprint(index, f"default/{one.name}"), "waiting": [], **changes}
        answers[HOSTS[one.node_name], f"contiv/v1/policies/pods/default/{one.name}"] = Answer(200, body)
        answers[HOSTS[one.node_name], "contiv/v1/policies"] = Answer(200, {"pods": [], "refused": []})
    return FakeAgents(answers)


async def explained(store: FakeStore, source: str, target: str, port: str | None, **changes: Any) -> Any:
    return await policies.explain(store, await agents(store, **changes), source, target, port)  # type: ignore[arg-type]


async def test_the_rule_that_allows_is_named_with_its_place() -> None:
    report = await explained(etcd(), "client", "web", "80")
    [row] = report.data["connections"]
    assert (row.ports, row.verdict) == ("TCP 80", "allowed")
    assert (row.source, row.target) == ("no policy speaks of it", "NetworkPolicy default/web, rule 0")
    assert report.code is ExitCode.GOOD and not report.problems


async def test_who_isolates_is_named_when_no_rule_allows() -> None:
    [row] = (await explained(etcd(), "other", "web", "80/tcp")).data["connections"]
    assert (row.verdict, row.target) == ("denied", "no rule of NetworkPolicy default/web allows it")


async def test_without_a_port_every_range_that_makes_a_difference_is_a_row() -> None:
    rows = (await explained(etcd(), "client", "web", None)).data["connections"]
    assert [(row.ports, row.verdict) for row in rows] == [
        ("TCP 1-79", "denied"),
        ("TCP 80", "allowed"),
        ("TCP 81-65535", "denied"),
        ("UDP, all", "denied"),
        ("SCTP, all", "denied"),
        ("without ports", "denied"),
    ]


async def test_what_an_administrator_denies_comes_before_what_a_policy_allows() -> None:
    rule = AdminRule(
        name="no-web", action="Deny", peer=(AdminPeer(namespaces=LabelSelector()),), port=(AdminPort(port=80),)
    )
    policy = AdminPolicy(name="first", priority=1, namespaces=LabelSelector(), ingress_rule=(rule,))
    [row] = (await explained(etcd(("adminnetworkpolicy", "first", policy)), "client", "web", "80")).data["connections"]
    assert (row.verdict, row.target) == ("denied", "AdminNetworkPolicy first, rule 0 (no-web)")


async def test_a_pod_reaches_itself_whatever_policies_say() -> None:
    [row] = (await explained(etcd(), "web", "web", "22")).data["connections"]
    assert (row.verdict, row.target) == ("allowed", "a pod always reaches itself")


async def test_an_agent_that_means_something_else_is_a_problem() -> None:
    report = await explained(etcd(), "client", "web", "80", fingerprint="another")
    assert report.code is ExitCode.SOMETHING_WRONG
    assert [problem.partition(":")[0] for problem in report.problems] == ["default/client", "default/web"]
    report = await explained(etcd(), "client", "web", "80", waiting=["linux/nft/chain/x"])
    assert "node2 does not have its policies in place" in report.problems[0]


async def test_an_agent_that_does_not_answer_is_a_problem_and_the_verdict_is_still_given() -> None:
    report = await policies.explain(etcd(), FakeAgents({}), "client", "web", "80")  # type: ignore[arg-type]
    assert report.data["connections"][0].verdict == "allowed" and len(report.problems) == 2


@pytest.mark.parametrize("text", ["http", "0", "70000", "80/icmp", "-1", "80/x"])
async def test_what_is_no_port_is_refused_with_the_protocols_of_policies(text: str) -> None:
    with pytest.raises(UsageError, match="give it as 80/tcp, 80/udp, 80/sctp"):
        await explained(etcd(), "client", "web", text)


async def test_policies_are_listed_with_the_pods_that_they_select_and_what_is_left_out() -> None:
    bad = Policy(name="bad", namespace="default", pods=LabelSelector(), ingress_rule=(IngressRule(from_=(Peer(),)),))
    store = etcd(("policy", "default/bad", bad), ("policy", "default/worse", b"garbage"))
    report = await policies.view(store, await agents(store))  # type: ignore[arg-type]
    rows = {row.policy: row for row in report.data["policies"]}
    assert {name: (row.selects, row.isolates, len(row.problems)) for name, row in rows.items()} == {
        "default/web": (1, ("Ingress",), 0),
        "default/bad": (3, ("Ingress",), 1),
        "default/worse": (3, ("Ingress", "Egress"), 1),
    }
    assert [row.state for row in report.data["nodes"]] == ["OK", "OK", "OK"]
    assert report.code is ExitCode.SOMETHING_WRONG and len(report.problems) == 2


async def test_a_node_that_waits_for_something_is_a_problem() -> None:
    store = etcd()
    found = await agents(store)
    waiting = {"pods": [{"pod": "default/web", "policies": ["p"], "waiting": ["k"]}], "refused": [{}]}
    found.answers[HOSTS["node1"], "contiv/v1/policies"] = Answer(200, waiting)
    report = await policies.view(store, found)  # type: ignore[arg-type]
    assert report.data["nodes"][0].waiting == 1 and report.data["nodes"][0].refused == 1
    assert [problem.partition(":")[0] for problem in report.problems] == ["node1"]
