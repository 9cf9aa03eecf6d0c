"""KSR as processes, between a Kubernetes API and an etcd that both stop, forget and come back."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contivpp.model import codec, keys
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from contivpp.store.errors import StoreFull, StoreUnavailable
from tests.integration.conftest import Etcd, free_ports
from tests.integration.kubernetes_api import KubernetesApi, node, pod

pytestmark = pytest.mark.etcd

POD = keys.prefix("pod")
UNDECODABLE = b"not json"


class Ksr:
    def __init__(self, folder: Path, etcd: Etcd, api: KubernetesApi, name: str = "ksr") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        [self.port] = free_ports(1)
        (self.folder / "etcd.conf").write_text(
            f"endpoints: ['{etcd.endpoint}']\ninsecure-transport: true\nsession-ttl: 2\nreconnect-interval: 200000000\n"
        )
        (self.folder / "http.conf").write_text(f"endpoint: 127.0.0.1:{self.port}\n")
        self.arguments = [
            *("--kube-config", str(api.kubeconfig(self.folder)), "--etcd-config", str(self.folder / "etcd.conf")),
            *("--http-config", str(self.folder / "http.conf")),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "contivpp.ksr.main", *self.arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code

    async def get(self, path: str) -> tuple[int, str]:
        def read() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except OSError as error:
                return 0, str(error)

        return await asyncio.to_thread(read)

    async def is_ready(self) -> bool:
        return (await self.get("readiness"))[0] == 200

    async def is_not_ready(self) -> bool:
        return (await self.get("readiness"))[0] == 503

    def log(self) -> str:
        return (self.folder / "log").read_text()


class World:
    def __init__(self, etcd: Etcd, api: KubernetesApi, store: Store, folder: Path) -> None:
        self.etcd, self.api, self.store, self.folder = etcd, api, store, folder
        self.instances: list[Ksr] = []

    def ksr(self, name: str = "ksr") -> Ksr:
        made = Ksr(self.folder, self.etcd, self.api, name)
        self.instances.append(made)
        made.start()
        return made

    async def records(self, prefix: str = POD) -> dict[str, Any]:
        try:
            items = (await self.store.get_prefix(prefix)).items
        except StoreUnavailable:
            return {"etcd": "away"}
        return {
            key.removeprefix(prefix): None if item.value == UNDECODABLE else json.loads(item.value)
            for key, item in items.items()
        }

    async def eventually(self, check: Callable[[], Awaitable[bool]], seconds: float = 25) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await check():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError("\n".join(ksr.log()[-3000:] for ksr in self.instances)) from None

    async def until_pods(self, *names: str) -> None:
        wanted = {f"{name}/namespace/default" for name in names}

        async def same() -> bool:
            return set(await self.records()) == wanted

        await self.eventually(same)


@pytest.fixture
async def world(etcd: Etcd, tmp_path: Path) -> AsyncIterator[World]:
    api = KubernetesApi()
    await api.start()
    async with await Store.open(etcd.config) as store:
        made = World(etcd, api, store, tmp_path)
        try:
            yield made
        finally:
            for ksr in made.instances:
                ksr.end()
            await api.stop()


async def test_everything_is_reflected_as_it_changes(world: World) -> None:
    await world.api.put("pods", pod("a"))
    await world.api.put("namespaces", {"metadata": {"name": "default", "labels": {"x": "y"}}})
    await world.api.put(
        "services", {"metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}
    )
    await world.api.put(
        "networkpolicies", {"metadata": {"name": "deny", "namespace": "default"}, "spec": {"podSelector": {}}}
    )
    ksr = world.ksr()
    await world.until_pods("a")
    await world.api.put("pods", pod("b", podIP="10.1.1.3"))
    await world.api.put("pods", pod("a", podIP="10.1.1.9"))
    await world.until_pods("a", "b")

    async def changed() -> bool:
        return (await world.records())["a/namespace/default"]["ip_address"] == "10.1.1.9"

    await world.eventually(changed)
    await world.api.delete("pods", "default/a")
    await world.until_pods("b")
    assert set(await world.records(keys.prefix("namespace"))) == {"default"}
    assert set(await world.records(keys.prefix("service"))) == {"web/namespace/default"}
    assert set(await world.records(keys.prefix("policy"))) == {"deny/namespace/default"}

    await world.eventually(ksr.is_ready)
    _, metrics = await ksr.get("metrics")
    assert 'contiv_ksr_adds_total{kind="pod"} 2.0' in metrics
    assert 'contiv_ksr_updates_total{kind="pod"} 1.0' in metrics
    assert 'contiv_ksr_deletes_total{kind="pod"} 1.0' in metrics
    assert ksr.end(signal.SIGTERM) == 0


async def test_leftovers_are_swept_and_what_is_right_is_not_written_again(world: World) -> None:
    await world.api.put("pods", pod("a"))
    first = world.ksr()
    await world.until_pods("a")
    first.end()
    before = await world.store.get(f"{POD}a/namespace/default")
    await world.store.put(f"{POD}old/namespace/default", b"{}")
    await world.store.put(f"{POD}bad/namespace/default", UNDECODABLE)
    await world.store.put(keys.KSR_PREFIX + "other", b"stays")
    first.start()
    await world.until_pods("a")
    assert await world.store.get(f"{POD}a/namespace/default") == before
    assert await world.store.get(keys.KSR_PREFIX + "other") is not None


async def test_an_etcd_that_was_away_or_lost_everything_is_brought_up_to_date(world: World) -> None:
    await world.api.put("pods", pod("a"))
    world.ksr()
    await world.until_pods("a")
    world.etcd.stop()
    await world.api.put("pods", pod("b"))
    world.etcd.start()
    await world.until_pods("a", "b")
    world.etcd.wipe()
    await world.api.delete("pods", "default/a")
    world.etcd.start()
    # The lease is gone with everything else: KSR stands for election again, and begins anew.
    await world.until_pods("b")
    [ksr] = world.instances
    assert "leads no more, and stands for election again" in ksr.log()
    assert "Traceback" not in ksr.log()


async def test_an_etcd_that_is_full_is_said_and_waited_for(world: World) -> None:
    world.etcd.stop()
    world.etcd.arguments = ["--quota-backend-bytes", str(4 << 20)]
    world.etcd.start()
    ksr = world.ksr()
    await world.eventually(ksr.is_ready)
    await _fill(world)
    await world.api.put("pods", pod("a"))

    async def said() -> bool:
        code, text = await ksr.get("readiness")
        return code == 503 and "space" in text

    await world.eventually(said)
    await world.store.delete_prefix("/junk/")
    revision = str((await world.store.status()).revision)
    for words in (["compaction", "--physical", revision], ["defrag"], ["alarm", "disarm"]):
        command = ["etcdctl", f"--endpoints={world.etcd.endpoint}", *words]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    await world.until_pods("a")
    await world.eventually(ksr.is_ready)


async def _fill(world: World) -> None:
    number = 0
    with pytest.raises(StoreFull):
        while True:
            number += 1
            await world.store.put(f"/junk/{number}", b"x" * (256 << 10))
    # What is small may still fit into the last page.
    with pytest.raises(StoreFull):
        while True:
            number += 1
            await world.store.put(f"/junk/{number}", b"x" * 1000)


async def test_a_record_that_etcd_refuses_does_not_hold_up_others(world: World) -> None:
    world.etcd.stop()
    world.etcd.arguments = ["--max-request-bytes", "20000"]
    world.etcd.start()
    large = pod("large")
    large["metadata"]["labels"] = {f"label{number}": "x" * 63 for number in range(500)}
    for item in (pod("a"), large, *(pod(f"p{number}") for number in range(200))):
        await world.api.put("pods", item)
    ksr = world.ksr()
    await world.until_pods("a", *(f"p{number}" for number in range(200)))
    assert "pod/large/namespace/default" in ksr.log()
    assert 'contiv_ksr_errors_total{kind="pod"} 1.0' in (await ksr.get("metrics"))[1]
    small = pod("large")
    await world.api.put("pods", small)
    await world.until_pods("a", "large", *(f"p{number}" for number in range(200)))


async def test_an_api_server_that_was_away_costs_nothing_and_is_caught_up_with(world: World) -> None:
    await world.api.put("pods", pod("a"))
    ksr = world.ksr()
    await world.until_pods("a")
    await world.api.stop()
    await world.eventually(ksr.is_not_ready)
    assert set(await world.records()) == {"a/namespace/default"}
    await world.api.put("pods", pod("b"))
    await world.api.delete("pods", "default/a")
    await world.api.start()
    await world.until_pods("b")
    await world.eventually(ksr.is_ready)


async def test_an_api_server_that_returns_without_news_makes_ksr_ready_again(world: World) -> None:
    await world.api.put("pods", pod("a"))
    ksr = world.ksr()
    await world.until_pods("a")  # one that waits to lead is ready as well
    await world.eventually(ksr.is_ready)
    lists = world.api.lists
    await world.api.stop()
    await world.eventually(ksr.is_not_ready)
    await world.api.start()
    await world.eventually(ksr.is_ready)
    assert world.api.lists == lists, "the watches went on where they broke"


async def test_without_an_api_server_ksr_says_that_it_waits_for_one(world: World) -> None:
    await world.api.stop()
    ksr = world.ksr()

    async def waits() -> bool:
        code, text = await ksr.get("readiness")
        return code == 503 and "kubernetes" in text

    await world.eventually(waits)
    await world.api.start()
    await world.eventually(ksr.is_ready)


async def test_a_version_that_is_too_old_means_a_new_list(world: World) -> None:
    await world.api.put("pods", pod("a"))
    world.ksr()
    await world.until_pods("a")
    del world.api.objects["pods"]["default/a"]  # unseen by any watch
    await world.api.expire()
    await world.until_pods()


async def test_a_long_list_comes_in_pages(world: World) -> None:
    names = [f"p{number}" for number in range(1200)]
    for name in names:
        world.api.objects["pods"][f"default/{name}"] = pod(name)
    world.ksr()
    await world.until_pods(*names)


async def test_of_two_instances_one_writes_and_the_other_takes_over(world: World) -> None:
    first = world.ksr("first")
    await world.api.put("pods", pod("a"))
    await world.until_pods("a")
    second = world.ksr("second")

    async def standing_by() -> bool:
        return "contiv_ksr_leader 0.0" in (await second.get("metrics"))[1]

    await world.eventually(standing_by)
    first.end()
    await world.api.put("pods", pod("b"))
    await world.until_pods("a", "b")


async def test_a_deleted_node_loses_its_number_and_its_subtree(world: World) -> None:
    await world.api.put("nodes", node("node1"))
    await world.api.put("nodes", node("node2"))
    world.ksr()
    for number in (1, 2):
        record = codec.encode(VppNode(id=number, name=f"node{number}"))
        await world.store.put(f"{keys.prefix('vppnode')}{number}", record)
        await world.store.put(f"{keys.ROOT}node{number}/config/x", b"{}")
    await world.eventually(lambda: _is(world, keys.prefix("node"), {"node1", "node2"}))
    await world.api.delete("nodes", "/node2")
    await world.eventually(lambda: _is(world, keys.prefix("vppnode"), {"1"}))
    await world.eventually(lambda: _is(world, f"{keys.ROOT}node2/", set()))
    assert set(await world.records(f"{keys.ROOT}node1/")) == {"config/x"}


async def test_an_object_that_does_not_decode_keeps_its_last_record(world: World) -> None:
    await world.api.put("pods", pod("a"))
    ksr = world.ksr()
    await world.until_pods("a")
    broken = pod("a")
    broken["spec"]["containers"] = "none"
    await world.api.put("pods", broken)
    await world.api.put("pods", pod("b"))
    await world.until_pods("a", "b")
    assert "pod/a/namespace/default" in ksr.log()
    assert 'contiv_ksr_undecodable_total{kind="pod"} 1.0' in (await ksr.get("metrics"))[1]


async def test_what_was_never_understood_keeps_what_etcd_holds_of_it(world: World) -> None:
    def slice_with(addresses: Any) -> dict[str, Any]:
        metadata = {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}
        endpoints = [{"addresses": addresses, "conditions": {"ready": True}}]
        return {"metadata": metadata, "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": endpoints}

    await world.api.put("pods", pod("a"))
    await world.api.put("endpointslices", slice_with(["10.1.1.2"]))
    ksr = world.ksr()
    await world.until_pods("a")
    await world.eventually(lambda: _is(world, keys.prefix("endpoints"), {"web/namespace/default"}))
    endpoints = await world.records(keys.prefix("endpoints"))
    ksr.end()
    broken = pod("a")
    broken["spec"]["containers"] = "none"
    await world.api.put("pods", broken)
    await world.api.put("pods", pod("b"))
    await world.api.put("endpointslices", slice_with("none"))
    ksr.start()
    await world.until_pods("a", "b")
    await world.eventually(ksr.is_ready)
    assert await world.records(keys.prefix("endpoints")) == endpoints
    await world.api.delete("pods", "default/a")
    await world.api.delete("endpointslices", "default/web-1")
    await world.until_pods("b")
    await world.eventually(lambda: _is(world, keys.prefix("endpoints"), set()))


async def test_a_node_with_the_name_of_ksr_costs_nothing_when_it_goes(world: World) -> None:
    await world.api.put("pods", pod("a"))
    await world.api.put("nodes", node("contiv-ksr"))
    await world.store.put(f"{keys.prefix('vppnode')}1", codec.encode(VppNode(id=1, name="contiv-ksr")))
    world.ksr()
    await world.until_pods("a")
    await world.eventually(lambda: _is(world, keys.prefix("node"), {"contiv-ksr"}))
    await world.api.delete("nodes", "/contiv-ksr")
    await world.eventually(lambda: _is(world, keys.prefix("vppnode"), set()))
    assert set(await world.records()) == {"a/namespace/default"}


async def _is(world: World, prefix: str, wanted: set[str]) -> bool:
    return set(await world.records(prefix)) == wanted


@pytest.mark.parametrize("text", [None, "a: [1,\n}", "just words", "[1, 2]", "clusters: 1\nkind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    command = [sys.executable, "-m", "contivpp.ksr.main", "--kube-config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


async def test_policies_of_administrators_are_reflected_as_soon_as_the_api_server_has_them(world: World) -> None:
    prefix = keys.prefix("adminnetworkpolicy")
    ksr = world.ksr()
    await world.eventually(ksr.is_ready)
    subject = {"namespaces": {}}
    await world.api.put(
        "adminnetworkpolicies", {"metadata": {"name": "p"}, "spec": {"priority": 3, "subject": subject}}
    )
    assert await world.records(prefix) == {}
    world.api.absent.discard("adminnetworkpolicies")

    async def there() -> bool:
        return await world.records(prefix) == {"p": {"name": "p", "priority": 3, "namespaces": {}}}

    await world.eventually(there)
    await world.eventually(ksr.is_ready)
