"""Whether a cluster is whole, as seen from outside: what Kubernetes says, etcd holds, agents know and kernels have."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from contivpp.model import keys

from .conftest import NODES, Cluster

Object = dict[str, Any]
NOT_PODS = {"lo", "host0", "vxlanBVI"}
ETCDCTL = (
    "etcdctl --endpoints=https://10.210.0.11:12379 --cacert=/etc/contiv/pki/ca.crt "
    "--cert=/etc/contiv/pki/admin.crt --key=/etc/contiv/pki/admin.key"
)
KINDS = {
    "pod": "pods",
    "namespace": "namespaces",
    "service": "services",
    "endpoints": "endpoints",
    "policy": "networkpolicies",
    "node": "nodes",
}


async def agent(cluster: Cluster, node: str, path: str, *, method: str = "GET") -> Any:
    """What the agent of a node answers."""
    return json.loads(await cluster.on(node, f"curl -fsS -m 5 -X {method} 'http://127.0.0.1:9999/{path}'"))


def everybody_reached(cluster: Cluster) -> None:
    """Six pods and three nodes reach all pods by ping and by HTTP."""
    output = cluster.run("contiv-playground", "demo")
    counts = re.findall(r"(pod to pod, same node|pod to pod, across nodes|host to pod): (\d+) of (\d+)", output)
    assert counts == [
        ("pod to pod, same node", "6", "6"),
        ("pod to pod, across nodes", "24", "24"),
        ("host to pod", "18", "18"),
    ]


async def differences(cluster: Cluster) -> list[str]:
    """Everything that is not as Kubernetes wants it, in words; empty when all agree."""
    found: list[str] = []

    def compare(what: str, got: object, wanted: object) -> None:
        if got != wanted:
            found.append(f"{what}: {got}, not {wanted}")

    everything = json.loads(cluster.kubectl("get", ",".join(KINDS.values()), "-A", "-o", "json"))["items"]
    objects: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}
    kind_of = {"NetworkPolicy": "policy"}
    for item in everything:
        kind = kind_of.get(item["kind"], item["kind"].lower())
        namespace = item["metadata"].get("namespace")
        name = item["metadata"]["name"]
        objects[kind][f"{namespace}/{name}" if namespace else name] = item

    said = json.loads(await cluster.on("node1", f"{ETCDCTL} get --prefix {keys.KSR_PREFIX} -w json"))
    records: dict[str, dict[str, Object]] = {kind: {} for kind in (*KINDS, "vppnode")}
    for item in said.get("kvs", ()):
        if known := keys.parse_record_key(base64.b64decode(item["key"]).decode()):
            records[known[0]][known[1]] = json.loads(base64.b64decode(item["value"]))
    for kind in KINDS:
        compare(f"etcd's {kind}", sorted(records[kind]), sorted(objects[kind]))
    compare("IDs of nodes", sorted(one["name"] for one in records["vppnode"].values()), sorted(objects["node"]))
    addresses = {name: one["status"].get("podIP", "") for name, one in objects["pod"].items()}
    compare("etcd's addresses", {name: one.get("ip_address", "") for name, one in records["pod"].items()}, addresses)

    await cluster.on("node1", "curl -fsS -m 3 http://127.0.0.1:9191/readiness")
    for node in NODES:
        await cluster.on(node, "curl -fsS -m 3 http://127.0.0.1:9999/readiness")
        here = {name: addresses[name] for name, pod in objects["pod"].items() if pod["spec"]["nodeName"] == node}
        pods = {one["pod"]: one for one in await agent(cluster, node, "contiv/v1/pods")}
        compare(f"pods of {node}'s agent", {name: one["ip"] for name, one in pods.items()}, here)
        allocations = (await agent(cluster, node, "contiv/v1/ipam/allocations"))["Pods"] or []
        held = {"{Namespace}/{Name}".format(**one["PodID"]): one["MainIP"].split("/")[0] for one in allocations}
        compare(f"addresses held by {node}", held, here)
        links = await cluster.links(node) - NOT_PODS
        compare(f"devices of {node}", sorted(links), sorted(one["interface"] for one in pods.values()))
        namespaces = set((await cluster.on(node, "ls /run/netns 2>/dev/null || true")).split())
        used = {one["netns"].rpartition("/")[2] for one in pods.values()}
        compare(f"network namespaces of {node}", sorted(namespaces), sorted(used))
    return found


async def all_agree(cluster: Cluster, *, seconds: float = 90) -> None:
    """Waits until everything agrees, nobody helping, and nobody finds anything to mend; then everybody is pinged."""
    last: list[str] = []

    async def agree() -> bool:
        last[:] = await differences(cluster)
        return not last

    try:
        await cluster.until(agree, "everything agrees", seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n" + "\n".join(last)) from None
    for node in NODES:
        assert await mended(cluster, node) == []
    cluster.run("contiv-playground", "demo")


async def mended(cluster: Cluster, node: str) -> list[Object]:
    """What the scheduler of a node has to change when it compares all it wants with what the kernel has."""
    before = (await agent(cluster, node, "scheduler/txn-history"))[-1]["SeqNum"]
    await agent(cluster, node, "scheduler/downstream-resync", method="POST")

    async def resynced() -> list[Object]:
        history = await agent(cluster, node, "scheduler/txn-history")
        return [one for one in history if one["SeqNum"] > before and one.get("ResyncType")]

    [*_, last] = await cluster.until(resynced, f"{node} has compared", seconds=30)
    assert "Errors" not in last, last
    operations: list[Object] = last.get("Executed", [])
    return operations
