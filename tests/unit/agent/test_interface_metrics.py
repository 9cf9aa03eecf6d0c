"""Counters of interfaces on /metrics: whose they are, and what goes when a pod goes."""

from __future__ import annotations

from collections.abc import Iterable

from contivpp.agent.connectivity.names import pod_names, tap_names
from contivpp.agent.interface_metrics import InterfaceMetrics
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.view import LocalPod, OwnNode, View
from contivpp.dataplane.counters import InterfaceCounters
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID

CONTAINER = "0123456789abcdef" * 4
POD = PodID("web-1", "shop")


def counters(name: str, **more: int) -> InterfaceCounters:
    ground = dict.fromkeys(
        ("receive_packets", "receive_bytes", "transmit_packets", "transmit_bytes", "drops", "receive_errors"), 0
    )
    return InterfaceCounters(name=name, transmit_errors=0, missed=0, **{**ground, **more})


def view_with(*pods: LocalPod) -> View:
    config = ContivConfig.parse("", node_name="node1")
    view = View(config, config.plan, OwnNode("node1"))
    view.pods.update({pod.id: pod for pod in pods})
    return view


def pod() -> LocalPod:
    sandbox = Sandbox(pod=POD, container_id=CONTAINER, netns="/proc/self/ns/net", interface="eth0")
    return LocalPod(sandbox, ("10.1.1.2",))


def told(metrics: InterfaceMetrics) -> dict[tuple[str, str, str, str], float]:
    return {
        (sample.name, sample.labels["namespace"], sample.labels["pod"], sample.labels["interface"]): sample.value
        for metric in metrics.collect()
        for sample in metric.samples
    }


def attached(view: View, found: Iterable[InterfaceCounters]) -> InterfaceMetrics:
    metrics = InterfaceMetrics()
    metrics.attach(view, lambda: found)
    return metrics


def test_interfaces_of_pods_have_their_names_on_every_data_plane_and_those_of_the_node_have_none() -> None:
    names = (f"afpacket-{CONTAINER[:15]}", tap_names(CONTAINER).interface, pod_names(CONTAINER).link)
    for name in names:
        found = told(
            attached(view_with(pod()), [counters(name, receive_bytes=7), counters("vxlan-default-2", drops=3)])
        )
        assert found["contiv_interface_receive_bytes_total", "shop", "web-1", name] == 7
        assert found["contiv_interface_drops_total", "", "", "vxlan-default-2"] == 3


def test_the_series_say_the_node() -> None:
    metrics = attached(view_with(), [counters("eth1")])
    assert {sample.labels["node"] for metric in metrics.collect() for sample in metric.samples} == {"node1"}


def test_what_a_data_plane_does_not_count_is_left_out() -> None:
    found = told(attached(view_with(), [counters("eth1")]))
    assert ("contiv_interface_transmit_packets_total", "", "", "eth1") in found
    assert ("contiv_interface_punts_total", "", "", "eth1") not in found
    assert ("contiv_interface_punts_total", "", "", "eth1") in told(attached(view_with(), [counters("eth1", punts=0)]))


def test_a_pod_that_leaves_takes_its_series_away() -> None:
    view, name = view_with(pod()), pod_names(CONTAINER).link
    there = [counters(name)]
    metrics = attached(view, there)
    assert any(key[2] == "web-1" for key in told(metrics))
    del view.pods[POD]
    there.clear()
    assert told(metrics) == {}
