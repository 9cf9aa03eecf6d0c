"""Ports at which load balancers ask whether this node has endpoints of a service of its own.

The agent itself answers, so the ports are there as long as it runs, and a started agent opens them anew. An answer
is one for every path: 200 with at least one endpoint, else 503; the rest is as kube-proxy has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from contivpp.dataplane.linux.netlink import NamespaceGoneError, entered
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, OperationKind, Outcome

_REASONS: Final = {200: "OK", 503: "Service Unavailable"}
_PATIENCE: Final = 5.0
_LONGEST: Final = 16384


@dataclass(frozen=True, slots=True)
class HealthPort:
    """A port of the node, and how many endpoints of a service ("namespace/name") are on it."""

    prefix: ClassVar[str] = "linux/health-port/"

    service: str
    port: int
    local_endpoints: int

    @property
    def key(self) -> str:
        """By service."""
        return self.prefix + self.service


class HealthDescriptor:
    """Every port that is open."""

    name = "linux-health-port"
    prefix = HealthPort.prefix

    def __init__(self, netns: str = "") -> None:
        """Takes the path of the node's namespace; "" is that of this process."""
        self._netns = netns
        self._open: dict[str, tuple[HealthPort, asyncio.Server]] = {}

    def close(self) -> None:
        """Closes every port."""
        for _, server in self._open.values():
            server.close()
        self._open.clear()

    def dependencies(self, key: str, value: HealthPort) -> Iterable[Dependency]:
        """None."""
        return ()

    def derived(self, key: str, value: HealthPort) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Opens and closes one after the other; another number of endpoints is only another answer."""
        return [await self._one(operation) for operation in operations]

    async def retrieve(self) -> Mapping[str, Observed]:
        """What is open."""
        return {key: Observed(value) for key, (value, _) in self._open.items()}

    async def _one(self, operation: Operation) -> Outcome:
        value: HealthPort = operation.value
        known = self._open.get(value.key)
        if operation.kind is not OperationKind.DELETE and known is not None and known[0].port == value.port:
            self._open[value.key] = (value, known[1])
            return DONE
        if known is not None:
            known[1].close()
            del self._open[value.key]
        if operation.kind is OperationKind.DELETE:
            return DONE
        try:
            listening = self._listen(value.port)
        except (OSError, NamespaceGoneError) as error:
            return Outcome(error=f"port {value.port} cannot be opened: {error}")

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _answer(reader, writer, self._open[value.key][0])

        self._open[value.key] = (value, await asyncio.start_server(answer, sock=listening, limit=_LONGEST))
        return DONE

    def _listen(self, port: int) -> socket.socket:
        with entered(self._netns):
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, value: HealthPort) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response(value))
            await writer.drain()
    writer.close()


def response(value: HealthPort) -> bytes:
    """The whole answer."""
    status = 200 if value.local_endpoints else 503
    namespace, _, name = value.service.partition("/")
    body = msgspec.json.encode(
        {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": value.local_endpoints,
            "serviceProxyHealthy": True,
        }
    )
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"X-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {value.local_endpoints}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
