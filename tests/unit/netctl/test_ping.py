"""`ping --all --node`: which pairs are asked about, and how many."""

from __future__ import annotations

import pytest

from contivpp.netctl import ping
from contivpp.netctl.agents import Answer
from contivpp.netctl.errors import ExitCode, UsageError
from tests.unit.netctl.fakes import HOSTS, FakeAgents, cluster_of, pod, records

BACK = Answer(status=200, body={"transmitted": 1, "received": 1})
PODS = [pod(f"on-{node}", f"10.1.{number}.2", node=node) for number, node in enumerate(HOSTS, 1)]


def agents() -> FakeAgents:
    return FakeAgents({(host, "contiv/v1/ping"): BACK for host in HOSTS.values()})


async def test_pairs_with_one_pod_on_a_node_are_pinged_and_no_others():
    report = await ping.view_all(await cluster_of(records(pods=PODS)), agents(), node="node2")
    pairs = {(row.source, row.destination) for row in report.data.pings}
    here = "default/on-node2"
    others = ("default/on-node1", "default/on-node3")
    assert pairs == {(here, other) for other in others} | {(other, here) for other in others}
    assert report.code is ExitCode.GOOD


async def test_so_many_pairs_at_the_most_are_pinged():
    cluster = await cluster_of(records(pods=PODS))
    assert len((await ping.view_all(cluster, agents(), limit=4)).data.pings) == 4
    assert len((await ping.view_all(cluster, agents(), limit=100)).data.pings) == 6


async def test_a_node_that_is_none_is_a_matter_of_usage():
    with pytest.raises(UsageError, match="there is no node node9"):
        await ping.view_all(await cluster_of(records(pods=PODS)), agents(), node="node9")
