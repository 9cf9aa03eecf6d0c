"""EndpointSlices and Endpoints of a service, from its pods: pure functions.

Source: the EndpointSlice API (discovery.k8s.io/v1): one slice holds one address family and one set of port
numbers, at most a hundred endpoints; a pod that ends stays in, as terminating.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

Object = dict[str, Any]
SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGER_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
MANAGER: Final = "endpointslice-controller.k8s.io"
HEADLESS_LABEL: Final = "service.kubernetes.io/headless"
_LARGEST: Final = 100
Ports = tuple[tuple[tuple[str, str | int], ...], ...]


def is_ready(pod: Object) -> bool:
    """Tells whether a pod is Ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def selects(service: Object, pod: Object) -> bool:
    """Tells whether a pod belongs to a service: same namespace, every label of the selector, and alive."""
    selector = service["spec"].get("selector")
    if not selector or service["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    labels = pod["metadata"].get("labels") or {}
    status = pod.get("status") or {}
    alive = bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")
    return alive and all(labels.get(k) == v for k, v in selector.items())


def _resolve(service: Object, pod: Object) -> Ports:
    """The service's ports as they are on a pod; one with a name that the pod lacks is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        protocol, target = port.get("protocol", "TCP"), port.get("targetPort", port["port"])
        if isinstance(target, str):
            named = (
                p["containerPort"]
                for container in pod["spec"]["containers"]
                for p in container.get("ports") or ()
                if p.get("name") == target and p.get("protocol", "TCP") == protocol
            )
            target = next(named, 0)
        if target:
            entry = {"name": port.get("name", ""), "port": target, "protocol": protocol}
            if port.get("appProtocol"):
                entry["appProtocol"] = port["appProtocol"]
            found.append(tuple(entry.items()))
    return tuple(found)


def _target(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _endpoint(service: Object, pod: Object, addresses: list[str]) -> Object:
    terminating = bool(pod["metadata"].get("deletionTimestamp"))
    serving = is_ready(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    conditions = {
        "ready": publish or (serving and not terminating),
        "serving": serving,
        "terminating": terminating,
    }
    endpoint: Object = {"addresses": addresses, "conditions": conditions, "targetRef": _target(pod)}
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def slices(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The EndpointSlices that a service is to have, with names that do not change with their content."""
    groups: dict[tuple[str, Ports], list[Object]] = {}
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    for pod in sorted((p for p in pods if selects(service, p)), key=lambda p: str(p["metadata"]["name"])):
        addresses = [entry["ip"] for entry in pod["status"].get("podIPs") or ()] or [pod["status"]["podIP"]]
        for family in families:
            of_family = [a for a in addresses if (":" in a) == (family == "IPv6")]
            if of_family:
                group = groups.setdefault((family, _resolve(service, pod)), [])
                group.append(_endpoint(service, pod, of_family[:1]))
    made = []
    for (family, ports), endpoints in sorted(groups.items(), key=lambda item: repr(item[0])):
        for number, start in enumerate(range(0, len(endpoints), _LARGEST)):
            made.append(_slice(service, family, ports, endpoints[start : start + _LARGEST], number))
    return made


def _owned(service: Object, name: str, labels: Mapping[str, str]) -> Object:
    metadata = service["metadata"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "name": name,
        "namespace": metadata["namespace"],
        "labels": {**(metadata.get("labels") or {}), **labels},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }


def _slice(service: Object, family: str, ports: Ports, endpoints: list[Object], number: int) -> Object:
    name = service["metadata"]["name"]
    what = msgspec.json.encode([service["metadata"]["uid"], family, ports, number])
    labels = {SERVICE_LABEL: name, MANAGER_LABEL: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS_LABEL] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _owned(service, f"{name[:57]}-{hashlib.sha256(what).hexdigest()[:5]}", labels),
        "addressType": family,
        "endpoints": endpoints,
        "ports": [dict(port) for port in ports],
    }


def endpoints(service: Object, pods: Sequence[Object]) -> Object:
    """The Endpoints object of a service: what it was before there were slices; ready and not ready apart."""
    groups: dict[Ports, tuple[list[Object], list[Object]]] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in sorted((p for p in pods if selects(service, p)), key=lambda p: str(p["metadata"]["name"])):
        if pod["metadata"].get("deletionTimestamp") and not publish:
            continue
        address = {
            "ip": pod["status"]["podIP"],
            "nodeName": pod["spec"].get("nodeName"),
            "targetRef": _target(pod),
        }
        good, bad = groups.setdefault(_resolve(service, pod), ([], []))
        (good if publish or is_ready(pod) else bad).append(address)
    subsets = []
    for ports, (good, bad) in sorted(groups.items(), key=lambda item: repr(item[0])):
        lists = {"addresses": good, "notReadyAddresses": bad}
        subsets.append({**{k: v for k, v in lists.items() if v}, "ports": [dict(port) for port in ports]})
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": _owned(service, service["metadata"]["name"], {}),
        "subsets": subsets,
    }
