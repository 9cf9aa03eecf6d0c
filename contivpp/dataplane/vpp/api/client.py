"""VPP for the rest of the agent: connected whenever it runs, refused when it lacks something, and said to be so.

The root task connects, checks, tells that VPP is there, pings it while nothing else is said, and starts again when it
is gone. Everything else asks for the `connection` and gets an error that says what is wrong when there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import Counter, Gauge

from contivpp.daemon.backoff import Backoff
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppIncompatible

log = logging.getLogger(__name__)

NAME: Final = "contiv-agent"
PING_PERIOD: Final = 1.0
AGAIN: Final = (0.05, 0.4)
"""Seconds between attempts to reach a VPP that is not there: packets are lost meanwhile, and asking costs nothing."""
AGAIN_INCOMPATIBLE: Final = 5.0
"""The same for one that lacks something: it must be restarted, and asking means reading all its definitions."""

CONNECTED = Gauge("contiv_agent_vpp_connected", "Whether the agent is connected to VPP (1) or not (0)")
CONNECTIONS = Counter("contiv_agent_vpp_connections", "Connections to VPP that were made")


class Vpp:
    """The VPP of this node."""

    def __init__(
        self,
        path: Path,
        *,
        needs: Mapping[str, Iterable[str]],
        appeared: Callable[[], Awaitable[None]],
        timeout: float = 5.0,
    ) -> None:
        """Takes where VPP listens and what is needed of it.

        Args:
            path: of its API socket.
            needs: names of messages, each with names of fields.
            appeared: called after every connection: nothing is known of what is in this VPP.
            timeout: seconds without an answer after which it counts as hung.
        """
        self._path = path
        self._needs = needs
        self._appeared = appeared
        self._timeout = timeout
        self._connection: Connection | None = None
        self._problem = f"VPP at {path} has not been reached yet"
        self.version = ""

    @property
    def connection(self) -> Connection:
        """The open connection.

        Raises:
            VppDown: there is none, with the reason.
        """
        if self._connection is None or self._connection.closed.is_set():
            raise VppDown(self.problem)
        return self._connection

    @property
    def problem(self) -> str:
        """Why VPP cannot be used; "" when it can."""
        connection = self._connection
        if connection is not None and connection.closed.is_set():
            return connection.reason
        return self._problem

    async def run(self) -> None:
        """The root task: connects for ever."""
        patience = Backoff(*AGAIN)
        said = ""
        while True:
            pause = 0.0
            try:
                await self._connect()
                patience.reset()
                said = ""
                log.info("connected to VPP %s at %s", self.version, self._path)
                await self._appeared()
                await self._stay()
            except VppError as error:
                if str(error) != said:
                    said = str(error)
                    log.log(logging.ERROR if isinstance(error, VppIncompatible) else logging.WARNING, "%s", error)
                self._problem = str(error)
                pause = AGAIN_INCOMPATIBLE if isinstance(error, VppIncompatible) else 0.0
            finally:
                CONNECTED.set(0)
                await self._leave()
            await asyncio.sleep(pause or patience.next())

    async def _connect(self) -> None:
        connection = await Connection.open(self._path, NAME, timeout=self._timeout)
        try:
            self.version = await _version(connection)
            if missing := connection.definitions.lacks(self._needs):
                raise VppIncompatible(
                    f"VPP {self.version} at {self._path} lacks {', '.join(missing)}: load the plugin that has it, "
                    "or install a VPP of the version that this release names"
                )
        except BaseException:
            await connection.close()
            raise
        self._connection, self._problem = connection, ""
        CONNECTED.set(1)
        CONNECTIONS.inc()

    async def _stay(self) -> None:
        """Ends when the connection does; pings, so that a VPP that hangs is noticed when nobody asks it anything."""
        connection = self.connection
        while not connection.closed.is_set():
            try:
                async with asyncio.timeout(PING_PERIOD):
                    await connection.closed.wait()
            except TimeoutError:
                await connection.call("control_ping")
        raise VppDown(connection.reason)

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.closed.is_set():
                self._problem = connection.reason
            await connection.close()


async def _version(connection: Connection) -> str:
    if "show_version" not in connection.definitions.by_name:
        return "of an unknown version"
    answer: Any = await connection.call("show_version")
    return str(answer.version)
