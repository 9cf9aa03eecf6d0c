"""Operating a node that forwards with the kernel: the same counters, probes from pods, and no VPP to ask."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import TestCluster, TestNode, TestPod, cluster_of, eventually
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


def series(node: TestNode, name: str, pod: str) -> list[float]:
    """The values of a metric for a pod; "" for the node itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(name + "{") and f'pod="{pod}"' in line]


def probe(node: TestNode, pod: TestPod, **flow: Any) -> list[dict[str, Any]]:
    """What becomes of two probes."""
    body = {"pod": f"default/{pod.name}", "flow": {"source": pod.address, **flow}, "count": 2, "timeout": 0.5}
    request = urllib.request.Request(f"http://127.0.0.1:{node.port}/contiv/v1/probe", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return list(json.loads(answer.read())["probes"])


async def test_links_of_pods_are_counted_under_the_same_names_and_go_with_the_pod(cluster: TestCluster) -> None:
    [node] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    node.add(a), node.add(b)
    eventually(lambda: a.ping(b.address))
    received, sent = "contiv_interface_receive_packets_total", "contiv_interface_transmit_packets_total"
    [before], [opposite] = series(node, received, "a"), series(node, sent, "b")
    assert a.ping(b.address, 20)
    assert series(node, received, "a")[0] - before >= 20
    assert series(node, sent, "b")[0] - opposite >= 20
    assert series(node, received, ""), "the node's own links are there, too"
    assert not series(node, "contiv_interface_punts_total", "a"), "the kernel counts no such thing"
    assert node.cni("DEL", a)[0] == 0
    eventually(lambda: not series(node, received, "a"))
    assert series(node, received, "b")


async def test_a_probe_says_what_became_of_it_and_there_is_no_vpp_to_ask(cluster: TestCluster) -> None:
    [node] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    node.add(a), node.add(b)
    eventually(lambda: a.ping(b.address))
    answered = {"answered": True, "outcome": "answered"}
    refused = {"answered": True, "outcome": "refused: nobody listens on the port"}
    tcp = {"protocol": "tcp", "source_port": 61010, "destination_port": 80}
    assert probe(node, a, destination=b.address, protocol="icmp", source_port=5) == [answered, answered]
    assert probe(node, a, destination=b.address, **tcp) == [refused, refused]
    assert probe(node, a, destination=b.address, **{**tcp, "protocol": "udp"}) == [refused, refused]
    for nobody in ("203.0.113.1", "10.1.1.99"):
        assert [one["answered"] for one in probe(node, a, destination=nobody, **tcp)] == [False, False]
    assert node.get("vpp/status") == {"dataplane": "linux"}
    assert "there is no VPP on it" in node.get("vpp/dump")["Error"]
