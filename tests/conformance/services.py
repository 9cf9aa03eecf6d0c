"""Services for the cases: their objects, and a look at all their frontends from everywhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.conformance.oracle_services import DROPPED, NOBODY, REFUSED, Node, leads_to
from tests.conformance.stations import PORT
from tests.conformance.world import Endpoint, Object, Probe, Result, World, version_of

TIMES = 16
"""Probes per source and frontend with several endpoints."""
ROUNDS = 5
"""How often they are sent where an endpoint was missed, which may be chance."""
MOST_PROBES = 160
"""At once: more would test how fast the stations are."""
AT_ONCE = 0.5
PATIENCE = 30.0
Port = tuple[str, str, int, int, int]
"""Name, protocol, port, the endpoints' port and node port (0 for none)."""


def cluster_ip(version: int, number: int) -> str:
    """An address of the services' subnet."""
    return f"10.96.7.{number}" if version == 4 else f"fd10:96::7:{number:x}"


def external_ip(world: World, version: int, number: int) -> str:
    """An address beyond the cluster that nobody has; where the world can, the outside's packets for it come in."""
    address = f"203.0.113.{number}" if version == 4 else f"2001:db8:113::{number:x}"
    if "announce" not in world.lacks:
        world.announce(address)
    return address


def service(name: str, ips: Sequence[str], *ports: Port, ingress: Sequence[Any] = (), **spec: Any) -> Object:
    """A service with addresses of its own."""
    found = []
    for port_name, protocol, port, target, node_port in ports:
        one: Object = {"protocol": protocol, "port": port, "targetPort": target}
        if port_name:
            one["name"] = port_name
        if node_port:
            one["nodePort"] = node_port
        found.append(one)
    if any(port[4] for port in ports):
        spec.setdefault("type", "NodePort")
    families = [f"IPv{version_of(ip)}" for ip in ips]
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ips[0], "clusterIPs": list(ips), "ipFamilies": families, "ports": found, **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def endpoints(
    name: str, members: Iterable[Endpoint | Mapping[str, Any]], *ports: Port, version: int = 4, part: str = "1"
) -> Object:
    """A slice of a service's endpoints: pods or hosts, or entries as in a manifest."""
    entries = [entry(one, version) if isinstance(one, Endpoint) else dict(one) for one in members]
    return {
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{version}-{part}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": f"IPv{version}",
        "endpoints": entries,
        "ports": [
            {**({"name": port_name} if port_name else {}), "protocol": protocol, "port": target}
            for port_name, protocol, _, target, _ in ports
        ],
    }


def entry(member: Endpoint, version: int, **more: Any) -> Object:
    """An endpoint that is ready unless `conditions` say otherwise."""
    reference = {"kind": "Pod", "namespace": "default", "name": member.name}
    found: Object = {"addresses": [member.address(version)], "conditions": {"ready": True}, "nodeName": member.node}
    if member.kind == "pod":
        found["targetRef"] = reference
    return {**found, **more}


def replace(world: World, item: Object) -> None:
    """Applies an object in place of what it was."""
    identity = (item["kind"], item["metadata"])
    world.objects[:] = [one for one in world.objects if (one["kind"], one["metadata"]) != identity]
    world.apply(item)


@dataclasses.dataclass
class Looks:
    """How all frontends of the objects look from everywhere, against the oracle.

    Attributes:
        zones: of the nodes, by name.
        times: how often each is asked.
    """

    world: World
    zones: Mapping[str, str] = dataclasses.field(default_factory=dict)
    times: int = TIMES

    def become_right(self, sources: Sequence[Endpoint] | None = None) -> None:
        """Waits until every frontend leads where it has to.

        A look takes long where nobody answers, so what counts is when it began.

        Raises:
            AssertionError: one leads elsewhere for too long, with what was seen.
        """
        began = end = time.monotonic() + PATIENCE
        while wrong := self.wrong(sources):
            assert began <= end, "\n".join(wrong)
            time.sleep(0.2)
            began = time.monotonic()

    def wrong(self, sources: Sequence[Endpoint] | None = None) -> list[str]:
        """What is not as it has to be now, one sentence each."""
        world = self.world
        everybody = world.everybody() if sources is None else sources
        asked: dict[Probe, Any] = {}
        for source in everybody:
            for address, port, protocol in self._frontends():
                version = version_of(address)
                if not self._is_routed(source, address):
                    continue
                here = self._translated_at(source, address)
                expected = leads_to(
                    world.objects,
                    self._nodes(),
                    client=source.address(version),
                    at=source.node,
                    here=here,
                    target=(address, port, protocol),
                    lacks=world.lacks,
                )
                if "to-host" in world.lacks and self._meets_a_host(source, expected):
                    continue
                if expected != NOBODY:
                    asked[Probe(source, address, port, protocol)] = expected
        answers: dict[Probe, list[Result]] = {probe: [] for probe in asked}
        again = [probe for probe, expected in asked.items() for _ in range(self._count(expected))]
        for _ in range(ROUNDS):
            self._ask(again, answers)
            missed = [probe for probe, expected in asked.items() if self._misses_some(expected, answers[probe])]
            if not missed:
                break
            again = [probe for probe in missed for _ in range(self.times)]
        return self._judge(asked, answers)

    def _ask(self, probes: Sequence[Probe], answers: Mapping[Probe, list[Result]]) -> None:
        """Asks everything, the same never at once."""
        mixed = [probes[number] for start in range(self.times) for number in range(start, len(probes), self.times)]
        for start in range(0, len(mixed), MOST_PROBES):
            some = mixed[start : start + MOST_PROBES]
            for probe, result in zip(some, self.world.probe(some, timeout=2.5), strict=True):
                answers[probe].append(result)

    def _misses_some(self, expected: Any, results: Sequence[Result]) -> bool:
        """Whether only right endpoints answered, but not all of them: it may be chance."""
        if isinstance(expected, str):
            return False
        return _who(results) < {self._name_at(end) for end, _ in expected}

    def _meets_a_host(self, source: Endpoint, expected: Any) -> bool:
        """Whether the outside meets a host, be it with a refusal, or a host itself."""
        if isinstance(expected, str):
            return expected == REFUSED and source.kind == "outside"
        met = {address for host in self.world.hosts.values() for address in host.addresses}
        met = met if source.kind == "outside" else set(source.addresses) if source.kind == "host" else set()
        return any(end in met for end, _ in expected)

    def _count(self, expected: Any) -> int:
        return 1 if expected in (REFUSED, DROPPED) else 2 if len(expected) == 1 else self.times

    def _judge(self, asked: Mapping[Probe, Any], answers: Mapping[Probe, Sequence[Result]]) -> list[str]:
        wrong = []
        for probe, expected in asked.items():
            question = f"{probe.source} -> {probe.target} {probe.protocol}/{probe.port}"
            if expected in (REFUSED, DROPPED):
                said = [_unlike(expected, one) for one in answers[probe]]
                wrong += [f"{question}: {one}, not {expected}" for one in said if one]
                continue
            names, seen = {self._name_at(end) for end, _ in expected}, _who(answers[probe])
            if seen != names:
                wrong.append(f"{question}: {', '.join(sorted(seen))}, not {', '.join(sorted(names))}")
        return wrong

    def _name_at(self, address: str) -> str:
        return next(one.name for one in self.world.everybody() if address in one.addresses)

    def _nodes(self) -> list[Node]:
        world = self.world
        return [Node(name, world.node_addresses(name), self.zones.get(name, "")) for name in world.hosts]

    def _frontends(self) -> list[tuple[str, int, str]]:
        found: dict[tuple[str, int, str], None] = {}
        for item in self.world.objects:
            if item["kind"] != "Service":
                continue
            spec = item["spec"]
            ingress = item["status"]["loadBalancer"]["ingress"]
            addresses = [*spec["clusterIPs"], *spec.get("externalIPs", []), *(one["ip"] for one in ingress)]
            versions = {version_of(ip) for ip in spec["clusterIPs"]}
            for port in spec["ports"]:
                for address in addresses:
                    found[address, port["port"], port["protocol"]] = None
                if "nodePort" in port:
                    for node in self._nodes():
                        for address in node.addresses:
                            if version_of(address) in versions:
                                found[address, port["nodePort"], port["protocol"]] = None
        return list(found)

    def _translated_at(self, source: Endpoint, address: str) -> str:
        """The node that translates: the address's own, or that of the client, or the first one for the outside."""
        for node in self._nodes():
            if address in node.addresses:
                return node.name
        return source.node or self.world.nodes[0]

    def _is_routed(self, source: Endpoint, address: str) -> bool:
        """Whether somebody's packets for an address get to where services are translated."""
        for node in self._nodes():
            if address in node.addresses:
                return address in self.world.node_addresses(node.name, of=source)
        if source.kind != "outside":
            return True
        services = [item["spec"] for item in self.world.objects if item["kind"] == "Service"]
        if any(address in spec["clusterIPs"] for spec in services):
            return False
        return "announce" not in self.world.lacks


def _who(results: Iterable[Result]) -> set[str]:
    return {one.answered_by if one.reached else one.error for one in results}


def _unlike(expected: str, result: Result) -> str:
    """What was seen in place of a refusal or silence; "" when it was as expected."""
    errors = ["refused"] if expected == REFUSED else ["timeout"]
    if result.probe.source.kind == "host":  # a socket is told at once that its packet may not leave
        errors.append("EPERM")
    if result.reached or result.error not in errors or (expected == REFUSED and result.latency > AT_ONCE):
        return result.answered_by or f"{result.error} after {result.latency:.2f} s"
    return ""


__all__ = ["PORT", "Looks", "cluster_ip", "endpoints", "entry", "external_ip", "replace", "service"]
