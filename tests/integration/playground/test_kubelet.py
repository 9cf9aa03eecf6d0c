"""The kubelet stand-in with a plugin that tells how it was called, and real namespaces and processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Api, Kubelet, Plugin, until

pytestmark = pytest.mark.root
Object = dict[str, Any]


def pod(name: str, **spec: Any) -> Object:
    container = {"name": "main", "image": "web", **spec.pop("container", {})}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}


async def is_node(api: Api, status: str) -> bool:
    nodes, _ = await api.client.list("nodes")
    conditions = [c for n in nodes.values() for c in n.get("status", {}).get("conditions", ())]
    return any(c["type"] == "Ready" and c["status"] == status for c in conditions)


async def ready(api: Api, name: str) -> Object:
    async def look() -> Object | None:
        found = await api.client.get("pods", ("default", name))
        conditions = found.get("status", {}).get("conditions", ())
        return found if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) else None

    return await until(look, what=f"pod {name} is ready")


async def gone(api: Api, name: str) -> bool:
    return ("default", name) not in (await api.client.list("pods"))[0]


async def phase(api: Api, name: str, wanted: str) -> Object:
    async def look() -> Object | None:
        found = await api.client.get("pods", ("default", name))
        return found if found["status"]["phase"] == wanted else None

    return await until(look, what=f"pod {name} is {wanted}")


def alive(group: int) -> list[str]:
    """The processes of a group, without those that only wait for their parent to look."""
    lines = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], check=True, capture_output=True, text=True).stdout
    fields = (line.split(maxsplit=2) for line in lines.splitlines())
    return [words[-1] for words in fields if words[0] == str(group) and not words[1].startswith("Z")]


def ask(netns: str, address: str, port: int = 80) -> str:
    command = ["nsenter", f"--net={netns}", "curl", "-sS", "-m", "3", f"http://{address}:{port}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_a_node_is_ready_once_there_is_a_network_that_says_so(api: Api, plugin: Plugin, kubelet: Kubelet) -> None:
    await until(lambda: is_node(api, "False"), what="the node is registered, and not ready")
    plugin.fail("STATUS", 50, "the agent is away")
    plugin.configure()
    await until(lambda: asyncio.to_thread(lambda: plugin.calls("STATUS")), what="the plugin is asked")
    node = (await api.client.list("nodes"))[0]["", "here"]
    condition = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
    assert condition["status"] == "False"
    plugin.fail("STATUS", None)
    await until(lambda: is_node(api, "True"), what="the node is ready")
    assert {"type": "InternalIP", "address": "127.0.0.1"} in node["status"]["addresses"]
    assert "here" in (await api.kubectl("get", "nodes", "-o", "wide"))
    lease = await api.client.get("apis/coordination.k8s.io/v1/leases", ("kube-node-lease", "here"))
    assert lease["spec"]["holderIdentity"] == "here"


async def test_a_pod_gets_a_namespace_an_address_and_a_server(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    await api.client.create("pods", pod("web"))
    found = await ready(api, "web")
    (add,) = plugin.calls("ADD")
    assert "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;" in add["CNI_ARGS"]
    assert f"K8S_POD_INFRA_CONTAINER_ID={add['CNI_CONTAINERID']}" in add["CNI_ARGS"]
    assert add["CNI_NETNS"].startswith("/run/netns/cni-")
    assert add["config"] == {"type": "fake", "some": "option", "cniVersion": "1.1.0", "name": "test"}
    address = found["status"]["podIP"]
    assert found["status"]["podIPs"] == [{"ip": address}]
    assert found["spec"]["nodeName"] == "here" and found["status"]["hostIP"] == "127.0.0.1"
    assert ask(add["CNI_NETNS"], address) == "web\n"

    await api.kubectl("delete", "pod", "web")
    assert await gone(api, "web")
    (delete,) = plugin.calls("DEL")
    assert delete["CNI_CONTAINERID"] == add["CNI_CONTAINERID"]
    assert delete["config"]["prevResult"]["ips"][0]["address"] == f"{address}/32"
    assert not Path(add["CNI_NETNS"]).exists()
    assert not list((kubelet.state / "pods").iterdir())


async def test_a_command_is_run_and_restarted_unless_the_pod_says_otherwise(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    once = {"command": ["sh", "-c", "exit $CODE"], "env": [{"name": "CODE", "value": "3"}]}
    await api.client.create("pods", pod("once", container=once, restartPolicy="Never"))
    await api.client.create("pods", pod("well", container={"command": ["true"]}, restartPolicy="OnFailure"))
    again = {"command": ["sh", "-c", "sleep 0.1; exit 1"]}
    await api.client.create("pods", pod("again", container=again))
    failed = await phase(api, "once", "Failed")
    assert failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    await phase(api, "well", "Succeeded")

    async def restarted() -> bool:
        found = await api.client.get("pods", ("default", "again"))
        return bool(found["status"]["containerStatuses"][0]["restartCount"])

    await until(restarted, what="the container is restarted")


async def test_an_add_that_fails_is_undone_and_tried_again(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    plugin.fail("ADD", 11, "the agent is starting")
    await api.client.create("pods", pod("patient"))
    await until(lambda: asyncio.to_thread(lambda: len(plugin.calls("ADD")) >= 2), what="it is tried twice")
    plugin.fail("ADD", None)
    await ready(api, "patient")
    tried = {call["CNI_CONTAINERID"] for call in plugin.calls("ADD")}
    undone = {call["CNI_CONTAINERID"] for call in plugin.calls("DEL")}
    assert len(tried - undone) == 1
    assert "the agent is starting" in await api.kubectl("describe", "pod", "patient")


async def test_a_kubelet_that_is_killed_finds_its_pods_again(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    for name in ("stays", "goes"):
        await api.client.create("pods", pod(name))
    for name in ("stays", "goes"):
        await ready(api, name)
    before = {r["name"]: r for r in kubelet.records()}
    await kubelet.kill()
    await api.client.delete("pods", ("default", "goes"), grace=0)
    assert ask(before["stays"]["sandbox"]["netns"], before["stays"]["addresses"][0]) == "stays\n"
    await kubelet.start()

    async def cleaned() -> bool:
        return [r["name"] for r in kubelet.records()] == ["stays"] and bool(plugin.calls("GC"))

    await until(cleaned, what="the pod that went meanwhile is taken away")
    (after,) = kubelet.records()
    assert after["containers"]["main"]["pid"] == before["stays"]["containers"]["main"]["pid"]
    assert len(plugin.calls("ADD")) == 2
    checked = [call["CNI_CONTAINERID"] for call in plugin.calls("CHECK")]
    assert after["sandbox"]["container_id"] in checked
    named = plugin.calls("GC")[-1]["config"]["cni.dev/valid-attachments"]
    assert {"containerID": after["sandbox"]["container_id"], "ifname": "eth0"} in named


async def test_garbage_is_not_collected_from_under_a_pod_that_is_being_added(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    plugin.delay("GC", 1.5)
    await kubelet.kill()
    await kubelet.start()

    async def collecting() -> bool:
        return bool(plugin.calls("GC"))

    await until(collecting, what="garbage is being collected")
    await api.client.create("pods", pod("late"))
    await ready(api, "late")
    order = [call["CNI_COMMAND"] for call in plugin.all_calls() if call["CNI_COMMAND"] in ("GC-done", "ADD")]
    assert order == ["GC-done", "ADD"]


async def test_a_sandbox_that_is_broken_is_made_anew(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    await api.client.create("pods", pod("mended"))
    await ready(api, "mended")
    (before,) = kubelet.records()
    await kubelet.kill()
    plugin.fail("CHECK", 999, "the interface is missing")
    await kubelet.start()

    async def renewed() -> bool:
        records = kubelet.records()
        return (
            bool(records)
            and (records[0]["sandbox"] or before["sandbox"])["container_id"] != (before["sandbox"]["container_id"])
        )

    await until(renewed, what="there is a new sandbox")
    await ready(api, "mended")


async def test_a_deleted_pod_is_given_its_time_and_no_more(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}
    await api.client.create("pods", pod("stubborn", container=stubborn, terminationGracePeriodSeconds=1))
    await ready(api, "stubborn")
    (record,) = kubelet.records()
    await api.client.delete("pods", ("default", "stubborn"))
    left = await api.client.get("pods", ("default", "stubborn"))
    assert left["metadata"]["deletionGracePeriodSeconds"] == 1
    await until(lambda: gone(api, "stubborn"), what="the pod is gone")
    assert not alive(record["containers"]["main"]["pid"])


async def test_a_delete_that_fails_is_tried_until_it_succeeds(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    await api.client.create("pods", pod("sticky"))
    await ready(api, "sticky")
    plugin.fail("DEL", 11, "the agent is away")
    await api.client.delete("pods", ("default", "sticky"))
    await until(lambda: asyncio.to_thread(lambda: len(plugin.calls("DEL")) >= 2), what="it is tried twice")
    assert not await gone(api, "sticky")
    plugin.fail("DEL", None)
    await until(lambda: gone(api, "sticky"), what="the pod is gone")


async def test_a_pod_on_the_host_network_shares_the_nodes_address(
    api: Api, plugin: Plugin, kubelet: Kubelet, controller: object
) -> None:
    plugin.configure()
    container = {"command": ["sleep", "1000"]}
    await api.client.create("pods", pod("hosted", container=container, hostNetwork=True))
    found = await ready(api, "hosted")
    assert found["status"]["podIP"] == "127.0.0.1"
    assert not plugin.calls("ADD")


def test_the_records_are_plain_json(tmp_path: Path) -> None:
    from contivpp.playground.kubelet.records import Record, Records

    records = Records(tmp_path)
    records.save(Record(namespace="a", name="b", uid="c"))
    (file,) = (tmp_path / "pods").glob("*.json")
    assert json.loads(file.read_text())["name"] == "b"
    file.with_name("broken.json").write_text("{")
    assert [record.name for record in records.load()] == ["b"]
