"""The three nodes with VPP as their data plane: what dies comes back, what is wrong is said, and a reset leaves nothing.

`make test-vpp` runs these; the other end-to-end tests have a cluster of their own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from .agreement import agent, everybody_reached
from .conftest import NODES, Cluster
from .test_cluster import lost, process_of, two_pods_on_two_nodes

pytestmark = [pytest.mark.e2e, pytest.mark.vpp, pytest.mark.timeout(1500)]
CONF = "/etc/contiv/startup.conf"
# What is lost when VPP dies: its restart, the agent's programming, and what a loaded machine adds.
OUTAGE_SECONDS = 6.0
QUIET_SECONDS = 8
READY = "curl -fsS -m 3 http://127.0.0.1:9999/readiness"


@pytest.fixture
async def cluster(built_with_vpp: Cluster) -> AsyncIterator[Cluster]:
    yield built_with_vpp
    built_with_vpp.kubectl("delete", "pods", "-l", "made-by=test", "--timeout=60s")


async def pings(cluster: Cluster, source: dict[str, object], address: str, count: int) -> tuple[tuple[int, int], float]:
    """Sent and received of pings every 20 ms, and the longest time without an answer in seconds."""
    said = await cluster.in_pod(source, f"ping -D -n -i 0.02 -c {count} -W 2 {address} || true")
    times = [float(moment) for moment in re.findall(r"^\[(\d+\.\d+)\] \d+ bytes", said, re.MULTILINE)]
    assert times, said
    return lost(said), max((after - before for before, after in itertools.pairwise(times)), default=0.0)


async def kill(cluster: Cluster, node: str, unit: str) -> None:
    await cluster.on(node, f"systemctl kill --kill-whom=main --signal=KILL {unit}")


async def test_everybody_reaches_everybody_through_vpp(cluster: Cluster) -> None:
    everybody_reached(cluster)
    for node in NODES:
        shown = await cluster.on(node, "contiv-vppctl show interface addr")
        assert "host-eth1" in shown and "192.168.16." in shown, shown


async def test_an_agent_that_is_killed_costs_no_packet_and_has_nothing_to_do(cluster: Cluster) -> None:
    source, target = two_pods_on_two_nodes(cluster)
    before = {node: await process_of(cluster, node, "contiv-agent") for node in NODES}
    running = asyncio.create_task(pings(cluster, source, target["status"]["podIP"], 400))
    await asyncio.sleep(1)
    await asyncio.gather(*(kill(cluster, node, "contiv-agent") for node in NODES))

    async def back() -> bool:
        now = {node: await process_of(cluster, node, "contiv-agent") for node in NODES}
        return all(now[node] not in (0, before[node]) for node in NODES)

    await cluster.until(back, "the agents run again")
    await cluster.agents_agree()
    assert (await running)[0] == (400, 400)
    for node in NODES:
        history = await agent(cluster, node, "scheduler/txn-history")
        assert history and [one.get("Executed") or [] for one in history] == [[]] * len(history), history


async def test_a_vpp_that_is_killed_is_back_with_everything_in_seconds(cluster: Cluster) -> None:
    source, target = two_pods_on_two_nodes(cluster)
    node = target["spec"]["nodeName"]
    before = await process_of(cluster, node, "contiv-vpp")
    agent_before = await process_of(cluster, node, "contiv-agent")
    running = asyncio.create_task(pings(cluster, source, target["status"]["podIP"], 600))
    await asyncio.sleep(1)
    await kill(cluster, node, "contiv-vpp")
    (sent, received), gap = await running
    print(f"VPP was killed: {sent - received} of {sent} pings lost, {gap:.2f} s without an answer")
    assert received < sent, "it forwarded while it was dead"
    assert gap < OUTAGE_SECONDS
    assert await process_of(cluster, node, "contiv-vpp") not in (0, before)
    assert await process_of(cluster, node, "contiv-agent") == agent_before
    await cluster.agents_agree()
    fresh = await cluster.make_pod("after", node)
    assert lost(await cluster.in_pod(source, f"ping -c 1 -W 3 {fresh['status']['podIP']}")) == (1, 1)
    everybody_reached(cluster)


@dataclass(frozen=True)
class Fault:
    """What is done to the VPP of a node, what the agent says of it, and what takes it back."""

    cause: str
    said: str
    cure: str


def restarted_with(change: str) -> str:
    return f"cp {CONF} /root/before.conf; sed -i '{change}' {CONF}; systemctl restart contiv-vpp"


RESTORED = f"mv /root/before.conf {CONF}; systemctl reset-failed contiv-vpp; systemctl restart contiv-vpp"
MAIN_PID = "$(systemctl show -p MainPID --value contiv-vpp)"
BOUND = 'import socket; socket.socket(socket.AF_UNIX).bind("/run/vpp/api.sock")'
FAULTS = {
    "a plugin that is needed is not loaded": Fault(
        restarted_with("s/plugins {/plugins {\\n  plugin af_packet_plugin.so { disable }/"),
        "lacks message af_packet_create_v3",
        RESTORED,
    ),
    "nobody listens on the socket": Fault(
        f"systemctl stop contiv-vpp; mkdir -p /run/vpp; python3 -c '{BOUND}'",
        "VPP at /run/vpp/api.sock: Connection refused: is it running?",
        "systemctl start contiv-vpp",
    ),
    "VPP hangs": Fault(f"kill -STOP {MAIN_PID}", "does not answer within 10 s: is it hung?", f"kill -CONT {MAIN_PID}"),
    "VPP has too little memory": Fault(
        restarted_with("s/main-heap-size .*/main-heap-size 24M/"), "is it running?", RESTORED
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_vpp_is_said_in_one_sentence_and_over_when_its_cause_is(cluster: Cluster, name: str) -> None:
    fault = FAULTS[name]
    await cluster.agents_agree()
    before = await process_of(cluster, "node2", "contiv-agent")
    since = (await cluster.on("node2", "date '+%Y-%m-%d %H:%M:%S'")).strip()
    await cluster.on("node2", fault.cause)
    try:

        async def said() -> bool:
            body = await cluster.on("node2", "curl -sS -m 3 http://127.0.0.1:9999/readiness")
            return fault.said in body

        await cluster.until(said, f"the agent says {fault.said}", seconds=30)
        await asyncio.sleep(QUIET_SECONDS)  # what goes on may not fill the journal
        status = json.loads(await cluster.on("node1", "contiv-netctl status -o json || true"))
        [row] = [row for row in status["agents"] if row["node"] == "node2"]
        assert fault.said in row["reason"] and row["ready"] != "OK"
        journal = await cluster.on("node2", f"journalctl -u contiv-agent --since '{since}' -o cat --no-pager")
        said_lines = [line.partition(" ")[2] for line in journal.splitlines()]
        assert len(said_lines) <= 4 and len(set(said_lines)) == len(said_lines), journal
        assert await process_of(cluster, "node2", "contiv-agent") == before, "the agent did not live through it"
    finally:
        await cluster.on("node2", fault.cure)
    started = time.monotonic()
    await cluster.agents_agree()
    print(f"{name}: ready {time.monotonic() - started:.1f} s after the cause was gone")
    everybody_reached(cluster)


async def test_a_second_deployment_changes_nothing(cluster: Cluster) -> None:
    output = await asyncio.to_thread(cluster.deploy)
    recap = re.findall(r"^(\S+)\s*: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output, re.MULTILINE)
    hosts = {host: figures for host, *figures in recap}
    assert set(NODES) <= set(hosts), output
    assert all(figures == ["0", "0", "0"] for figures in hosts.values()), output


async def test_the_nic_of_kubernetes_is_refused_before_anything_changes(cluster: Cluster) -> None:
    nodes = [{"nodeName": node, "mainVPPInterface": {"interfaceName": "host0"}} for node in NODES]
    wanted = {"dataplane": "vpp", "ipamConfig": {"nodeInterconnectCIDR": "192.168.16.0/24"}, "nodeConfig": nodes}
    extra = json.dumps({"contivpp_config": wanted})
    with pytest.raises(AssertionError, match=r"host0 has the address 10\.210\.0\.1\d that this host is reached by"):
        await asyncio.to_thread(
            cluster.run, "ansible-playbook", *cluster.inventories, "playbooks/preflight.yml", "-e", extra
        )


async def test_a_reset_leaves_no_trace_and_the_cluster_can_be_built_again(cluster: Cluster) -> None:
    words = ("ansible-playbook", *cluster.inventories, "playbooks/reset.yml", "-e", "reset_confirmed=yes")
    await asyncio.to_thread(cluster.run, *words, timeout=600)
    try:
        for node in NODES:
            assert await cluster.links(node) == {"lo", "host0", "eth1"}
            left = await cluster.on(
                node,
                "ls -d /etc/contiv /opt/contiv* /run/vpp /run/contiv /var/lib/contiv* /usr/local/bin/contiv*"
                " /etc/systemd/system/contiv* 2>/dev/null || true; pidof vpp vpp_main || true;"
                " ip route show proto 77; systemctl list-units --all --no-legend 'contiv*'; ls /run/netns 2>/dev/null",
            )
            assert left.strip() == "", f"left on {node}: {left}"
    finally:
        await asyncio.to_thread(cluster.deploy)
    everybody_reached(cluster)
