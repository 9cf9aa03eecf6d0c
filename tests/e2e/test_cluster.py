"""The whole chain: a pod made through the Kubernetes API, and packets between nodes.

These tests look at the cluster from outside, as its administrator does: kubectl, ssh, Ansible.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from .agreement import everybody_reached
from .conftest import NODES, Cluster

# Building the cluster takes minutes the first time, and is part of the first test.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
Object = dict[str, Any]


def two_pods_on_two_nodes(cluster: Cluster) -> tuple[Object, Object]:
    demo = sorted((pod for name, pod in cluster.pods().items() if name.startswith("demo-")), key=str)
    first = demo[0]
    return first, next(pod for pod in demo if pod["spec"]["nodeName"] != first["spec"]["nodeName"])


def lost(output: str) -> tuple[int, int]:
    """Sent and received, from what ping says at its end."""
    match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert match is not None, output
    return int(match[1]), int(match[2])


async def process_of(cluster: Cluster, node: str, unit: str) -> int:
    """The main process of an active unit, or 0."""
    said = await cluster.on(node, f"systemctl show -p ActiveState -p MainPID {unit}")
    values = dict(line.split("=", 1) for line in said.split())
    return int(values["MainPID"]) if values["ActiveState"] == "active" else 0


async def test_everybody_reaches_everybody(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    assert {node["metadata"]["name"] for node in nodes} == set(NODES)
    everybody_reached(cluster)


async def test_a_seventh_pod_answers_from_another_node_and_leaves_nothing_behind(cluster: Cluster) -> None:
    before = await cluster.links("node2")
    pod = await cluster.make_pod("seventh", "node2")
    address = pod["status"]["podIP"]
    assert len(await cluster.links("node2") - before) == 1
    source = next(p for p in cluster.pods().values() if p["spec"]["nodeName"] == "node3")
    assert lost(await cluster.in_pod(source, f"ping -c 3 -i 0.2 -W 2 {address}")) == (3, 3)
    assert (await cluster.in_pod(source, f"curl -s -m 3 http://{address}/")).strip() == "seventh"

    async def allocated() -> dict[str, str]:
        said = await cluster.on("node2", "curl -fsS -m 3 http://127.0.0.1:9999/contiv/v1/ipam/allocations")
        pods = json.loads(said)["Pods"] or []
        return {p["PodID"]["Name"]: p["MainIP"].split("/")[0] for p in pods}

    assert (await allocated())["seventh"] == address
    cluster.kubectl("delete", "pod", "seventh", "--timeout=30s")
    assert await cluster.links("node2") == before

    async def freed() -> bool:
        return "seventh" not in await allocated()

    await cluster.until(freed, "the address is free again", seconds=20)


@pytest.mark.parametrize(
    ("unit", "nodes"),
    [
        ("contiv-agent", tuple(NODES)),
        ("contiv-ksr", ("node1",)),
        ("contiv-etcd", ("node1",)),
        ("contiv-playground-kubelet", tuple(NODES)),
        ("contiv-playground-apiserver", ("node1",)),
    ],
)
async def test_a_daemon_that_is_killed_comes_back_and_no_packet_is_lost(
    cluster: Cluster, unit: str, nodes: tuple[str, ...]
) -> None:
    source, target = two_pods_on_two_nodes(cluster)
    before = {node: await process_of(cluster, node, unit) for node in nodes}
    assert all(before.values()), f"{unit} does not run: {before}"
    ping = f"ping -n -q -i 0.02 -c 400 -W 2 {target['status']['podIP']}"
    running = asyncio.create_task(cluster.in_pod(source, f"{ping} || true"))
    await asyncio.sleep(1)
    await asyncio.gather(*(cluster.on(node, f"systemctl kill --kill-whom=main --signal=KILL {unit}") for node in nodes))

    async def back() -> bool:
        now = {node: await process_of(cluster, node, unit) for node in nodes}
        return all(now.values()) and all(now[node] != before[node] for node in nodes)

    await cluster.until(back, f"{unit} runs again")
    await cluster.agents_agree()
    assert lost(await running) == (400, 400)
    fresh = await cluster.make_pod("after", source["spec"]["nodeName"])
    assert lost(await cluster.in_pod(target, f"ping -c 1 -W 3 {fresh['status']['podIP']}")) == (1, 1)


async def test_a_node_loses_its_pods_when_it_is_drained_and_takes_pods_again_when_that_is_undone(
    cluster: Cluster,
) -> None:
    def drain(*words: str) -> str:
        return cluster.run(
            "ansible-playbook", *cluster.inventories, "playbooks/drain.yml", "-e", "drain_force=yes", *words
        )

    def kept_off() -> list[str]:
        nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
        return [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]

    def on_node2() -> set[str]:
        return {name for name, pod in cluster.pods().items() if pod["spec"]["nodeName"] == "node2"}

    assert on_node2()
    with pytest.raises(AssertionError, match="Nothing was changed: name the nodes with --limit"):
        drain()
    assert kept_off() == []
    try:
        drain("--limit", "node2")
        assert (on_node2(), kept_off()) == (set(), ["node2"])
        assert re.search(r"changed=0 ", drain("--limit", "node2")), "there is nothing left to do"
    finally:
        drain("--limit", "node2", "-e", "drain_undo=true")
    assert kept_off() == []
    cluster.run("contiv-playground", "demo")
    everybody_reached(cluster)


async def test_without_etcd_a_pod_is_still_added_and_all_agree_when_it_is_back(cluster: Cluster) -> None:
    await cluster.agents_agree()
    await cluster.on("node1", "systemctl stop contiv-etcd")
    try:
        pod = await cluster.make_pod("without-etcd", "node2")
        address = pod["status"]["podIP"]
        assert lost(await cluster.on("node2", f"ping -c 1 -W 2 {address}")) == (1, 1)
    finally:
        await cluster.on("node1", "systemctl start contiv-etcd")
    await cluster.agents_agree()
    source = next(p for p in cluster.pods().values() if p["spec"]["nodeName"] == "node3")
    assert lost(await cluster.in_pod(source, f"ping -c 1 -W 2 {address}")) == (1, 1)

    async def known() -> bool:
        pods = json.loads(await cluster.on("node1", "contiv-netctl pods -o json"))
        return "without-etcd" in json.dumps(pods)

    await cluster.until(known, "the pod is in etcd")
    cluster.run("contiv-playground", "demo")


async def test_a_machine_that_is_restarted_gets_its_pods_back(cluster: Cluster) -> None:
    boot = "stat -c %Z /run/systemd"  # made anew by every boot
    before = await cluster.on("node3", boot)
    pods = [pod for pod in cluster.pods().values() if pod["spec"]["nodeName"] == "node3"]
    assert pods
    started = {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["containerID"] for pod in pods}
    # The answer may be cut off by what it asks for.
    await asyncio.gather(cluster.on("node3", "systemctl reboot"), return_exceptions=True)

    async def again() -> bool:
        return await cluster.on("node3", boot) != before

    await cluster.until(again, "node3 has booted again", seconds=90)
    await cluster.agents_agree()

    async def fresh() -> bool:
        now = cluster.pods()
        return all(
            any(c["type"] == "Ready" and c["status"] == "True" for c in now[name]["status"]["conditions"])
            and now[name]["status"]["containerStatuses"][0]["containerID"] != old
            for name, old in started.items()
        )

    await cluster.until(fresh, "the pods of node3 run again", seconds=90)
    cluster.run("contiv-playground", "demo")


async def test_a_second_deployment_changes_nothing(cluster: Cluster) -> None:
    output = await asyncio.to_thread(cluster.deploy)
    recap = re.findall(r"^(\S+)\s*: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output, re.MULTILINE)
    hosts = {host: (changed, unreachable, failed) for host, changed, unreachable, failed in recap}
    assert set(NODES) <= set(hosts), output
    assert set(hosts.values()) == {("0", "0", "0")}, output
