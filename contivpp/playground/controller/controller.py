"""The loop: keep a copy of the cluster, and after every change make what follows from it.

Level-triggered: each round looks at the whole copy and writes only what differs, so a round that failed, or
that saw an old copy, is made good by the next one. That is affordable because a playground is small.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from contivpp.playground import events
from contivpp.playground.client import Client, ClientError, Deleted, Key, Put, Replaced, path_of
from contivpp.playground.controller import endpoints, scheduler
from contivpp.playground.events import timestamp

Object = dict[str, Any]
log = logging.getLogger("controller")
SLICES: Final = "apis/discovery.k8s.io/v1/endpointslices"
LEASES: Final = "apis/coordination.k8s.io/v1/leases"
_FOLLOWED: Final = ("namespaces", "nodes", "pods", "services", "endpoints", "serviceaccounts", SLICES, LEASES)
_LEASE_NAMESPACE: Final = "kube-node-lease"
_SETTLE: Final = 0.02
_PERIOD: Final = 5.0
_NODE_GRACE: Final = 40.0
_COMPONENT: Final = "contiv-playground-controller"


class Controller:
    """Scheduler and controllers of one cluster; only one instance may run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._objects: dict[str, dict[Key, Object]] = {}
        self._changed = asyncio.Event()
        self._bound: dict[str, str] = {}
        self._lease_seen: dict[str, tuple[str, float]] = {}
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource in _FOLLOWED:
                group.create_task(self._follow(resource), name=resource)
            group.create_task(self._loop(), name="loop")

    async def _follow(self, resource: str) -> None:
        async for change in self._client.follow(resource):
            match change:
                case Replaced(objects):
                    self._objects[resource] = dict(objects)
                case Put(key, subject):
                    self._objects[resource][key] = subject
                case Deleted(key, _):
                    self._objects[resource].pop(key, None)
            self._changed.set()

    async def _loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._changed.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(_SETTLE)
            self._changed.clear()
            if len(self._objects) == len(_FOLLOWED):
                self.started.set()
                await self.round()

    async def round(self) -> None:
        """Makes everything that follows from the copy."""
        for name, step in (
            ("nodes", self._nodes),
            ("pods of lost nodes", self._lost_pods),
            ("scheduling", self._schedule),
            ("endpoints", self._endpoints),
            ("service accounts", self._accounts),
            ("namespaces", self._namespaces),
        ):
            await self._try(name, step)

    async def _try(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except ClientError as error:
            log.warning("%s: %s", name, error)

    def _all(self, resource: str) -> list[Object]:
        return list(self._objects[resource].values())

    async def _schedule(self) -> None:
        pods = self._all("pods")
        known = {pod["metadata"]["uid"]: pod for pod in pods}
        # What was bound a moment ago may not have come back by the watch yet.
        self._bound = {
            uid: node for uid, node in self._bound.items() if uid in known and not known[uid]["spec"].get("nodeName")
        }
        load: dict[str, int] = {}
        for pod in pods:
            node = pod["spec"].get("nodeName") or self._bound.get(pod["metadata"]["uid"])
            if node and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                load[node] = load.get(node, 0) + 1
        nodes = sorted(self._all("nodes"), key=lambda n: str(n["metadata"]["name"]))
        waiting = [p for p in pods if scheduler.waits(p) and p["metadata"]["uid"] not in self._bound]
        for pod in sorted(waiting, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"])):
            node, why = scheduler.choose(pod, nodes, load)
            if node:
                load[node] = load.get(node, 0) + 1
                await self._bind(pod, node)
            else:
                await self._unschedulable(pod, why)

    async def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = path_of("pods", metadata["namespace"], metadata["name"], "binding")
        try:
            await self._client.request("POST", path, binding)
        except ClientError as error:
            if error.code not in (404, 409):
                raise
            return
        self._bound[metadata["uid"]] = node
        text = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        await events.record(self._client, pod, "Pod", "Scheduled", text, component=_COMPONENT)

    async def _unschedulable(self, pod: Object, why: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
        before = (pod.get("status") or {}).get("conditions") or ()
        if any(condition.items() <= c.items() for c in before):
            return
        kept = [c for c in before if c["type"] != "PodScheduled"]
        status = {"conditions": [*kept, {**condition, "lastTransitionTime": timestamp()}]}
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        await self._client.merge("pods", key, {"status": status}, "status")
        await events.record(self._client, pod, "Pod", "FailedScheduling", why, component=_COMPONENT, warning=True)

    async def _endpoints(self) -> None:
        pods = self._all("pods")
        wanted_slices: dict[Key, Object] = {}
        wanted: dict[Key, Object] = {}
        for key, service in self._objects["services"].items():
            if service["spec"].get("selector") and service["spec"].get("type") != "ExternalName":
                wanted[key] = endpoints.endpoints(service, pods)
                made = endpoints.slices(service, pods)
                wanted_slices.update(((key[0], s["metadata"]["name"]), s) for s in made)
        for key, subject in wanted.items():
            await self._write("endpoints", key, subject, ("subsets",))
        for key, subject in wanted_slices.items():
            await self._write(SLICES, key, subject, ("addressType", "endpoints", "ports"))
        for key, subject in list(self._objects[SLICES].items()):
            labels = subject["metadata"].get("labels") or {}
            if labels.get(endpoints.MANAGER_LABEL) == endpoints.MANAGER and key not in wanted_slices:
                await self._client.delete(SLICES, key)
        for key, subject in list(self._objects["endpoints"].items()):
            owned = any(o["kind"] == "Service" for o in subject["metadata"].get("ownerReferences") or ())
            if key not in wanted and owned:
                await self._client.delete("endpoints", key)

    async def _write(self, resource: str, key: Key, wanted: Object, fields: tuple[str, ...]) -> None:
        """Creates or replaces an object whose `fields`, labels or owner differ."""
        old = self._objects[resource].get(key)
        try:
            if old is None:
                if not self._namespace_ends(key[0]):
                    await self._client.create(resource, wanted)
                return
            same = all((old.get(f) or []) == (wanted.get(f) or []) for f in fields)
            metadata = ("labels", "ownerReferences")
            if same and all((old["metadata"].get(m) or {}) == (wanted["metadata"].get(m) or {}) for m in metadata):
                return
            revision = {"resourceVersion": old["metadata"]["resourceVersion"]}
            await self._client.replace(resource, {**wanted, "metadata": {**wanted["metadata"], **revision}})
        except ClientError as error:
            if error.code not in (404, 409):  # an old copy: the next round sees better
                raise

    def _namespace_ends(self, name: str) -> bool:
        namespace = self._objects["namespaces"].get(("", name))
        return namespace is None or bool(namespace["metadata"].get("deletionTimestamp"))

    async def _accounts(self) -> None:
        for (_, name), namespace in list(self._objects["namespaces"].items()):
            ends = namespace["metadata"].get("deletionTimestamp")
            if not ends and (name, "default") not in self._objects["serviceaccounts"]:
                account = {"metadata": {"name": "default", "namespace": name}}
                try:
                    await self._client.create("serviceaccounts", account)
                except ClientError as error:
                    if error.code not in (403, 404, 409):
                        raise

    async def _namespaces(self) -> None:
        for namespace in self._all("namespaces"):
            if namespace["metadata"].get("deletionTimestamp") and await self._empty(namespace["metadata"]["name"]):
                done = {**namespace, "spec": {**namespace["spec"], "finalizers": []}}
                try:
                    await self._client.replace("namespaces", done, "finalize")
                except ClientError as error:
                    if error.code not in (404, 409):
                        raise

    async def _empty(self, name: str) -> bool:
        """Deletes what is in a namespace; returns whether nothing is left."""
        empty = True
        for resource in await self._namespaced():
            if (await self._client.list(resource, name))[0]:
                await self._client.request("DELETE", path_of(resource, name))
                empty = empty and not (await self._client.list(resource, name))[0]
        return empty

    async def _namespaced(self) -> list[str]:
        found = []
        groups = (await self._client.request("GET", "/apis"))["groups"]
        versions = ["api/v1", *(f"apis/{g['preferredVersion']['groupVersion']}" for g in groups)]
        for version in versions:
            for resource in (await self._client.request("GET", f"/{version}"))["resources"]:
                if resource["namespaced"] and "/" not in resource["name"]:
                    found.append(f"{version}/{resource['name']}")
        return found

    async def _lost_pods(self) -> None:
        """Removes pods of nodes that do not exist: there is no kubelet to do it."""
        nodes = {name for _, name in self._objects["nodes"]}
        for key, pod in list(self._objects["pods"].items()):
            node = pod["spec"].get("nodeName")
            if node and node not in nodes:
                await self._client.delete("pods", key, uid=pod["metadata"]["uid"], grace=0)

    async def _nodes(self) -> None:
        """Marks nodes whose kubelet has not renewed its lease for long; counted on our clock."""
        now = time.monotonic()
        for (_, name), node in list(self._objects["nodes"].items()):
            lease = self._objects[LEASES].get((_LEASE_NAMESPACE, name))
            renewed = str((lease or {}).get("spec", {}).get("renewTime", ""))
            if self._lease_seen.get(name, ("", 0.0))[0] != renewed or name not in self._lease_seen:
                self._lease_seen[name] = (renewed, now)
            if now - self._lease_seen[name][1] > _NODE_GRACE and scheduler.is_ready(node):
                await self._mark_unknown(name, node)
        for name in set(self._lease_seen) - {name for _, name in self._objects["nodes"]}:
            del self._lease_seen[name]

    async def _mark_unknown(self, name: str, node: Object) -> None:
        log.warning("node %s has not been heard of for %g s", name, _NODE_GRACE)
        unknown = {"status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": timestamp()}
        text = {"message": "Kubelet stopped posting node status."}
        conditions = [{**c, **unknown, **text} if c["type"] == "Ready" else c for c in node["status"]["conditions"]]
        await self._client.merge("nodes", ("", name), {"status": {"conditions": conditions}}, "status")
        for key, pod in list(self._objects["pods"].items()):
            if pod["spec"].get("nodeName") == name and endpoints.is_ready(pod):
                changed = [
                    {
                        **c,
                        "status": "False",
                        "lastTransitionTime": timestamp(),
                    }
                    if c["type"] == "Ready"
                    else c
                    for c in pod["status"]["conditions"]
                ]
                await self._client.merge("pods", key, {"status": {"conditions": changed}}, "status")
