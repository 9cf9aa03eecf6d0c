"""contiv-stn, agents and real VPPs: two nodes whose only NIC is stolen, and a machine on their network."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.daemon.stn.client import NicState, StnClient, StnError
from contivpp.dataplane.linux import offload
from tests.integration.cluster import TestCluster, TestNode, cluster_of, eventually, ip, netns_path, ping
from tests.integration.conftest import Etcd
from tests.integration.dataplane.pods import in_namespace
from tests.integration.dataplane.vpp import RealVpp
from tests.integration.stn.world import FAKE, REPOSITORY

pytestmark = [pytest.mark.vpp, pytest.mark.etcd, pytest.mark.root, pytest.mark.timeout(240)]

OUTSIDE = "10.201.0.254"
CONFIG = "{{dataplane: vpp, stealInterface: eth0, stnSocketFile: {socket}}}"


class SingleNicNode:
    """A node with one NIC, its VPP, its agent and its contiv-stn."""

    def __init__(self, cluster: TestCluster, number: int) -> None:
        self.agent: TestNode = cluster.node(number)
        self.folder = self.agent.folder / "stn"
        self.folder.mkdir()
        self.address = self.agent.address
        self.netns = self.agent.netns
        ip("route", "add", "default", "via", OUTSIDE, netns=self.netns)
        # What comes from another machine has its checksums, and is not larger than the MTU.
        offload.set_checksums(netns_path(cluster.switch), self.agent.port_name, on=False)
        self.vpp = RealVpp(self.agent.folder / "vpp", netns=self.netns)
        self.agent.options = ["--vpp-socket", str(self.vpp.socket)]
        self.client = StnClient(self.folder / "stn.sock")
        self._stn: subprocess.Popen[bytes] | None = None
        self._relay: socket.socket | None = None

    def start(self) -> None:
        """All three, with the configuration that names the socket of this contiv-stn."""
        self.agent.cluster.contiv_conf = CONFIG.format(socket=self.folder / "stn.sock")
        self.vpp.start()
        self.agent.start()
        self._serve_agent()
        given = {
            "command": "run",
            "folder": str(self.folder),
            "mode": "link",
            "node": self.netns,
            "parked": "",
            "boot": "boot-1",
            "port": self.agent.port,
            "limits": (60.0, 8.0, 30.0),  # a busy machine answers late
            "vpp_socket": str(self.vpp.socket),
        }
        words = ["ip", "netns", "exec", self.netns, sys.executable, str(FAKE), json.dumps(given)]
        with (self.folder / "log").open("ab") as log:
            self._stn = subprocess.Popen(
                words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
            )

    def _serve_agent(self) -> None:
        """The agent's probes are served in the test's own namespace: contiv-stn asks in the node's."""
        listening = self._relay = in_namespace(self.netns, socket.AF_INET, socket.SOCK_STREAM, 0)
        listening.bind(("127.0.0.1", self.agent.port))
        listening.listen(16)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asking, _ = listening.accept()
                    with asking, contextlib.suppress(OSError):
                        with socket.create_connection(("127.0.0.1", self.agent.port), 2) as answering:
                            answering.sendall(asking.recv(4096))
                            while data := answering.recv(4096):
                                asking.sendall(data)

        threading.Thread(target=serve, daemon=True).start()

    def end(self) -> None:
        if self._stn is not None:
            self._stn.kill()
            self._stn.wait()
        if self._relay is not None:
            self._relay.close()
        self.vpp.end()

    async def until(self, phase: str, seconds: float = 40) -> NicState:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(StnError):
                state = await self.client.state()
                if state.phase == phase:
                    return state
            assert time.monotonic() < deadline, (self.folder / "log").read_text() + self.agent.log()
            await asyncio.sleep(0.1)

    async def steal(self) -> NicState:
        await self.until("")
        eventually(self.lacks_nothing_but_the_nic, 40)
        await self.client.steal("eth0", timeout=30)
        return await self.until("confirmed")

    def lacks_nothing_but_the_nic(self) -> bool:
        with contextlib.suppress(OSError):
            return "is not stolen" in str(self.agent.get("readiness"))
        return False

    def pings(self, address: str, count: int = 2) -> bool:
        return ping(netns_path(self.netns), address, count)

    def picture(self) -> str:
        shown = [ip(*words.split(), netns=self.netns) for words in ("addr show dev eth0", "route", "-6 route")]
        return "\n".join(line for text in shown for line in text.splitlines() if "fe80" not in line)


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        ip("addr", "add", f"{OUTSIDE}/24", "dev", "br0", netns=made.switch)
        yield made


@pytest.fixture
def nodes(cluster: TestCluster) -> Iterator[tuple[SingleNicNode, SingleNicNode]]:
    made = SingleNicNode(cluster, 1), SingleNicNode(cluster, 2)
    try:
        yield made
    finally:
        for node in made:
            node.end()


def outside(cluster: TestCluster, address: str, count: int = 2) -> bool:
    return ping(netns_path(cluster.switch), address, count)


class Talk:
    """One TCP connection from outside to a server of a node, by which a line goes and comes back now and then."""

    def __init__(self, cluster: TestCluster, node: SingleNicNode) -> None:
        server = in_namespace(node.netns, socket.AF_INET, socket.SOCK_STREAM, 0)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((node.address, 7000))
        server.listen(1)
        self._client = in_namespace(cluster.switch, socket.AF_INET, socket.SOCK_STREAM, 0)
        self._client.settimeout(15)
        self._client.connect((node.address, 7000))
        self._served, _ = server.accept()
        self._served.settimeout(15)
        server.close()

    def works(self, size: int = 100_000) -> bool:
        data = os.urandom(size)
        for sender, receiver in ((self._client, self._served), (self._served, self._client)):
            sending = threading.Thread(target=sender.sendall, args=(data,))
            sending.start()
            got = b""
            while len(got) < size:
                got += receiver.recv(65536)
            sending.join()
            if got != data:
                return False
        return True


class Pings:
    """Asks a node from outside all the time."""

    def __init__(self, cluster: TestCluster, node: SingleNicNode) -> None:
        self._file = node.folder / "pings"
        words = ["ip", "netns", "exec", cluster.switch, "ping", "-n", "-D", "-i", "0.05", node.address]
        with self._file.open("w") as answers:
            self._process = subprocess.Popen(words, stdout=answers)

    def end(self) -> float:
        """The longest time between two answers, in seconds."""
        self._process.terminate()
        self._process.wait()
        lines = [line for line in self._file.read_text().splitlines() if "icmp_seq" in line and "from" in line]
        times = [float(line[1 : line.index("]")]) for line in lines]
        assert len(times) > 20, "it was hardly ever there"
        return max(after - before for before, after in itertools.pairwise(times))


async def test_a_node_is_away_for_a_moment_in_each_direction(
    cluster: TestCluster, nodes: tuple[SingleNicNode, SingleNicNode]
) -> None:
    node = nodes[0]
    await cluster.register(node.agent)
    node.start()
    await node.until("")
    eventually(node.lacks_nothing_but_the_nic, 40)
    pings = Pings(cluster, node)
    await node.steal()
    await asyncio.sleep(1)
    assert pings.end() < 3
    pings = Pings(cluster, node)
    await asyncio.sleep(1)
    await node.client.release("eth0", timeout=30)
    await asyncio.sleep(1)
    assert pings.end() < 3


async def test_a_node_whose_nic_is_stolen_is_reached_as_before(
    cluster: TestCluster, nodes: tuple[SingleNicNode, SingleNicNode]
) -> None:
    for node in nodes:
        await cluster.register(node.agent)
        node.start()
    one, two = nodes
    talk = Talk(cluster, one)
    assert talk.works()
    before = one.picture()
    await one.steal()
    one.agent.wait_until_ready()
    eventually(lambda: outside(cluster, one.address))  # neighbours have to be found first
    eventually(lambda: one.pings(OUTSIDE))
    eventually(lambda: one.pings(two.address))  # its NIC is not stolen
    assert talk.works(), "a connection that was there before"
    await two.steal()
    two.agent.wait_until_ready()
    eventually(lambda: one.pings(two.address))  # its NIC is stolen as well
    a, b = cluster.pod("a"), cluster.pod("b")
    one.agent.add(a), two.agent.add(b)
    eventually(lambda: a.ping(b.address))
    for address in (one.address, two.address, OUTSIDE):
        eventually(lambda address=address: a.ping(address))
    for pod in (a, b):
        eventually(lambda pod=pod: one.pings(pod.address))
    one.vpp.end()
    state = await one.until("returned")
    assert "VPP does not run" in state.reason
    assert one.picture() == before
    assert talk.works(), "a connection that has lived through both"
    eventually(lambda: one.pings(OUTSIDE) and outside(cluster, one.address))
