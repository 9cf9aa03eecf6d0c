"""The Kubernetes API: list and watch of one kind, for ever, as raw JSON.

The kubernetes package reads the kubeconfig; its typed models are not used, they are slow and heavy.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import msgspec
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from contivpp.daemon.backoff import Backoff

log = logging.getLogger(__name__)

PAGE: Final = 500
WATCH_SECONDS: Final = 300
_LIST_TIMEOUT: Final = 60
_CONNECT_TIMEOUT: Final = 5
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_GONE: Final = 410
_NOT_FOUND: Final = 404


class KubeConfigError(Exception):
    """The kubeconfig cannot be used; says why and what to do."""


class UnknownResourceError(Exception):
    """The API server does not have a resource."""


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ObjectVersion(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    metadata: _ObjectVersion


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Every object there is: what was known before and is not here, is gone."""

    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One object was added or modified, or with `deleted` it went."""

    item: bytes
    deleted: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The API server does not answer; what is known stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The API server answers again, and the watch goes on where it broke: nothing was missed."""


Update = Listed | Changed | Broken | Resumed


class _ExpiredError(Exception):
    """The resource version is too old: list again."""


class Api:
    """A connection to one API server."""

    def __init__(self, session: aiohttp.ClientSession, host: str, configuration: Any) -> None:
        """Takes an open session; `open` makes one."""
        self._session = session
        self._host = host.rstrip("/")
        self._configuration = configuration

    @classmethod
    async def open(cls, kubeconfig: Path | None) -> Self:
        """Reads the kubeconfig, or the service account of a pod when there is none.

        Raises:
            KubeConfigError: it cannot be read.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
            context = _tls(configuration)
        except (ConfigException, OSError, ssl.SSLError, yaml.YAMLError) as error:
            where = kubeconfig or "the service account"
            raise KubeConfigError(f"{where}: {error}: name a kubeconfig with --kube-config") from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # YAML of any other shape
            raise KubeConfigError(
                f"{kubeconfig}: not a kubeconfig ({type(error).__name__}: {error}): name one with --kube-config"
            ) from error
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=context, limit=0, socket_factory=_socket)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return cls(session, configuration.host, configuration)

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()

    async def has(self, path: str) -> bool:
        """Whether the API server has a resource.

        Raises:
            aiohttp.ClientError: it does not answer.
        """
        async with self._get(path, {"limit": "1"}) as answer:
            return bool(answer.status != _NOT_FOUND)

    async def follow(self, path: str, *, backoff: Backoff | None = None) -> AsyncIterator[Update]:
        """Lists and then watches one kind, for ever: again after an outage, and when its version is too old."""
        patience = backoff or Backoff(0.1, 10)
        version = ""
        broken = False
        while True:
            try:
                if not version:
                    items, version = await self._list(path)
                    broken = False
                    yield Listed(items)
                    patience.reset()
                async for change, seen in self._watch(path, version):
                    if broken:
                        broken = False
                        yield Resumed()
                    version = seen or version
                    if change is not None:
                        yield change
                    patience.reset()
            except _ExpiredError as error:
                log.info("%s: listing again: %s", path, error)
                version = ""
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                if not broken:
                    broken = True
                    log.warning("%s: %s", path, error or type(error).__name__)
                    yield Broken(f"{self._host}{path}: {error or type(error).__name__}")
                await asyncio.sleep(patience.next())

    async def _list(self, path: str) -> tuple[tuple[bytes, ...], str]:
        items: list[bytes] = []
        following = ""
        while True:
            query = {"limit": str(PAGE), **({"continue": following} if following else {})}
            async with asyncio.timeout(_LIST_TIMEOUT), self._get(path, query) as answer:
                if answer.status == _GONE:
                    raise _ExpiredError("the list took too long")
                await _check(answer)
                page = msgspec.json.decode(await answer.read(), type=_Page)
            items += [bytes(item) for item in page.items or ()]
            following = page.metadata.continue_
            if not following:
                return tuple(items), page.metadata.resource_version

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[Changed | None, str]]:
        """Changes with their versions; the first, without either, says that the watch is open."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with self._get(path, query, silence=WATCH_SECONDS + _LIST_TIMEOUT) as answer:
            if answer.status == _GONE:
                raise _ExpiredError(f"version {version} is too old")
            await _check(answer)
            yield None, ""
            buffer = bytearray()
            async for part in answer.content.iter_any():
                buffer += part
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in lines:
                    if line.strip():
                        yield _read(bytes(line))

    def _get(self, path: str, query: dict[str, str], *, silence: float | None = None) -> Any:
        headers = {"Accept": "application/json"}
        if token := self._configuration.get_api_key_with_prefix("authorization"):
            headers["Authorization"] = token
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=silence)
        return self._session.get(self._host + path, params=query, headers=headers, timeout=timeout)


def _read(line: bytes) -> tuple[Changed | None, str]:
    event = msgspec.json.decode(line, type=_Event)
    raw = bytes(event.object)
    if event.type == "ERROR":
        status = msgspec.json.decode(raw, type=_Status)
        if status.code == _GONE:
            raise _ExpiredError(status.message)
        raise aiohttp.ClientPayloadError(f"watch failed: {status.message}")
    version = msgspec.json.decode(raw, type=_Versioned).metadata.resource_version
    if event.type == "BOOKMARK":
        return None, version
    return Changed(raw, deleted=event.type == "DELETED"), version


async def _check(answer: Any) -> None:
    if answer.status >= 400:
        text = (await answer.text())[:300]
        raise aiohttp.ClientPayloadError(f"HTTP {answer.status}: {text}")


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices within half a minute that the other side is gone: a watch is silent for longer."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def _tls(configuration: Any) -> ssl.SSLContext | bool:
    if not configuration.host.startswith("https"):
        return False
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
