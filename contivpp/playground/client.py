"""A client of the Kubernetes API for the stand-ins, small enough to read: JSON over HTTP, and a followed list.

It works as well against a real API server; the kubelet and controller stand-ins need nothing else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import yaml

Object = dict[str, Any]
Key = tuple[str, str]
log = logging.getLogger("client")
_PAGE = 500
_TIMEOUT = 15.0
_WATCH_SECONDS = 600
_LONGEST_LINE = 16 * 1024 * 1024
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 5.0
_GONE = 410


class ClientError(Exception):
    """The API server said no. `code` is 0 when it said nothing at all."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """The whole list, by namespace and name: at the start, and whenever the history was lost."""

    objects: Mapping[Key, Object]


@dataclass(frozen=True, slots=True)
class Put:
    """An object that is new or has changed."""

    key: Key
    object: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object that is gone, as it was last."""

    key: Key
    object: Object


Change = Replaced | Put | Deleted


def key_of(subject: Object) -> Key:
    """Namespace and name."""
    metadata = subject["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def path_of(resource: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of "pods" or "apis/GROUP/VERSION/plural"."""
    *prefix, plural = resource.rsplit("/", 1)
    parts = [*(prefix or ["api/v1"]), *(["namespaces", namespace] if namespace else []), plural, name, subresource]
    return "/" + "/".join(part for part in parts if part)


class Client:
    """A connection to one API server."""

    def __init__(self, server: str, context: ssl.SSLContext | None) -> None:
        self._server = server.rstrip("/")
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def load(cls, kubeconfig: Path) -> Client:
        """Reads the current context of a kubeconfig.

        Raises:
            KubeconfigError: it is missing or lacks something.
        """
        try:
            config = yaml.safe_load(kubeconfig.read_text())
            context = _named(config["contexts"], config["current-context"])["context"]
            cluster = _named(config["clusters"], context["cluster"])["cluster"]
            user = _named(config["users"], context["user"])["user"]
            server = str(cluster["server"])
            return cls(server, _context(cluster, user) if server.startswith("https") else None)
        except OSError as error:
            raise KubeconfigError(f"{kubeconfig}: {error.strerror or error}") from error
        except (KeyError, TypeError, StopIteration, ValueError, yaml.YAMLError) as error:
            raise KubeconfigError(f"{kubeconfig} is no usable kubeconfig: {error!r}") from error

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._context if self._context is not None else True, limit=64)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **query: str
    ) -> Any:
        """Sends one request and returns what came back.

        Raises:
            ClientError: the server refused it, or cannot be reached.
        """
        assert self._session is not None
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": content} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        try:
            async with self._session.request(
                method, self._server + path, data=data, headers=headers, params=query, timeout=timeout
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClientError(0, "Unreachable", f"{self._server}: {error or type(error).__name__}") from error
        found = msgspec.json.decode(raw) if raw.startswith(b"{") else {}
        if response.status >= 400:
            raise ClientError(response.status, found.get("reason", ""), found.get("message", f"HTTP {response.status}"))
        return found

    async def create(self, resource: str, subject: Object) -> Object:
        """Creates an object."""
        path = path_of(resource, subject["metadata"].get("namespace", ""))
        created: Object = await self.request("POST", path, subject)
        return created

    async def get(self, resource: str, key: Key) -> Object:
        """Reads an object."""
        found: Object = await self.request("GET", path_of(resource, *key))
        return found

    async def replace(self, resource: str, subject: Object, subresource: str = "") -> Object:
        """Replaces an object or its subresource."""
        path = path_of(resource, *key_of(subject), subresource)
        found: Object = await self.request("PUT", path, subject)
        return found

    async def merge(self, resource: str, key: Key, patch: Object, subresource: str = "") -> Object:
        """Changes an object by a merge patch."""
        path = path_of(resource, *key, subresource)
        content = "application/merge-patch+json"
        found: Object = await self.request("PATCH", path, patch, content=content)
        return found

    async def delete(self, resource: str, key: Key, *, uid: str = "", grace: int | None = None) -> bool:
        """Deletes an object; returns False when it (or the one with that UID) is no longer there."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self.request("DELETE", path_of(resource, *key), options)
        except ClientError as error:
            if error.code == 404 or (error.code == 409 and uid):
                return False
            raise
        return True

    async def list(self, resource: str, namespace: str = "", **query: str) -> tuple[dict[Key, Object], str]:
        """Reads a whole list, page by page; returns it with its revision."""
        found: dict[Key, Object] = {}
        token = ""
        while True:
            more = {**query, "limit": str(_PAGE), **({"continue": token} if token else {})}
            page = await self.request("GET", path_of(resource, namespace), **more)
            found.update((key_of(item), item) for item in page.get("items") or ())
            token = page["metadata"].get("continue") or ""
            if not token:
                return found, page["metadata"]["resourceVersion"]

    async def follow(self, resource: str, **query: str) -> AsyncIterator[Change]:
        """Yields a list, and then its changes, for ever: it survives restarts and forgotten revisions."""
        delay, revision = _FIRST_DELAY, ""
        while True:
            try:
                if not revision:
                    objects, revision = await self.list(resource, **query)
                    yield Replaced(objects)
                async for change, seen in self._watch(resource, revision, query):
                    delay, revision = _FIRST_DELAY, seen
                    if change is not None:
                        yield change
                await asyncio.sleep(_FIRST_DELAY)  # a watch has its time; a server that stops ends it at once
            except ClientError as error:
                if error.code == _GONE:
                    revision = ""
                    continue
                log.warning("%s: %s; trying again in %.1f s", resource, error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY)

    async def _watch(
        self, resource: str, revision: str, query: Mapping[str, str]
    ) -> AsyncIterator[tuple[Change | None, str]]:
        assert self._session is not None
        asked = {
            **query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": revision,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=120)
        try:
            async with self._session.get(self._server + path_of(resource), params=asked, timeout=timeout) as response:
                if response.status != 200:
                    raw = await response.read()
                    found = msgspec.json.decode(raw) if raw.startswith(b"{") else {}
                    raise ClientError(response.status, found.get("reason", ""), found.get("message", ""))
                async for line in response.content:
                    yield _event(msgspec.json.decode(line))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClientError(0, "Unreachable", f"{error or type(error).__name__}") from error


def _event(event: Object) -> tuple[Change | None, str]:
    subject = event["object"]
    if event["type"] == "ERROR":
        raise ClientError(subject.get("code", 0), subject.get("reason", ""), subject.get("message", ""))
    revision = subject["metadata"]["resourceVersion"]
    if event["type"] == "BOOKMARK":
        return None, revision
    if event["type"] == "DELETED":
        return Deleted(key_of(subject), subject), revision
    return Put(key_of(subject), subject), revision


def _named(entries: Any, name: str) -> Any:
    return next(entry for entry in entries if entry["name"] == name)


def _context(cluster: Object, user: Object) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    with contextlib.ExitStack() as stack:

        def file(entry: Object, name: str) -> str:
            if f"{name}-data" in entry:
                kept = stack.enter_context(tempfile.NamedTemporaryFile())
                kept.write(base64.b64decode(entry[f"{name}-data"]))
                kept.flush()
                return kept.name
            return str(entry[name])

        context.load_verify_locations(file(cluster, "certificate-authority"))
        context.load_cert_chain(file(user, "client-certificate"), file(user, "client-key"))
    return context
