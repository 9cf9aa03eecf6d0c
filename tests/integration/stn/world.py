"""A node with one NIC and a gateway, in namespaces of the test's own; and stand-ins for its VPP and its agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contivpp.daemon.stn.client import NicState, StnClient, StnDownError
from tests.integration.cluster import ip
from tests.integration.dataplane.pods import in_namespace

LIMITS = (3.0, 1.5, 1.5)
ADDRESS, GATEWAY = "10.77.0.5", "10.77.0.1"
FAKE = Path(__file__).with_name("pretended.py")
REPOSITORY = Path(__file__).parents[3]


class World:
    """`mode` is "device" for a NIC that VPP drives itself, "link" for one that it attaches to."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder = folder
        self.mode = mode
        self.boot = 1
        prefix = f"stn{os.getpid()}"
        self.node, self.gateway, self.parked = f"{prefix}-node", f"{prefix}-gw", f"{prefix}-vfio"
        self.client = StnClient(folder / "stn.sock")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._listening: list[socket.socket] = []
        self.options: dict[str, Any] = {}
        self.port = 9999

    # ---- the machine

    def make(self) -> None:
        """A node whose NIC has addresses and routes of every kind."""
        for name in (self.node, self.gateway, self.parked):
            ip("netns", "add", name)
        for name in ("default.dad_transmits", "all.dad_transmits"):  # nobody waits for the kernel's own address
            for netns in (self.node, self.parked):
                words = ["ip", "netns", "exec", netns, "sysctl", "-q", f"net.ipv6.conf.{name}=0"]
                subprocess.run(words, check=True)
        ip("link", "set", "lo", "up", netns=self.node)
        ip(
            "link",
            "add",
            "name",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "port1",
            "netns",
            self.gateway,
            netns=self.node,
        )
        ip("link", "add", "name", "eth9", "type", "veth", "peer", "name", "eth9peer", netns=self.node)
        for link in ("eth9", "eth9peer"):
            ip("link", "set", link, "up", netns=self.node)
        ip("addr", "add", "10.99.0.5/24", "dev", "eth9", netns=self.node)
        ip("link", "add", "name", "br0", "type", "bridge", netns=self.gateway)
        for port in ("br0", "port1"):
            ip("link", "set", port, "up", netns=self.gateway)
        ip("link", "set", "port1", "master", "br0", netns=self.gateway)
        ip("addr", "add", f"{GATEWAY}/24", "dev", "br0", netns=self.gateway)
        ip("addr", "add", "fd77::1/64", "dev", "br0", "nodad", netns=self.gateway)
        self.configure()
        (self.folder / "root/run/systemd/netif/links").mkdir(parents=True)

    def configure(self) -> None:
        """What the operator gave the NIC."""
        ip("link", "set", "eth0", "mtu", "1480", "up", netns=self.node)
        for words in (
            f"addr add {ADDRESS}/24 broadcast 10.77.0.255 dev eth0",
            "addr add 10.77.9.5/24 dev eth0 label eth0:more noprefixroute",
            "addr add fd77::5/64 dev eth0 nodad",
            f"route add default via {GATEWAY} metric 100 proto static src {ADDRESS} mtu 1400",
            "route add 172.16.0.0/16 nexthop via 10.77.0.2 weight 3 nexthop via 10.99.0.2 weight 1",
            "route add 172.17.0.0/16 via 10.77.0.3 table 77",
            "route add 10.44.0.1 dev eth0 scope link",
            "-6 route add default via fd77::1 metric 50",
            "-6 route add 2001:db8::/32 via fd77::2",
        ):
            ip(*words.split(), netns=self.node)

    def picture(self) -> list[str]:
        """All that the kernel says of the NIC, without numbers that tell nothing."""
        found = []
        for link in json.loads(ip("-json", "addr", "show", netns=self.node)):
            if link["ifname"] == "eth0":
                found.append(f"{link['ifname']} {link['address']} {link['mtu']} {'UP' in link['flags']}")
                found += [str({**one, "dynamic": None}) for one in link["addr_info"]]
        for family in ("-4", "-6"):
            for route in json.loads(ip("-json", family, "route", "show", "table", "all", netns=self.node)):
                if "eth0" in str(route):
                    found.append(str({**route, "flags": [one for one in route["flags"] if one == "onlink"]}))
        return sorted(found)

    def settled_picture(self) -> list[str]:
        """Once the kernel has its own IPv6 address."""
        deadline = time.monotonic() + 10
        while True:
            found = self.picture()
            text = " ".join(found)
            if "tentative" not in text and "'local': 'fe80" in text and "'type': 'local', 'dst': 'fe80" in text:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def is_deaf(self) -> bool:
        done = subprocess.run(
            ["ip", "netns", "exec", self.node, "nft", "list", "tables"], capture_output=True, check=False, text=True
        )
        return "contiv-stn" in done.stdout

    def nic_is_here(self) -> bool:
        """Whether the kernel of the node has the NIC with its address."""
        with contextlib.suppress(subprocess.CalledProcessError):
            return ADDRESS in ip("addr", "show", "dev", "eth0", netns=self.node)
        return False

    def pings(self) -> bool:
        words = ["ip", "netns", "exec", self.node, "ping", "-q", "-c", "1", "-W", "1", GATEWAY]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def reboot(self) -> None:
        """All that a restart of the machine takes away; nobody configures the NIC."""
        self.kill()
        self.boot += 1
        for netns in (self.node, self.parked):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("link", "set", "eth0", "netns", self.node, netns=netns)
        subprocess.run(["ip", "netns", "exec", self.node, "nft", "flush", "ruleset"], check=True)
        for name in ("vpp1",):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("link", "delete", name, netns=self.node)
        self.sysctl("disable_ipv6", "0")
        ip("link", "set", "eth0", "down", netns=self.node)
        ip("addr", "flush", "dev", "eth0", netns=self.node)
        ip("route", "flush", "table", "77", netns=self.node)
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("route", "delete", "172.16.0.0/16", netns=self.node)
        for file in (self.folder / "root/run/systemd/network").glob("*"):
            file.unlink()

    def sysctl(self, name: str, value: str) -> None:
        words = ["ip", "netns", "exec", self.node, "sysctl", "-q", f"net.ipv6.conf.eth0.{name}={value}"]
        subprocess.run(words, check=True)

    def unmake(self) -> None:
        self.kill()
        self.end_vpp()
        self.end_agent()
        for name in (self.node, self.gateway, self.parked):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)

    # ---- contiv-stn

    def start(self, command: str = "run", **options: Any) -> None:
        """Starts it; "boot" also ends."""
        given = {
            "command": command,
            "folder": str(self.folder),
            "mode": self.mode,
            "node": self.node,
            "parked": self.parked,
            "boot": f"boot-{self.boot}",
            "port": self.port,
            "limits": LIMITS,
            **self.options,
            **options,
        }
        # The namespace only: /sys of the test's own is that of the machine, so it is mounted anew as ip does.
        words = ["ip", "netns", "exec", self.node, sys.executable, str(FAKE), json.dumps(given)]
        with (self.folder / "log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=self.folder)
        if command == "boot":
            process.wait(60)
        else:
            self._daemon = process

    def kill(self) -> None:
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait(10)
            self._daemon = None

    def stop(self) -> int:
        """In order; returns the exit code."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGTERM)
        code = self._daemon.wait(30)
        self._daemon = None
        return code

    def died(self, within: float = 20.0) -> bool:
        """Whether the daemon ended by itself in time."""
        assert self._daemon is not None
        try:
            self._daemon.wait(within)
        except subprocess.TimeoutExpired:
            return False
        self._daemon = None
        return True

    async def state(self) -> NicState:
        """What the daemon says; it may be starting."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return await self.client.state()
            except StnDownError:
                if time.monotonic() > deadline or (self._daemon is not None and self._daemon.poll() is not None):
                    raise AssertionError(self.log()) from None
                await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[NicState], bool], within: float = 20.0) -> NicState:
        """Waits until the daemon says something."""
        deadline = time.monotonic() + within
        while True:
            found = await self.state()
            if condition(found):
                return found
            assert time.monotonic() < deadline, f"{found}\n{self.log()}"
            await asyncio.sleep(0.1)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-6000:]

    def events(self) -> list[str]:
        return (self.folder / "events").read_text().splitlines()

    def commands(self) -> list[str]:
        return (self.folder / "commands").read_text().splitlines()

    # ---- VPP and the agent, as far as contiv-stn sees them

    def run_vpp(self) -> None:
        path = self.folder / "vpp.sock"
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(64)
        self._vpp = listening

    def end_vpp(self) -> None:
        if getattr(self, "_vpp", None) is not None:
            self._vpp.close()
            (self.folder / "vpp.sock").unlink(missing_ok=True)

    def run_agent(self, *, ready: bool = True) -> None:
        """Answers to all that ask for its probes."""
        listening = in_namespace(self.node, socket.AF_INET, socket.SOCK_STREAM, 0)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(64)
        self._agent = listening
        answer = b"HTTP/1.1 200 OK\r\n\r\n" if ready else b"HTTP/1.1 503 No\r\n\r\n"

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(1000)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()

    def end_agent(self) -> None:
        if getattr(self, "_agent", None) is not None:
            with contextlib.suppress(OSError):
                self._agent.shutdown(socket.SHUT_RDWR)
            self._agent.close()

    def connect(self) -> None:
        """The way through VPP: another link to the same network, with the node's address."""
        ip(
            "link",
            "add",
            "name",
            "vpp1",
            "type",
            "veth",
            "peer",
            "name",
            "port2",
            "netns",
            self.gateway,
            netns=self.node,
        )
        ip("link", "set", "port2", "master", "br0", "up", netns=self.gateway)
        ip("link", "set", "vpp1", "up", netns=self.node)
        ip("addr", "add", f"{ADDRESS}/32", "dev", "vpp1", netns=self.node)
        ip("addr", "add", "fd77::5/128", "dev", "vpp1", "nodad", netns=self.node)
        ip("route", "add", f"{GATEWAY}/32", "dev", "vpp1", netns=self.node)
        ip("route", "add", "default", "via", GATEWAY, "dev", "vpp1", netns=self.node)
        ip("neigh", "flush", "all", netns=self.gateway)
        self.pings()

    def disconnect(self) -> None:
        ip("link", "set", "port2", "down", netns=self.gateway)

    async def stolen(self, *, word: int = 0, ready: bool = True) -> NicState:
        """A daemon that has stolen the NIC for a VPP and an agent that run and are connected."""
        self.run_vpp()
        self.run_agent(ready=ready)
        self.start()
        await self.state()
        await self.client.steal("eth0", timeout=30, confirm_seconds=word)
        self.connect()
        return await self.until(lambda state: state.phase == ("stolen" if word else "confirmed"))


@contextlib.contextmanager
def world_of(folder: Path, mode: str) -> Iterator[World]:
    """One world, taken away at the end."""
    world = World(folder, mode)
    try:
        world.make()
        yield world
    finally:
        world.unmake()
