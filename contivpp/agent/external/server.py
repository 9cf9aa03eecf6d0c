"""External configuration over gRPC, for programs on the same node. The words of the service: `config.proto`.

A call becomes an event, and is answered once the controller has handled it. A client that gives up takes its event
back, unless it is being handled already.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

import grpc

from contivpp.agent.events import ExternalConfigChanged
from contivpp.agent.external import config_pb2 as _messages
from contivpp.agent.external.config import check_source
from contivpp.agent.external.report import Reporter
from contivpp.daemon.unix_grpc import Method, UnixServer

config_pb2: Any = _messages  # made at run time, unknown to type checkers
SERVICE: Final = "contivpp.config.ExternalConfig"


class ConfigServer(UnixServer):
    """Serves the programs of one node."""

    def __init__(
        self, path: Path, reporter: Reporter, *, push: Callable[[ExternalConfigChanged], Awaitable[None]]
    ) -> None:
        """Takes where the socket is to be, who knows what became of items, and the controller's queue."""
        self._reporter = reporter
        self._push = push
        super().__init__(
            path,
            SERVICE,
            {
                "Replace": Method(self.replace, config_pb2.Items, config_pb2.Outcomes),
                "Update": Method(self.update, config_pb2.Items, config_pb2.Outcomes),
                "Get": Method(self.get, config_pb2.Query, config_pb2.Outcomes),
            },
        )

    async def replace(self, call: Any, context: Any) -> Any:
        """These are all items of the source."""
        try:
            if call.withdrawn:
                raise ValueError("withdrawn: Replace withdraws whatever is not among the items; use Update")
            return await self._change(call, whole=True)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def update(self, call: Any, context: Any) -> Any:
        """Adds, changes and withdraws single items."""
        try:
            return await self._change(call, whole=False)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def get(self, call: Any, context: Any) -> Any:
        """What is known of items."""
        sources = [call.source] if call.source else self._reporter.sources()
        return config_pb2.Outcomes(outcomes=[one for source in sources for one in self._outcomes(source)])

    async def _change(self, call: Any, *, whole: bool) -> Any:
        check_source(call.source)
        named = Counter([*(item.key for item in call.items), *call.withdrawn])
        if twice := [key for key, times in named.items() if times > 1]:
            message = f"key {twice[0]!r} comes twice: name it once"
            raise ValueError(message)
        items: dict[str, bytes | None] = {item.key: item.value.encode() for item in call.items}
        items.update(dict.fromkeys(call.withdrawn))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._push(ExternalConfigChanged(call.source, items, whole=whole, done=done))
        await done
        return config_pb2.Outcomes(outcomes=self._outcomes(call.source, items))

    def _outcomes(self, source: str, keys: Iterable[str] | None = None) -> list[Any]:
        return [
            config_pb2.Outcome(
                source=source,
                key=one.key,
                state=one.state,
                error=one.error,
                value="" if one.value is None else bytes(one.value).decode(),
                refused=one.refused,
            )
            for one in self._reporter.outcomes(source, keys)
        ]
