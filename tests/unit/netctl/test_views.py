"""`nodes`, `ipam` and `pods`: the rows, the problems and the exit codes; never the looks."""

from __future__ import annotations

import datetime as dt

import pytest

from contivpp.model import codec, keys
from contivpp.model.vppnode import VppNode
from contivpp.netctl import ipam, nodes, pods
from contivpp.netctl.agents import Answer
from contivpp.netctl.errors import AgentError, ExitCode, UsageError
from tests.unit.netctl.fakes import HOSTS, FakeAgents, cluster_of, healthy, plan_of, pod, records, sandbox

NODE1, NODE2, NODE3 = HOSTS.values()


def all_healthy():
    return {(host, "liveness"): healthy() for host in HOSTS.values()}


# ---- nodes


async def test_healthy_nodes_are_rows_and_exit_code_0():
    report = await nodes.view(await cluster_of(records()), FakeAgents(all_healthy()))

    first = report.data.nodes[0]
    assert (first.id, first.name, first.vpp_ip, first.host_ip) == (1, "node1", "192.168.16.1/24", NODE1)
    assert first.state == "OK"
    assert first.start_time == dt.datetime.fromtimestamp(1764000000, tz=dt.UTC)
    assert first.build_version == "v1.2.3"
    assert first.build_date == dt.datetime(2026, 11, 20, 8, 15, tzinfo=dt.UTC)
    assert [row.id for row in report.data.nodes] == [1, 2, 3]
    assert (report.problems, report.code) == ((), ExitCode.GOOD)


async def test_the_columns_are_those_of_the_original():
    report = await nodes.view(await cluster_of(records()), FakeAgents(all_healthy()))

    assert [column.header for column in report.tables[0].columns] == [
        "ID",
        "NODE-NAME",
        "VPP-IP",
        "HOST-IP",
        "START-TIME",
        "STATE",
        "BUILD-VERSION",
        "BUILD-DATE",
    ]


async def test_an_unreachable_node_is_a_row_with_the_reason():
    answers = all_healthy()
    del answers[NODE2, "liveness"]
    report = await nodes.view(await cluster_of(records()), FakeAgents(answers))

    assert [row.state for row in report.data.nodes] == ["OK", "UNREACHABLE", "OK"]
    assert report.data.nodes[1].reason == f"http://{NODE2}:9999/liveness: connection refused"
    assert report.problems == (f"node2: http://{NODE2}:9999/liveness: connection refused",)
    assert report.code is ExitCode.SOMETHING_WRONG


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (healthy(state=0), "INIT", "its agent is in state INIT"),
        (
            healthy(state=2, PluginStatus={"controller": {"state": 2, "error": "no etcd"}, "vpp": {"state": 1}}),
            "ERROR",
            "controller: no etcd",
        ),
        (healthy(state=2, PluginStatus=None, plugins=[{"name": "vpp", "state": 2}]), "ERROR", "vpp: ERROR"),
        (healthy(state="OK"), "OK", ""),
        (healthy(state=5), "STATE-5", "its agent is in state STATE-5"),
        (Answer(200, ["?"]), "UNREACHABLE", "its liveness is not a status: \"['?']\""),
    ],
)
async def test_the_state_and_its_reason_are_those_that_the_agent_says(answer, state, reason):
    report = await nodes.view(await cluster_of(records(nodes=["node1"])), FakeAgents({(NODE1, "liveness"): answer}))

    (row,) = report.data.nodes
    assert (row.state, row.reason) == (state, reason)
    assert report.code == (ExitCode.SOMETHING_WRONG if reason else ExitCode.GOOD)


async def test_what_an_agent_does_not_tell_is_not_available():
    answer = Answer(200, {"state": 1, "build_date": "yesterday", "start_time": "?"})
    report = await nodes.view(await cluster_of(records(nodes=["node1"])), FakeAgents({(NODE1, "liveness"): answer}))

    cells = [column.text(report.data.nodes[0]) for column in report.tables[0].columns]
    assert cells[4:] == ["Not Available", "OK", "Not Available", "Not Available"]


async def test_a_node_without_an_id_and_one_that_kubernetes_forgot_are_told():
    items = records(nodes=["node1"])
    del items[keys.record_key("vppnode", "1")]
    items[keys.record_key("vppnode", "5")] = codec.encode(VppNode(id=5, name="gone"))
    report = await nodes.view(await cluster_of(items), FakeAgents(all_healthy()))

    assert [(row.name, row.state) for row in report.data.nodes] == [("gone", "UNREACHABLE"), ("node1", "NO-ID")]
    assert "Kubernetes does not know this node" in report.problems[0]
    assert report.code is ExitCode.SOMETHING_WRONG


async def test_an_etcd_without_nodes_is_not_all_well():
    report = await nodes.view(await cluster_of({}), FakeAgents({}))

    assert report.code is ExitCode.SOMETHING_WRONG
    assert "etcd holds no node" in report.problems[0]


# ---- ipam


async def test_every_node_tells_its_subnets():
    answers = {(host, "contiv/v1/ipam"): plan_of(number) for number, host in enumerate(HOSTS.values(), 1)}
    report = await ipam.view(await cluster_of(records()), FakeAgents(answers))

    row = report.data.nodes[1]
    assert (row.id, row.name, row.vpp_ip, row.bvi_ip) == (2, "node2", "192.168.16.2/24", "192.168.30.2/24")
    assert (row.pod_cidr, row.vpp_host_cidr, row.pod_cluster_cidr) == (
        "10.1.2.0/24",
        "172.30.2.0/24",
        "10.1.0.0/16",
    )
    assert [column.header for column in report.tables[0].columns] == [
        "ID",
        "NODE-NAME",
        "VPP-IP",
        "BVI-IP",
        "POD-CIDR",
        "VPP-2-HOST-CIDR",
        "POD-CLUSTER-CIDR",
    ]
    assert report.code is ExitCode.GOOD


async def test_one_node_can_be_asked_and_only_it_is():
    agents = FakeAgents({(NODE2, "contiv/v1/ipam"): plan_of(2)})
    report = await ipam.view(await cluster_of(records()), agents, node="node2")

    assert [row.name for row in report.data.nodes] == ["node2"]
    assert [host for host, _, _ in agents.asked] == [NODE2]
    with pytest.raises(UsageError):
        await ipam.view(await cluster_of(records()), agents, node="nodeX")


async def test_an_agent_of_the_original_does_not_tell_the_end_of_its_tunnels_so_it_is_computed():
    agents = FakeAgents({(NODE2, "contiv/v1/ipam"): plan_of(2, vxlanIP=None)})
    report = await ipam.view(await cluster_of(records()), agents, node="node2")

    assert report.data.nodes[0].bvi_ip == "192.168.30.2/24"


async def test_an_agent_that_has_no_address_yet_says_so():
    refused = Answer(500, {"Error": "Error getting node IP"})
    report = await ipam.view(
        await cluster_of(records(nodes=["node1"])), FakeAgents({(NODE1, "contiv/v1/ipam"): refused})
    )

    assert report.data.nodes[0].reason == "HTTP 500: Error getting node IP"
    assert report.code is ExitCode.SOMETHING_WRONG


async def test_nodes_that_disagree_are_a_problem():
    answers = {
        (NODE1, "contiv/v1/ipam"): plan_of(1),
        (NODE2, "contiv/v1/ipam"): plan_of(2, podSubnetThisNode="10.1.1.0/24"),
        (NODE3, "contiv/v1/ipam"): plan_of(3, nodeId=9, config={"podSubnetCIDR": "10.8.0.0/16"}),
    }
    report = await ipam.view(await cluster_of(records()), FakeAgents(answers))

    assert report.problems == (
        "node3: its agent says that it has ID 9, etcd says 3; restart contiv-agent there",
        "node2: its pods' subnet 10.1.1.0/24 is that of node1 too",
        "nodes disagree on the pods' subnet of the cluster: 10.1.0.0/16, 10.8.0.0/16; "
        "give all the same contiv.conf and restart contiv-agent",
    )


# ---- pods


def pod_answers(**sandboxes):
    answers = {}
    for number, (name, host) in enumerate(HOSTS.items(), 1):
        answers[host, "contiv/v1/ipam"] = plan_of(number)
        answers[host, "contiv/v1/pods"] = Answer(200, sandboxes.get(name, []))
    return answers


async def test_pods_are_grouped_by_node_with_their_interfaces():
    items = records(
        pods=[
            pod("web", "10.1.1.2", node="node1"),
            pod("db", "10.1.2.3", node="node2", namespace="shop"),
            pod("proxy", NODE1, node="node1", namespace="kube-system"),
        ]
    )
    answers = pod_answers(node1=[sandbox("default/web", "10.1.1.2")], node2=[sandbox("shop/db", "10.1.2.3", index=7)])
    report = await pods.view(await cluster_of(items), FakeAgents(answers))

    assert [(group.node, group.host_ip) for group in report.data.nodes] == list(HOSTS.items())
    web, proxy = report.data.nodes[0].pods
    assert (web.name, web.namespace, web.ip, web.if_index, web.if_name) == (
        "web",
        "default",
        "10.1.1.2",
        12,
        "veth-12",
    )
    assert proxy.host_network and proxy.if_name == ""
    assert report.data.nodes[1].pods[0].if_index == 7
    assert report.data.nodes[2].pods == []
    assert [table.title for table in report.tables][0] == f"node1 ({NODE1}):"
    assert [column.header for column in report.tables[0].columns] == [
        "POD-NAME",
        "NAMESPACE",
        "POD-IP",
        "IF-IDX",
        "IF-NAME",
    ]
    assert [column.text(proxy) for column in report.tables[0].columns][3:] == ["", ""]
    assert (report.problems, report.code) == ((), ExitCode.GOOD)


async def test_pods_of_an_unreachable_node_stay_rows_without_an_interface():
    items = records(pods=[pod("web", "10.1.1.2", node="node1"), pod("db", "10.1.2.2", node="node2")])
    answers = pod_answers(node2=[sandbox("default/db", "10.1.2.2")])
    answers[NODE1, "contiv/v1/pods"] = AgentError("no answer within 10 s")
    report = await pods.view(await cluster_of(items), FakeAgents(answers))

    lost, found = report.data.nodes[0], report.data.nodes[1]
    assert lost.reason == "no answer within 10 s"
    assert [column.text(lost.pods[0]) for column in report.tables[0].columns][3:] == ["0", "N/A"]
    assert found.pods[0].if_name == "veth-12"
    assert report.problems == ("node1: no answer within 10 s",)
    assert report.code is ExitCode.SOMETHING_WRONG


@pytest.mark.parametrize(
    ("record", "sandboxes", "warning"),
    [
        (pod("a", "10.1.1.2", node="node1"), [], "it has address 10.1.1.2, and its node no interface for it"),
        (
            pod("a", "10.1.1.2", node="node1"),
            [sandbox("default/a", "10.1.1.9")],
            "Kubernetes says that it has 10.1.1.2, its node says 10.1.1.9",
        ),
        (
            pod("a", "10.1.7.2", node="node1"),
            [sandbox("default/a", "10.1.7.2")],
            "its address 10.1.7.2 is outside its node's subnet 10.1.1.0/24",
        ),
    ],
)
async def test_where_kubernetes_and_the_node_disagree_is_told(record, sandboxes, warning):
    report = await pods.view(await cluster_of(records(pods=[record])), FakeAgents(pod_answers(node1=sandboxes)))

    assert report.problems[0].startswith(f"default/a: {warning}")
    assert report.code is ExitCode.SOMETHING_WRONG


async def test_a_sandbox_that_kubernetes_does_not_know_is_a_row_and_a_problem():
    answers = pod_answers(node1=[sandbox("shop/ghost", "10.1.1.2")])
    report = await pods.view(await cluster_of(records()), FakeAgents(answers), node="node1")

    (row,) = report.data.nodes[0].pods
    assert (row.name, row.namespace, row.ip, row.if_name) == ("ghost", "shop", "10.1.1.2", "veth-12")
    assert "Kubernetes does not know the pod" in report.problems[0]


@pytest.mark.parametrize(
    "record",
    [
        pod("starting", node="node1"),
        pod("done", "10.1.1.2", node="node1", terminated=True),
        pod("agent", host_network=True, node="node1"),
    ],
)
async def test_a_pod_that_needs_no_interface_is_no_problem(record):
    report = await pods.view(await cluster_of(records(pods=[record])), FakeAgents(pod_answers()))

    assert report.code is ExitCode.GOOD
    assert len(report.data.nodes[0].pods) == 1


async def test_pods_on_no_node_are_shown_when_all_are_asked_for():
    cluster = await cluster_of(records(pods=[pod("waiting")]))

    everything = await pods.view(cluster, FakeAgents(pod_answers()))
    assert everything.tables[-1].title == "on no node:"
    assert len((await pods.view(cluster, FakeAgents(pod_answers()), node="1")).tables) == 1


async def test_an_answer_that_is_no_list_of_pods_is_a_reason_not_a_trace():
    answers = pod_answers()
    answers[NODE1, "contiv/v1/pods"] = Answer(200, [{"name": "web"}])
    report = await pods.view(await cluster_of(records(pods=[pod("web", node="node1")])), FakeAgents(answers))

    assert "its agent's list of pods is not understood" in report.data.nodes[0].reason


async def test_ipv6_pods_get_no_bogus_warnings():
    answers = pod_answers(node1=[sandbox("default/web", "fd00:1::2")])
    answers[NODE1, "contiv/v1/ipam"] = plan_of(1, podSubnetThisNode="fd00:1::/120")
    report = await pods.view(
        await cluster_of(records(pods=[pod("web", "fd00:1::2", node="node1")])), FakeAgents(answers)
    )

    assert report.problems == ()
