"""Nine pods in three namespaces on three nodes, and what policies make of them: packets against the oracle."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
from tests.conformance.world import Endpoint, Probe, World

QUICK = 0.7
"""Seconds that a packet has at first; a cell that is not as it should be is asked again, with more patience."""
PATIENT = 2.0
SETTLED = 6.0
"""Seconds after a change within which everything must be as the oracle says."""


@dataclass(frozen=True)
class Cell:
    """Who asks whom, on what."""

    source: str
    target: str
    protocol: str
    port: int


class Nine:
    """The pods, the objects around them, and the oracle that knows both."""

    def __init__(self, world: World) -> None:
        """Makes the namespaces and the pods."""
        self.world = world
        self.cluster = Cluster()
        self.ends: dict[str, Endpoint] = {}
        for node, host in world.hosts.items():
            self.cluster.nodes[node] = ({"kubernetes.io/hostname": node}, host.addresses)
        for name in NAMESPACES:
            self.apply(namespace(name))
        names = [f"{where}/{name}" for where in NAMESPACES for name in NAMES]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(self.create_pod, names))

    def apply(self, manifest: Manifest) -> None:
        """Makes or changes an object."""
        self.cluster.apply(manifest)
        self.world.apply(manifest)

    def delete(self, manifest: Manifest) -> None:
        """Deletes an object."""
        self.cluster.delete(manifest)
        self.world.delete(manifest)

    def create_pod(self, pod: str) -> None:
        """Runs one of the nine, with the labels that it has from the start."""
        where, _, name = pod.partition("/")
        named = names_of_ports(name)
        ports = [{"name": called, "protocol": kind, "containerPort": number} for called, kind, number in named]
        node = self.world.nodes[node_of(where, name)]
        end = self.world.make_pod(name, node, namespace=where, labels={"pod": name}, ports=ports)
        end.station.ask("serve", ports=[[port, protocol] for port in PORTS for protocol in PROTOCOLS])
        self.ends[pod] = end
        self.cluster.pods[pod] = Pod(where, name, node, {"pod": name}, end.addresses, named)

    def label_pod(self, pod: str, labels: Mapping[str, str]) -> None:
        """Gives one of the nine other labels."""
        self.cluster.relabel(pod, labels)
        self.world.label_pod(self.ends[pod], labels)

    def delete_pod(self, pod: str) -> None:
        """Ends one of the nine."""
        del self.cluster.pods[pod]
        self.world.delete_pod(self.ends.pop(pod))

    def do(self, action: Action) -> None:
        """Does one thing."""
        match action.do:
            case "apply":
                self.apply(action.subject)
            case "delete":
                self.delete(action.subject)
            case "label pod":
                self.label_pod(action.subject, action.labels)
            case "create pod":
                self.create_pod(action.subject)
            case "delete pod":
                self.delete_pod(action.subject)

    def undo(self) -> None:
        """Deletes every policy, and gives namespaces and pods back what they had."""
        for manifest in list(self.cluster.policies.values()):
            self.delete(manifest)
        for name in NAMESPACES:
            if self.cluster.namespaces.get(name) != {"ns": name}:
                self.apply(namespace(name))
        for pod in [f"{where}/{name}" for where in NAMESPACES for name in NAMES]:
            if pod not in self.ends:
                self.create_pod(pod)
            elif (labels := {"pod": pod.partition("/")[2]}) != self.cluster.pods[pod].labels:
                self.label_pod(pod, labels)

    # ---- asking

    def cells(self) -> list[Cell]:
        """Every pod asks every pod on every port."""
        pods = sorted(self.ends)
        return [
            Cell(source, target, protocol, port)
            for source in pods
            for target in pods
            for protocol in PROTOCOLS
            for port in PORTS
        ]

    def expected(self, cell: Cell, version: int) -> bool:
        """What the oracle says."""
        source, target = self.cluster.pods[cell.source], self.cluster.pods[cell.target]
        return allowed(self.cluster, source, target, cell.protocol, cell.port, self.ends[cell.target].address(version))

    def wrong(self, version: int, *, within: float = SETTLED) -> dict[Cell, str]:
        """The cells that are not as the oracle says a while after the last change, with what they are."""
        expected = {cell: self.expected(cell, version) for cell in self.cells()}
        end = time.monotonic() + within
        asked, timeout = list(expected), QUICK
        while True:
            found = self._ask(asked, version, timeout)
            wrong = {cell: said for cell, said in found.items() if self._is_wrong(cell, said, expected[cell])}
            if not wrong or time.monotonic() > end:
                return {cell: said or "reached" for cell, said in wrong.items()}
            asked, timeout = list(wrong), PATIENT
            time.sleep(0.1)

    def _is_wrong(self, cell: Cell, said: str, expected: bool) -> bool:
        """Whether it is not as the oracle says; what a world does not see of SCTP may close it, and never open it."""
        closed = cell.protocol == "SCTP" and "sctp-ports" in self.world.lacks
        return (said == "") != expected and not (closed and expected)

    def _ask(self, cells: Sequence[Cell], version: int, timeout: float) -> dict[Cell, str]:
        """What came of each: "" for an answer of the one who was asked."""
        probes = [
            Probe(self.ends[cell.source], self.ends[cell.target].address(version), cell.port, cell.protocol)
            for cell in cells
        ]
        said = {}
        for cell, result in zip(cells, self.world.probe(probes, timeout=timeout), strict=True):
            said[cell] = "" if result.reached else result.error or "nothing"
            if result.reached and result.answered_by != self.ends[cell.target].name:
                said[cell] = f"answered by {result.answered_by}"
        return said

    def run(self, cases: Iterable[Case], version: int) -> str:
        """Runs cases one after the other; returns the failing cells of each as a table, "" when there are none."""
        tables, count = [], 0
        for case in cases:
            for number, step in enumerate(case.steps, 1):
                for action in step:
                    self.do(action)
                count += 1
                if wrong := self.wrong(version):
                    tables.append(f"{case.name}, step {number} of {len(case.steps)}\n{table(wrong)}")
            self.undo()
        return "\n\n".join([f"{len(tables)} of {count} steps failed", *tables]) if tables else ""


def table(wrong: Mapping[Cell, str]) -> str:
    """Cells as a table: sources are rows, targets are columns."""
    rows = sorted({cell.source for cell in wrong})
    columns = sorted({cell.target for cell in wrong})
    lines = [["from \\ to", *columns]]
    for source in rows:
        line = [source]
        for target in columns:
            said: dict[str, list[str]] = {}
            for cell, what in wrong.items():
                if (cell.source, cell.target) == (source, target):
                    said.setdefault(what, []).append(f"{cell.protocol}/{cell.port}")
            line.append(", ".join(f"{' '.join(ports)} {what}" for what, ports in said.items()) or ".")
        lines.append(line)
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns) + 1)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
