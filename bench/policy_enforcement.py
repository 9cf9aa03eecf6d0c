"""How long a policy takes to be enforced, and a pod to be reachable under policies, with 1,000 other policies around.

Three nodes in namespaces of this machine, on VPP too where VPP_PREFIX names one; policies and pods are written to etcd
as KSR writes them, and the clock starts before that. `closed` and `opened`: a policy that isolates a pod comes and goes
while another pod, on another node, asks it every millisecond; the time is that of the last question answered, or the
first one. `reachable`: a new pod is added by the CNI plugin, under a policy of the other end that allows it by its
label, and asks from the beginning.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import percentile, report
from bench._planes import planes
from contivpp.model import codec, keys
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.policy import IngressRule, Peer, Policy, PolicyType, Port, PortNameOrNumber
from contivpp.store.client import Store
from tests.conformance.kubernetes import pod_object
from tests.conformance.namespaces import NamespacesWorld
from tests.conformance.world import Endpoint

OTHERS = 1000
SAMPLES = 50
PORT = 7000
EVERY = 0.001
QUIET = 0.3
"""Seconds without an answer, or with answers, after which a change has been enforced."""
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Asker(threading.Thread):
    """Asks an address from another namespace all the time; `answered` are the moments of questions with an answer."""

    def __init__(self, netns: str, address: str) -> None:
        """Takes the path of the namespace and who is asked."""
        super().__init__(daemon=True)
        self._netns = netns
        self._to = (address, PORT)
        self.ended = threading.Event()
        self.answered: list[float] = []

    def run(self) -> None:
        """Asks until it is ended."""
        descriptor = os.open(self._netns, os.O_RDONLY)
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)
        while not self.ended.is_set():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.settimeout(EVERY * 20)
                moment = time.monotonic()
                try:
                    asking.sendto(b"who", self._to)
                    asking.recv(65536)
                    self.answered.append(moment)
                except OSError:
                    pass  # not yet, or not any more
            time.sleep(EVERY)

    def until(self, reached: bool, since: float) -> float:
        """Milliseconds from a moment until answers came, or came no more, for good."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.02)
            last = self.answered[-1] if self.answered else 0.0
            if reached and last > since:
                return (next(one for one in self.answered if one > since) - since) * 1e3
            if not reached and time.monotonic() - max(last, since) > QUIET:
                return max(last - since, 0.0) * 1e3
        raise TimeoutError("a change was not enforced within 30 s")


def main() -> None:
    """Prints the figures."""
    for plane in planes():
        measure(plane)


def measure(plane: str) -> None:
    """One data plane, in a world of its own."""
    with tempfile.TemporaryDirectory() as folder:
        world = NamespacesWorld(Path(folder) / "world", plane, "ipv4")
        try:
            world.open()
            server = world.make_pod("server", world.nodes[0], labels={"app": "server"})
            client = world.make_pod("client", world.nodes[1], labels={"app": "client"})
            asyncio.run(_others(world))
            _policies(world, server, client, plane)
            _pods(world, server, plane)
        finally:
            world.close()


async def _others(world: NamespacesWorld) -> None:
    """Half of them in the namespace of the pods, the others elsewhere; none speaks of the pods."""
    async with await Store.open(world._etcd.config) as store:
        for number in range(OTHERS):
            namespace = "default" if number % 2 else f"namespace-{number}"
            chosen = LabelSelector(match_label=sorted_labels({"app": f"app-{number}"}))
            port = Port(port=PortNameOrNumber(number=80))
            policy = Policy(
                name=f"other-{number}",
                namespace=namespace,
                pods=chosen,
                policy_type=PolicyType.INGRESS,
                ingress_rule=(IngressRule(port=(port,), from_=(Peer(pods=chosen),)),),
            )
            await store.put(keys.record_key("policy", f"{namespace}/other-{number}"), codec.encode(policy))


def _policies(world: NamespacesWorld, server: Endpoint, client: Endpoint, plane: str) -> None:
    closed: dict[str, Any] = {
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]},
    }
    asker = Asker(world._sandboxes[client].netns, server.address(4))
    asker.start()
    took: dict[str, list[float]] = {"closed": [], "opened": []}
    asker.until(True, 0.0)
    for _ in range(SAMPLES):
        begin = time.monotonic()
        world.apply(closed)
        took["closed"].append(asker.until(False, begin))
        begin = time.monotonic()
        world.delete(closed)
        took["opened"].append(asker.until(True, begin))
    asker.ended.set()
    asker.join()
    _report(plane, took)


def _pods(world: NamespacesWorld, server: Endpoint, plane: str) -> None:
    world.apply(
        {
            "kind": "NetworkPolicy",
            "metadata": {"name": "some", "namespace": "default"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "server"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "new"}}}]}],
            },
        }
    )
    node = world.nodes[2]
    machine = world._machines[node]
    took = []
    for number in range(SAMPLES):
        name = f"new-{number}"
        sandbox = world._cluster.pod(name)
        about: dict[str, Any] = {"labels": {"app": "new"}, "host_addresses": machine.node.addresses}
        asker = Asker(sandbox.netns, server.address(4))
        asker.start()
        begin = time.monotonic()
        world._records.apply(pod_object(name, "default", node, **about))
        machine.node.add(sandbox)
        pod = pod_object(name, "default", node, addresses=sandbox.addresses, **about)
        world._records.apply(pod)
        took.append(asker.until(True, begin))
        asker.ended.set()
        asker.join()
        machine.node.cni("DEL", sandbox)
        sandbox.remove()
        world._cluster.pods.remove(sandbox)
        world._records.delete(pod)
    _report(plane, {"reachable": took})


def _report(plane: str, took: dict[str, list[float]]) -> None:
    for name, found in took.items():
        for percent in (50, 99):
            figure = f"policy_enforcement.{plane}.{name}.p{percent}"
            report(figure, percentile(found, percent), "ms", SAMPLES, policies=OTHERS)


if __name__ == "__main__":
    main()
