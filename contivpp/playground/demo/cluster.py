"""The cluster as the demo needs it: nodes that are ready, and pods on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from contivpp.playground.client import Client, ClientError
from contivpp.playground.controller.endpoints import is_ready as pod_is_ready
from contivpp.playground.controller.scheduler import is_ready as node_is_ready
from contivpp.playground.demo.reach import Host, Pod

Object = dict[str, Any]
LABEL: Final = "contiv-playground-demo"
_POLL: Final = 0.3
_PORT: Final = 80


class DemoError(Exception):
    """The cluster is not as it should be; the message says what to look at."""


def kubeconfig(files: Path) -> Path:
    """The administrator's kubeconfig of a playground."""
    return files / "kubeconfig"


async def _until(look: Callable[[], Awaitable[str]], seconds: float) -> None:
    """Waits until `look` has nothing more to say."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            missing = await look()
        except ClientError as error:
            missing = str(error)
        if not missing:
            return
        if asyncio.get_running_loop().time() > end:
            raise DemoError(f"after {seconds:g} s: {missing}")
        await asyncio.sleep(_POLL)


async def ready_nodes(client: Client, count: int, seconds: float) -> list[Host]:
    """Waits for nodes to be Ready.

    Raises:
        DemoError: they are not, with what they say about it.
    """

    async def look() -> str:
        nodes = (await client.list("nodes"))[0].values()
        if len(nodes) < count:
            return f"{len(nodes)} of {count} nodes are registered: see journalctl -u contiv-playground-kubelet on them"
        return "; ".join(_why(node) for node in nodes if not node_is_ready(node))

    await _until(look, seconds)
    found = []
    for node in (await client.list("nodes"))[0].values():
        addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
        found.append(Host(node["metadata"]["name"], addresses["InternalIP"]))
    return sorted(found)


def _why(node: Object) -> str:
    conditions = (node.get("status") or {}).get("conditions") or ()
    text = next((c.get("message", "") for c in conditions if c["type"] == "Ready"), "no status yet")
    return f"{node['metadata']['name']} is not ready: {text}"


def _manifest(name: str) -> Object:
    container = {"name": "web", "image": "contiv-playground/web", "ports": [{"containerPort": _PORT}]}
    labels = {"app": LABEL}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 2}
    return {"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": spec}


async def ready_pods(client: Client, names: Sequence[str], seconds: float) -> list[Pod]:
    """Creates the pods that are missing and waits for all to be Ready.

    Raises:
        DemoError: they are not, with the last event of one that is not.
    """
    there = (await client.list("pods", "default"))[0]
    for name in names:
        if ("default", name) not in there:
            await client.create("pods", _manifest(name))

    async def look() -> str:
        pods = (await client.list("pods", "default"))[0]
        late = [n for n in names if ("default", n) not in pods or not pod_is_ready(pods["default", n])]
        return f"not ready: {', '.join(late)}; {await _last_event(client, late[0])}" if late else ""

    await _until(look, seconds)
    found = (await client.list("pods", "default", labelSelector=f"app={LABEL}"))[0]
    return sorted(
        Pod(name, pod["spec"]["nodeName"], pod["status"]["podIP"], _PORT)
        for (_, name), pod in found.items()
        if name in names
    )


async def _last_event(client: Client, name: str) -> str:
    events = (await client.list("events", "default", fieldSelector=f"involvedObject.name={name}"))[0].values()
    latest = max(events, key=lambda e: str(e.get("lastTimestamp")), default=None)
    return f"{name}: {latest['message']}" if latest else f"{name}: there is no event about it"


async def locate(client: Client, namespace: str, name: str) -> tuple[Object, str]:
    """A pod and the address of its node.

    Raises:
        DemoError: it does not exist, or runs nowhere yet.
    """
    try:
        pod = await client.get("pods", (namespace, name))
        node = pod["spec"].get("nodeName")
        if not node:
            raise DemoError(f"pod {namespace}/{name} is on no node yet")
        found = await client.get("nodes", ("", node))
    except ClientError as error:
        raise DemoError(str(error)) from error
    return pod, next(a["address"] for a in found["status"]["addresses"] if a["type"] == "InternalIP")
