"""The gRPC server that the CNI plugin asks, on a unix socket that only root may open.

It translates between the wire and `contivpp.agent.pods.api`, and knows nothing else of the agent.
Source: spec/agent.md 5.1 and `cni.proto`.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Histogram

from contivpp.agent.cni import cni_pb2 as _messages
from contivpp.agent.cni import request, result
from contivpp.agent.cni.request import CniError
from contivpp.agent.pods.api import Attachment, NotReadyError, PodError, PodNetwork, Sandbox, UnknownSandboxError
from contivpp.daemon.unix_grpc import Method, UnixServer

log = logging.getLogger(__name__)

cni_pb2: Any = _messages  # made at run time, unknown to type checkers
SERVICE = "cni.RemoteCNI"
CALLS = Counter("contiv_agent_cni_calls", "CNI calls by command and error code (0: well)", ["command", "code"])
SECONDS = Histogram("contiv_agent_cni_seconds", "Duration of CNI calls in seconds", ["command"])


class CniServer(UnixServer):
    """Serves one agent's pods."""

    def __init__(self, pods: PodNetwork, path: Path) -> None:
        """Takes who connects pods, and where the socket is to be."""
        self._pods = pods
        super().__init__(
            path,
            SERVICE,
            {
                "Invoke": Method(self.invoke, cni_pb2.Invocation, cni_pb2.Result),
                "Add": Method(self.add, cni_pb2.CNIRequest, cni_pb2.CNIReply),
                "Delete": Method(self.delete, cni_pb2.CNIRequest, cni_pb2.CNIReply),
            },
        )

    # ---- the plugin's way

    async def invoke(self, call: Any, context: Any) -> Any:
        """One call of the plugin: what it is to print, and its exit code."""
        start = time.monotonic()
        command = call.command if call.command in request.COMMANDS else "unknown"
        try:
            output = await self._invoke(call)
            code = 0
        except CniError as error:
            log.warning("CNI %s of %s failed: %s", call.command, call.container_id or "-", error)
            output, code = result.render_error(error), error.code
        except Exception as error:
            log.exception("CNI %s of %s", call.command, call.container_id)
            failure = CniError(request.FAILED, f"the agent failed: {error}", version=_version_of(call.config))
            output = result.render_error(failure)
            code = request.FAILED
        CALLS.labels(command, code).inc()
        SECONDS.labels(command).observe(time.monotonic() - start)
        return cni_pb2.Result(exit_code=1 if code else 0, output=output)

    async def _invoke(self, call: Any) -> bytes:
        config = request.parse_config(call.config)
        command = call.command
        since = request.COMMANDS.get(command)
        if since is None:
            raise CniError(request.BAD_ENVIRONMENT, f"CNI_COMMAND={command!r} is unknown", version=config.version)
        if config.version < since:
            message = f"{command} needs cniVersion {since} or later, not {config.version}"
            raise CniError(request.INCOMPATIBLE_VERSION, message, version=config.version)
        try:
            return await self._carry_out(call, config)
        except NotReadyError as error:
            code = request.NOT_AVAILABLE if command == "STATUS" else request.TRY_AGAIN
            raise CniError(code, str(error), version=config.version) from error
        except UnknownSandboxError as error:
            raise CniError(request.UNKNOWN_CONTAINER, str(error), version=config.version) from error
        except PodError as error:
            raise CniError(request.FAILED, str(error), version=config.version) from error

    async def _carry_out(self, call: Any, config: request.Config) -> bytes:
        if call.command == "STATUS":
            await self._pods.status()
            return b""
        if call.command == "GC":
            await self._pods.collect_garbage(config.attachments)
            return b""
        sandbox = request.sandbox_of(
            call.command, call.container_id, call.netns, call.ifname, call.args, version=config.version
        )
        if call.command == "DEL":
            await self._pods.delete(sandbox)
            return b""
        if call.command == "CHECK":
            _compare(await self._pods.check(sandbox), config)
            return b""
        return result.render_result(await self._pods.add(sandbox), config)

    # ---- the original's way

    async def add(self, call: Any, context: Any) -> Any:
        """Connects a pod, and answers as the original does."""
        try:
            attachment = await self._pods.add(_sandbox_of(call, "ADD"))
        except (PodError, CniError) as error:
            return cni_pb2.CNIReply(result=1, error=str(error))
        reply = cni_pb2.CNIReply()
        interface = reply.interfaces.add(
            name=attachment.sandbox.interface, mac=attachment.mac, sandbox=attachment.sandbox.netns
        )
        for given in attachment.addresses:
            version = 1 if ipaddress.ip_interface(given.address).version == 6 else 0
            interface.ip_addresses.add(version=version, address=given.address, gateway=given.gateway)
        for destination, gateway in attachment.routes:
            reply.routes.add(dst=destination, gw=gateway)
        return reply

    async def delete(self, call: Any, context: Any) -> Any:
        """Disconnects a pod, and answers as the original does."""
        try:
            await self._pods.delete(_sandbox_of(call, "DEL"))
        except (PodError, CniError) as error:
            return cni_pb2.CNIReply(result=1, error=str(error))
        return cni_pb2.CNIReply()


def _version_of(config: bytes) -> str:
    try:
        return request.parse_config(config).version
    except CniError as error:
        return error.version


def _sandbox_of(call: Any, command: str) -> Sandbox:
    return request.sandbox_of(
        command, call.container_id, call.network_namespace, call.interface_name or "eth0", call.extra_arguments
    )


def _compare(attachment: Attachment, config: request.Config) -> None:
    """CHECK: what the runtime remembers must be what was made."""
    if config.previous is None:
        raise CniError(request.BAD_CONFIG, "prevResult is missing, and CHECK needs it", version=config.version)
    remembered = {item.get("address") for item in config.previous.get("ips") or [] if isinstance(item, dict)}
    missing = [given.address for given in attachment.addresses if given.address not in remembered]
    if missing:
        message = f"pod {attachment.sandbox.pod} has {', '.join(missing)}, and prevResult does not say so"
        raise CniError(request.FAILED, message, version=config.version)
