"""Counters of interfaces for Prometheus, under the same names on every data plane.

`interface` is the logical name; `namespace` and `pod` say whose it is, and are empty for interfaces of the node itself,
which Prometheus takes for labels that are not there: `pod!=""` selects the pods. A pod that goes takes its series with
it. Source of what is counted: spec/agent.md 12.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from contivpp.agent.view import View
from contivpp.dataplane.counters import InterfaceCounters
from contivpp.model import sandbox
from contivpp.model.keys import PodID

_LABELS: Final = ("node", "namespace", "pod", "interface")
_METRICS: Final = {
    "receive_packets": ("receive_packets", "Packets that came in by the interface: what a pod sent"),
    "receive_bytes": ("receive_bytes", "Bytes that came in by the interface"),
    "transmit_packets": ("transmit_packets", "Packets that went out by the interface: what a pod was sent"),
    "transmit_bytes": ("transmit_bytes", "Bytes that went out by the interface"),
    "drops": ("drops", "Packets that were dropped on their way in or out"),
    "receive_errors": ("receive_errors", "Packets that came in damaged"),
    "transmit_errors": ("transmit_errors", "Packets that could not be sent"),
    "missed": ("receive_missed", "Packets that were lost before the data plane took them"),
    "punts": ("punts", "Packets that VPP handed to the host instead of forwarding them"),
    "ip4": ("ip4_packets", "Packets of IPv4 that VPP saw come in"),
    "ip6": ("ip6_packets", "Packets of IPv6 that VPP saw come in"),
    "no_buffer": ("receive_no_buffer", "Packets for which VPP had no buffer"),
}


def owners(view: View) -> dict[str, PodID]:
    """This node's pods by the short IDs of their sandboxes."""
    return {sandbox.short(pod.sandbox.container_id): name for name, pod in view.pods.items()}


class InterfaceMetrics(Collector):
    """What one node's data plane counts."""

    def __init__(self) -> None:
        """Starts with nothing to tell."""
        self._counters: Callable[[], Iterable[InterfaceCounters]] = tuple
        self._view: View | None = None

    def attach(self, view: View, counters: Callable[[], Iterable[InterfaceCounters]]) -> None:
        """Takes the view that has the node's name and pods, and whom to ask for the counters at every look."""
        self._view, self._counters = view, counters

    def describe(self) -> Iterable[Metric]:
        """What there may be."""
        return [_family(field) for field in _METRICS]

    def collect(self) -> Iterable[Metric]:
        """What there is."""
        node = self._view.own.name if self._view is not None else ""
        pods = owners(self._view) if self._view is not None else {}
        found = []
        for one in self._counters():
            pod = sandbox.owner(one.name, pods) or PodID("", "")
            found.append((one, [node, pod.namespace, pod.name, one.name]))
        for field in _METRICS:
            family = _family(field)
            for counters, labels in found:
                if (value := getattr(counters, field)) is not None:
                    family.add_metric(labels, value)
            yield family


def _family(field: str) -> CounterMetricFamily:
    name, documentation = _METRICS[field]
    return CounterMetricFamily(f"contiv_interface_{name}", documentation, labels=_LABELS)


INTERFACES: Final = InterfaceMetrics()
"""Those of this process; registered when this module is imported."""
REGISTRY.register(INTERFACES)
