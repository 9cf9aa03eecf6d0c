"""`services`: the rows of all nodes put together, and what is not programmed."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.netctl import services
from contivpp.netctl.agents import Answer
from contivpp.netctl.errors import ExitCode, UsageError
from tests.unit.netctl.fakes import HOSTS, FakeAgents, cluster_of, records

NODE1, NODE2, NODE3 = HOSTS.values()
PATH = "contiv/v1/services"


def backend(address: str, port: int = 8080) -> dict[str, Any]:
    return {"address": address, "port": port, "local": False}


def frontend(address: str, *backends: str, outside: tuple[str, ...] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "address": address,
        "protocol": "tcp",
        "port": 80,
        "kind": "cluster-ip",
        "inside": {"backends": [backend(one) for one in backends], "empty": "reject"},
        "outside": None if outside is None else {"backends": [backend(one) for one in outside], "empty": "drop"},
        **more,
    }


def of(*frontends: dict[str, Any], programmed: bool = True, problems: tuple[str, ...] = ()) -> Answer:
    service = {
        "service": "default/web",
        "programmed": programmed,
        "frontends": list(frontends),
        "problems": list(problems),
    }
    return Answer(200, [service])


async def test_a_frontend_is_one_row_with_the_nodes_that_have_it() -> None:
    answer = of(frontend("10.96.0.1", "10.1.1.2", "fd00::2"))
    agents = FakeAgents({(host, PATH): answer for host in HOSTS.values()})
    report = await services.view(await cluster_of(records()), agents)
    [row] = report.data.services
    assert (row.service, row.address, row.port) == ("default/web", "10.96.0.1", "80/tcp")
    assert row.backends == ["10.1.1.2:8080", "[fd00::2]:8080"]
    assert row.programmed == row.nodes == ["node1", "node2", "node3"]
    assert [column.text(row) for column in report.tables[0].columns][-1] == "3/3"
    assert report.code is ExitCode.GOOD


async def test_what_differs_by_node_is_put_together_and_what_is_wrong_is_told() -> None:
    agents = FakeAgents(
        {
            (NODE1, PATH): of(frontend("203.0.113.1", "10.1.1.2", "10.1.2.2", outside=("10.1.1.2",))),
            (NODE2, PATH): of(
                frontend("203.0.113.1", "10.1.2.2", outside=()), programmed=False, problems=("linux/service/x: failed",)
            ),
        }
    )
    report = await services.view(await cluster_of(records()), agents)
    [row] = report.data.services
    assert (row.backends, row.local) == (["10.1.1.2:8080", "10.1.2.2:8080"], True)
    assert (row.nodes, row.programmed) == (["node1", "node2"], ["node1"])
    assert report.problems == (
        "node2: default/web: linux/service/x: failed",
        f"node3: http://{NODE3}:9999/{PATH}: connection refused",
    )
    assert report.code is ExitCode.SOMETHING_WRONG


async def test_a_cluster_ip_that_keeps_to_the_node_is_said_to() -> None:
    answers = {(host, PATH): of(frontend("10.96.0.1", "10.1.1.2", local=True)) for host in HOSTS.values()}
    report = await services.view(await cluster_of(records()), FakeAgents(answers))
    [row] = report.data.services
    assert row.local
    assert [column.text(row) for column in report.tables[0].columns][-2] == "10.1.1.2:8080 (local)"


async def test_one_service_is_asked_for_by_name() -> None:
    path = f"{PATH}?service=default%2Fweb"
    agents = FakeAgents({(host, path): of(frontend("10.96.0.1")) for host in HOSTS.values()})
    report = await services.view(await cluster_of(records()), agents, service="web")
    assert [column.text(report.data.services[0]) for column in report.tables[0].columns][-2] == "none"
    nothing = FakeAgents({(host, path): Answer(200, []) for host in HOSTS.values()})
    with pytest.raises(UsageError, match="default/web"):
        await services.view(await cluster_of(records()), nothing, service="web")
