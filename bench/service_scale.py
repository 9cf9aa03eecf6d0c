"""What 100, 1,000 and 10,000 services with 10 endpoints each cost a node, on VPP too where VPP_PREFIX names one.

`first` is the first programming: the event that found the node with its address and all services; `ready` also has the
start of the agent and the reading of etcd. `nft` is the limit to compare with on Linux: the same table, loaded into an
empty namespace by one `nft -f`. `change` is one endpoint of one service replaced by another: from sending the write to
etcd until the event is handled and its transaction committed; changes come one at a time. `restart` is an agent that
finds everything in place. `connect` is a TCP connection of a pod to a pod of the same node, `direct` without a service
and `service` through one. Memory is the agent's resident set, `vpp` what is used of VPP's main heap.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _cluster
from bench._common import percentile, report
from bench._planes import cluster_on, planes
from contivpp.agent.events import ClusterChanged
from contivpp.model import codec, keys
from contivpp.model.codec import Record
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from contivpp.model.service import IntOrString, Service, ServicePort
from contivpp.store.client import Store
from contivpp.store.types import split
from tests.integration.cluster import TestNode, TestPod, ip
from tests.integration.conftest import Etcd

SIZES = (100, 1_000, 10_000)
ENDPOINTS = 10
CHANGES = 200
CONNECTIONS = 500
PREFIXES = {"linux": "linux/service/", "vpp": "vpp/translation/"}
PATIENCE = 300.0
PORT = 8080
COUNTED_EVERY = 11.0
"""Seconds: VPP writes into its statistics every 10 s what is used."""
_SERVER = f"""
import socket
server = socket.create_server(("", {PORT}), backlog=512)
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""
_CLIENT = """
import socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    start = time.perf_counter()
    socket.create_connection((address, port), timeout=5).close()
    print((time.perf_counter() - start) * 1e6)
"""


def name_of(number: int) -> str:
    """A service as a record's ID."""
    return f"team-{number % 50}/service-{number}"


def service_of(number: int) -> tuple[str, Record]:
    """One service with one port."""
    namespace, _, name = name_of(number).partition("/")
    port = ServicePort(name="http", protocol="TCP", port=80, target_port=IntOrString(int_val=PORT))
    cluster_ip = f"10.96.{number >> 8}.{number & 255}"
    record = Service(name=name, namespace=namespace, port=(port,), cluster_ip=cluster_ip, service_type="ClusterIP")
    return keys.record_key("service", name_of(number)), record


def endpoints_of(number: int, *, generation: int = 0, only: str = "") -> tuple[str, Record]:
    """Its endpoints on other nodes; another `generation` replaces the last one; or `only` one."""
    namespace, _, name = name_of(number).partition("/")
    first = number * ENDPOINTS
    found = [_address(place) for place in range(first, first + ENDPOINTS - 1)]
    found.append(f"10.30.{generation >> 8}.{generation & 255}" if generation else _address(first + ENDPOINTS - 1))
    addresses = tuple(EndpointAddress(ip=one, node_name="node2") for one in ([only] if only else found))
    ports = (EndpointPort(name="http", port=PORT, protocol="TCP"),)
    subset = EndpointSubset(addresses=addresses, ports=ports)
    record = Endpoints(name=name, namespace=namespace, endpoint_subsets=(subset,))
    return keys.record_key("endpoints", name_of(number)), record


def _address(place: int) -> str:
    return f"10.{2 + (place >> 16)}.{place >> 8 & 255}.{place & 255}"


async def fill(etcd: Etcd, size: int) -> None:
    """Writes all services and their endpoints."""
    records = [record for number in range(size) for record in (service_of(number), endpoints_of(number))]
    async with await Store.open(etcd.config) as store:
        for batch in split({key: codec.encode(record) for key, record in records}):
            await store.commit(batch)


def last_event(node: TestNode) -> dict[str, object]:
    """The last event that the agent handled."""
    found: dict[str, object] = node.get("controller/event-history?last=1")[0]
    return found


def seconds_of(event: dict[str, object]) -> tuple[float, float]:
    """When the handling of an event began and ended, in seconds since the epoch."""
    start, end = (
        datetime.datetime.fromisoformat(str(event[name])).timestamp() for name in ("ProcessingStart", "ProcessingEnd")
    )
    return start, end


def wait_for_services(node: TestNode, prefix: str, size: int) -> None:
    """Waits until every service is in the data plane."""
    end = time.monotonic() + PATIENCE
    while len(node.get(f"scheduler/status?key-prefix={prefix}")) < size:
        assert time.monotonic() < end, "the services never came"
        time.sleep(0.5)


async def changes(etcd: Etcd, node: TestNode, size: int) -> list[float]:
    """Milliseconds from each write to the end of its event."""
    chance, took = random.Random(1), []
    async with await Store.open(etcd.config) as store:
        for generation in range(1, CHANGES + 1):
            before = last_event(node)["SeqNum"]
            key, record = endpoints_of(chance.randrange(1, size), generation=generation)
            sent = time.time()
            await store.put(key, codec.encode(record))
            while (event := last_event(node))["SeqNum"] == before:
                await asyncio.sleep(0.002)
            assert event["Name"] == ClusterChanged.name, event
            took.append((seconds_of(event)[1] - sent) * 1e3)
    return took


def by_hand(node: TestNode, folder: Path) -> float:
    """Seconds that one `nft -f` takes for the same table in an empty namespace."""
    rules, empty = folder / "table.nft", f"{node.netns}-empty"
    in_node = ["ip", "netns", "exec", node.netns, "nft", "list", "table", "inet", "contiv"]
    rules.write_bytes(subprocess.run(in_node, check=True, capture_output=True).stdout)
    ip("netns", "add", empty)
    try:
        start = time.monotonic()
        subprocess.run(["ip", "netns", "exec", empty, "nft", "-f", str(rules)], check=True)
        return time.monotonic() - start
    finally:
        ip("netns", "del", empty)


@contextlib.contextmanager
def serving(pod: TestPod) -> Iterator[None]:
    """Somebody listens in a pod."""
    command = ["nsenter", f"--net={pod.netns}", sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield
        finally:
            server.kill()


def connects(pod: TestPod, address: str, port: int) -> list[float]:
    """Microseconds of connections, one after the other."""
    command = ["nsenter", f"--net={pod.netns}", sys.executable, "-c", _CLIENT, address, str(port), str(CONNECTIONS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


async def lead_to(etcd: Etcd, pod: TestPod) -> None:
    """The first service leads to a pod of the node."""
    async with await Store.open(etcd.config) as store:
        key, record = endpoints_of(0, only=pod.address)
        await store.put(key, codec.encode(record))


def heap_of_vpp(node: TestNode) -> float:
    """MiB that are used of VPP's main heap."""
    time.sleep(COUNTED_EVERY)
    with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    series = 'contiv_vpp_memory_bytes{heap="main heap",state="used"} '
    [found] = [line.removeprefix(series) for line in lines if line.startswith(series)]
    return float(found) / (1 << 20)


def measure(plane: str, size: int) -> None:
    """One size, in a cluster of its own."""
    with cluster_on(plane, 1, etcd_arguments=_cluster.ETCD_ARGUMENTS) as cluster:
        cluster.contiv_conf = cluster.contiv_conf or _cluster.CONFIG
        etcd, node = cluster.etcd, cluster.node(1)
        asyncio.run(cluster.register(node))
        asyncio.run(fill(etcd, size))
        name, about = f"service_scale.{plane}.{size}", {"services": size, "endpoints": ENDPOINTS}
        started = time.monotonic()
        node.start()
        node.wait_until_ready(PATIENCE)
        wait_for_services(node, PREFIXES[plane], size)
        report(f"{name}.ready", time.monotonic() - started, "s", 1, **about)
        spans = [seconds_of(one) for one in node.get("controller/event-history")]
        report(f"{name}.first", max(end - start for start, end in spans), "s", 1, **about)
        if plane == "linux":
            report(f"{name}.nft", by_hand(node, cluster.folder), "s", 1, **about)
        else:
            report(f"{name}.memory.vpp", heap_of_vpp(node), "MiB", 1, **about)
        took = asyncio.run(changes(etcd, node, size))
        for percent in (50, 99):
            report(f"{name}.change.p{percent}", percentile(took, percent), "ms", CHANGES, **about)
        now, peak = _cluster.memory(node.pid)
        report(f"{name}.memory.now", now, "MiB", 1, **about)
        report(f"{name}.memory.peak", peak, "MiB", 1, **about)
        client, server = (cluster.pod(f"{one}-{size}") for one in ("client", "server"))
        for pod in (client, server):
            node.add(pod)
        asyncio.run(lead_to(etcd, server))
        time.sleep(1)
        with serving(server):
            for way, address, port in (("direct", server.address, PORT), ("service", "10.96.0.0", 80)):
                times = connects(client, address, port)
                for percent in (50, 99):
                    report(f"{name}.connect.{way}.p{percent}", percentile(times, percent), "us", CONNECTIONS, **about)
        node.kill()
        started = time.monotonic()
        node.start()
        node.wait_until_ready(PATIENCE)
        report(f"{name}.restart", time.monotonic() - started, "s", 1, **about)
        [resync, *_] = [one for one in node.get("scheduler/txn-history") if one.get("ResyncType") == "FullResync"]
        report(f"{name}.restart.operations", len(resync.get("Executed") or ()), "operations", 1, **about)
        node.kill()


def main() -> None:
    """Prints the figures; sizes may be given as arguments."""
    sizes = [int(one) for one in sys.argv[1:]] or SIZES
    for plane, size in itertools.product(planes(), sizes):
        measure(plane, size)


if __name__ == "__main__":
    main()
