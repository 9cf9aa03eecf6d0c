"""kubectl against the API server stand-in, over TLS on loopback."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from typing import Any

import aiohttp
import pytest

from contivpp.playground.client import Client, ClientError, Deleted, Put, Replaced

from .conftest import Api, Authority, KubectlError, program, start_api, until, write_kubeconfig

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl: run make packages")
Object = dict[str, Any]


def manifest(name: str = "one", **more: Any) -> Object:
    container = {"name": "main", "image": "web", "ports": [{"containerPort": 80}]}
    metadata = {"name": name, "labels": {"app": "x"}, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **more}}


def service(name: str = "svc", **spec: Any) -> Object:
    found = {"selector": {"app": "x"}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": found}


async def test_run_get_label_and_delete(api: Api) -> None:
    assert await api.kubectl("run", "one", "--image=web", "--port=80", "--labels=app=x") == "pod/one created\n"
    wide = (await api.kubectl("get", "pods", "-o", "wide")).splitlines()
    assert wide[0].split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert wide[1].split()[:4] == ["one", "0/1", "Pending", "0"]
    await api.kubectl("label", "pod", "one", "tier=front")
    assert "tier=front" in await api.kubectl("get", "pods", "-l", "tier in (front)", "--show-labels")
    await api.kubectl("label", "pod", "one", "tier-")
    assert not (await api.get("pods", "-l", "tier"))["items"]
    assert "No events" in (text := await api.kubectl("describe", "pod", "one")) or "Events:" in text
    assert await api.kubectl("delete", "pod", "one") == 'pod "one" deleted\n'
    with pytest.raises(KubectlError, match=r'pods "one" not found'):
        await api.kubectl("get", "pod", "one")


async def test_create_sends_what_the_server_reads(api: Api) -> None:
    await api.kubectl("create", "namespace", "other")
    await api.kubectl("create", "configmap", "c", "-n", "other", "--from-literal=a=b")
    await api.kubectl("create", "secret", "generic", "s", "-n", "other", "--from-literal=a=b")
    await api.kubectl("create", "serviceaccount", "sa", "-n", "other")
    await api.kubectl("create", "service", "nodeport", "np", "-n", "other", "--tcp=80:8080")
    assert (await api.get("configmap", "c", "-n", "other"))["data"] == {"a": "b"}
    assert (await api.get("secret", "s", "-n", "other"))["data"] == {"a": "Yg=="}
    (port,) = (await api.get("service", "np", "-n", "other"))["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["protocol"]) == (80, 8080, "TCP")
    assert 30000 <= port["nodePort"] < 32768
    with pytest.raises(KubectlError, match="already exists"):
        await api.kubectl("create", "namespace", "other")


async def test_apply_three_times(api: Api) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    assert "created" in await api.kubectl("apply", "-f", "-", given=given)
    before = (await api.get("configmap", "c"))["metadata"]["resourceVersion"]
    assert "unchanged" in await api.kubectl("apply", "-f", "-", given=given)
    assert (await api.get("configmap", "c"))["metadata"]["resourceVersion"] == before
    await api.kubectl("patch", "configmap", "c", "-p", '{"data": {"foreign": "x"}}')
    given["data"] = {"a": "9"}
    assert "configured" in await api.kubectl("apply", "-f", "-", given=given)
    assert (await api.get("configmap", "c"))["data"] == {"a": "9", "foreign": "x"}


async def test_apply_on_the_server_knows_who_owns_what(api: Api) -> None:
    given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
    await api.kubectl("apply", "--server-side", "-f", "-", given=given)
    given["data"] = {"a": "2"}
    with pytest.raises(KubectlError, match=r'conflict with "kubectl": \.data\.a'):
        await api.kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", given=given)
    await api.kubectl("apply", "--server-side", "-f", "-", given=given)
    assert (await api.get("configmap", "c"))["data"] == {"a": "2"}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("json", '[{"op": "add", "path": "/metadata/labels/new", "value": "1"}]'),
        ("merge", '{"metadata": {"labels": {"new": "1"}}}'),
        ("strategic", '{"metadata": {"labels": {"new": "1"}}}'),
    ],
)
async def test_patch(api: Api, kind: str, patch: str) -> None:
    await api.kubectl("create", "-f", "-", given=manifest())
    await api.kubectl("patch", "pod", "one", f"--type={kind}", "-p", patch)
    assert (await api.get("pod", "one"))["metadata"]["labels"] == {"app": "x", "new": "1"}


async def test_watch_shows_changes_as_they_come(api: Api) -> None:
    process = await asyncio.create_subprocess_exec(
        *("kubectl", f"--kubeconfig={api.kubeconfig}", "get", "pods", "-w", "-o", "name", "--request-timeout=20s"),
        stdout=asyncio.subprocess.PIPE,
        env={"HOME": str(api.folder), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert process.stdout is not None
    try:
        for name in ("one", "two"):
            await api.client.create("pods", {**manifest(name), "metadata": {"name": name, "namespace": "default"}})
            async with asyncio.timeout(10):
                assert await process.stdout.readline() == f"pod/{name}\n".encode()
    finally:
        process.terminate()
        await process.wait()


async def test_what_is_wrong_is_said(api: Api) -> None:
    for given, words in (
        (manifest("Bad_Name"), "metadata.name"),
        ({**manifest(), "spec": {"containers": []}}, "spec.containers"),
        (manifest(metadata={"labels": {"app": "not a label"}}), "metadata.labels"),
        (service(ports=[]), "spec.ports"),
        (service(ports=[{"port": 70000}]), "between 1 and 65535"),
        (service(clusterIP="10.0.0.1"), "must be an address of 10.96.0.0/12"),
        (service(clusterIP="10.96.0.1"), "already allocated"),
        (manifest(metadata={"namespace": "nowhere"}), 'namespaces "nowhere" not found'),
    ):
        with pytest.raises(KubectlError, match=words.replace(".", r"\.")):
            await api.kubectl("create", "-f", "-", given=given)
    assert not (await api.get("pods", "-A"))["items"]


async def test_services_have_addresses_of_their_own(api: Api) -> None:
    for name in ("a", "b"):
        await api.kubectl("apply", "-f", "-", given=service(name))
    await api.kubectl("create", "-f", "-", given=service("headless", clusterIP="None"))
    found = {s["metadata"]["name"]: s["spec"] for s in (await api.get("services"))["items"]}
    assert found["kubernetes"]["clusterIP"] == "10.96.0.1"
    assert len({found[name]["clusterIP"] for name in ("a", "b", "kubernetes")}) == 3
    assert found["headless"]["clusterIP"] == "None"
    await api.kubectl("apply", "-f", "-", given=service("a", ports=[{"port": 81}]))
    assert (await api.get("service", "a"))["spec"]["clusterIP"] == found["a"]["clusterIP"]
    with pytest.raises(KubectlError, match="immutable"):
        await api.kubectl("patch", "service", "a", "-p", '{"spec": {"clusterIP": "10.96.0.77"}}')


async def test_custom_resources_come_and_go_with_their_definition(api: Api) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}},
                {"name": "v1beta1", "served": True, "storage": False},
            ],
        },
    }
    await api.kubectl("apply", "-f", "-", given=definition)
    await api.kubectl("wait", "--for=condition=Established", "crd/things.example.org", "--timeout=10s")
    thing = {
        "apiVersion": "example.org/v1",
        "kind": "Thing",
        "metadata": {"name": "t"},
        "spec": {"size": 1},
        "status": {"ignored": True},
    }
    await api.kubectl("apply", "-f", "-", given=thing)
    found = await api.get("th", "t")
    assert found["spec"] == {"size": 1} and "status" not in found and found["metadata"]["generation"] == 1
    await api.kubectl("patch", "thing", "t", "--subresource=status", "--type=merge", "-p", '{"status": {"good": true}}')
    found = await api.get("things.v1beta1.example.org", "t")
    assert found["apiVersion"] == "example.org/v1beta1" and found["status"] == {"good": True}
    await api.kubectl("delete", "crd", "things.example.org")
    with pytest.raises(KubectlError, match="doesn't have a resource type"):
        await api.kubectl("get", "things.example.org")


async def test_a_namespace_takes_everything_with_it(api: Api, controller: object) -> None:
    await api.kubectl("create", "namespace", "doomed")

    async def has_account() -> bool:
        return ("doomed", "default") in (await api.client.list("serviceaccounts"))[0]

    await until(has_account, what="the default service account")
    await api.kubectl("create", "configmap", "c", "-n", "doomed")
    await api.kubectl("run", "one", "-n", "doomed", "--image=web")
    await api.kubectl("delete", "namespace", "doomed", "--timeout=15s")
    assert not [
        k for r in ("pods", "configmaps", "serviceaccounts") for k in api.storage.all(f"/{r}") if k[0] == "doomed"
    ]


async def test_endpoints_follow_pods(api: Api, controller: object) -> None:
    await api.kubectl("create", "-f", "-", given=service(ports=[{"port": 80, "targetPort": 8080}]))
    node = {"metadata": {"name": "n1"}, "status": {}}
    await api.client.create("nodes", node)
    conditions = [{"type": "Ready", "status": "True"}]
    await api.client.merge("nodes", ("", "n1"), {"status": {"conditions": conditions}}, "status")
    await api.kubectl("create", "-f", "-", given=manifest())

    async def bound() -> bool:
        return bool((await api.get("pod", "one"))["spec"].get("nodeName"))

    await until(bound, what="the pod is on the node")
    status = {"phase": "Running", "podIP": "10.1.1.2", "podIPs": [{"ip": "10.1.1.2"}], "conditions": conditions}
    await api.client.merge("pods", ("default", "one"), {"status": status}, "status")

    async def addresses() -> list[str]:
        found = (await api.client.list("apis/discovery.k8s.io/v1/endpointslices", "default"))[0]
        of_service = [s for (_, n), s in found.items() if n.startswith("svc-")]
        return [a for s in of_service for e in s["endpoints"] if e["conditions"]["ready"] for a in e["addresses"]]

    assert await until(addresses, what="the pod is an endpoint") == ["10.1.1.2"]
    assert "10.1.1.2:8080" in await api.kubectl("get", "endpoints", "svc")
    assert "10.1.1.2:8080" in await api.kubectl("describe", "service", "svc")
    await api.client.delete("pods", ("default", "one"), grace=0)

    async def none() -> bool:
        return not await addresses()

    await until(none, what="the pod is no endpoint")
    await api.kubectl("delete", "service", "svc")

    async def clean() -> bool:
        return "svc" not in await api.kubectl("get", "endpoints,endpointslices", "-o", "name")

    await until(clean, what="the service's endpoints are gone")


async def test_a_pod_that_fits_nowhere_says_why(api: Api, controller: object) -> None:
    await api.kubectl("create", "-f", "-", given=manifest(nodeSelector={"zone": "none"}))

    async def said() -> bool:
        return "0/0 nodes are available" in await api.kubectl("describe", "pod", "one")

    await until(said, what="the event")


async def test_a_change_of_an_old_version_is_a_conflict(api: Api) -> None:
    await api.client.create("configmaps", {"metadata": {"name": "c", "namespace": "default"}, "data": {"a": "1"}})
    old = await api.client.get("configmaps", ("default", "c"))
    await api.client.replace("configmaps", {**old, "data": {"a": "2"}})
    with pytest.raises(ClientError) as refused:
        await api.client.replace("configmaps", {**old, "data": {"a": "3"}})
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


async def test_names_are_made_up_on_request_and_dry_runs_leave_no_trace(api: Api) -> None:
    body = {"metadata": {"generateName": "gen-", "namespace": "default"}}
    made = [(await api.client.create("configmaps", body))["metadata"]["name"] for _ in range(3)]
    assert len(set(made)) == 3 and all(name.startswith("gen-") for name in made)
    await api.kubectl("create", "configmap", "dry", "--dry-run=server")
    with pytest.raises(KubectlError, match="not found"):
        await api.kubectl("get", "configmap", "dry")


async def test_a_follower_survives_a_restart_and_a_forgotten_history(tmp_path: Any, authority: Authority) -> None:
    api = await start_api(tmp_path, authority)
    seen: list[str] = []

    async def follow(client: Client) -> None:
        async for change in client.follow("configmaps"):
            match change:
                case Replaced(objects):
                    seen.append("list " + " ".join(sorted(name for _, name in objects)))
                case Put(key, _):
                    seen.append(f"put {key[1]}")
                case Deleted(key, _):
                    seen.append(f"deleted {key[1]}")

    async def saw(what: str) -> bool:
        return seen[-1:] == [what]

    def config(name: str) -> Object:
        return {"metadata": {"name": name, "namespace": "default"}}

    async with Client.load(api.kubeconfig) as client:
        task = asyncio.create_task(follow(client))
        await until(lambda: saw("list "), what="the first list")
        await client.create("configmaps", config("a"))
        await until(lambda: saw("put a"))
        await client.create("namespaces", {"metadata": {"name": "later"}})
        await api.stop()
        api = await start_api(tmp_path, authority, port=api.port)
        await client.create("configmaps", config("b"))
        # The new server does not know what came after the follower's revision: that takes a new list.
        await until(lambda: saw("list a b"), what="a new list after the restart")
        await client.delete("configmaps", ("default", "a"))
        await until(lambda: saw("deleted a"))
        task.cancel()
    await api.stop()


async def test_only_a_certificate_of_the_cluster_opens_the_door(api: Api, authority: Authority) -> None:
    foreign = Authority(api.folder, "foreign")
    certificate, key = foreign.issue("stranger")
    config = write_kubeconfig(api.folder / "foreign.kubeconfig", api.port, authority.file, certificate, key)
    async with Client.load(config) as client:
        with pytest.raises(ClientError) as refused:
            await client.list("pods")
        assert refused.value.code == 0
    context = ssl.create_default_context(cafile=str(authority.file))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"https://127.0.0.1:{api.port}/api/v1/pods", ssl=context)


async def test_the_program_keeps_its_objects_when_it_is_killed(tmp_path: Any, authority: Authority) -> None:
    certificate, key = authority.issue("apiserver")
    admin = authority.issue("admin")
    port = 30000 + hash(str(tmp_path)) % 2000
    arguments = (
        *("apiserver", "--address", "127.0.0.1", "--port", str(port), "--file", str(tmp_path / "state.db")),
        *("--certificate", str(certificate), "--key", str(key), "--ca", str(authority.file)),
    )
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", port, authority.file, *admin)

    async def answers(client: Client) -> bool:
        try:
            return bool(await client.list("namespaces"))
        except ClientError:
            return False

    async with Client.load(kubeconfig) as client:
        async with program(tmp_path / "log", *arguments) as process:
            await until(lambda: answers(client), what="the server answers")
            body = {"metadata": {"name": "kept", "namespace": "default"}, "data": {"a": "1"}}
            made = await client.create("configmaps", body)
            process.kill()
            await process.wait()
        async with program(tmp_path / "log", *arguments):
            await until(lambda: answers(client), what="the server answers again")
            assert await client.get("configmaps", ("default", "kept")) == made


def test_without_certificates_only_loopback_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    from contivpp.playground.apiserver.main import main

    with pytest.raises(SystemExit):
        main(["--address", "0.0.0.0"])
    assert "127.0.0.1 only" in capsys.readouterr().err
