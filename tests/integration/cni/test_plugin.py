"""The plugin as the kubelet runs it, against the real gRPC server over pods that only pretend."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2

from contivpp.agent.cni import cni_pb2 as messages
from contivpp.agent.cni.server import CniServer
from contivpp.agent.pods.api import (
    Attachment,
    NotReadyError,
    PodAddress,
    PodError,
    Sandbox,
    UnknownSandboxError,
)
from tests.integration.cluster import PLUGIN


class Pods:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.added: dict[str, Sandbox] = {}
        self.kept: Collection[tuple[str, str]] | None = None
        self.problem: Exception | None = None

    async def add(self, sandbox: Sandbox) -> Attachment:
        if self.problem:
            raise self.problem
        self.added[sandbox.container_id] = sandbox
        address = (PodAddress("10.1.1.2/32", "10.1.1.1"),)
        return Attachment(
            sandbox, "02:fe:00:00:00:01", "host0", "02:fe:00:00:00:02", address, (("0.0.0.0/0", "10.1.1.1"),)
        )

    async def delete(self, sandbox: Sandbox) -> None:
        self.added.pop(sandbox.container_id, None)

    async def check(self, sandbox: Sandbox) -> Attachment:
        if sandbox.container_id not in self.added:
            raise UnknownSandboxError(f"container {sandbox.container_id} was never connected")
        return await self.add(sandbox)

    async def collect_garbage(self, valid: Collection[tuple[str, str]]) -> None:
        self.kept = valid

    async def status(self) -> None:
        if self.problem:
            raise self.problem


@pytest.fixture
async def pods(tmp_path: Path) -> AsyncIterator[Pods]:
    served = Pods()
    server = CniServer(served, tmp_path / "cni.sock")
    await server.start()
    yield served
    await server.stop()


class Kubelet:
    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def __call__(
        self, command: str, *, version: str = "1.1.0", config: Any = None, **changes: Any
    ) -> tuple[int, Any]:
        wanted = {"cniVersion": version, "name": "k8s", "grpcServer": str(self.socket), **(config or {})}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": "/run/netns/none",
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
            **changes,
        }
        raw = config if isinstance(config, bytes) else json.dumps(wanted).encode()
        process = await asyncio.create_subprocess_exec(
            str(PLUGIN), stdin=-1, stdout=-1, stderr=-1, env={key: value for key, value in environment.items() if value}
        )
        output, errors = await process.communicate(raw)
        assert errors == b""
        assert process.returncode is not None
        return process.returncode, json.loads(output) if output else None


@pytest.fixture
def kubelet(tmp_path: Path) -> Kubelet:
    return Kubelet(tmp_path / "cni.sock")


async def test_a_pod_is_added_checked_and_deleted(pods: Pods, kubelet: Kubelet) -> None:
    code, result = await kubelet("ADD")
    assert (code, result["ips"][0]["address"]) == (0, "10.1.1.2/32")
    assert str(pods.added["c1"].pod) == "default/web"
    assert await kubelet("CHECK", config={"prevResult": result}) == (0, None)
    code, answer = await kubelet("CHECK", config={"prevResult": {"ips": [{"address": "10.9.9.9/32"}]}})
    assert (code, answer["code"]) == (1, 100)
    assert await kubelet("DEL", CNI_NETNS="") == (0, None)
    code, answer = await kubelet("CHECK", config={"prevResult": result})
    assert (code, answer["code"]) == (1, 3)


async def test_the_socket_is_only_for_root(pods: Pods, kubelet: Kubelet) -> None:
    assert kubelet.socket.stat().st_mode & 0o777 == 0o600


async def test_garbage_collection_with_more_attachments_than_one_window_holds(pods: Pods, kubelet: Kubelet) -> None:
    valid = [{"containerID": f"{number:064x}", "ifname": "eth0"} for number in range(3000)]
    assert await kubelet("GC", config={"cni.dev/valid-attachments": valid}) == (0, None)
    assert pods.kept is not None
    assert len(pods.kept) == 3000


async def test_many_at_once(pods: Pods, kubelet: Kubelet) -> None:
    answers = await asyncio.gather(*(kubelet("ADD", CNI_CONTAINERID=f"c{number}") for number in range(50)))
    assert [code for code, _ in answers] == [0] * 50
    assert len(pods.added) == 50


@pytest.mark.parametrize(
    ("problem", "command", "code"),
    [
        (NotReadyError("starting"), "ADD", 11),
        (NotReadyError("starting"), "STATUS", 50),
        (PodError("pod default/web: no address"), "ADD", 100),
        (RuntimeError("bug"), "ADD", 100),
    ],
)
async def test_errors_have_the_codes_of_the_specification(
    pods: Pods, kubelet: Kubelet, problem: Exception, command: str, code: int
) -> None:
    pods.problem = problem
    exit_code, answer = await kubelet(command)
    assert (exit_code, answer["code"]) == (1, code)
    assert str(problem) in answer["msg"]
    assert answer["cniVersion"] == "1.1.0"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"config": b"{nonsense"}, 6),
        ({"config": b""}, 6),
        ({"version": "9.9.9"}, 1),
        ({"command": "CHECK", "version": "0.3.1"}, 1),
        ({"command": "GC", "version": "1.0.0"}, 1),
        ({"CNI_CONTAINERID": ""}, 4),
        ({"command": "EXPLODE"}, 4),
    ],
)
async def test_what_is_malformed_gets_a_code_and_a_sentence(
    pods: Pods, kubelet: Kubelet, arguments: dict[str, Any], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(arguments.get("config"), bytes):  # such a configuration cannot name the socket
        from contivpp.agent.cni import server as module

        servicer = module.CniServer(pods, kubelet.socket)
        call = messages.Invocation(command="ADD", container_id="c1", config=arguments["config"])
        answer = json.loads((await servicer.invoke(call, None)).output)
        assert answer["code"] == code
        return
    exit_code, answer = await kubelet(arguments.pop("command", "ADD"), **arguments)
    assert (exit_code, answer["code"]) == (1, code)
    assert answer["msg"]


async def test_without_a_command_the_plugin_says_who_runs_it(kubelet: Kubelet) -> None:
    code, answer = await kubelet("")
    assert (code, answer["code"]) == (1, 4)
    assert "CNI_COMMAND is not set" in answer["msg"]


async def test_versions_are_told_without_an_agent(kubelet: Kubelet) -> None:
    code, answer = await kubelet("VERSION")
    assert (code, answer["supportedVersions"]) == (0, ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])


async def test_without_an_agent_the_answer_is_to_try_again(kubelet: Kubelet) -> None:
    code, answer = await kubelet("ADD")
    assert (code, answer["code"], answer["cniVersion"]) == (1, 11, "1.1.0")
    assert str(kubelet.socket) in answer["msg"]


def wire_of(file: Any) -> list[Any]:
    """What counts on the wire: messages with the numbers and types of their fields, and methods."""

    def fields(message: Any) -> Any:
        own = [(field.name, field.number, field.type, field.label, field.type_name) for field in message.field]
        return message.name, own, [fields(inner) for inner in message.nested_type]

    methods = [(one.name, one.input_type, one.output_type) for service in file.service for one in service.method]
    return [fields(message) for message in file.message_type] + methods


async def test_clients_of_the_original_are_served(pods: Pods, kubelet: Kubelet, tmp_path: Path) -> None:
    """With messages compiled from cni.proto anew, as such a client would have them."""
    proto = Path(messages.__file__).with_name("cni.proto")
    arguments = [f"-I{proto.parent}", f"--descriptor_set_out={tmp_path}/set", str(proto)]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    [compiled] = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    ours = descriptor_pb2.FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(ours)
    assert wire_of(ours) == wire_of(compiled)
    async with grpc.aio.insecure_channel(f"unix://{kubelet.socket}") as channel:
        request = messages.CNIRequest(
            container_id="c9", network_namespace="/n", extra_arguments="K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"
        )
        add, delete = (
            channel.unary_unary(
                f"/cni.RemoteCNI/{name}",
                request_serializer=messages.CNIRequest.SerializeToString,
                response_deserializer=messages.CNIReply.FromString,
            )
            for name in ("Add", "Delete")
        )
        reply = await add(request)
        assert reply.result == 0
        assert reply.interfaces[0].ip_addresses[0].address == "10.1.1.2/32"
        assert (await delete(request)).result == 0
        assert "c9" not in pods.added
