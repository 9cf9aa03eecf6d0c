"""Two nodes with real VPPs, their pods and hosts and something outside, all of them namespaces; laid out as in a cluster.

Pods are in table 1, the NIC and the link to the host in table 0, and a tunnel joins the tables 1 of the nodes. Sockets
are opened in the namespaces and used by the test itself: no process is started for a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from contivpp.dataplane.linux.netlink import entered
from contivpp.dataplane.linux.offload import set_checksums
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.addressing import InterfaceAddress, InterfaceTable, Table, Unnumbered
from contivpp.dataplane.vpp.values.bridging import BridgeDomain, BridgeMember, VppForwardingEntry
from contivpp.dataplane.vpp.values.interfaces import HostInterface, Loopback, VxlanTunnel
from contivpp.dataplane.vpp.values.routing import VppNeighbour, VppRoute
from contivpp.scheduler.scheduler import Scheduler
from tests.integration.cluster import ip, netns_path
from tests.integration.dataplane.vpp import RealVpp, keyed

NIC, HOST, BVI, GATEWAY = "nic", "host", "vxlanBVI", "podGwLoop"
MTU: Final = 1450
OUTSIDE: Final = "192.168.16.254"
OUTSIDE_MAC: Final = "02:fe:00:ff:00:01"
OUTSIDE6: Final = "fd00:16::fe"


class LabNode:
    """One node: a VPP, the host's own stack, and pods."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.netns = f"lab{os.getpid()}-node{number}"
        self.address = f"192.168.16.{number}"
        self.host = f"172.30.{number}.2"
        self.vpp = RealVpp(folder / f"node{number}", netns=self.netns)
        self.plane = VppDataplane(self.vpp.socket, timeout=5)
        self.scheduler = Scheduler(self.plane.descriptors())
        self.values: dict[str, Any] = {}

    def pod(self, number: int) -> str:
        """The namespace of a pod."""
        return f"lab{os.getpid()}-pod{self.number}-{number}"

    def pod_address(self, number: int) -> str:
        """The IPv4 address of a pod; the IPv6 one has the same numbers."""
        return f"10.1.{self.number}.{number + 1}"

    def pod_address6(self, number: int) -> str:
        """The IPv6 address of a pod."""
        return f"fd00:1:{self.number}::{number + 1:x}"

    async def put(self, *values: Any) -> None:
        """Makes values real."""
        await self._commit(keyed(list(values)))

    async def take(self, *values: Any) -> None:
        """Takes values away."""
        await self._commit({value.key: None for value in values})

    async def _commit(self, changes: dict[str, Any]) -> None:
        result = await self.scheduler.commit(changes)
        troubles = self.scheduler.troubles()
        assert (dict(result.errors), troubles) == ({}, {})


class Talk:
    """Both ends of a connection, and as whom the server sees the client."""

    def __init__(self, client: socket.socket, server: socket.socket, peer: str) -> None:
        self.client, self.server, self.peer = client, server, peer

    def goes_on(self) -> bool:
        """Whether more than a packet gets through, there and back."""
        data = bytes(5000)
        try:
            for sender, receiver in ((self.client, self.server), (self.server, self.client)):
                sender.sendall(data)
                missing = len(data)
                while missing and (got := receiver.recv(missing)):
                    missing -= len(got)
                if missing:
                    return False
        except OSError:
            return False
        return True

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()


class Lab:
    """The nodes and what is outside."""

    def __init__(self, folder: Path, *, nodes: int = 1, pods: int = 2) -> None:
        self.outside = f"lab{os.getpid()}-outside"
        self._pods = pods
        self.nodes = [LabNode(number, folder) for number in range(1, nodes + 1)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Lab]:
        """Builds everything; takes it away at the end."""
        async with contextlib.AsyncExitStack() as stack:
            self._make_namespaces(stack)
            for node in self.nodes:
                node.vpp.start()
                stack.callback(node.vpp.end)
                running = asyncio.create_task(node.plane.run())
                stack.callback(running.cancel)
            for node in self.nodes:
                async with asyncio.timeout(20):
                    await node.plane.ready.wait()
                await node.put(*self._values(node))
            yield self

    def open(
        self,
        netns: str,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        *,
        family: int = socket.AF_INET,
        protocol: int = 0,
    ) -> socket.socket:
        """A socket in a namespace, that waits for a second at the most."""
        with entered(netns_path(netns)):
            made = socket.socket(family, kind, protocol)
        made.settimeout(1)
        return made

    def connect(self, netns: str, server: socket.socket, address: str, port: int) -> Talk:
        """A connection from a namespace; raises OSError when there is none within a second."""
        client = self.open(netns, family=_family(address))
        try:
            client.connect((address, port))
            accepted, peer = server.accept()
        except OSError:
            client.close()
            raise
        accepted.settimeout(1)
        return Talk(client, accepted, peer[0])

    def seen_as(self, netns: str, server: socket.socket, address: str, port: int) -> str:
        """As whom a client is seen that talks to a server at an address; "" when it cannot."""
        try:
            talk = self.connect(netns, server, address, port)
        except OSError:
            return ""
        with talk:
            return talk.peer if talk.goes_on() else ""

    def serve(self, netns: str, port: int, *, family: int = socket.AF_INET) -> socket.socket:
        """A TCP server in a namespace."""
        server = self.open(netns, family=family)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("", port))
        server.listen(64)
        return server

    # ---- how it is built

    def _make_namespaces(self, stack: contextlib.AsyncExitStack) -> None:
        pods = [(node, number) for node in self.nodes for number in range(1, self._pods + 1)]
        for name in (self.outside, *(node.netns for node in self.nodes), *(node.pod(number) for node, number in pods)):
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "set", "lo", "up", netns=name)
        outside = self.outside
        ip("link", "add", "wire", "type", "bridge", netns=outside)
        ip("link", "set", "wire", "address", OUTSIDE_MAC, "up", netns=outside)
        ip("addr", "add", f"{OUTSIDE}/24", "dev", "wire", netns=outside)
        ip("addr", "add", f"{OUTSIDE6}/64", "dev", "wire", "nodad", netns=outside)
        for node in self.nodes:
            n = node.number
            self._pair(node.netns, NIC, outside, f"nic{n}", mtu=1500)
            ip("link", "set", f"nic{n}", "master", "wire", netns=outside)
            self._pair(node.netns, "vpp2", node.netns, "vpp1")
            ip("link", "set", "vpp1", "address", f"02:fe:00:{n:02x}:01:01", netns=node.netns)
            ip("addr", "add", f"{node.host}/24", "dev", "vpp1", netns=node.netns)
            ip("neigh", "add", f"172.30.{n}.1", "lladdr", f"02:fe:00:{n:02x}:00:01", "dev", "vpp1", netns=node.netns)
            for subnet in (
                "10.1.0.0/16",
                "10.96.0.0/12",
                "172.30.0.0/16",
                *(f"{one.address}/32" for one in self.nodes),
            ):
                ip("route", "add", subnet, "via", f"172.30.{n}.1", netns=node.netns)
        for node, number in pods:
            self._attach(node, number)

    def _attach(self, node: LabNode, number: int) -> None:
        n, netns, family6 = node.number, node.pod(number), ("-6",)
        self._pair(node.netns, f"pod{number}", netns, "eth0")
        ip("link", "set", "eth0", "address", f"02:fe:00:{n:02x}:03:{number:02x}", netns=netns)
        for gateway, address, family in (
            (f"10.1.{n}.1", f"{node.pod_address(number)}/32", ()),
            (f"fd00:1:{n}::1", f"{node.pod_address6(number)}/128", family6),
        ):
            ip(*family, "addr", "add", address, "dev", "eth0", *(("nodad",) if family else ()), netns=netns)
            mac = f"02:fe:00:{n:02x}:02:{number:02x}"
            ip(*family, "route", "add", gateway, "dev", "eth0", netns=netns)
            ip(*family, "neigh", "add", gateway, "lladdr", mac, "dev", "eth0", netns=netns)
            ip(*family, "route", "add", "default", "via", gateway, "dev", "eth0", netns=netns)

    @staticmethod
    def _pair(netns: str, name: str, other: str, peer: str, *, mtu: int = MTU) -> None:
        ip("link", "add", name, "netns", netns, "type", "veth", "peer", "name", peer, "netns", other)
        for where, link in ((netns, name), (other, peer)):
            set_checksums(netns_path(where), link, on=False)
            ip("link", "set", link, "mtu", str(mtu), "up", netns=where)

    def _values(self, node: LabNode) -> list[Any]:
        n = node.number
        values: list[Any] = [
            Table(1, 4, "pods"),
            Table(1, 6, "pods6"),
            HostInterface(NIC, NIC, f"02:fe:00:{n:02x}:00:02", 1500),
            InterfaceAddress(NIC, f"{node.address}/24"),
            InterfaceAddress(NIC, f"fd00:16::{n}/64"),
            VppRoute("0.0.0.0/0", via=OUTSIDE, interface=NIC),
            VppNeighbour(NIC, OUTSIDE, OUTSIDE_MAC),
            HostInterface(HOST, "vpp2", f"02:fe:00:{n:02x}:00:01", MTU),
            InterfaceAddress(HOST, f"172.30.{n}.1/24"),
            VppNeighbour(HOST, node.host, f"02:fe:00:{n:02x}:01:01"),
            Loopback(GATEWAY, f"02:fe:00:{n:02x}:00:03", MTU),
            InterfaceTable(GATEWAY, 1, 4),
            InterfaceTable(GATEWAY, 1, 6),
            InterfaceAddress(GATEWAY, f"10.1.{n}.1/24", 1),
            InterfaceAddress(GATEWAY, f"fd00:1:{n}::1/64", 1),
            Loopback(BVI, f"02:fe:00:{n:02x}:00:04", MTU),
            InterfaceTable(BVI, 1, 4),
            InterfaceAddress(BVI, f"192.168.30.{n}/24", 1),
            BridgeDomain("vxlanBD", 1),
            BridgeMember("vxlanBD", 1, BVI, routed=True, group=1),
            VppRoute("0.0.0.0/0", 1, via_vrf=0),
            VppRoute("::/0", 1, via_vrf=0),
            VppRoute("10.1.0.0/16", 0, via_vrf=1),
            VppRoute("10.1.0.0/16", 1, kind="drop"),
            VppRoute("fd00:1::/32", 0, via_vrf=1),
        ]
        for number in range(1, self._pods + 1):
            mac = f"02:fe:00:{n:02x}:03:{number:02x}"
            values += [
                HostInterface(f"pod{number}", f"pod{number}", f"02:fe:00:{n:02x}:02:{number:02x}", MTU),
                InterfaceTable(f"pod{number}", 1, 4),
                InterfaceTable(f"pod{number}", 1, 6),
                Unnumbered(f"pod{number}", GATEWAY, 1),
                VppNeighbour(f"pod{number}", node.pod_address(number), mac),
                VppRoute(f"{node.pod_address(number)}/32", 1, node.pod_address(number), f"pod{number}"),
                VppNeighbour(f"pod{number}", node.pod_address6(number), mac),
                VppRoute(f"{node.pod_address6(number)}/128", 1, node.pod_address6(number), f"pod{number}"),
            ]
        for other in self.nodes:
            if other is not node:
                mac, far_end = f"02:fe:00:{other.number:02x}:00:04", f"192.168.30.{other.number}"
                tunnel = f"vxlan{other.number}"
                values += [
                    VppNeighbour(NIC, other.address, f"02:fe:00:{other.number:02x}:00:02"),
                    VxlanTunnel(tunnel, node.address, other.address, 10),
                    BridgeMember("vxlanBD", 1, tunnel, group=1),
                    VppForwardingEntry(1, mac, tunnel),
                    VppNeighbour(BVI, far_end, mac),
                    VppRoute(f"10.1.{other.number}.0/24", 1, far_end, BVI),
                    VppRoute(f"172.30.{other.number}.0/24", 1, far_end, BVI),
                ]
        return values


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ping(netns: str, address: str, *, count: int = 3) -> bool:
    """Whether an address answers all of some pings."""
    command = ["ip", "netns", "exec", netns, "ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "1", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
