"""Connections to the endpoints of one etcd, and calls over them.

aetcd brings the messages and stubs; its own client takes neither certificates for several endpoints nor another
endpoint when one fails. A call goes to the endpoint that answered last. When it surely did not arrive, or only
reads, the next endpoint is asked; a write whose fate is unknown is reported, never repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
from aetcd import rpc

from contivpp.store.config import EtcdConfig, EtcdConfigError
from contivpp.store.errors import StoreError, StoreUnavailable, translate

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),  # etcd closes connections that ping more often than every 5 s
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # it outranks the one above, and is a minute by default
    ("grpc.http2.max_pings_without_data", 0),  # a watch only listens
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also how long a connection may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
STUBS: Final = {
    "kv": rpc.KVStub,
    "lease": rpc.LeaseStub,
    "maintenance": rpc.MaintenanceStub,
    "watch": rpc.WatchStub,
}


class Endpoint:
    """One member of etcd."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        """Opens a channel that connects when it is used."""
        self.address = address
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self.stubs: dict[str, Any] = {name: stub(self._channel) for name, stub in STUBS.items()}

    async def close(self) -> None:
        """Ends what is under way."""
        await self._channel.close()


class Connection:
    """All endpoints; the current one is the one that answered last."""

    def __init__(self, config: EtcdConfig) -> None:
        """Connects to nothing yet.

        Raises:
            EtcdConfigError: certificates that cannot be used.
        """
        self.config = config
        credentials = _credentials(config)
        self._endpoints = [Endpoint(address, credentials) for address in config.endpoints]
        self._current = 0

    @property
    def current(self) -> Endpoint:
        """Where calls go now."""
        return self._endpoints[self._current]

    def give_up(self, endpoint: Endpoint) -> None:
        """Turns to the next endpoint, unless somebody already turned away from this one."""
        if endpoint is self.current:
            self._current = (self._current + 1) % len(self._endpoints)

    async def call(
        self, stub: str, method: str, request: Any, *, repeatable: bool = False, timeout: float | None = None
    ) -> Any:
        """One unary call.

        Args:
            stub: "kv", "lease" or "maintenance".
            method: as in etcd's protocol, such as "Range".
            request: its message.
            repeatable: whether it may be carried out twice.
            timeout: in seconds; the configured one when None.

        Raises:
            StoreError: see `contivpp.store.errors`.
        """
        deadline = self.config.operation_timeout if timeout is None else timeout
        last: StoreError | None = None
        for _ in self._endpoints:
            endpoint = self.current
            try:
                return await getattr(endpoint.stubs[stub], method)(request, timeout=deadline)
            except grpc.aio.AioRpcError as error:
                last = translate(error, endpoint.address)
                if not isinstance(last, StoreUnavailable):
                    raise last from error
                self.give_up(endpoint)
                if not (repeatable or last.unsent):
                    raise last from error
            except grpc.aio.UsageError as error:
                message = f"etcd at {endpoint.address}: the connection is closed"
                raise StoreUnavailable(message, unsent=True) from error
        assert last is not None
        raise last

    async def close(self) -> None:
        """Closes every connection."""
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))


def _credentials(config: EtcdConfig) -> grpc.ChannelCredentials | None:
    if config.insecure_transport:
        return None
    if config.insecure_skip_tls_verify:
        raise EtcdConfigError(
            "etcd.conf",
            "insecure-skip-tls-verify",
            "is not supported: name the authority that signed etcd's certificate in ca-file",
        )
    read: Callable[[Any], bytes | None] = lambda path: None if path is None else path.read_bytes()  # noqa: E731
    return grpc.ssl_channel_credentials(
        root_certificates=read(config.ca_file),
        private_key=read(config.key_file),
        certificate_chain=read(config.cert_file),
    )
