"""Kubernetes' objects in the world of namespaces: written to etcd as KSR writes them, by its own conversion."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from contivpp.ksr.kubernetes import Changed
from contivpp.ksr.reflector import Reflector, reflectors
from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig

Object = dict[str, Any]
_KINDS = {
    "Namespace": "namespace",
    "Pod": "pod",
    "NetworkPolicy": "policy",
    "Service": "service",
    "EndpointSlice": "endpoints",
    "Node": "node",
    "AdminNetworkPolicy": "adminnetworkpolicy",
    "BaselineAdminNetworkPolicy": "baselineadminnetworkpolicy",
}


class Records:
    """What KSR would hold, and puts into etcd."""

    def __init__(self, etcd: EtcdConfig) -> None:
        self._etcd = etcd
        self._reflectors: dict[str, Reflector] = {one.kind: one for one in reflectors()}

    def apply(self, item: Object) -> None:
        """Writes the record of an object that was made or changed."""
        self._take(item, deleted=False)

    def delete(self, item: Object) -> None:
        """Deletes the record of an object."""
        self._take(item, deleted=True)

    def delete_key(self, key: str) -> None:
        """Deletes any key."""
        asyncio.run(self._write({}, [key]))

    def _take(self, item: Object, *, deleted: bool) -> None:
        reflector = self._reflectors[_KINDS[item["kind"]]]
        touched = reflector.take(Changed(json.dumps(item).encode(), deleted))
        kept = {key: reflector.desired[key] for key in touched if key in reflector.desired}
        asyncio.run(self._write(kept, sorted(touched - kept.keys())))

    async def _write(self, kept: Mapping[str, bytes], gone: Sequence[str]) -> None:
        async with await Store.open(self._etcd) as store:
            for key, value in sorted(kept.items()):
                await store.put(key, value)
            for key in gone:
                await store.delete(key)


def pod_object(
    name: str,
    namespace: str,
    node: str,
    *,
    labels: Mapping[str, str],
    ports: Sequence[Object] = (),
    addresses: Sequence[str] = (),
    host_addresses: Sequence[str] = (),
) -> Object:
    """A pod as the API server has it: without addresses it is scheduled, and with them it runs."""
    status: Object = {"phase": "Running" if addresses else "Pending", "hostIP": host_addresses[0]}
    status["hostIPs"] = [{"ip": one} for one in host_addresses]
    if addresses:
        status["podIP"] = addresses[0]
        status["podIPs"] = [{"ip": one} for one in addresses]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"nodeName": node, "containers": [{"name": "station", "image": "station", "ports": list(ports)}]},
        "status": status,
    }


def node_object(name: str, addresses: Sequence[str]) -> Object:
    """A node as the API server has it."""
    found = [{"type": "InternalIP", "address": one} for one in addresses]
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
    return {
        "kind": "Node",
        "metadata": metadata,
        "spec": {},
        "status": {"addresses": [*found, {"type": "Hostname", "address": name}]},
    }
