"""What became of external items, as data for gRPC and REST."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from aiohttp import web

from contivpp.agent.desired import Desired
from contivpp.daemon.http import json_response
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.state import ValueState


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of a source.

    Attributes:
        state: of the key in the scheduler; several sources may share a key.
        error: why the item is refused, has no effect, or failed; "" when all is well.
        value: the JSON object that counts, None when nothing does.
        refused: the item that came last is refused, and changed nothing.
    """

    key: str
    state: str
    value: msgspec.Raw | None = None
    error: str = ""
    refused: bool = False


class Reporter:
    """Looks items up in everything that knows of them."""

    def __init__(self, desired: Desired, scheduler: Scheduler, *, waiting: Callable[[], str]) -> None:
        """Takes what is desired, what became of it, and the reason why nothing is applied yet ("" when it is)."""
        self._desired = desired
        self._scheduler = scheduler
        self._waiting = waiting

    def sources(self) -> list[str]:
        """Everybody who has items, sorted."""
        return self._desired.external.sources()

    def outcomes(self, source: str, keys: Iterable[str] | None = None) -> list[Outcome]:
        """What became of items of a source, of all by default, sorted by key."""
        external = self._desired.external
        wanted = sorted(external.keys_of(source) if keys is None else keys)
        known = {entry["value"]["key"]: entry["value"] for entry in self._scheduler.status()} if wanted else {}
        return [self._outcome(source, key, known.get(key, {})) for key in wanted]

    def _outcome(self, source: str, key: str, status: dict[str, Any]) -> Outcome:
        external = self._desired.external
        item = external.item(source, key)
        refusal = external.refusal(source, key)
        error = refusal
        if item is not None and not error:
            error = external.merged(key, self._desired.own_value(key)).problems.get(source, "") or _trouble(status)
            if not error and not status and (reason := self._waiting()):
                error = f"kept, and not applied yet: {reason}"
        return Outcome(
            key=key,
            state=status.get("state", str(ValueState.NONEXISTENT)),
            value=None if item is None else msgspec.Raw(item.raw),
            error=error,
            refused=bool(refusal),
        )


class ExternalApi:
    """The routes of external configuration."""

    def __init__(self, reporter: Reporter) -> None:
        """Takes who knows."""
        self._reporter = reporter

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [web.get("/contiv/v1/external-config", self.external_config)]

    async def external_config(self, request: web.Request) -> web.Response:
        """Every item by source, with its state and what is wrong with it; ?source=S for one source."""
        wanted = request.query.get("source", "")
        names = [name for name in self._reporter.sources() if wanted in ("", name)]
        return json_response({"sources": [{"name": one, "items": self._reporter.outcomes(one)} for one in names]})


def _trouble(status: dict[str, Any]) -> str:
    if status.get("state") == ValueState.PENDING:
        return f"waits for {', '.join(status.get('details', ())) or 'what it needs'}"
    return str(status.get("error", ""))
