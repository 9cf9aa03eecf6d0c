"""VPP for the rest of the agent: connected whenever it runs, refused when it lacks something, and said to be so.

The root task connects, checks, tells that VPP is there, pings it while nothing else is said, and starts again when it
is gone. Everything else asks for the `connection` and gets an error that says what is wrong when there is none.

A VPP that lacks something is refused once and watched until it goes: only another one can have what it lacks. One
that dies again and again soon after it was reached is tried at longer intervals, and why it may is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client import Counter, Gauge

from contivpp.daemon.backoff import Backoff
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppIncompatible, VppRefused
from contivpp.dataplane.vpp.contract.check import differences
from contivpp.dataplane.vpp.contract.model import Contract

log = logging.getLogger(__name__)

NAME: Final = "contiv-agent"
PING_PERIOD: Final = 1.0
AGAIN: Final = (0.05, 0.4)
"""Seconds between attempts to reach a VPP that is not there: packets are lost meanwhile, and asking costs nothing."""
_SOON: Final = 10.0  # seconds after which a VPP that dies did not die of being programmed
_DEATHS: Final = 3  # in a row, each soon after it was reached

CONNECTED = Gauge("contiv_agent_vpp_connected", "Whether the agent is connected to VPP (1) or not (0)")
CONNECTIONS = Counter("contiv_agent_vpp_connections", "Connections to VPP that were made")


class Vpp:
    """The VPP of this node."""

    def __init__(
        self,
        path: Path,
        *,
        contract: Contract,
        appeared: Callable[[], Awaitable[None]],
        timeout: float = 5.0,
    ) -> None:
        """Takes where VPP listens and what is needed of it.

        Args:
            path: of its API socket.
            contract: what is needed of it.
            appeared: called after every connection: nothing is known of what is in this VPP.
            timeout: seconds without an answer after which it counts as hung.
        """
        self._path = path
        self._contract = contract
        self._appeared = appeared
        self._timeout = timeout
        self._connection: Connection | None = None
        self._problem = f"VPP at {path} has not been reached yet"
        self._deaths = 0
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
        patience, caution = Backoff(*AGAIN), Backoff(1, 10)
        said = ""
        while True:
            since = None
            try:
                await self._connect()
                since = time.monotonic()
                said = ""
                patience.reset()
                log.info("connected to VPP %s at %s", self.version, self._path)
                await self._appeared()
                await self._stay()
            except VppIncompatible:
                said = self._problem  # logged when it was found
            except VppError as error:
                if since is not None:
                    self._deaths = self._deaths + 1 if time.monotonic() - since < _SOON else 0
                self._problem = str(error) if self._deaths < _DEATHS else f"{error}; {self._dying()}"
                if self._problem != said:
                    said = self._problem
                    log.warning("%s", said)
            finally:
                CONNECTED.set(0)
                await self._leave()
            if self._deaths < _DEATHS:
                caution.reset()
            await asyncio.sleep((patience if self._deaths < _DEATHS else caution).next())

    async def _connect(self) -> None:
        connection = await Connection.open(self._path, NAME, timeout=self._timeout)
        try:
            self.version = await _version(connection)
            await _end_the_dead(connection)
            if missing := differences(self._contract, connection.definitions):
                await self._refuse(connection, missing)
        except (ValueError, LookupError) as error:
            await connection.close()
            raise VppDown(
                f"VPP at {self._path} describes its messages in a way that cannot be read: {error}"
            ) from error
        except BaseException:
            await connection.close()
            raise
        self._connection, self._problem = connection, ""
        CONNECTED.set(1)
        CONNECTIONS.inc()

    async def _refuse(self, connection: Connection, missing: list[str]) -> None:
        """Says what a VPP lacks, and waits until it is gone.

        Raises:
            VppIncompatible: always, in the end.
        """
        problem = (
            f"VPP {self.version} at {self._path} lacks {', '.join(missing)}: load the plugin that has it, "
            "or install a VPP of the version that this release names"
        )
        if problem != self._problem:
            log.error("%s", problem)
        self._problem = problem
        await connection.closed.wait()
        raise VppIncompatible(problem)

    def _dying(self) -> str:
        return (
            f"that was so {self._deaths} times in a row within {_SOON:g} s of reaching it: its log says why; "
            "if its memory is exhausted, it needs a larger main-heap-size"
        )

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
            self._problem = self._problem or connection.reason
            await connection.close()


async def _version(connection: Connection) -> str:
    if "show_version" not in connection.definitions.by_name:
        return "of an unknown version"
    answer: Any = await connection.call("show_version")
    return str(answer.version)


async def _end_the_dead(connection: Connection) -> None:
    """Lets VPP notice that clients of before are gone, an agent that was killed among them.

    VPP takes the end of a connection for "nothing to read now" while the last system call of its that failed said so
    (EAGAIN), and that is so once a long answer had to wait for its reader. Until another call fails it turns without
    pause, and with 16 such connections for ever. A file that cannot be there is such a call.
    """
    if "cli_inband" in connection.definitions.by_name:
        with contextlib.suppress(VppRefused):
            await connection.call("cli_inband", cmd="exec /dev/null/nothing")
