"""What a trace is for: a pod, a service or an address, and where its packets may go from there."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from contivpp.model.pod import Pod
from contivpp.netctl.agents import Agents
from contivpp.netctl.arguments import namespaced, split_port
from contivpp.netctl.cluster import Cluster, ClusterNode, pod_name
from contivpp.netctl.errors import AgentError, NetctlError, UsageError
from contivpp.netctl.ping import no_destination

_SERVICE: Final = ("svc", "service")
_CLUSTER_IP: Final = "cluster-ip"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a trace leads.

    Attributes:
        name: for people.
        source: the address of the pod that sends, of the same IP version.
        address: that the packets are sent to.
        port: "80/tcp"; None for a ping.
        service: that answers there, "" for none.
        backends: addresses and ports that a service may lead to.
        nodes: that packets may get to.
    """

    name: str
    source: str
    address: str
    port: str | None
    service: str = ""
    backends: tuple[tuple[str, int], ...] = ()
    nodes: tuple[ClusterNode, ...] = ()


async def find(
    cluster: Cluster, agents: Agents, source: Pod, home: ClusterNode, wanted: str, port: str | None
) -> Target:
    """What is meant by "[namespace/]pod", "svc/[namespace/]service" or an address.

    Args:
        cluster: what etcd holds.
        agents: to ask what services mean.
        source: the pod that sends.
        home: its node, which chooses the endpoint of a service.
        wanted: what is to be found.
        port: "80/tcp", or for a service the name of a port; None for a ping, or the only port of a service.

    Raises:
        UsageError: there is none, or the port must be named.
        NetctlError: nothing can be sent there.
    """
    try:
        address = str(ipaddress.ip_address(wanted))
    except ValueError:
        kind, _, name = wanted.partition("/")
        if kind in _SERVICE and name and not _is_pod(cluster, wanted):
            return await _service(cluster, agents, source, home, namespaced(name), port)
        pod = cluster.pod(wanted)
        if reason := no_destination(pod):
            raise NetctlError(reason) from None
        return _plain(cluster, source, pod_name(pod), pod.ip_address, port, cluster.node_of(pod))
    found = _pod_at(cluster, address)
    if found is not None:
        return _plain(cluster, source, pod_name(found), address, port, cluster.node_of(found))
    frontends = [one for item in await _ask(agents, home) for one in _frontends(item) if one[1]["address"] == address]
    if frontends and (port is None or _with_port(frontends, port)):
        return _target(cluster, source, address, *_chosen(frontends, port, f"at {address}"))
    return _plain(cluster, source, address, address, port, None)


def node_at(cluster: Cluster, address: str) -> ClusterNode | None:
    """The node that an address leads to: its own, or that of the pod that has it."""
    pod = _pod_at(cluster, address)
    if pod is not None:
        return cluster.node_of(pod)
    for node in cluster.nodes:
        if address in (*node.management, *(one.partition("/")[0] for one in node.addresses)):
            return node
    return None


def _plain(
    cluster: Cluster, source: Pod, name: str, address: str, port: str | None, node: ClusterNode | None
) -> Target:
    nodes = () if node is None else (node,)
    return Target(name, _source_address(source, address), address, port, nodes=nodes)


def _is_pod(cluster: Cluster, wanted: str) -> bool:
    return any(pod_name(pod) == wanted for pod in cluster.pods)


def _pod_at(cluster: Cluster, address: str) -> Pod | None:
    for pod in cluster.pods:
        if address in (pod.ip_address, *pod.ip_addresses) and not pod.terminated:
            return pod
    return None


def _source_address(pod: Pod, destination: str) -> str:
    version = ipaddress.ip_address(destination).version
    for address in (pod.ip_address, *pod.ip_addresses):
        if address and ipaddress.ip_address(address).version == version:
            return address
    raise NetctlError(f"{pod_name(pod)} has no address of IPv{version}, and {destination} is one")


# ---- services

_Frontend = tuple[str, Mapping[str, Any]]
"""The service's name, and one of its frontends as an agent tells it."""


async def _service(
    cluster: Cluster, agents: Agents, source: Pod, home: ClusterNode, name: str, port: str | None
) -> Target:
    items = await _ask(agents, home, name)
    if not items:
        raise UsageError(f"{home.name} knows no service {name}")
    versions = {ipaddress.ip_address(one).version for one in (source.ip_address, *source.ip_addresses) if one}
    frontends = [
        one
        for item in items
        for one in _frontends(item)
        if one[1]["kind"] == _CLUSTER_IP and ipaddress.ip_address(one[1]["address"]).version in versions
    ]
    if not frontends:
        reason = (
            "it is headless, or the name of something else" if not _frontends(items[0]) else "of another IP version"
        )
        raise NetctlError(f"service {name} has no address that {pod_name(source)} can send to: {reason}")
    return _target(cluster, source, f"svc/{name}", *_chosen(frontends, port, f"of service {name}"))


async def _ask(agents: Agents, home: ClusterNode, name: str = "") -> Sequence[Mapping[str, Any]]:
    path = "contiv/v1/services" + (f"?{urlencode({'service': name})}" if name else "")
    try:
        found = await agents.fetch(home.management, path)
    except AgentError as error:
        raise NetctlError(f"{home.name}: {error}") from error
    return found if isinstance(found, list) else []


def _frontends(item: Mapping[str, Any]) -> list[_Frontend]:
    return [(str(item["service"]), one) for one in item["frontends"]]


def _with_port(frontends: Sequence[_Frontend], port: str) -> list[_Frontend]:
    asked = split_port(port)
    return [
        one for one in frontends if port == one[1]["portName"] or asked == (str(one[1]["port"]), one[1]["protocol"])
    ]


def _chosen(frontends: Sequence[_Frontend], port: str | None, where: str) -> _Frontend:
    """The frontend that is meant."""
    found = list(frontends) if port is None else _with_port(frontends, port)
    ports = list(dict.fromkeys(_port(one) for _, one in found))
    if len(ports) == 1:
        return found[0]
    there = ", ".join(dict.fromkeys(_port(one) for _, one in frontends))
    if port is None:
        raise UsageError(f"--port: the ports {where} are {there}: name one")
    raise UsageError(f"--port {port}: the ports {where} are {there}")


def _port(frontend: Mapping[str, Any]) -> str:
    return f"{frontend['port']}/{frontend['protocol']}"


def _target(cluster: Cluster, source: Pod, name: str, service: str, frontend: Mapping[str, Any]) -> Target:
    backends = tuple((str(one["address"]), int(one["port"])) for one in frontend["inside"]["backends"])
    nodes = {node.name: node for address, _ in backends if (node := node_at(cluster, address)) is not None}
    address = str(frontend["address"])
    return Target(
        name=name,
        source=_source_address(source, address),
        address=address,
        port=_port(frontend),
        service=service,
        backends=backends,
        nodes=tuple(nodes[one] for one in sorted(nodes)),
    )
