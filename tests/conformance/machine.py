"""One node of the world in namespaces: its links, its agent, and what carries its packets when the kernel does not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.conformance.plan import ROUTER, Networks, bare
from tests.conformance.world import Role
from tests.integration.cluster import TestCluster, TestNode, ip
from tests.integration.dataplane.vpp import RealVpp

_SHOWN = 4000
_VPP = "acl-plugin { reclassify sessions 1 }"
"""What a node's VPP is told beside the rest, as by the deployment; why: docs/vpp-policies.md."""


class Machine:
    """A node that can be switched on and off.

    Args:
        cluster: that it belongs to.
        number: of the node.
        host: its number in the networks, which gives its addresses.
        networks: one or two.
        dataplane: that its agent uses.
        mtu: of its links in bytes.
    """

    def __init__(
        self, cluster: TestCluster, number: int, host: int, networks: Sequence[Networks], dataplane: str, mtu: int
    ) -> None:
        self._cluster = cluster
        self._ports: list[str] = []
        self.number = number
        self.node = cluster.nodes[number] = TestNode(cluster, number, host=host)
        self._ports.append(self.node.port_name)
        for one in networks:
            ip(*_version(one), "route", "add", "default", "via", bare(one.machine(ROUTER)), netns=self.node.netns)
        self._vpp: RealVpp | None = None
        if dataplane == "vpp":
            self._ports.append(f"{cluster.prefix[-6:]}v{number}")
            cluster.plug_in(self.node.netns, "eth1", self._ports[-1], "br1")
            self._vpp = RealVpp(self.node.folder / "vpp", netns=self.node.netns, more=_VPP)
            self.node.options = ["--vpp-socket", str(self._vpp.socket)]
            self.tunnel_ends = tuple(bare(one.nic(host)) for one in networks)
        else:
            self.tunnel_ends = self.node.addresses
        if mtu != 1500:
            for link, port in zip(("eth0", "eth1"), self._ports, strict=False):
                ip("link", "set", port, "mtu", str(mtu), netns=cluster.switch)
                ip("link", "set", link, "mtu", str(mtu), netns=self.node.netns)

    def start(self) -> None:
        """Starts its daemons; does not wait for the agent."""
        if self._vpp is not None:
            self._vpp.start()
        self.node.start()

    def kill(self, role: Role) -> None:
        """Ends the agent or the forwarder at once."""
        if role == "agent":
            self.node.kill(signal.SIGKILL)
        else:
            self._forwarder.end(signal.SIGKILL)

    def resume(self, role: Role) -> None:
        """Starts the agent or the forwarder again, and waits until the agent is ready."""
        if role == "agent":
            self.node.start()
        else:
            self._forwarder.start()
        self.node.wait_until_ready(60)

    def stop(self, role: Role) -> None:
        """Keeps the agent or the forwarder from doing anything."""
        if role == "agent":
            os.kill(self.node.pid, signal.SIGSTOP)
        else:
            self._forwarder.freeze()

    def go_on(self, role: Role) -> None:
        """Lets the agent or the forwarder go on."""
        if role == "agent":
            os.kill(self.node.pid, signal.SIGCONT)
        else:
            self._forwarder.thaw()

    def set_links(self, state: str) -> None:
        """Takes its cables out ("down") or puts them in again ("up")."""
        for port in self._ports:
            ip("link", "set", port, state, netns=self._cluster.switch)

    def switch_off(self) -> None:
        """Everything ends, and the kernel's state is gone; what is on its disk stays."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.node.kill(signal.SIGKILL)
        if self._vpp is not None:
            self._vpp.end(signal.SIGKILL)
        for port in self._ports:  # at once; with the namespace they go when the kernel gets to it
            _output(["ip", "-n", self._cluster.switch, "link", "del", port])
        _output(["ip", "netns", "del", self.node.netns])

    def forget(self) -> None:
        """Empties its disk, as far as the agent uses it."""
        shutil.rmtree(self.node.folder / "state", ignore_errors=True)

    def not_ready(self) -> object:
        """What the agent says when it is not ready; None when it is."""
        try:
            answer = self.node.get("readiness")
        except OSError as error:
            return f"does not answer: {error}"
        return None if answer["state"] == 1 else answer

    def describe(self) -> str:
        """State of agent and data plane in words."""
        return "\n".join([f"---- {self.node.name}", *self._of_agent(), *self._of_kernel(), *self._of_forwarder()])

    def _of_agent(self) -> list[str]:
        said = [f"readiness: {self.not_ready() or 'ready'}"]
        try:
            history: list[dict[str, Any]] = self.node.get("scheduler/txn-history")
            failed = [one for one in history if one.get("Errors")]
            said += [f"failed transaction {one['SeqNum']}: {json.dumps(one['Errors'])}" for one in failed[-3:]]
            said.append(f"{len(history)} transactions")
        except (OSError, ValueError) as error:
            said.append(f"no history: {error}")
        return [*said, "end of the agent's log:", self.node.log()[-2000:]]

    def _of_kernel(self) -> list[str]:
        asked = (("-br", "addr"), ("route",), ("-6", "route"), ("rule",), ("neigh",))
        return [f"$ ip {' '.join(words)}\n{_output(['ip', '-n', self.node.netns, *words])}" for words in asked]

    def _of_forwarder(self) -> list[str]:
        if self._vpp is None:
            return []
        said = []
        for words in (
            "show interface",
            "show errors",
            "show ip fib table 1",
            "show ip6 fib table 1",
            "show bridge 1 detail",
        ):
            try:
                said.append(f"vpp# {words}\n{self._vpp.cli(*words.split())[:_SHOWN]}")
            except (subprocess.SubprocessError, OSError) as error:
                said.append(f"vpp# {words}: {error}")
        return said

    @property
    def _forwarder(self) -> RealVpp:
        assert self._vpp is not None, "the kernel carries the packets"
        return self._vpp


def _version(network: Networks) -> tuple[str, ...]:
    return ("-6",) if network.version == 6 else ()


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return (done.stdout + done.stderr)[:_SHOWN]
