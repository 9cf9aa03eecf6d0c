"""The world in namespaces of this machine: real agents, a real etcd, the real CNI plugin, and what carries packets.

    outside --- router === br0 === eth0 of every node          the nodes' network
                       === br1 === eth1 of every node          the data plane's NICs, where it wants NICs of its own

The router knows one way to all pods, through the first node: what the outside sends to another node's pods crosses a
tunnel, and what they send does not. To a data plane that lacks "transit" it knows the way to each node's pods.
Kubernetes' part (objects, kubelet) is played by this class.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contivpp.dataplane.linux import offload
from contivpp.model import keys
from tests.conformance.kubernetes import Records, node_object, pod_object
from tests.conformance.limits import LIMITS, WITHOUT_OVERLAY
from tests.conformance.machine import Machine
from tests.conformance.plan import FAMILIES, OUTSIDE, ROUTER, Family, Networks, bare, contiv_conf
from tests.conformance.stations import Station, archive
from tests.conformance.world import Endpoint, Object, Role, World, watching
from tests.integration.cluster import TestCluster, TestPod, ip, netns_path
from tests.integration.conftest import Etcd

NODES = 3
_MOVED = 40
"""What is added to a node's number when it comes back under another address."""
_STRANGERS = 150
_BRIDGES = ("br0", "br1")


class NamespacesWorld(World):
    """Three nodes, an etcd, a router and an outside.

    Args:
        folder: for files of the daemons; must not exist.
        dataplane: name of the data plane that the agents are told to use.
        family: which IP families the cluster has.
        mtu: of the links between the nodes in bytes.
        transport: how packets get to another node's pods: vxlan, nooverlay.
    """

    name = "namespaces"
    nodes = tuple(f"node{number}" for number in range(1, NODES + 1))

    def __init__(
        self, folder: Path, dataplane: str, family: Family, *, mtu: int = 1500, transport: str = "vxlan"
    ) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        self.networks: tuple[Networks, ...] = FAMILIES[family]
        self.families = tuple(one.version for one in self.networks)
        self.dataplane = dataplane
        self.lacks = {**LIMITS[dataplane], **(WITHOUT_OVERLAY[dataplane] if transport == "nooverlay" else {})}
        self.roles = frozenset[Role](("agent", "store", "forwarder") if dataplane == "vpp" else ("agent", "store"))
        self._mtu = mtu
        self._transport = transport
        self._etcd = Etcd(folder / "etcd")
        self._program = folder / "station"
        self._program.write_bytes(archive())
        self._cluster = TestCluster(self._etcd, folder)
        self._cluster.networks = tuple(one.machines for one in self.networks)
        self._records = Records(self._etcd.config)
        self._machines: dict[str, Machine] = {}
        self._numbers = {node: number for number, node in enumerate(self.nodes, 1)}
        self._sandboxes: dict[Endpoint, TestPod] = {}
        self._namespaces: list[str] = []
        self._strangers = itertools.count(_STRANGERS)
        self._outside: Endpoint | None = None
        self._switch: Station | None = None

    @property
    def outside(self) -> Endpoint:
        """The machine behind the router."""
        assert self._outside is not None
        return self._outside

    # ---- building

    def open(self) -> None:
        """Builds it: every node is ready, every host has a station, and there is no pod."""
        self._cluster.open("br1")
        self._etcd.start()
        self._build_outside()
        self._configure()
        self.apply({"kind": "Namespace", "metadata": {"name": "default"}})
        for node in self.nodes:
            self._switch_on(node, self._numbers[node])
            # One after the other, so that the nodes' IDs are in the order of their numbers.
            self._machines[node].node.wait_until_ready(60)
            self._tell_router(node)
        self._switch = self._station("switch", netns_path(self._cluster.switch))
        for endpoint in self.everybody():
            endpoint.station.wait_until_ready()

    def close(self) -> None:
        """Ends every process, and takes every namespace away."""
        for endpoint in (*self.pods, *self.hosts.values()):
            endpoint.station.close()
        for station in (self._switch, self._outside.station if self._outside else None):
            if station is not None:
                station.close()
        for machine in self._machines.values():
            machine.switch_off()
        self._cluster.close()
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        self._etcd.kill()

    def _build_outside(self) -> None:
        router, beyond = (self._namespace(name) for name in ("router", "outside"))
        for link, bridge in (("eth0", "br0"), ("eth1", "br1")):
            self._cluster.plug_in(router, link, f"{self._cluster.prefix[-6:]}r{bridge}", bridge)
        ip("link", "add", "far", "netns", router, "type", "veth", "peer", "name", "eth0", "netns", beyond)
        ip("link", "set", "far", "up", netns=router)
        ip("link", "set", "eth0", "up", netns=beyond)
        for netns, link in ((router, "eth0"), (router, "eth1"), (router, "far"), (beyond, "eth0")):
            # As on a NIC: who gets a frame may count on its checksums.
            offload.set_checksums(netns_path(netns), link, on=False)
        first = self._numbers[self.nodes[0]]
        for one in self.networks:
            flags = ("nodad",) if one.version == 6 else ()
            for link, address in (("eth0", one.machine(ROUTER)), ("eth1", one.nic(ROUTER)), ("far", one.far(1))):
                ip("addr", "add", address, "dev", link, *flags, netns=router)
            ip("addr", "add", one.far(OUTSIDE), "dev", "eth0", *flags, netns=beyond)
            version = ("-6",) if one.version == 6 else ("-4",)
            ip(*version, "route", "add", "default", "via", bare(one.far(1)), netns=beyond)
            way = bare(one.nic(first)) if self.dataplane == "vpp" else bare(one.machine(first))
            ip(*version, "route", "add", one.pods, "via", way, netns=router)
            name = "net.ipv6.conf.all.forwarding" if one.version == 6 else "net.ipv4.ip_forward"
            command = ["ip", "netns", "exec", router, "sysctl", "-q", "-w", f"{name}=1"]
            subprocess.run(command, check=True, capture_output=True)
        addresses = tuple(bare(one.far(OUTSIDE)) for one in self.networks)
        self._outside = Endpoint("outside", "outside", "", addresses, self._station("outside", netns_path(beyond)))

    def _configure(self) -> None:
        nics = self._numbers if self.dataplane == "vpp" else {}
        self._cluster.contiv_conf = contiv_conf(self.dataplane, self.networks, nics, self._transport)

    def _switch_on(self, node: str, host: int) -> None:
        number = self.nodes.index(node) + 1
        machine = Machine(self._cluster, number, host, self.networks, self.dataplane, self._mtu)
        self._machines[node] = machine
        self.apply(node_object(node, machine.node.addresses), remember=False)
        machine.start()
        station = self._station(node, netns_path(machine.node.netns))
        self.hosts[node] = Endpoint(node, "host", node, machine.node.addresses, station)

    def _tell_router(self, node: str) -> None:
        """Where a node's pods are; without that the first node passes their packets on."""
        if "transit" not in self.lacks:
            return
        parts = self._machines[node].node.get("contiv/v1/ipam")["podSubnetThisNode"].split(",")
        for part, network in zip(parts, self.networks, strict=True):
            version = ("-6",) if network.version == 6 else ("-4",)
            way = bare(network.nic(self._numbers[node]))
            ip(*version, "route", "replace", part, "via", way, netns=f"{self._cluster.prefix}-router")

    def _namespace(self, name: str) -> str:
        made = f"{self._cluster.prefix}-{name}"
        ip("netns", "add", made)
        self._namespaces.append(made)
        ip("link", "set", "lo", "up", netns=made)
        return made

    def _station(self, name: str, netns: str) -> Station:
        return Station(name, ["nsenter", f"--net={netns}", sys.executable, "-I", "-S", str(self._program)])

    # ---- pods and objects

    def make_pod(
        self,
        name: str,
        node: str,
        *,
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        ports: Sequence[Object] = (),
    ) -> Endpoint:
        """Does what kubelet and KSR do: a record, a sandbox, the plugin, and the record with the addresses."""
        machine = self._machines[node]
        sandbox = self._cluster.pod(name, namespace)
        about = {"labels": labels or {}, "ports": ports, "host_addresses": machine.node.addresses}
        self._records.apply(pod_object(name, namespace, node, **about))
        station = self._station(name, sandbox.netns)
        machine.node.add(sandbox)
        endpoint = Endpoint(name, "pod", node, sandbox.addresses, station, namespace, labels or {}, tuple(ports))
        self._records.apply(pod_object(name, namespace, node, addresses=sandbox.addresses, **about))
        self._sandboxes[endpoint] = sandbox
        self.pods.append(endpoint)
        station.wait_until_ready()
        return endpoint

    def label_pod(self, pod: Endpoint, labels: Mapping[str, str]) -> None:
        """Writes the pod's record with other labels."""
        pod.labels = dict(labels)
        addresses = self._machines[pod.node].node.addresses
        about = {"labels": labels, "ports": pod.ports, "host_addresses": addresses}
        self._records.apply(pod_object(pod.name, pod.namespace, pod.node, addresses=pod.addresses, **about))

    def delete_pod(self, pod: Endpoint, *, abruptly: bool = False) -> None:
        """Ends the process, disconnects the sandbox, and deletes the record."""
        sandbox = self._sandboxes.pop(pod)
        if not abruptly:
            pod.station.close()
        code, answer = self._machines[pod.node].node.cni("DEL", sandbox)
        assert code == 0, answer
        pod.station.close()
        self._remove(pod, sandbox)

    def _remove(self, pod: Endpoint, sandbox: TestPod) -> None:
        sandbox.remove()
        self._cluster.pods.remove(sandbox)
        self._records.delete({"kind": "Pod", "metadata": {"name": pod.name, "namespace": pod.namespace}})
        self.pods.remove(pod)

    def apply(self, item: Object, *, remember: bool = True) -> None:
        """Writes the record that KSR makes of an object."""
        self._records.apply(item)
        if remember and item not in self.objects:
            self.objects.append(item)

    def delete(self, item: Object) -> None:
        """Deletes the record of an object."""
        self._records.delete(item)

    # ---- faults

    def kill(self, role: Role, node: str = "") -> None:
        """Ends a daemon at once."""
        if role == "store":
            self._etcd.kill()
        else:
            self._machines[node].kill(role)

    def start(self, role: Role, node: str = "") -> None:
        """Starts it again, and waits."""
        if role == "store":
            self._etcd.start()
        else:
            self._machines[node].resume(role)

    def freeze(self, role: Role, node: str = "") -> None:
        """Stops it from answering."""
        if role == "store":
            self._etcd.freeze()
        else:
            self._machines[node].stop(role)

    def thaw(self, role: Role, node: str = "") -> None:
        """Lets it go on."""
        if role == "store":
            self._etcd.thaw()
        else:
            self._machines[node].go_on(role)

    def cut_off(self, node: str) -> None:
        """Pulls the cables out of a node."""
        self._machines[node].set_links("down")

    def join(self, node: str) -> None:
        """Puts them in again."""
        self._machines[node].set_links("up")

    def leave(self, node: str) -> str:
        """Switches a node off; Kubernetes forgets it, its pods, and what it published."""
        machine = self._machines[node]
        for pod in [pod for pod in self.pods if pod.node == node]:
            pod.station.close()
            self._remove(pod, self._sandboxes.pop(pod))
        self.hosts.pop(node).station.close()
        machine.switch_off()
        self._records.delete({"kind": "Node", "metadata": {"name": node}})
        prefix = keys.prefix("vppnode")
        for line in self._etcd.control("get", "--prefix", prefix, "--print-value-only").splitlines():
            record = json.loads(line) if line else {}
            if record.get("name") == node:
                self._records.delete_key(f"{prefix}{record['id']}")
        return machine.tunnel_ends[0]

    def come_back(self, node: str, *, with_state: bool) -> None:
        """Switches a node on under other addresses."""
        if not with_state:
            self._machines[node].forget()
        self._numbers[node] += _MOVED
        self._configure()
        self._switch_on(node, self._numbers[node])
        self._machines[node].node.wait_until_ready(60)
        self._tell_router(node)
        self.hosts[node].station.wait_until_ready()

    def node_addresses(self, node: str, *, of: Endpoint | None = None) -> tuple[str, ...]:
        """With NICs of the data plane's own, what is not a pod finds node ports at their addresses only."""
        machine = self._machines[node]
        if self.dataplane != "vpp":
            return machine.node.addresses
        if of is not None and of.kind != "pod":
            return machine.tunnel_ends
        return (*machine.tunnel_ends, *machine.node.addresses)

    # ---- looking

    def not_ready(self) -> Mapping[str, object]:
        """The agents that are not ready."""
        said = {node: self._machines[node].not_ready() for node in self.hosts}
        return {node: one for node, one in said.items() if one is not None}

    def describe(self) -> str:
        """Agents, kernels and forwarders."""
        return "\n".join(machine.describe() for machine in self._machines.values())

    @contextlib.contextmanager
    def witness(self, address: str) -> Iterator[dict[str, Any]]:
        """A stranger with that address, on the network that it belongs to."""
        network = next(one for one in self.networks if one.version == ipaddress.ip_address(address).version)
        nets = {"br0": network.machines, "br1": network.underlay}
        bridge = next(name for name, net in nets.items() if ipaddress.ip_address(address) in ipaddress.ip_network(net))
        netns, port = self._namespace("witness"), f"{self._cluster.prefix[-6:]}w"
        try:
            self._cluster.plug_in(netns, "eth0", port, bridge)
            length = ipaddress.ip_network(nets[bridge]).prefixlen
            flags = ("nodad",) if network.version == 6 else ()
            ip("addr", "add", f"{address}/{length}", "dev", "eth0", *flags, netns=netns)
            station = self._station("witness", netns_path(netns))
            try:
                station.wait_until_ready()
                with watching(station, to=address, skip=[]) as found:
                    yield found
            finally:
                station.close()
        finally:
            ip("link", "del", port, netns=self._cluster.switch)
            ip("netns", "del", netns)
            self._namespaces.remove(netns)

    @contextlib.contextmanager
    def wire(self, cookie: str = "", *, who_has: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Looks at the ports of the bridges."""
        assert self._switch is not None
        with watching(self._switch, cookie=cookie, who_has=list(who_has), skip=list(_BRIDGES)) as found:
            yield found

    def announce(self, address: str) -> None:
        """A route of the router's."""
        network = next(one for one in self.networks if one.version == ipaddress.ip_address(address).version)
        first = self._numbers[self.nodes[0]]
        way = bare(network.nic(first)) if self.dataplane == "vpp" else bare(network.machine(first))
        version = ("-6",) if network.version == 6 else ("-4",)
        ip(*version, "route", "replace", address, "via", way, netns=f"{self._cluster.prefix}-router")

    def unused_addresses(self, version: int) -> Mapping[str, str]:
        """Of this node's part, of another one's, of none, and of nobody's host link."""
        network = next(one for one in self.networks if one.version == version)
        pods, links = ipaddress.ip_network(network.pods), ipaddress.ip_network(network.host_links)
        part = 1 << (pods.max_prefixlen - network.pods_of_node)
        link = 1 << (links.max_prefixlen - network.host_links_of_node)
        used = {address for pod in self.pods for address in pod.addresses}

        def free(number: int) -> str:
            candidates = (str(pods[number * part + host]) for host in range(part - 3, 1, -1))
            return next(address for address in candidates if address not in used)

        return {
            "a free address of the first node": free(1),
            "a free address of the second node": free(2),
            "an address of no node": str(pods[200 * part + 3]),
            "a free address of a host link": str(links[link + 9]),
            "a host link of no node": str(links[200 * link + 2]),
        }

    def unused_neighbour(self, version: int) -> str:
        """Another one every time, so that no kernel remembers it."""
        return bare(next(one for one in self.networks if one.version == version).machine(next(self._strangers)))
