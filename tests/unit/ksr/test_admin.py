from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from contivpp.ksr import admin
from contivpp.ksr.convert import ConversionError
from contivpp.ksr.kubernetes import Changed, Listed
from contivpp.ksr.reflector import Reflector, reflectors
from contivpp.model import codec, keys
from contivpp.model.adminpolicy import AdminPolicy
from contivpp.policies.index import PolicyIndex


def reflector(kind: str = "adminnetworkpolicy") -> Reflector:
    [found] = [one for one in reflectors() if one.kind == kind]
    return found


def item(**spec: Any) -> bytes:
    subject = {"namespaces": {"matchLabels": {"team": "a"}}}
    return json.dumps({"metadata": {"name": "p"}, "spec": {"priority": 7, "subject": subject, **spec}}).encode()


def reflected(given: bytes, kind: str = "adminnetworkpolicy") -> Any:
    lived = reflector(kind)
    [key] = lived.take(Changed(given, False))
    assert key == f"/vnf-agent/contiv-ksr/k8s/{kind}/p"
    return json.loads(lived.desired[key]) if key in lived.desired else None


def test_a_policy_keeps_its_subject_rules_peers_and_ports_in_order() -> None:
    selected = {"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
    found = reflected(
        item(
            ingress=[
                {
                    "name": "first",
                    "action": "Deny",
                    "from": [{"namespaces": {"matchLabels": {"x": "y"}}}, {"pods": selected}],
                    "ports": [
                        {"portNumber": {"protocol": "UDP", "port": 53}},
                        {"portRange": {"protocol": "SCTP", "start": 1, "end": 9}},
                        {"namedPort": "web"},
                    ],
                }
            ],
            egress=[
                {"action": "Pass", "to": [{"nodes": {"matchLabels": {"role": "edge"}}}, {"networks": ["10.0.0.0/8"]}]},
                {"action": "Allow", "to": [{"domainNames": ["example.org"]}]},
            ],
        )
    )
    assert found == {
        "name": "p",
        "priority": 7,
        "namespaces": {"match_label": [{"key": "team", "value": "a"}]},
        "ingress_rule": [
            {
                "name": "first",
                "action": "Deny",
                "peer": [
                    {"namespaces": {"match_label": [{"key": "x", "value": "y"}]}},
                    {"namespaces": {}, "pods": {"match_expression": [{"key": "a", "operator": "EXISTS"}]}},
                ],
                "port": [
                    {"protocol": "UDP", "port": 53},
                    {"protocol": "SCTP", "port": 1, "end_port": 9},
                    {"name": "web"},
                ],
            }
        ],
        "egress_rule": [
            {
                "action": "Pass",
                "peer": [{"nodes": {"match_label": [{"key": "role", "value": "edge"}]}}, {"networks": ["10.0.0.0/8"]}],
            },
            {"action": "Allow", "peer": [{"unknown": "domain names cannot be enforced"}]},
        ],
    }
    assert codec.decode(AdminPolicy, json.dumps(found).encode()).priority == 7


def test_the_baseline_has_a_kind_of_its_own() -> None:
    subject = {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}}
    found = reflected(item(subject=subject, priority=0), "baselineadminnetworkpolicy")
    assert found == {"name": "p", "namespaces": {}, "pods": {"match_label": [{"key": "app", "value": "db"}]}}


@pytest.mark.parametrize(
    ("peer", "named"),
    [
        ({"namespaces": {"sameLabels": ["tenant"]}}, "sameLabels"),
        ({"namespaces": {"matchLabels": {"a": "b"}, "notSameLabels": ["tenant"]}}, "notSameLabels"),
        ({"namespaces": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}, "namespaceSelector"),
        ({"pods": {"namespaces": {"sameLabels": ["tenant"]}, "podSelector": {}}}, "namespaces"),
        ({"pods": {"podSelector": {}}}, "namespaceSelector"),
        ({"pods": {"namespaceSelector": {}, "podSelector": {"matchFields": []}}}, "matchFields"),
        ({"namespaces": {}, "serviceAccounts": {}}, "serviceAccounts"),
    ],
)
def test_a_peer_with_more_to_it_than_is_understood_is_unknown_and_never_a_wider_one(
    peer: dict[str, Any], named: str
) -> None:
    other = {"namespaces": {"matchLabels": {"x": "y"}}}
    found = reflected(item(ingress=[{"action": "Allow", "from": [peer, other]}]))
    first, second = found["ingress_rule"][0]["peer"]
    assert set(first) == {"unknown"}
    assert f"`{named}`" in first["unknown"]
    assert second == {"namespaces": {"match_label": [{"key": "x", "value": "y"}]}}


def test_an_operator_or_protocol_that_is_none_spoils_its_peer_or_port_and_not_the_policy() -> None:
    odd = {"nodes": {"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["3"]}]}}
    ports = [{"portNumber": {"protocol": "tcp", "port": 80}}, {"portNumber": {"port": 81}}]
    found = reflected(
        item(
            ingress=[{"action": "Deny", "from": [{"namespaces": {}}], "ports": ports}],
            egress=[{"action": "Deny", "to": [odd, {"networks": ["10.0.0.0/8"]}]}],
        )
    )
    [unknown, networks] = found["egress_rule"][0]["peer"]
    assert (list(unknown), networks) == (["unknown"], {"networks": ["10.0.0.0/8"]})
    assert "operator 'Gt' is unknown" in unknown["unknown"]
    assert found["ingress_rule"][0]["port"] == [{"protocol": "tcp", "port": 80}, {"port": 81}]
    index = PolicyIndex()
    index.put("adminnetworkpolicy", "p", codec.decode(AdminPolicy, json.dumps(found).encode()))
    [problems] = index.problems().values()
    assert len(problems) == 2


@pytest.mark.parametrize(
    "spec",
    [
        {"subject": {}},
        {"ingress": [{"action": "Ask", "from": []}]},
        {"subject": {"namespaces": {"matchLabels": {"a": "b"}, "matchFields": []}}},
        {"subject": {"namespaces": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}},
    ],
)
def test_what_has_no_meaning_is_refused_and_its_last_good_record_stays(spec: dict[str, Any]) -> None:
    lived = reflector()
    [key] = lived.take(Changed(item(), False))
    good = lived.desired[key]
    lived.take(Changed(item(**spec), False))
    assert lived.desired[key] == good

    with pytest.raises((ConversionError, msgspec.DecodeError)):
        admin.policy(lived._decoder.decode(item(**spec)))


def test_the_kinds_are_optional_and_have_keys() -> None:
    kinds = {one.kind: one for one in reflectors() if one.optional}
    assert set(kinds) == set(keys.ADMIN_POLICIES)
    for one in kinds.values():
        one.take(Listed(()))
        assert one.complete and not one.desired
