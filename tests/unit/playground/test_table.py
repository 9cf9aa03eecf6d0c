"""What kubectl get prints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contivpp.playground.apiserver.resources import Resources, custom
from contivpp.playground.apiserver.table import _age, json_path, table

NOW = datetime(2024, 1, 31, tzinfo=UTC)


def cells(key: tuple[str, str, str], subject: dict[str, Any], *, wide: bool = False) -> dict[str, Any]:
    resource = Resources().find(*key)
    assert resource is not None
    made = table(resource, [subject], {})
    columns = [c["name"] for c in made["columnDefinitions"] if wide or not c["priority"]]
    return dict(zip(columns, made["rows"][0]["cells"], strict=False))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (125, "2m5s"),
        (180, "3m"),
        (900, "15m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 240, "3h4m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (20 * 86400, "20d"),
    ],
)
def test_ages_are_written_as_kubectl_writes_them(seconds: int, text: str) -> None:
    assert _age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


def test_an_object_without_a_time_has_no_age() -> None:
    assert _age(None, NOW) == "<unknown>"


def pod(**status: Any) -> dict[str, Any]:
    metadata = {"name": "p", "creationTimestamp": "2024-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"containers": [{}, {}], "nodeName": "n"}, "status": status}


def test_pods() -> None:
    statuses = [{"ready": True, "restartCount": 2, "state": {"running": {}}}, {"ready": False, "restartCount": 1}]
    found = cells(("", "v1", "pods"), pod(phase="Running", podIP="10.0.0.1", containerStatuses=statuses), wide=True)
    assert (found["Ready"], found["Status"], found["Restarts"]) == ("1/2", "Running", 3)
    assert (found["IP"], found["Node"]) == ("10.0.0.1", "n")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, "ContainerCreating"),
        ({"terminated": {"reason": "Error", "exitCode": 1}}, "Error"),
        ({"terminated": {"exitCode": 7}}, "ExitCode:7"),
    ],
)
def test_a_pod_is_what_its_containers_are(state: Any, status: str) -> None:
    subject = pod(phase="Pending", containerStatuses=[{"state": state}])
    assert cells(("", "v1", "pods"), subject)["Status"] == status
    subject["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    assert cells(("", "v1", "pods"), subject)["Status"] == "Terminating"


def test_nodes() -> None:
    node = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
        },
    }
    found = cells(("", "v1", "nodes"), node, wide=True)
    assert found["Status"] == "Ready,SchedulingDisabled"
    assert (found["Roles"], found["Internal-IP"]) == ("control-plane", "1.2.3.4")


def test_services_and_endpoints() -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": ports}}
    assert cells(("", "v1", "services"), service)["Port(s)"] == "80:30080/TCP,53/UDP"
    addresses = [{"ip": f"10.0.0.{n}"} for n in range(5)]
    endpoints = {"metadata": {"name": "s"}, "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]}
    shown = cells(("", "v1", "endpoints"), endpoints)["Endpoints"]
    assert shown == "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."


def test_custom_resources_have_the_columns_of_their_definition() -> None:
    (resource,) = custom(
        {
            "spec": {
                "group": "g.io",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "additionalPrinterColumns": [
                            {"name": "State", "jsonPath": ".status.state", "type": "string"},
                            {"name": "Since", "jsonPath": ".metadata.creationTimestamp", "type": "date"},
                        ],
                    }
                ],
            }
        }
    )
    made = table(resource, [{"metadata": {"name": "t"}, "status": {"state": "good"}}], {}, "None")
    assert made["rows"] == [{"cells": ["t", "good", "<unknown>"]}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".a.b", 1),
        (".list[1].x", "second"),
        (".list[?(@.k=='two')].x", "second"),
        (".list[7].x", None),
        (".a.nothing.there", None),
    ],
)
def test_paths_of_columns(path: str, value: Any) -> None:
    subject = {"a": {"b": 1}, "list": [{"k": "one", "x": "first"}, {"k": "two", "x": "second"}]}
    assert json_path(subject, path) == value
