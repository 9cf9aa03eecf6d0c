"""Asking agents over HTTP: many at once, and a reason instead of a trace when one does not answer."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from contivpp.netctl.errors import AgentError
from contivpp.netctl.http_config import HttpClientConfig

TIMEOUT: Final = 10.0
_AT_ONCE: Final = 32
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent said: the HTTP status and the decoded JSON."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the agent did what it was asked."""
        return self.status < 400


class Agents:
    """The HTTP side of all agents of a cluster."""

    def __init__(self, config: HttpClientConfig, *, timeout: float = TIMEOUT) -> None:
        """Takes the configuration; `timeout` is in seconds, for one whole request."""
        self._config = config
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        """Opens nothing yet: connections are made when they are needed."""
        auth = aiohttp.BasicAuth(*self._config.basic_auth) if self._config.basic_auth else None
        self._session = aiohttp.ClientSession(
            auth=auth, connector=aiohttp.TCPConnector(ssl=self._config.verify_server_cert, limit=0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()

    async def get(self, hosts: Sequence[str], path: str, *, port: int = 0) -> Answer:
        """What the agent at the first of these addresses that can be reached says, whatever the HTTP status.

        Raises:
            AgentError: nobody answered, or not in JSON.
        """
        return await self._ask("GET", hosts, path, body=None, limit=self._timeout, port=port)

    async def post(self, hosts: Sequence[str], path: str, body: Any, *, takes: float = 0.0) -> Answer:
        """The same for a request with a body; `takes` is how many seconds the work itself takes."""
        return await self._ask("POST", hosts, path, body=body, limit=self._timeout + takes)

    async def fetch(self, hosts: Sequence[str], path: str) -> Any:
        """The body of a good answer.

        Raises:
            AgentError: as `get`, and when the agent says that it cannot.
        """
        answer = await self.get(hosts, path)
        if not answer.ok:
            raise AgentError(refusal(answer))
        return answer.body

    async def _ask(
        self, method: str, hosts: Sequence[str], path: str, *, body: Any, limit: float, port: int = 0
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("use `async with`")
        if not hosts:
            raise AgentError("no address is known for it: Kubernetes has no InternalIP for the node")
        config = dataclasses.replace(self._config, port=port) if port else self._config
        reasons = []
        for host in hosts:
            url = config.url(host, path)
            try:
                async with self._free, asyncio.timeout(limit):
                    return await self._once(method, url, body)
            except TimeoutError:
                reasons.append(f"no answer from {url} within {limit:.0f} s")
            except aiohttp.ClientConnectorCertificateError as error:
                raise AgentError(f"{url}: its certificate is not trusted: {error.certificate_error}") from error
            except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
                reasons.append(f"{url}: {_why(error)}")
        raise AgentError("; ".join(reasons))

    async def _once(self, method: str, url: str, body: Any) -> Answer:
        assert self._session is not None
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data is not None else {}
        no_limit = aiohttp.ClientTimeout(total=None)
        async with self._session.request(method, url, data=data, headers=headers, timeout=no_limit) as response:
            content = await response.read()
            try:
                return Answer(response.status, msgspec.json.decode(content) if content.strip() else None)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if response.status >= 400:
                    return Answer(response.status, content.decode(errors="replace").strip())
                raise AgentError(f"{url}: answered no JSON: {content[:_SHOWN]!r}") from error


def refusal(answer: Answer) -> str:
    """Why an agent did not do what it was asked, in its own words."""
    said = answer.body
    if isinstance(said, dict):
        said = said.get("Error") or said.get("error") or said
    return f"HTTP {answer.status}: {str(said)[:_SHOWN]}" if said else f"HTTP {answer.status}"


def _why(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(cause).__name__
