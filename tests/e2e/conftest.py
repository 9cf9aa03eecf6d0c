"""The cluster that `make cluster` builds, and the administrator's hands on it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contivpp.playground.demo.ssh import Ssh, SshError

Object = dict[str, Any]
NODES = {"node1": "10.210.0.11", "node2": "10.210.0.12", "node3": "10.210.0.13"}
BUILD_SECONDS = 1200


@dataclass(frozen=True)
class Cluster:
    """Three nodes with pods on them."""

    repository: Path
    dataplane: str = "linux"

    @property
    def inventories(self) -> tuple[str, ...]:
        return ("-i", "inventory/playground", *(("-i", "inventory/playground-vpp") if self.dataplane == "vpp" else ()))

    @property
    def files(self) -> Path:
        return self.repository / ".playground"

    @property
    def environment(self) -> dict[str, str]:
        programs = Path(sys.executable).parent
        return {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(self.repository / "ansible.cfg"),
        }

    def run(self, *words: str, given: str = "", timeout: float = 300) -> str:
        """Runs a command in the checkout; what it said is in the failure."""
        done = subprocess.run(
            words,
            input=given,
            cwd=self.repository,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def is_there(self) -> bool:
        """Whether a cluster is up that answers; one that is half there is left to `make cluster`."""
        status = json.loads(self.run("contiv-playground", "status"))
        if set(status["machines"].items()) != {(name, "running") for name in NODES}:
            return False
        if any(bool(bridge) != (self.dataplane == "vpp") for bridge in status["uplinks"].values()):
            return False
        if not (self.files / "kubeconfig").exists():
            return False
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.files}/kubeconfig", "get", "pods", "--request-timeout=5s"],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def deploy(self) -> str:
        """Runs the deployment again, with what is in the checkout now."""
        return self.run("ansible-playbook", *self.inventories, "site.yml", timeout=BUILD_SECONDS)

    def kubectl(self, *words: str, given: Object | None = None) -> str:
        text = "" if given is None else json.dumps(given)
        return self.run("kubectl", f"--kubeconfig={self.files}/kubeconfig", *words, given=text)

    def pods(self) -> dict[str, Object]:
        items = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return {pod["metadata"]["name"]: pod for pod in items}

    async def on(self, node: str, script: str) -> str:
        """Runs a script on a node."""
        return await Ssh(self.files).run(NODES[node], script)

    async def in_pod(self, pod: Object, command: str) -> str:
        """Runs a command in a pod's network namespace."""
        name = f"{pod['metadata']['namespace']}_{pod['metadata']['name']}"
        netns = f"/var/lib/contiv-playground-kubelet/pods/{name}.netns"
        return await self.on(pod["spec"]["nodeName"], f"nsenter --net={netns} -- {command}")

    async def links(self, node: str) -> set[str]:
        """The network devices of a node."""
        found = json.loads(await self.on(node, "ip -json link"))
        return {link["ifname"] for link in found}

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str, *, seconds: float = 60) -> Any:
        """Waits until something is so, and returns it; a node that does not answer is asked again."""
        end = asyncio.get_running_loop().time() + seconds
        last: object = "never"
        while True:
            try:
                if found := await condition():
                    return found
            except SshError as error:
                last = error
            assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s: {what} ({last})"
            await asyncio.sleep(0.2)

    async def make_pod(self, name: str, node: str) -> Object:
        """Makes a pod on a node and waits until it is Ready."""
        container = {"name": "web", "image": "web", "ports": [{"containerPort": 80}]}
        spec = {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
        }
        metadata = {"name": name, "labels": {"made-by": "test"}}
        self.kubectl("create", "-f", "-", given={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return self.pods()[name]

    async def agents_agree(self) -> None:
        """Waits until every agent says that it is ready: in sync with etcd, and with nothing failed."""

        async def ready() -> bool:
            for node in NODES:
                await self.on(node, "curl -fsS -m 3 http://127.0.0.1:9999/readiness")
            return True

        await self.until(ready, "every agent is ready", seconds=90)


@pytest.fixture(scope="session")
def built(repository: Path) -> Iterator[Cluster]:
    """A cluster that runs what is in the checkout; one that was built for these tests is taken down after them."""
    yield from build(Cluster(repository))


@pytest.fixture(scope="session")
def built_with_vpp(repository: Path) -> Iterator[Cluster]:
    """The same with VPP as the data plane, where VPP_PREFIX says where one is installed."""
    if not os.environ.get("VPP_PREFIX"):
        pytest.skip("VPP_PREFIX does not say where a VPP is installed")
    yield from build(Cluster(repository, dataplane="vpp"))


def build(cluster: Cluster) -> Iterator[Cluster]:
    if cluster.is_there():
        cluster.deploy()
        yield cluster
        return
    cluster.run("make", "cluster", f"DATAPLANE={cluster.dataplane}", timeout=BUILD_SECONDS)
    yield cluster
    cluster.run("make", "cluster-down")
    left = cluster.run("ip", "-brief", "link")
    assert not any(name in left for name in ("contivpg", "vb-node", "vu-node")), f"left behind: {left}"
    machines = json.loads(cluster.run("contiv-playground", "status"))["machines"]
    assert machines == {}, f"left behind: {machines}"


@pytest.fixture
async def cluster(built: Cluster) -> AsyncIterator[Cluster]:
    """The cluster, and afterwards without the pods that the test made."""
    yield built
    built.kubectl("delete", "pods", "-l", "made-by=test", "--timeout=60s")
