"""A cluster in namespaces of the test's own: real agents, the real plugin, real etcd, pods that are namespaces."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contivpp.model import codec, keys
from contivpp.model.node import AddressType, Node, NodeAddress
from contivpp.model.pod import Pod
from contivpp.store.client import Store
from tests.integration.conftest import Etcd, free_ports
from tests.patience import PATIENCE

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PLUGIN = REPOSITORY / "contivpp" / "cni" / "contiv-cni"
_numbers = itertools.count(1)


def ip(*arguments: str, netns: str = "") -> str:
    """Runs ip(8), and returns what it prints."""
    command = ["ip", *(("-n", netns) if netns else ()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def netns_path(name: str) -> str:
    """Where a named namespace is."""
    return f"/run/netns/{name}"


class TestNode:
    """One node: a namespace on the test's bridge, with an agent process that lives in it by name.

    `host` is its number in the networks of the nodes, when that is another one than the node's own.
    """

    __test__ = False

    def __init__(self, cluster: TestCluster, number: int, *, host: int = 0) -> None:
        self.cluster = cluster
        self.name = f"node{number}"
        networks = [ipaddress.ip_network(network) for network in cluster.networks]
        self.addresses = tuple(str(network[host or number]) for network in networks)
        self.address = self.addresses[0]
        self.netns = f"{cluster.prefix}-{self.name}"
        self.folder = cluster.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self.socket = self.folder / "cni.sock"
        self.options: list[str] = []
        [self.port] = free_ports(1)
        self._agent: subprocess.Popen[bytes] | None = None
        ip("netns", "add", self.netns)
        ip("link", "set", "lo", "up", netns=self.netns)
        self.port_name = f"{cluster.prefix[-6:]}n{number}"
        cluster.plug_in(self.netns, "eth0", self.port_name, "br0")
        for address, network in zip(self.addresses, networks, strict=True):
            flags = ("nodad",) if network.version == 6 else ()
            ip("addr", "add", f"{address}/{network.prefixlen}", "dev", "eth0", *flags, netns=self.netns)

    # ---- the agent

    def start(self) -> None:
        """Starts the agent; does not wait."""
        (self.folder / "etcd.conf").write_text(
            f"endpoints: ['{self.cluster.etcd.endpoint}']\ninsecure-transport: true\noperation-timeout: 2000000000\n"
        )
        (self.folder / "http.conf").write_text(f"endpoint: 127.0.0.1:{self.port}\n")
        (self.folder / "contiv.conf").write_text(self.cluster.contiv_conf)
        (self.folder / "controller.conf").write_text(f"delayLocalResync: 1000000000\n{self.cluster.controller_conf}")
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "contivpp.agent.main", "run"),
                    *("--microservice-label", self.name, "--state-dir", str(self.folder / "state")),
                    *("--contiv-config", str(self.folder / "contiv.conf")),
                    *("--controller-config", str(self.folder / "controller.conf")),
                    *("--etcd-config", str(self.folder / "etcd.conf"), "--http-config", str(self.folder / "http.conf")),
                    *("--cni-socket", str(self.socket), "--node-netns", netns_path(self.netns)),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self, seconds: float = 30) -> None:
        """Waits for /readiness."""
        deadline = time.monotonic() + seconds * PATIENCE
        answer: Any = None
        while time.monotonic() < deadline:
            assert self._agent is not None
            assert self._agent.poll() is None, self.log()
            with contextlib.suppress(OSError):
                answer = self.get("readiness")
                if answer["state"] == 1:
                    return
            time.sleep(0.05 * PATIENCE)
        raise AssertionError(f"{self.name} is not ready: {answer}\n{self.log()}")

    def get(self, path: str) -> Any:
        """What the agent's REST interface says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5 * PATIENCE) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def post(self, path: str) -> None:
        """Asks the agent's REST interface to do something."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method="POST")
        with urllib.request.urlopen(request, timeout=5 * PATIENCE) as answer:
            assert answer.status == 200

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Ends the agent; returns its exit code."""
        if self._agent is None:
            return 0
        self._agent.send_signal(number)
        code = self._agent.wait(20 * PATIENCE)
        self._agent = None
        return code

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._agent is not None
        return self._agent.pid

    def log(self) -> str:
        """The end of what the agent said."""
        return (self.folder / "agent.log").read_text()[-4000:]

    # ---- pods

    def cni(self, command: str, pod: TestPod, **changes: Any) -> tuple[int, Any]:
        """Runs the plugin as the kubelet does; returns its exit code and what it printed."""
        config = {"cniVersion": "1.1.0", "name": "k8s", "type": "contiv-cni", "grpcServer": str(self.socket)}
        config.update(changes)
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": pod.container_id,
            "CNI_NETNS": pod.netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": f"K8S_POD_NAMESPACE={pod.namespace};K8S_POD_NAME={pod.name}",
        }
        done = subprocess.run(
            [str(PLUGIN)],
            input=json.dumps(config).encode(),
            env=environment,
            capture_output=True,
            check=False,
            timeout=60 * PATIENCE,
        )
        assert not done.stderr, done.stderr.decode()
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def add(self, pod: TestPod) -> str:
        """Connects a pod; returns its address."""
        code, result = self.cni("ADD", pod)
        assert code == 0, f"{result}\n{self.log()}"
        pod.result = result
        pod.addresses = tuple(given["address"].partition("/")[0] for given in result["ips"])
        pod.address = pod.addresses[0]
        return pod.address

    def ping(self, address: str, count: int = 2) -> bool:
        """Whether the node itself reaches an address."""
        return ping(netns_path(self.netns), address, count)


class TestPod:
    """One pod: a namespace and its names."""

    __test__ = False

    def __init__(self, cluster: TestCluster, name: str, namespace: str = "default") -> None:
        self.name = name
        self.namespace = namespace
        # As runtimes make them: any hexadecimal digit may come first.
        self.container_id = hashlib.sha256(f"{os.getpid()} {next(_numbers)}".encode()).hexdigest()
        self._netns = f"{cluster.prefix}-{self.container_id[:8]}"
        self.netns = netns_path(self._netns)
        self.address = ""
        self.addresses: tuple[str, ...] = ()
        self.result: Any = None
        ip("netns", "add", self._netns)
        ip("link", "set", "lo", "up", netns=self._netns)

    def remove(self) -> None:
        """Takes the namespace away, if it is there."""
        subprocess.run(["ip", "netns", "del", self._netns], check=False, capture_output=True)

    def ping(self, address: str, count: int = 2) -> bool:
        """Whether the pod reaches an address."""
        return ping(self.netns, address, count)

    def start_ping(self, address: str, seconds: float) -> subprocess.Popen[str]:
        """Starts a ping that goes on for a while."""
        count = str(int(seconds * 20))
        return subprocess.Popen(
            ["nsenter", f"--net={self.netns}", "ping", "-n", "-q", "-i", "0.05", "-c", count, address],
            stdout=subprocess.PIPE,
            text=True,
        )


def ping(netns: str, address: str, count: int) -> bool:
    """Whether all of some ICMP echo requests were answered."""
    command = ["nsenter", f"--net={netns}", "ping", "-n", "-q", "-i", "0.1", "-W", "1", "-c", str(count), address]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


class TestCluster:
    """Some nodes on one bridge, and the etcd that they read."""

    __test__ = False

    def __init__(self, etcd: Etcd, folder: Path) -> None:
        self.etcd = etcd
        self.folder = folder
        self.prefix = f"ct{os.getpid() % 100000}{next(_numbers)}"
        self.switch = f"{self.prefix}-switch"
        self.networks = ("10.201.0.0/24",)
        self.contiv_conf = ""
        self.controller_conf = ""
        self.nodes: dict[int, TestNode] = {}
        self.pods: list[TestPod] = []

    def open(self, *further: str) -> None:
        """Makes the nodes' bridge, and further ones."""
        ip("netns", "add", self.switch)
        for bridge in ("br0", *further):
            ip("link", "add", bridge, "type", "bridge", netns=self.switch)
            ip("link", "set", bridge, "up", netns=self.switch)

    def plug_in(self, netns: str, link: str, port: str, bridge: str) -> None:
        """Joins a namespace to a bridge; both ends of the cable are up afterwards."""
        ends = ("netns", self.switch, "type", "veth", "peer", "name", link, "netns", netns)
        ip("link", "add", port, *ends)
        ip("link", "set", port, "master", bridge, "up", netns=self.switch)
        ip("link", "set", link, "up", netns=netns)

    def close(self) -> None:
        """Ends every agent, and takes all namespaces away."""
        for node in self.nodes.values():
            with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                node.kill()
        for pod in self.pods:
            pod.remove()
        for name in (*(node.netns for node in self.nodes.values()), self.switch):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def node(self, number: int) -> TestNode:
        """A node by its number, made when it is asked for first; its agent is not started."""
        if number not in self.nodes:
            self.nodes[number] = TestNode(self, number)
        return self.nodes[number]

    def pod(self, name: str, namespace: str = "default") -> TestPod:
        """A new pod that is connected to nothing."""
        pod = TestPod(self, name, namespace)
        self.pods.append(pod)
        return pod

    # ---- what KSR would write

    async def register(self, *nodes: TestNode) -> None:
        """Writes the records of Kubernetes nodes."""
        async with await Store.open(self.etcd.config) as store:
            for node in nodes:
                addresses = tuple(NodeAddress(type=AddressType.INTERNAL_IP, address=one) for one in node.addresses)
                record = Node(name=node.name, addresses=addresses)
                await store.put(keys.record_key("node", node.name), codec.encode(record))

    async def unregister(self, node: TestNode, node_id: int) -> None:
        """Removes what Kubernetes and KSR remove with a node."""
        async with await Store.open(self.etcd.config) as store:
            await store.delete(keys.record_key("node", node.name))
            await store.delete(f"{keys.prefix('vppnode')}{node_id}")

    async def write_pod(self, pod: TestPod, node: TestNode) -> None:
        """Writes a pod's record, with the address it has."""
        record = Pod(
            name=pod.name,
            namespace="default",
            ip_address=pod.address,
            ip_addresses=pod.addresses if len(pod.addresses) > 1 else (),
            host_ip_address=node.address,
            node_name=node.name,
        )
        async with await Store.open(self.etcd.config) as store:
            await store.put(keys.record_key("pod", f"default/{pod.name}"), codec.encode(record))

    async def up(self, *numbers: int) -> list[TestNode]:
        """Nodes whose agents are ready, and whose IDs are in the order of their numbers."""
        nodes = [self.node(number) for number in numbers]
        for node in nodes:
            await self.register(node)
            node.start()
            node.wait_until_ready()
        return nodes


def eventually(check: Any, seconds: float = 15) -> None:
    """Waits until a check holds; a daemon that does not listen yet, or no more, is one that does not.

    Raises:
        AssertionError: it never did.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        problem: OSError | None = None
        try:
            if check():
                return
        except OSError as error:
            problem = error
        assert time.monotonic() < deadline, f"{check} never held{f': {problem}' if problem else ''}"
        time.sleep(0.1 * PATIENCE)


@contextlib.contextmanager
def cluster_of(etcd: Etcd, folder: Path) -> Iterator[TestCluster]:
    """A cluster without nodes, taken down at the end."""
    cluster = TestCluster(etcd, folder)
    try:
        cluster.open()
        yield cluster
    finally:
        cluster.close()
