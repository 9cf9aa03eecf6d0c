"""TCP between two pods, on one node and across nodes; iperf3, some seconds each, median of some runs.

On Linux as a ratio to a bare veth pair; on a real VPP, where VPP_PREFIX names one, as a ratio to VPPs that were
configured by hand for the same paths: two links attached and routed, and a VXLAN tunnel between bridge domains.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report
from bench._planes import cluster_on, planes
from contivpp.dataplane.linux.offload import set_checksums
from tests.integration.agent.test_vpp_cluster import VppNode
from tests.integration.cluster import TestCluster, TestPod, ip
from tests.integration.dataplane.vpp import RealVpp

SECONDS = 3
RUNS = 3


def throughput(server: str, client: str, address: str) -> float:
    """Gbit/s from one namespace to another; the median of some runs."""
    results = []
    for _ in range(RUNS):
        listening = subprocess.Popen(
            ["nsenter", f"--net={server}", "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(0.3)
        command = ["nsenter", f"--net={client}", "iperf3", "-c", address, "-t", str(SECONDS), "-J"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS + 20)
        listening.terminate()
        listening.wait()
        answer = json.loads(done.stdout)
        if "end" not in answer or not answer["end"]:
            sys.exit(f"iperf3: {answer.get('error')}")
        results.append(answer["end"]["sum_received"]["bits_per_second"] / 1e9)
    return sorted(results)[RUNS // 2]


def bare(cluster: TestCluster) -> float:
    """The same over a veth pair between two namespaces, with the MTU of a pod."""
    one, two = cluster.pod("bare-1"), cluster.pod("bare-2")
    names = [Path(pod.netns).name for pod in (one, two)]
    ip("link", "add", "b0", "mtu", "1450", "netns", names[0], "type", "veth", "peer", "name", "b0", "netns", names[1])
    ip("link", "set", "b0", "mtu", "1450", netns=names[1])
    for number, name in enumerate(names):
        ip("addr", "add", f"10.250.0.{number + 1}/24", "dev", "b0", netns=name)
        ip("link", "set", "b0", "up", netns=name)
    return throughput(one.netns, two.netns, "10.250.0.1")


def pods_of(cluster: TestCluster) -> tuple[TestPod, TestPod, TestPod]:
    """Two pods on one node, and one on another."""
    one, two = asyncio.run(cluster.up(1, 2))
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    one.add(a)
    one.add(b)
    two.add(c)
    return a, b, c


BY_HAND = """create host-interface name {first} hw-addr 02:00:00:00:0{number}:01
create host-interface name {second} hw-addr 02:00:00:00:0{number}:02
set interface state host-{first} up
set interface state host-{second} up
set interface ip address host-{first} 10.{number}.1.1/24
set interface ip address host-{second} 10.{number}.2.1/24
"""
TUNNEL = """create host-interface name eth1 hw-addr 02:00:00:00:0{number}:03
set interface state host-eth1 up
set interface ip address host-eth1 192.168.16.{number}/24
create vxlan tunnel src 192.168.16.{number} dst 192.168.16.{other} vni 10
create loopback interface mac 12:2b:00:00:00:0{number}
set interface state loop0 up
set interface ip address loop0 192.168.30.{number}/24
set interface l2 bridge vxlan_tunnel0 1
set interface l2 bridge loop0 1 bvi
ip route add 10.{other}.0.0/16 via 192.168.30.{other} loop0
"""


def by_hand(cluster: TestCluster, vpps: list[RealVpp]) -> tuple[TestPod, TestPod, TestPod]:
    """Two namespaces behind one VPP and one behind another, without an agent."""
    found = []
    for number, vpp in enumerate(vpps, start=1):
        node = cluster.node(number)
        links = [f"h{number}{place}" for place in ("a", "b")]
        for place, link in enumerate(links, start=1):
            pod = cluster.pod(f"hand-{number}-{place}")
            inside = Path(pod.netns).name
            ends = ("netns", node.netns, "type", "veth", "peer", "name", "eth0", "netns", inside)
            ip("link", "add", link, *ends)
            ip("link", "set", link, "up", netns=node.netns)
            ip("link", "set", "eth0", "mtu", "1450", "up", netns=inside)
            for namespace, name in ((pod.netns, "eth0"), (f"/run/netns/{node.netns}", link)):
                set_checksums(namespace, name, on=False)
            ip("addr", "add", f"10.{number}.{place}.2/24", "dev", "eth0", netns=inside)
            ip("route", "add", "default", "via", f"10.{number}.{place}.1", netns=inside)
            pod.address = f"10.{number}.{place}.2"
            found.append(pod)
        commands = BY_HAND.format(number=number, first=links[0], second=links[1])
        commands += TUNNEL.format(number=number, other=3 - number)
        for command in commands.splitlines():
            vpp.cli(*command.split())
    return found[0], found[1], found[2]


def compare(name: str, pods: tuple[TestPod, TestPod, TestPod], references: tuple[float, float], unit: str) -> None:
    """Prints the figures of three pods, as ratios to the same paths otherwise."""
    source, *targets = pods
    for place, target, reference in zip(("same_node", "across_nodes"), targets, references, strict=True):
        value = throughput(target.netns, source.netns, target.address)
        report(f"{name}.{place}", value, "Gbit/s", RUNS)
        report(f"{name}.{place}.ratio", value / reference, unit, RUNS)


def linux() -> None:
    """Pods of the kernel's data plane."""
    with cluster_on("linux", 2) as cluster:
        pods = pods_of(cluster)
        reference = bare(cluster)
        report("pod_throughput.veth", reference, "Gbit/s", RUNS)
        compare("pod_throughput", pods, (reference, reference), "pods/veth")


def vpp() -> None:
    """Pods of VPP."""
    with cluster_on("linux", 0) as cluster:
        ip("link", "add", "br1", "type", "bridge", netns=cluster.switch)
        ip("link", "set", "br1", "up", netns=cluster.switch)
        nodes = [VppNode(cluster, number) for number in (1, 2)]
        try:
            for node in nodes:
                node.vpp.start()
            first, second, third = by_hand(cluster, [node.vpp for node in nodes])
            same = throughput(second.netns, first.netns, second.address)
            across = throughput(third.netns, first.netns, third.address)
        finally:
            for node in nodes:
                node.vpp.end()
    report("pod_throughput.by_hand.same_node", same, "Gbit/s", RUNS)
    report("pod_throughput.by_hand.across_nodes", across, "Gbit/s", RUNS)
    with cluster_on("vpp", 2) as cluster:
        compare("pod_throughput.vpp", pods_of(cluster), (same, across), "pods/by hand")


def main() -> None:
    """Prints the figures."""
    linux()
    if "vpp" in planes():
        vpp()


if __name__ == "__main__":
    main()
