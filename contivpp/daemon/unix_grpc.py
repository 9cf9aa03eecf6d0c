"""A gRPC server on a unix socket that only root may open."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service: what it does, with the message types of its request and its answer."""

    call: Callable[[Any, Any], Awaitable[Any]]
    asked: Any
    answered: Any


class UnixServer:
    """Serves one service; `run` is a root task."""

    def __init__(self, path: Path, service: str, methods: Mapping[str, Method]) -> None:
        """Takes where the socket is to be, and the service with its methods by name."""
        self._path = path
        self._service = service
        self._methods = methods
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens; a socket that a dead agent left is replaced.

        Raises:
            OSError: the socket cannot be made.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path.exists() and _answers(self._path):
            message = f"another agent serves {self._path}: stop it first"
            raise OSError(message)
        self._path.unlink(missing_ok=True)
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                method.call,
                request_deserializer=method.asked.FromString,
                response_serializer=method.answered.SerializeToString,
            )
            for name, method in self._methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(self._service, handlers),))
        mask = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix://{self._path}")
        finally:
            os.umask(mask)
        await server.start()
        self._path.chmod(0o600)
        self._server = server

    async def run(self) -> None:
        """Serves for ever."""
        if self._server is None:
            await self.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Ends; calls under way have a second to finish."""
        if self._server is not None:
            await self._server.stop(1)
            self._server = None
            self._path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True
