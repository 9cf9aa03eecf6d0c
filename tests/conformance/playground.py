"""The world of `make cluster`: three machines, through kubectl and ssh as their administrator goes.

The outside is a namespace of this machine that is joined to the machines' bridges. It has an address beyond their
networks, and they are told the way there; the data plane's NICs find it as their gateway. To a data plane that lacks
"transit" it knows the way to each node's pods. What crosses a bridge is cut off by a rule of the bridge, so that ssh
from this machine still gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contivpp.dataplane.linux import offload
from contivpp.playground.demo.ssh import Ssh, SshError
from tests.conformance.limits import LIMITS
from tests.conformance.plan import bare
from tests.conformance.stations import Station, archive
from tests.conformance.world import Endpoint, LacksError, Object, Role, World
from tests.e2e.conftest import BUILD_SECONDS, NODES, Cluster
from tests.integration.cluster import ip, netns_path

BRIDGES = {"contivpg0": "10.210.0.250/24", "contivpg1": "192.168.16.254/24"}
"""The bridges of the machines and of the data plane's NICs, and the outside's address on each."""
OUTSIDE = "10.220.0.2"
EXTERNAL = "203.0.113.0/24"
"""Where services have addresses that nobody has; machines have a way there, as others have a default route."""
PODS = "10.1.0.0/16"
_FOLDER = "/run/contiv-conformance"
_PODS_FOLDER = "/var/lib/contiv-playground-kubelet/pods"
_UNITS: Mapping[Role, str] = {
    "agent": "contiv-agent",
    "forwarder": "contiv-vpp",
    "store": "contiv-etcd",
    "reflector": "contiv-ksr",
}
_CONTROL_PLANE = "node1"
_READINESS = {"agent": 9999, "reflector": 9191}
_LABEL = {"made-by": "conformance"}
_API = {
    "AdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
    "BaselineAdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
"""In which group and version a kind is, where it is not v1."""
_SHOWN = """
echo "readiness: $(curl -s -m 3 http://127.0.0.1:9999/readiness)"
curl -s -m 3 'http://127.0.0.1:9999/scheduler/txn-history?format=text' | tail -n 40
journalctl -u contiv-agent -n 30 --no-pager -o cat
ip -br addr; ip route; ip rule
if [ -x /usr/local/bin/contiv-vppctl ]; then
    for what in interface errors 'ip fib table 1'; do contiv-vppctl show $what | head -n 100; done
fi
"""


class PlaygroundWorld(World):
    """Three machines, with whatever data plane `make cluster` gave them."""

    name = "playground"
    nodes = tuple(NODES)
    families = (4,)
    masquerades = True
    _lacks: Mapping[str, str] = {
        "new-address": "the machines have the addresses of the inventory",
        "witness": "the machines have the addresses of the inventory",
        "wire": "this machine's own frames are on the bridge as well",
        "reuse": "a node has some 250 addresses, and an address is used again when all others were",
        "large-frames": "the machines' links are what they are",
        "wrong-objects": "the API server refuses them",
        "announce": "the machines are behind a bridge of this one, which routes nothing to them",
    }

    def __init__(self, repository: Path, dataplane: str) -> None:
        super().__init__()
        self._cluster = Cluster(repository)
        self._ssh = Ssh(self._cluster.files)
        self._dataplane = dataplane
        self.lacks = {**self._lacks, **LIMITS[dataplane]}
        self.roles = frozenset[Role](role for role in _UNITS if role != "forwarder" or dataplane == "vpp")
        self._namespace = f"conformance-{os.getpid()}"
        self._bridges = {name: address for name, address in BRIDGES.items() if Path(f"/sys/class/net/{name}").exists()}
        self._outside: Endpoint | None = None
        self._plans: dict[str, Mapping[str, object]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="contiv-conformance-")

    @property
    def outside(self) -> Endpoint:
        """The namespace on this machine."""
        assert self._outside is not None
        return self._outside

    # ---- building

    def open(self) -> None:
        """Finds the machines, or makes them; every host has a station afterwards."""
        if not self._cluster.is_there():
            self._cluster.run("make", "cluster", f"DATAPLANE={self._dataplane}", timeout=BUILD_SECONDS)
            self._bridges = {name: one for name, one in BRIDGES.items() if Path(f"/sys/class/net/{name}").exists()}
        self._cluster.kubectl("delete", "pods", "-l", "made-by=conformance", "--timeout=60s")
        for node in self.nodes:
            self._put_program(node)
            for beyond in (f"{OUTSIDE}/32", EXTERNAL):
                self._on(node, f"ip route replace {beyond} via {bare(self._bridges['contivpg0'])}")
            self.hosts[node] = Endpoint(node, "host", node, (NODES[node],), self._remote(node, node))
        self._build_outside()
        self.wait_until_ready(90)
        for endpoint in self.everybody():
            endpoint.station.wait_until_ready()

    def close(self) -> None:
        """Takes the objects, the pods and the outside away; the machines stay."""
        for item in reversed(self.objects):
            with contextlib.suppress(AssertionError):
                self.delete(item)
        with contextlib.suppress(AssertionError):
            self._cluster.kubectl("delete", "pods", "-l", "made-by=conformance", "--timeout=60s")
        for endpoint in (*self.pods, *self.hosts.values()):
            endpoint.station.close()
        if self._outside is not None:
            self._outside.station.close()
        for node in self.nodes:
            with contextlib.suppress(SshError):
                self._on(node, f"ip route del {OUTSIDE}/32; ip route del {EXTERNAL}; rm -r {_FOLDER}")
        self._unfilter()
        for command in (
            ["link", "del", "cf-contivpg0"],
            ["link", "del", "cf-contivpg1"],
            ["netns", "del", self._namespace],
        ):
            subprocess.run(["ip", *command], check=False, capture_output=True)
        self._folder.cleanup()

    def _put_program(self, node: str) -> None:
        command = [*self._ssh.command(NODES[node]), f"mkdir -p {_FOLDER} && cat > {_FOLDER}/station"]
        subprocess.run(command, input=archive(), check=True, timeout=30)

    def _build_outside(self) -> None:
        ip("netns", "add", self._namespace)
        ip("link", "set", "lo", "up", netns=self._namespace)
        ip("addr", "add", f"{OUTSIDE}/32", "dev", "lo", netns=self._namespace)
        # It asks for a MAC as routers do, from the link's own address: VPP answers nobody else.
        sysctl = ["ip", "netns", "exec", self._namespace, "sysctl", "-qw", "net.ipv4.conf.all.arp_announce=2"]
        subprocess.run(sysctl, check=True)
        for number, (bridge, address) in enumerate(self._bridges.items()):
            port, link = f"cf-{bridge}", f"eth{number}"
            # Always the same MAC: nodes keep one for minutes, and the outside of another run had another one.
            mac = f"02:c0:00:00:00:{number + 1:02x}"
            peer = ("peer", "name", link, "address", mac, "netns", self._namespace)
            ip("link", "add", port, "type", "veth", *peer)
            ip("link", "set", port, "master", bridge, "up")
            ip("addr", "add", address, "dev", link, netns=self._namespace)
            ip("link", "set", link, "up", netns=self._namespace)
            # As on a NIC: who gets a frame may count on its checksums.
            offload.set_checksums(f"/run/netns/{self._namespace}", link, on=False)
            subnet = str(ipaddress.ip_interface(address).network)
            ip("route", "replace", subnet, "dev", link, "src", OUTSIDE, netns=self._namespace)
            # The last bridge is the data plane's.
            first = NODES[self.nodes[0]] if bridge == "contivpg0" else self._tunnel_end(self.nodes[0])
            ip("route", "replace", PODS, "via", first, "src", OUTSIDE, netns=self._namespace)
        if "transit" in self.lacks:
            for node in self.nodes:
                part, end = str(self._ipam(node)["podSubnetThisNode"]), self._tunnel_end(node)
                ip("route", "replace", part, "via", end, "src", OUTSIDE, netns=self._namespace)
        program = Path(self._folder.name) / "station"
        program.write_bytes(archive())
        command = ["nsenter", f"--net={netns_path(self._namespace)}", sys.executable, "-I", "-S", str(program)]
        self._outside = Endpoint("outside", "outside", "", (OUTSIDE,), Station("outside", command))

    def _tunnel_end(self, node: str) -> str:
        """The address that the data plane has on the second bridge."""
        return bare(str(self._ipam(node)["nodeIP"]))

    def _ipam(self, node: str) -> Mapping[str, object]:
        """What the agent of a node says of its addresses, asked once."""
        if node not in self._plans:
            asked = "curl -fsS -m 5 http://127.0.0.1:9999/contiv/v1/ipam"
            self._plans[node] = json.loads(self._on(node, asked))
        return self._plans[node]

    def _remote(self, name: str, node: str, netns: str = "") -> Station:
        enter = f"nsenter --net={netns} -- " if netns else ""
        return Station(name, [*self._ssh.command(NODES[node]), f"{enter}python3 -I -S {_FOLDER}/station"])

    def _on(self, node: str, script: str) -> str:
        return asyncio.run(self._ssh.run(NODES[node], script))

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
        """Creates the pod and waits until it is Ready."""
        container = {"name": "sleeper", "image": "sleeper", "command": ["sleep", "infinity"], "ports": list(ports)}
        spec = {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
        }
        metadata = {"name": name, "namespace": namespace, "labels": {**_LABEL, **(labels or {})}}
        self._kubectl("create", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self._cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        status = json.loads(self._cluster.kubectl("-n", namespace, "get", "pod", name, "-o", "json"))["status"]
        addresses = tuple(one["ip"] for one in status.get("podIPs") or [{"ip": status["podIP"]}])
        station = self._remote(name, node, f"{_PODS_FOLDER}/{namespace}_{name}.netns")
        pod = Endpoint(name, "pod", node, addresses, station, namespace, labels or {}, tuple(ports))
        self.pods.append(pod)
        station.wait_until_ready()
        return pod

    def label_pod(self, pod: Endpoint, labels: Mapping[str, str]) -> None:
        """Sets the labels, and takes those away that are not among them."""
        gone = [f"{key}-" for key in pod.labels if key not in labels]
        wanted = [f"{key}={value}" for key, value in labels.items()]
        self._cluster.kubectl("-n", pod.namespace, "label", "--overwrite", "pod", pod.name, *wanted, *gone)
        pod.labels = dict(labels)

    def delete_pod(self, pod: Endpoint, *, abruptly: bool = False) -> None:
        """Deletes the pod and waits until it is gone; the kubelet ends processes first, always."""
        pod.station.close()
        self._cluster.kubectl("-n", pod.namespace, "delete", "pod", pod.name, "--ignore-not-found", "--timeout=60s")
        self.pods.remove(pod)

    def apply(self, item: Object) -> None:
        """Applies a manifest; of an object that is there the API takes the status by a way of its own."""
        self._kubectl("apply", item)
        if "status" in item:
            kind, about = item["kind"], item["metadata"]
            patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": item["status"]}))
            self._cluster.kubectl("patch", kind, about["name"], "-n", about.get("namespace", "default"), *patch)
        if item not in self.objects:
            self.objects.append(item)

    def delete(self, item: Object) -> None:
        """Deletes what a manifest names."""
        self._kubectl("delete", item, "--ignore-not-found")

    def _kubectl(self, verb: str, item: Object, *further: str) -> None:
        self._cluster.kubectl(verb, *further, "-f", "-", given={"apiVersion": _API.get(item["kind"], "v1"), **item})

    # ---- faults

    def kill(self, role: Role, node: str = "") -> None:
        """Kills the main process; systemd starts it again."""
        self._signal(role, node, "KILL")

    def start(self, role: Role, node: str = "") -> None:
        """Waits until systemd has started it, and it is ready."""
        place, unit = node or _CONTROL_PLANE, _UNITS[role]

        def ready() -> bool:
            asked = f"systemctl is-active -q {unit}"
            if role in _READINESS:
                asked += f" && curl -fsS -m 3 http://127.0.0.1:{_READINESS[role]}/readiness"
            with contextlib.suppress(SshError):
                self._on(place, asked)
                return True
            return False

        self.until(ready, f"{unit} of {place} is ready", 60)

    def freeze(self, role: Role, node: str = "") -> None:
        """Stops the main process."""
        self._signal(role, node, "STOP")

    def thaw(self, role: Role, node: str = "") -> None:
        """Lets the main process go on."""
        self._signal(role, node, "CONT")

    def _signal(self, role: Role, node: str, number: str) -> None:
        self._on(node or _CONTROL_PLANE, f"systemctl kill --kill-whom=main --signal={number} {_UNITS[role]}")

    def cut_off(self, node: str) -> None:
        """Drops what crosses the bridges from and to a machine."""
        ports = ", ".join(f'"{prefix}{node}"' for prefix in ("vb-", "vu-"))
        rules = "\n".join(f"{way} {{ {ports} }} drop" for way in ("iifname", "oifname"))
        self._nft(
            f"table bridge contiv_conformance {{ chain cut {{ type filter hook forward priority 0;\n{rules}\n}}\n}}\n"
        )

    def join(self, node: str) -> None:
        """Lets everything cross the bridges again."""
        self._unfilter()

    def _unfilter(self) -> None:
        self._nft("table bridge contiv_conformance\ndelete table bridge contiv_conformance")

    def _nft(self, rules: str) -> None:
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True)

    def leave(self, node: str) -> str:
        """Not here: see `lacks`."""
        raise LacksError(self, "leave", node)

    def come_back(self, node: str, *, with_state: bool) -> None:
        """Not here: see `lacks`."""
        raise LacksError(self, "come_back", node)

    # ---- looking

    def node_addresses(self, node: str, *, of: Endpoint | None = None) -> tuple[str, ...]:
        """With NICs of the data plane's own, what is not a pod finds node ports at their addresses only."""
        if self._dataplane != "vpp":
            return super().node_addresses(node, of=of)
        end = self._tunnel_end(node)
        return (end,) if of is not None and of.kind != "pod" else (end, NODES[node])

    def not_ready(self) -> Mapping[str, object]:
        """The agents that are not ready."""
        said: dict[str, object] = {}
        for node in self.nodes:
            try:
                answer: Any = json.loads(self._on(node, "curl -s -m 3 http://127.0.0.1:9999/readiness"))
                if answer["state"] != 1:
                    said[node] = answer
            except (SshError, ValueError) as error:
                said[node] = str(error)
        return said

    def describe(self) -> str:
        """Agents, kernels and forwarders."""
        return "\n".join(f"---- {node}\n{self._on(node, _SHOWN)}" for node in self.nodes)

    def unused_addresses(self, version: int) -> Mapping[str, str]:
        """Of the first node's part, of another one's, of none, and of nobody's host link."""
        return {
            "a free address of the first node": "10.1.1.251",
            "a free address of the second node": "10.1.2.251",
            "an address of no node": "10.1.200.3",
            "a host link of no node": "172.30.200.2",
        }
