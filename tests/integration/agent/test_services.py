"""Services of a real agent: what leaves the cluster, what is told over REST and by netctl, and what reset leaves."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contivpp.model import codec, keys
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.service import Service, ServicePort
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, cluster_of, eventually, ip, netns_path
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.root, pytest.mark.etcd]

BEYOND = "10.201.0.200"
PORT = 7000
_SERVER = f"""
import socket
server = socket.create_server(("", {PORT}))
print("listening", flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(peer[0].encode())
    connection.close()
"""
_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2) as connection:
    print(connection.recv(100).decode())
"""


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as cluster:
        ip("addr", "add", f"{BEYOND}/24", "dev", "br0", netns=cluster.switch)
        yield cluster


@contextlib.contextmanager
def serving(netns: str) -> Iterator[None]:
    """Somebody in a namespace tells everyone as whom they came."""
    command = ["nsenter", f"--net={netns}", sys.executable, "-I", "-S", "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield
        finally:
            server.kill()


def seen_as(netns: str, address: str, port: int = PORT) -> str:
    """As whom a connection from a namespace arrives; the error when it does not."""
    command = ["nsenter", f"--net={netns}", sys.executable, "-I", "-S", "-c", _CLIENT, address, str(port)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


async def write(cluster: TestCluster, *records: Any) -> None:
    async with await Store.open(cluster.etcd.config) as store:
        for record in records:
            kind = "service" if isinstance(record, Service) else "endpoints"
            key = keys.record_key(kind, f"{record.namespace}/{record.name}")
            await store.put(key, codec.encode(record))


def service(name: str, address: str, **more: Any) -> Service:
    given: dict[str, Any] = {"service_type": "ClusterIP", "port": (ServicePort(protocol="TCP", port=80),)}
    return Service(name=name, namespace="default", cluster_ip=address, **(given | more))


def endpoints(name: str, *addresses: str) -> Endpoints:
    subset = EndpointSubset(
        addresses=tuple(EndpointAddress(ip=one) for one in addresses), ports=(EndpointPort(port=PORT, protocol="TCP"),)
    )
    return Endpoints(name=name, namespace="default", endpoint_subsets=(subset,))


async def test_pods_leave_the_cluster_as_their_node_and_reach_other_nodes_as_themselves(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    pod = cluster.pod("a")
    one.add(pod)
    await write(cluster, service("beyond", "10.96.0.1"), endpoints("beyond", BEYOND))
    with serving(netns_path(cluster.switch)), serving(netns_path(two.netns)):
        assert seen_as(pod.netns, BEYOND) == one.address
        eventually(lambda: seen_as(pod.netns, "10.96.0.1", 80) == one.address)
        assert seen_as(pod.netns, two.address) == pod.address
        assert seen_as(netns_path(one.netns), "10.96.0.1", 80) == one.address


def reset(node: TestNode) -> None:
    command = ["contiv-agent", "reset", "--state-dir", str(node.folder / "state")]
    command += ["--node-netns", netns_path(node.netns)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def paths_of_sources(node: TestNode) -> str:
    command = ["nsenter", f"--net={netns_path(node.netns)}", "sysctl", "-n", "net.ipv4.conf.all.rp_filter"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def test_other_nodes_reach_services_whatever_the_node_thinks_of_the_paths_of_sources(
    cluster: TestCluster,
) -> None:
    """With rp_filter at 1, as some distributions have it, a packet must come from where its source is reached."""
    one, two = cluster.node(1), cluster.node(2)
    for node in (one, two):
        settings = [f"net.ipv4.conf.{which}.rp_filter=1" for which in ("all", "default")]
        subprocess.run(["nsenter", f"--net={netns_path(node.netns)}", "sysctl", "-q", "-w", *settings], check=True)
    await cluster.up(1, 2)
    pod = cluster.pod("a")
    one.add(pod)
    await cluster.write_pod(pod, one)
    ports = (ServicePort(protocol="TCP", port=80, node_port=30080),)
    db = service("db", "10.96.0.1", service_type="NodePort", port=ports)
    await write(cluster, db, endpoints("db", pod.address))
    own = netns_path(two.netns)
    with serving(pod.netns):
        eventually(lambda: seen_as(own, "10.96.0.1", 80) == two.address)
        assert seen_as(own, one.address, 30080) == two.address
    assert one.kill(signal.SIGTERM) == 0
    reset(one)
    assert paths_of_sources(one) == "1"


async def test_pods_leave_as_themselves_when_they_shall(cluster: TestCluster) -> None:
    cluster.contiv_conf = "natExternalTraffic: false\n"
    [one] = await cluster.up(1)
    pod = cluster.pod("a")
    one.add(pod)
    ip("route", "add", "10.1.1.0/24", "via", one.address, netns=cluster.switch)
    with serving(netns_path(cluster.switch)):
        assert seen_as(pod.netns, BEYOND) == pod.address


def told(node: TestNode) -> dict[str, Any]:
    return {item["service"]: item for item in node.get("contiv/v1/services")}


async def test_services_and_what_is_refused_are_told(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    await write(
        cluster, service("web", "10.96.0.1"), endpoints("web", "10.1.1.9"), service("wrong", "10.96.0.2", port=())
    )
    eventually(lambda: len(told(one)) == 2)
    web = told(one)["default/web"]
    assert (web["programmed"], web["problems"]) == (True, [])
    [frontend] = web["frontends"]
    assert frontend["inside"] == {
        "backends": [{"address": "10.1.1.9", "port": PORT, "local": False}],
        "empty": "reject",
    }
    assert frontend["local"] is False
    refused = [{"kind": "service", "id": "default/wrong", "reasons": ["it has no ports"]}]
    assert one.get("contiv/v1/refusals") == refused
    assert one.log().count("service default/wrong is left out") == 1
    assert len(one.get("contiv/v1/services?service=default/web")) == 1
    await write(cluster, service("wrong", "10.96.0.2"))
    eventually(lambda: one.get("contiv/v1/refusals") == [])


async def test_the_health_port_says_whether_the_node_has_endpoints(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)

    def asked() -> tuple[str, str]:
        url = f"http://{one.address}:32000/healthz"
        command = ["ip", "netns", "exec", cluster.switch, "curl", "-s", "-m", "2", "-w", "\n%{http_code}", url]
        body, _, code = subprocess.run(command, check=False, capture_output=True, text=True).stdout.rpartition("\n")
        return code, body

    local = {"service_type": "LoadBalancer", "external_traffic_policy": "Local", "health_check_node_port": 32000}
    await write(cluster, service("web", "10.96.0.1", **local), endpoints("web", BEYOND))
    eventually(lambda: asked()[0] == "503")
    here = EndpointSubset(
        addresses=(EndpointAddress(ip="10.1.1.9", node_name=one.name),),
        ports=(EndpointPort(port=PORT, protocol="TCP"),),
    )
    await write(cluster, Endpoints(name="web", namespace="default", endpoint_subsets=(here,)))
    eventually(lambda: asked()[0] == "200")
    assert json.loads(asked()[1])["localEndpoints"] == 1
    assert one.kill(signal.SIGKILL)
    one.start()
    one.wait_until_ready()
    eventually(lambda: asked()[0] == "200")
    await write(cluster, service("web", "10.96.0.1"))
    eventually(lambda: asked()[0] == "000")


async def test_reset_takes_the_table_away_and_no_other(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    await write(
        cluster,
        service("web", "10.96.0.1", session_affinity="ClientIP", session_affinity_timeout=60),
        endpoints("web", "10.1.1.9", "10.1.1.10"),
    )
    nft = ["ip", "netns", "exec", one.netns, "nft"]
    subprocess.run([*nft, "add", "table", "inet", "theirs"], check=True)

    def tables() -> list[str]:
        listing = subprocess.run([*nft, "-j", "list", "tables"], check=True, capture_output=True).stdout
        return [item["table"]["name"] for item in json.loads(listing)["nftables"] if "table" in item]

    eventually(lambda: "default/web" in told(one) and told(one)["default/web"]["programmed"])
    assert sorted(tables()) == ["contiv", "theirs"]
    assert one.kill(signal.SIGTERM) == 0
    reset(one)
    assert tables() == ["theirs"]
