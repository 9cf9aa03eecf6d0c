"""A Kubernetes API server of lists and watches over what a test puts into it, on loopback without TLS."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.integration.conftest import free_ports

PATHS = {
    "namespaces": "/api/v1/namespaces",
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "nodes": "/api/v1/nodes",
    "endpoints": "/api/v1/endpoints",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "adminnetworkpolicies": "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies",
}


class KubernetesApi:
    """Objects by resource and name; every change has a version, and watches see those after theirs.

    What is `absent` is a resource that the server does not have, for now.
    """

    def __init__(self, *, slices: bool = True) -> None:
        [self.port] = free_ports(1)
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in PATHS}
        self.log: list[tuple[int, str, str, dict[str, Any]]] = []
        self.version = 1
        self.oldest = 0
        self.lists = 0
        self.absent = {"adminnetworkpolicies"} | (set() if slices else {"endpointslices"})
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        file = folder / "kubeconfig"
        context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        users = [{"name": "u", "user": {}}]
        file.write_text(
            yaml.safe_dump(
                {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "users": users, "contexts": [context]}
                | {"current-context": "c"}
            )
        )
        return file

    async def start(self) -> None:
        """Serves."""
        application = web.Application()
        for name, path in PATHS.items():
            application.router.add_get(path, self._handler(name))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Serves no more; every watch breaks."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def put(self, resource: str, item: dict[str, Any]) -> None:
        """Adds or changes an object."""
        key = f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        kind = "MODIFIED" if key in self.objects[resource] else "ADDED"
        await self._note(kind, resource, key, item)
        self.objects[resource][key] = item

    async def delete(self, resource: str, key: str) -> None:
        """Deletes an object by "namespace/name"."""
        await self._note("DELETED", resource, key, self.objects[resource].pop(key))

    async def expire(self) -> None:
        """Forgets all history: every watch from before is told 410."""
        async with self._changed:
            self.version += 1
            self.oldest = self.version
            self._changed.notify_all()

    async def _note(self, kind: str, resource: str, key: str, item: dict[str, Any]) -> None:
        async with self._changed:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, resource, kind, item))
            self._changed.notify_all()

    def _handler(self, resource: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            if resource in self.absent:
                raise web.HTTPNotFound
            if request.query.get("watch") != "true":
                return self._list(resource, request)
            return await self._watch(resource, request)

        return handle

    def _list(self, resource: str, request: web.Request) -> web.Response:
        self.lists += 1
        limit, start = int(request.query.get("limit", "500")), int(request.query.get("continue") or 0)
        items = list(self.objects[resource].values())
        following = str(start + limit) if start + limit < len(items) else ""
        metadata = {"resourceVersion": str(self.version), "continue": following}
        return web.json_response({"metadata": metadata, "items": items[start : start + limit]})

    async def _watch(self, resource: str, request: web.Request) -> web.StreamResponse:
        seen = int(request.query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            async with self._changed:
                if seen < self.oldest:
                    break
                news = [entry for entry in self.log if entry[0] > seen and entry[1] == resource]
                if not news:
                    await self._changed.wait()
                    continue
            for version, _, kind, item in news:
                seen = version
                await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(seen)}}}
            await response.write(json.dumps(bookmark).encode() + b"\n")
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
        await response.write(json.dumps(gone).encode() + b"\n")
        return response


def pod(name: str, **status: Any) -> dict[str, Any]:
    """A pod as Kubernetes shows it."""
    return {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"nodeName": "node1", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.1.2", **status},
    }


def node(name: str, address: str = "10.0.0.1") -> dict[str, Any]:
    """A node as Kubernetes shows it."""
    return {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}
