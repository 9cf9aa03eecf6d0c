"""What netctl makes of the records in etcd."""

from __future__ import annotations

import pytest

from contivpp.model import codec, keys
from contivpp.model.pod import on_host_network
from contivpp.model.vppnode import VppNode
from contivpp.netctl.errors import UsageError
from tests.unit.netctl.fakes import HOSTS, cluster_of, pod, records


async def test_nodes_come_by_id_with_the_addresses_of_kubernetes_and_of_their_agents():
    cluster = await cluster_of(records())

    assert [(node.id, node.name, node.vpp_ip, node.host_ip) for node in cluster.nodes] == [
        (1, "node1", "192.168.16.1/24", "10.20.0.11"),
        (2, "node2", "192.168.16.2/24", "10.20.0.12"),
        (3, "node3", "192.168.16.3/24", "10.20.0.13"),
    ]
    assert cluster.problems == ()


async def test_ten_comes_after_nine_and_nodes_without_an_id_last():
    items = records(nodes=["node1"])
    items[keys.record_key("node", "aaa")] = b'{"name":"aaa"}'
    for number in (10, 9):
        items[keys.record_key("vppnode", str(number))] = codec.encode(VppNode(id=number, name=f"n{number}"))

    cluster = await cluster_of(items)
    assert [node.name for node in cluster.nodes] == ["node1", "n9", "n10", "aaa"]
    assert [node.registered for node in cluster.nodes] == [True, False, False, True]
    assert cluster.nodes[-1].id == 0


async def test_the_address_that_older_agents_wrote_is_read():
    key = keys.record_key("vppnode", "4")
    cluster = await cluster_of({key: codec.encode(VppNode(id=4, name="old", ip_address="192.168.16.4/24"))})

    assert cluster.nodes[0].vpp_ip == "192.168.16.4/24"


async def test_a_record_that_does_not_decode_is_a_problem_and_hides_nothing():
    items = records(pods=[pod("web", "10.1.1.2", node="node1")])
    items[keys.record_key("pod", "default/bad")] = b"{not json"

    cluster = await cluster_of(items)
    assert [item.name for item in cluster.pods] == ["web"]
    (problem,) = cluster.problems
    assert "/vnf-agent/contiv-ksr/k8s/pod/bad/namespace/default" in problem


async def test_two_ids_of_one_node_are_a_problem():
    items = records(nodes=["node1"])
    items[keys.record_key("vppnode", "7")] = codec.encode(VppNode(id=7, name="node1"))

    cluster = await cluster_of(items)
    assert [node.id for node in cluster.nodes] == [1]
    assert cluster.problems == ("node node1 has two IDs, 1 and 7; delete the unused record",)


@pytest.mark.parametrize("wanted", ["node2", "2", "10.20.0.12", "192.168.16.2"])
async def test_a_node_is_found_by_name_id_and_address(wanted):
    assert (await cluster_of(records())).node(wanted).name == "node2"


async def test_an_address_that_no_node_has_is_taken_as_it_is():
    node = (await cluster_of(records())).node("fd00::5")

    assert node.management == ("fd00::5",)


async def test_an_unknown_node_or_pod_is_a_usage_error_with_a_suggestion():
    cluster = await cluster_of(records(pods=[pod("web-1", "10.1.1.2", node="node1")]))

    with pytest.raises(UsageError, match="there is no node nod2; did you mean node2?"):
        cluster.node("nod2")
    with pytest.raises(UsageError, match=r"there is no pod default/web1; did you mean default/web-1\?"):
        cluster.pod("web1")
    with pytest.raises(UsageError, match="is contiv-ksr running"):
        (await cluster_of({})).pod("web")


async def test_a_pod_is_found_by_name_in_the_default_namespace_or_its_own():
    cluster = await cluster_of(records(pods=[pod("web"), pod("web", "10.1.1.9", namespace="shop")]))

    assert cluster.pod("web").namespace == cluster.pod("default/web").namespace == "default"
    assert cluster.pod("shop/web").ip_address == "10.1.1.9"


async def test_the_node_of_a_pod_is_its_node_name_or_by_its_hosts_address():
    named = pod("a", node="node2")
    by_address = pod("b", "10.1.3.2", host_ip_addresses=(HOSTS["node3"],))
    nowhere = pod("c")
    gone = pod("d", node="node9")
    cluster = await cluster_of(records(pods=[named, by_address, nowhere, gone]))

    homes = [cluster.node_of(item) for item in cluster.pods]
    assert [home.name if home else None for home in homes] == ["node2", "node3", None, None]


def test_a_pod_with_its_hosts_address_is_on_the_hosts_network():
    assert on_host_network(pod("a", HOSTS["node1"], node="node1"))
    assert on_host_network(pod("a", host_network=True))
    assert not on_host_network(pod("a", "10.1.1.2", node="node1"))
    assert not on_host_network(pod("a"))
