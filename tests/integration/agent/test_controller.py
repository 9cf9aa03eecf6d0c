"""The controller in a real agent: its start, its node's configuration, verification, history and its end."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.model import keys
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, cluster_of, eventually, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


def status(node: TestNode, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def metrics(node: TestNode) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def events(node: TestNode, name: str) -> list[Any]:
    return [record for record in node.get("controller/event-history") if record["Name"] == name]


async def test_a_node_that_kubernetes_does_not_know_yet_says_so_and_does_not_restart(cluster: TestCluster) -> None:
    cluster.controller_conf = "startupResyncDeadline: 500000000\n"
    one = cluster.node(1)
    one.start()
    eventually(one.socket.exists)
    eventually(lambda: status(one, "liveness") == 500)
    said = one.get("liveness")
    assert said["state"] == 2
    assert "no resync within the first 0.5 s (startupResyncDeadline): node node1 has no ID yet" in said["error"]
    pid = one.pid
    await cluster.register(one)
    one.wait_until_ready()
    assert one.pid == pid
    assert status(one, "liveness") == 200


async def test_the_record_of_a_node_moves_its_tunnels_without_a_restart(cluster: TestCluster) -> None:
    cluster.contiv_conf = "crdNodeConfigurationDisabled: false\n"
    one, two = await cluster.up(1, 2)
    ip("addr", "add", "10.201.0.101/24", "dev", "eth0", netns=one.netns)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    two.add(c)

    def tunnels_from(address: str) -> bool:
        return f"local {address} " in ip("-d", "link", "show", "type", "vxlan", netns=one.netns)

    async with await Store.open(cluster.etcd.config) as store:
        key = keys.record_key("nodeconfig", "node1")
        assert tunnels_from("10.201.0.1")
        await store.put(key, b'{"node_name": "node1", "main_vpp_interface": {"ip": "10.201.0.101/24"}}')
        eventually(lambda: tunnels_from("10.201.0.101"))
        eventually(lambda: a.ping(c.address))
        await store.put(key, b'{"main_vpp_interface": {"ip": "10.201.0.1010/24"}}')
        await store.put(key, b'{"main_vpp_interface": 7}')
        eventually(lambda: f"{key}: the record: " in one.log())
        assert f"{key}: mainVPPInterface.ip: failed to parse '10.201.0.1010/24'; write an address" in one.log()
        one.kill()
        one.start()
        one.wait_until_ready()
        assert tunnels_from("10.201.0.101")
        assert a.ping(c.address)
        await store.delete(key)
        eventually(lambda: tunnels_from("10.201.0.1"))
        eventually(lambda: a.ping(c.address))


@pytest.mark.parametrize("seconds", [0, 1])
async def test_routes_are_there_again_when_the_nodes_address_went_and_came_back(
    cluster: TestCluster, seconds: int
) -> None:
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    two.add(c)
    eventually(lambda: a.ping(c.address))

    def routes() -> str:
        return ip("route", "show", "proto", "77", netns=one.netns)

    before = routes()
    assert f"src {one.address}" in before
    ip("addr", "del", f"{one.address}/24", "dev", "eth0", netns=one.netns)
    time.sleep(seconds)
    ip("addr", "add", f"{one.address}/24", "dev", "eth0", netns=one.netns)
    eventually(lambda: routes() == before)
    assert a.ping(c.address)


async def test_verification_finds_and_mends_what_somebody_broke(cluster: TestCluster) -> None:
    cluster.controller_conf = "enableVerification: true\n"
    [one] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    one.add(a)
    ip("route", "del", f"{a.address}/32", netns=one.netns)
    one.add(b)
    eventually(lambda: a.address in ip("route", "show", netns=one.netns))
    assert f"linux/route/node/254/{a.address}/32/0: wanted Route(to='{a.address}/32'" in one.log()
    assert metrics(one)['contiv_agent_verification_differences_total{place="data_plane"}'] == 1
    assert 'contiv_agent_verification_differences_total{place="rendering"}' not in metrics(one)
    assert events(one, "Verification Resync")[-1]["IsFollowUp"]


async def test_the_history_of_a_pod_that_fails_says_what_was_done_and_undone(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    pod = cluster.pod("a")
    pod.netns = "/run/netns/there-is-none"
    code, answer = one.cni("ADD", pod)
    assert (code, answer["code"]) == (1, 100)
    [record] = events(one, "Add Pod")
    assert "there is no network namespace /run/netns/there-is-none" in record["TxnError"]
    handlers = [(entry["Handler"], entry["Revert"]) for entry in record["Handlers"]]
    assert [one for one in handlers if one[0] == "local-pods"] == [("local-pods", False), ("local-pods", True)]
    assert [one[0] for one in handlers if one[1]] == [one[0] for one in handlers if not one[1]]
    assert record["Txn"]["Reverted"]
    assert record["Txn"]["SeqNum"] == record["TxnSeqNum"]
    assert one.get(f"controller/event-history?seq-num={record['SeqNum']}") == record
    assert status(one, "controller/event-history?seq-num=9999") == 404
    assert status(one, "controller/event-history?last=x") == 400
    said = metrics(one)
    assert said['contiv_agent_events_total{event="Add Pod",outcome="reverted"}'] == 1
    assert said['contiv_agent_event_seconds_count{event="Add Pod"}'] == 1
    assert said['contiv_agent_handler_seconds_count{handler="local-pods"}'] >= 1
    assert said['contiv_agent_queued_events{queue="main"}'] == 0
    assert (said["contiv_agent_in_sync"], said["contiv_agent_etcd_answers"]) == (1, 1)


async def test_a_stop_in_the_middle_of_additions_ends_well_and_leaves_no_half_pod(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    pods = [cluster.pod(f"p{number}") for number in range(8)]
    answers: dict[str, tuple[int, Any]] = {}

    def add(pod: Any) -> None:
        answers[pod.name] = one.cni("ADD", pod)

    threads = [threading.Thread(target=add, args=(pod,)) for pod in pods]
    for thread in threads:
        thread.start()
    eventually(lambda: bool(answers))
    assert one.kill(signal.SIGTERM) == 0
    for thread in threads:
        thread.join(60)
    devices = ip("-br", "link", netns=one.netns)
    for pod in pods:
        code, answer = answers[pod.name]
        assert code == 0 or answer["code"] == 11, answer
        assert (code == 0) <= (pod.container_id[:11] in devices)
    one.start()
    one.wait_until_ready()
    held = {entry["pod"]: entry["ip"] for entry in one.get("contiv/v1/pods")}
    assert len(held) == ip("-br", "link", netns=one.netns).count("@if") - 1  # without eth0
    for pod in pods:
        assert one.add(pod) == held.get(f"default/{pod.name}", pod.address)
        assert one.ping(pod.address)


async def test_a_resync_on_request_reads_etcd_and_the_data_plane(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    before = one.get("controller/event-history")[-1]["SeqNum"]
    ip("link", "del", "vxlanBVI", netns=one.netns)
    one.post("controller/resync")
    eventually(lambda: "vxlanBVI" in ip("-br", "link", netns=one.netns))

    def both() -> bool:
        names = {event["Name"] for event in one.get(f"controller/event-history?from={before + 1}&to={before + 9}")}
        return {"Database Resync"} < names

    eventually(both)
