"""Three nodes that compute tables and no more: the cases of the matrix, without a packet.

Objects become records as KSR makes them, and every node has an index of its own, in which changes arrive one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from contivpp.ksr.kubernetes import Changed
from contivpp.ksr.reflector import Reflector, reflectors
from contivpp.model import keys
from contivpp.policies.index import PolicyIndex
from contivpp.policies.model import Direction
from tests.conformance.evaluator import passes
from tests.conformance.matrix import (
    NAMES,
    NAMESPACES,
    PORTS,
    PROTOCOLS,
    Action,
    Case,
    names_of_ports,
    namespace,
    node_of,
)
from tests.conformance.oracle_policies import Cluster, Manifest, Pod, allowed

KINDS = {
    "Namespace": "namespace",
    "Pod": "pod",
    "Node": "node",
    "NetworkPolicy": "policy",
    "AdminNetworkPolicy": "adminnetworkpolicy",
    "BaselineAdminNetworkPolicy": "baselineadminnetworkpolicy",
}
NODES = ("node1", "node2", "node3")


def pod_of(where: str, name: str) -> Pod:
    """A pod of the world of all cases."""
    number = 10 * NAMESPACES.index(where) + NAMES.index(name) + 2
    node = node_of(where, name)
    return Pod(
        where,
        name,
        NODES[node],
        {"pod": name},
        (f"10.1.{node + 1}.{number}", f"fd00:1:{node + 1}::{number}"),
        names_of_ports(name),
    )


class Simulation:
    """The world, as the oracle knows it and as every node computed it."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._reflectors: dict[str, Reflector] = {one.kind: one for one in reflectors()}
        self.nodes = {name: PolicyIndex() for name in NODES}
        for number, name in enumerate(NODES, 1):
            addresses = (f"10.0.0.{number}", f"fd00::{number}")
            self.cluster.nodes[name] = ({"kubernetes.io/hostname": name}, addresses)
            self._reflect(
                {
                    "kind": "Node",
                    "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                    "status": {"addresses": [{"type": "InternalIP", "address": one} for one in addresses]},
                }
            )
        for where in NAMESPACES:
            self.apply(namespace(where))
            for name in NAMES:
                self.put_pod(pod_of(where, name))

    def do(self, action: Action) -> None:
        """Does one thing."""
        match action.do:
            case "apply":
                self.apply(action.subject)
            case "delete":
                self.delete(action.subject)
            case "label pod":
                self.put_pod(replace(self.cluster.pods[action.subject], labels=dict(action.labels)))
            case "create pod":
                self.put_pod(pod_of(*action.subject.split("/")))
            case "delete pod":
                pod = self.cluster.pods.pop(action.subject)
                self.nodes[pod.node].set_local(str(pod), there=False)
                self._reflect(_manifest(pod), deleted=True)

    def put_pod(self, pod: Pod) -> None:
        """A pod comes, or is another one now."""
        self.cluster.pods[str(pod)] = pod
        self._reflect(_manifest(pod))
        if not pod.host_network:
            self.nodes[pod.node].set_local(str(pod), there=True)

    def apply(self, manifest: Manifest) -> None:
        """An object is made or changed."""
        self.cluster.apply(manifest)
        self._reflect(manifest)

    def delete(self, manifest: Manifest) -> None:
        """An object goes."""
        self.cluster.delete(manifest)
        self._reflect(manifest, deleted=True)

    def passes(self, source: Pod, target: Pod, protocol: str, port: int, version: int) -> bool:
        """What the nodes make of a connection."""
        if source == target:
            return True
        own, listener = (
            next(one for one in pod.addresses if (":" in one) == (version == 6)) for pod in (source, target)
        )
        leaves = source.host_network or passes(
            self.nodes[source.node], str(source), Direction.EGRESS, listener, listener, protocol, port
        )
        own_node = own in self.cluster.nodes[target.node][1]
        comes = (
            target.host_network
            or own_node
            or passes(self.nodes[target.node], str(target), Direction.INGRESS, own, listener, protocol, port)
        )
        return leaves and comes

    def wrong(self, version: int) -> Iterator[tuple[Pod, Pod, str, int, bool]]:
        """Every cell in which the nodes disagree with the oracle, with what the oracle says."""
        pods = list(self.cluster.pods.values())
        for source in pods:
            for target in pods:
                address = next(one for one in target.addresses if (":" in one) == (version == 6))
                for protocol in PROTOCOLS:
                    for port in PORTS:
                        expected = allowed(self.cluster, source, target, protocol, port, address)
                        if self.passes(source, target, protocol, port, version) != expected:
                            yield source, target, protocol, port, expected

    def _reflect(self, manifest: Mapping[str, object], *, deleted: bool = False) -> None:
        reflector = self._reflectors[KINDS[str(manifest["kind"])]]
        for key in reflector.take(Changed(json.dumps(manifest).encode(), deleted)):
            known = keys.parse_record_key(key)
            assert known is not None
            kind, record_id = known
            value = reflector.desired.get(key)
            record = None if value is None else keys.decode_record(kind, value, key=key)
            for index in self.nodes.values():
                index.put(kind, record_id, record)


def run(case: Case, version: int) -> list[str]:
    """The cells in which a case fails, in words."""
    simulation = Simulation()
    failed = []
    for number, step in enumerate(case.steps, 1):
        for action in step:
            simulation.do(action)
        failed += [
            f"step {number}: {source} -> {target} {protocol} {port} should be {'allowed' if expected else 'denied'}"
            for source, target, protocol, port, expected in simulation.wrong(version)
        ]
    return failed


def _manifest(pod: Pod) -> Manifest:
    ports = [{"name": name, "protocol": protocol, "containerPort": number} for name, protocol, number in pod.ports]
    node = int(pod.node[-1])
    return {
        "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": dict(pod.labels)},
        "spec": {
            "nodeName": pod.node,
            "hostNetwork": pod.host_network,
            "containers": [{"name": "station", "ports": ports}],
        },
        "status": {
            "phase": "Succeeded" if pod.ended else "Running",
            "hostIP": f"10.0.0.{node}",
            "podIP": pod.addresses[0] if pod.addresses else "",
            "podIPs": [{"ip": one} for one in pod.addresses],
        },
    }
