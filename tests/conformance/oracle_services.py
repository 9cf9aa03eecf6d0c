"""Where a connection to a service may lead, said slowly and plainly from Kubernetes' own objects.

It shares no code with the agent: objects are dictionaries as in a manifest, and every question is answered by going
through all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
End = tuple[str, int]
_RANGES = "loadBalancerSourceRanges"
REFUSED, DROPPED, NOBODY = "refused", "dropped", "nobody"
"""In place of ends: a connection is refused at once, gets no answer, or its address is none of a service."""


@dataclass(frozen=True)
class Node:
    """A node; `zone` is "" for none."""

    name: str
    addresses: tuple[str, ...]
    zone: str = ""


def leads_to(
    objects: Sequence[Object],
    nodes: Sequence[Node],
    *,
    client: str,
    at: str,
    here: str,
    target: tuple[str, int, str],
    lacks: Container[str] = (),
) -> frozenset[End] | str:
    """Where a connection may end.

    Args:
        objects: services and endpoint slices.
        nodes: every node.
        client: the address that the connection comes from.
        at: the node that the client is on, "" for outside.
        here: the node that translates: the client's own for what it knows, else that which the packet gets to.
        target: address, port and protocol that the client asks for.
        lacks: what the data plane cannot do: "source-ranges", "two-destinations" (see `limits`).
    """
    node = next(one for one in nodes if one.name == here)
    for service in objects:
        if service["kind"] == "Service":
            for port in service["spec"].get("ports", []):
                kind = _kind(service, port, node, target)
                if kind:
                    if "two-destinations" in lacks and kind != "cluster" and is_local(service):
                        return _one_destination(
                            objects, service, port, node, client, through_another=at not in ("", here)
                        )
                    if "source-ranges" in lacks and kind == "balancer" and service["spec"].get(_RANGES):
                        return DROPPED
                    return _ends(objects, service, port, kind, node, client, inside=at == here)
    return NOBODY


def _kind(service: Object, port: Object, node: Node, target: tuple[str, int, str]) -> str:
    address, number, protocol = target
    spec = service["spec"]
    if protocol != port.get("protocol", "TCP") or spec.get("clusterIP", "") in ("", "None"):
        return ""
    own = spec.get("clusterIPs") or [spec["clusterIP"]]
    if _version(address) not in {_version(one) for one in own}:
        return ""
    if number == port["port"]:
        if address in own:
            return "cluster"
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        if any(one.get("ip") == address and one.get("ipMode", "VIP") == "VIP" for one in ingress):
            return "balancer"
        if address in spec.get("externalIPs", []):
            return "external"
    return "node" if number == port.get("nodePort") and address in node.addresses else ""


def _ends(
    objects: Sequence[Object], service: Object, port: Object, kind: str, node: Node, client: str, *, inside: bool
) -> frozenset[End] | str:
    spec = service["spec"]
    ranges = [ipaddress.ip_network(one) for one in spec.get(_RANGES, [])]
    ranges = [one for one in ranges if one.version == _version(client)]
    if kind == "balancer" and ranges and not any(ipaddress.ip_address(client) in one for one in ranges):
        return DROPPED
    all_of_them = _endpoints(objects, service, port, 6 if ":" in client else 4)
    everywhere = _chosen(all_of_them, node, local=False)
    inner = spec.get("internalTrafficPolicy") == "Local"
    local = inner if kind == "cluster" else is_local(service) and not inside
    if not everywhere:
        return REFUSED
    found = _chosen(all_of_them, node, local=True) if local else everywhere
    return frozenset((address, number) for address, number, _ in found) or DROPPED


def is_local(service: Object) -> bool:
    """Whether what comes from elsewhere stays on the node that it came to."""
    return bool(service["spec"].get("externalTrafficPolicy") == "Local")


def _one_destination(
    objects: Sequence[Object], service: Object, port: Object, node: Node, client: str, *, through_another: bool
) -> frozenset[End] | str:
    """With an external policy, where a frontend leads to the same endpoints whoever asks."""
    all_of_them = _endpoints(objects, service, port, 6 if ":" in client else 4)
    everywhere = _chosen(all_of_them, node, local=False)
    if not everywhere:
        return REFUSED
    found = _chosen(all_of_them, node, local=True) or ([] if through_another else everywhere)
    return frozenset((address, number) for address, number, _ in found) or DROPPED


def _endpoints(objects: Sequence[Object], service: Object, port: Object, version: int) -> list[tuple[str, int, Object]]:
    found = []
    for item in objects:
        labels = item["metadata"].get("labels", {})
        if (
            item["kind"] != "EndpointSlice"
            or item["metadata"]["namespace"] != service["metadata"]["namespace"]
            or labels.get("kubernetes.io/service-name") != service["metadata"]["name"]
            or item["addressType"] != f"IPv{version}"
        ):
            continue
        for served in item["ports"]:
            if served.get("name", "") == port.get("name", "") and served["protocol"] == port.get("protocol", "TCP"):
                for endpoint in item["endpoints"]:
                    found += [(address, served["port"], endpoint) for address in endpoint["addresses"]]
    return found


def _chosen(endpoints: Sequence[tuple[str, int, Object]], node: Node, *, local: bool) -> list[tuple[str, int, Object]]:
    if local:
        endpoints = [one for one in endpoints if one[2].get("nodeName") == node.name]
    ready = [one for one in endpoints if one[2].get("conditions", {}).get("ready", True)]
    if not ready:
        ending = []
        for one in endpoints:
            conditions = one[2].get("conditions", {})
            if conditions.get("serving", True) and conditions.get("terminating"):
                ending.append(one)
        return ending
    if local:
        return ready
    by_node = [{hint["name"] for hint in one[2].get("hints", {}).get("forNodes", [])} for one in ready]
    if all(by_node) and any(node.name in hints for hints in by_node):
        return [one for one, hints in zip(ready, by_node, strict=True) if node.name in hints]
    by_zone = [{hint["name"] for hint in one[2].get("hints", {}).get("forZones", [])} for one in ready]
    if all(by_zone) and any(node.zone in hints for hints in by_zone):
        return [one for one, hints in zip(ready, by_zone, strict=True) if node.zone in hints]
    return ready


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version
