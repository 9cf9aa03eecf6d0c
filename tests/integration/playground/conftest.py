"""A playground on loopback: the API server in this process, kubectl and the other stand-ins beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from contivpp.playground.apiserver import initial
from contivpp.playground.apiserver.server import ApiServer, serve, tls
from contivpp.playground.apiserver.storage import Storage
from contivpp.playground.client import Client
from tests.certificates import Authority

Object = dict[str, Any]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "test-ca")


def write_kubeconfig(file: Path, port: int, ca: Path, certificate: Path, key: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca)},
            }
        ],
        "users": [{"name": "test", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
    }
    file.write_text(yaml.safe_dump(config))
    return file


class KubectlError(Exception):
    """kubectl ended with a code other than 0."""


@dataclass
class Api:
    """A running API server and its clients."""

    folder: Path
    authority: Authority
    kubeconfig: Path
    storage: Storage
    server: ApiServer
    port: int
    stop: Callable[[], Awaitable[None]]
    client: Client = field(init=False)

    async def kubectl(self, *arguments: str, given: str | Object = "") -> str:
        text = given if isinstance(given, str) else json.dumps(given)
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )
        out, said = await process.communicate(text.encode())
        if process.returncode:
            raise KubectlError(said.decode())
        return out.decode()

    async def get(self, *arguments: str) -> Object:
        return json.loads(await self.kubectl("get", *arguments, "-o", "json"))


async def start_api(folder: Path, authority: Authority, port: int = 0, **options: Any) -> Api:
    storage = Storage(folder / "state.db", history=options.pop("history", 1000))
    server = ApiServer(storage, **options)
    certificate, key = authority.issue("apiserver")
    context = tls(str(certificate), str(key), str(authority.file))
    runner, port = await serve(server, "127.0.0.1", port, context)
    initial.ensure(server.objects, server.rules, "127.0.0.1", port)
    admin = authority.issue("admin")
    kubeconfig = write_kubeconfig(folder / "kubeconfig", port, authority.file, *admin)

    async def stop() -> None:
        server.close_watches()
        await runner.cleanup()
        storage.close()

    return Api(folder, authority, kubeconfig, storage, server, port, stop)


@pytest.fixture
async def api(tmp_path: Path, authority: Authority) -> AsyncIterator[Api]:
    started = await start_api(tmp_path, authority)
    async with Client.load(started.kubeconfig) as client:
        started.client = client
        yield started
    await started.stop()


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 15, what: str = "") -> Any:
    """Waits until something is so; returns what the condition returned."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = await condition()
        if found:
            return found
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def program(log: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `contiv-playground ARGUMENTS`, and ends it."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "contivpp.playground.main", *arguments, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                await process.wait()


@pytest.fixture
async def controller(api: Api) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = ("controller", "--kubeconfig", str(api.kubeconfig))
    async with program(api.folder / "controller.log", *arguments) as process:
        yield process


PLUGIN = """#!{python} -IS
import json, os, subprocess, sys, time
folder = {folder!r}
def note(call):
    with open(folder + "/calls", "a") as log:
        log.write(json.dumps(call) + "\\n")
call = {{k: v for k, v in os.environ.items() if k.startswith("CNI_")}}
call["config"] = json.load(sys.stdin)
note(call)
verb = call["CNI_COMMAND"]
if os.path.exists(folder + "/delay-" + verb):
    time.sleep(float(open(folder + "/delay-" + verb).read()))
    note({{**call, "CNI_COMMAND": verb + "-done"}})
try:
    failure = json.load(open(folder + "/fail-" + verb))
except OSError:
    failure = None
if failure:
    print(json.dumps({{"cniVersion": "1.1.0", **failure}}))
    sys.exit(1)
if verb == "ADD":
    number = int(call["CNI_CONTAINERID"][:4], 16)
    address = f"10.211.{{number // 256}}.{{number % 256}}"
    name = os.path.basename(call["CNI_NETNS"])
    subprocess.run(["ip", "-n", name, "address", "add", address + "/32", "dev", "lo"], check=True)
    print(json.dumps({{
        "cniVersion": call["config"]["cniVersion"],
        "interfaces": [{{"name": "eth0", "sandbox": call["CNI_NETNS"]}}],
        "ips": [{{"address": address + "/32", "gateway": "10.211.0.1", "interface": 0}}],
    }}))
"""


@dataclass
class Plugin:
    """A CNI plugin that notes how it is called, gives every pod an address on `lo`, and fails when told to."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("bin", "net.d"):
            (self.folder / name).mkdir(parents=True)
        file = self.folder / "bin" / "fake"
        file.write_text(PLUGIN.format(python=sys.executable, folder=str(self.folder)))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def configure(self) -> None:
        content = {"cniVersion": "1.1.0", "name": "test", "plugins": [{"type": "fake", "some": "option"}]}
        (self.folder / "net.d" / "10-test.conflist").write_text(json.dumps(content))

    def fail(self, verb: str, code: int | None, message: str = "told to fail") -> None:
        file = self.folder / f"fail-{verb}"
        file.unlink(missing_ok=True)
        if code is not None:
            file.write_text(json.dumps({"code": code, "msg": message}))

    def delay(self, verb: str, seconds: float) -> None:
        """Makes a verb take its time, and be noted as VERB-done at its end."""
        (self.folder / f"delay-{verb}").write_text(str(seconds))

    def all_calls(self) -> list[Object]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def calls(self, verb: str) -> list[Object]:
        return [call for call in self.all_calls() if call["CNI_COMMAND"] == verb]


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path / "cni")


class Kubelet:
    """A kubelet stand-in on this machine, that can be killed and started again."""

    def __init__(self, api: Api, plugin: Plugin, name: str = "here") -> None:
        self.state = api.folder / f"kubelet-{name}"
        self._log = api.folder / f"kubelet-{name}.log"
        self._arguments = (
            *("kubelet", "--node-name", name, "--node-ip", "127.0.0.1", "--kubeconfig", str(api.kubeconfig)),
            *("--state-dir", str(self.state), "--cni-conf-dir", str(plugin.folder / "net.d")),
            *("--cni-bin-dir", str(plugin.folder / "bin")),
        )
        self._stack = contextlib.AsyncExitStack()
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        self.process = await self._stack.enter_async_context(program(self._log, *self._arguments))

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def close(self) -> None:
        await self._stack.aclose()

    def records(self) -> list[Object]:
        found = []
        for file in sorted((self.state / "pods").glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # the pod goes while we look
                found.append(json.loads(file.read_text()))
        return found


@pytest.fixture
async def kubelet(api: Api, plugin: Plugin) -> AsyncIterator[Kubelet]:
    subject = Kubelet(api, plugin)
    await subject.start()
    yield subject
    # Whatever the test left is taken away by what made it.
    for verb in ("ADD", "DEL", "CHECK", "STATUS", "GC"):
        plugin.fail(verb, None)
    if subject.process.returncode is not None:
        await subject.start()
    for key, pod in (await api.client.list("pods"))[0].items():
        await api.client.delete("pods", key, grace=0 if not pod["spec"].get("nodeName") else 1)

    async def gone() -> bool:
        return not subject.records()

    try:
        await until(gone, what="the kubelet takes its pods away")
    finally:
        await subject.close()
