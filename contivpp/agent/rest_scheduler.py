"""The scheduler over REST: what it wants, has and did. Shapes: spec/agent.md 14.6."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from contivpp.agent.pods.api import NotReadyError
from contivpp.daemon.http import json_response
from contivpp.scheduler import pictures, records, views
from contivpp.scheduler.history import Transaction
from contivpp.scheduler.scheduler import Scheduler
from contivpp.scheduler.timeline import Revision

_NANOSECONDS = 1_000_000_000
_DRAWING_SECONDS = 60
_RESYNC_SECONDS = 60


class SchedulerApi:
    """The routes of the scheduler."""

    def __init__(self, scheduler: Scheduler, *, resync: Callable[[str], Awaitable[int]]) -> None:
        """Takes the scheduler, and what has the controller do a downstream resync.

        Args:
            scheduler: what is shown.
            resync: given the reason; returns the number of the transaction, or raises NotReadyError.
        """
        self._scheduler = scheduler
        self._resync = resync

    def routes(self) -> list[web.RouteDef]:
        """All routes, for the daemon's HTTP server."""
        return [
            web.get("/scheduler/status", self.status),
            web.get("/scheduler/dump", self.dump),
            web.get("/scheduler/txn-history", self.transactions),
            web.get("/scheduler/key-timeline", self.key_timeline),
            web.get("/scheduler/graph-snapshot", self.graph_snapshot),
            web.get("/scheduler/flag-stats", self.flag_stats),
            web.get("/scheduler/graph", self.graph),
            web.get("/scheduler/stats", self.stats),
            web.post("/scheduler/downstream-resync", self.downstream_resync),
        ]

    async def status(self, request: web.Request) -> web.Response:
        """The state of values with the reason: ?key=K, ?key-prefix=P or ?descriptor=D; else of all."""
        query = request.query
        found = self._scheduler.status(
            query.get("key-prefix", ""), key=query.get("key", ""), descriptor=query.get("descriptor", "")
        )
        if not found and (key := query.get("key", "")):
            return json_response({"Error": f"key={key}: the scheduler knows no such value"}, status=404)
        return json_response(found)

    async def dump(self, request: web.Request) -> web.Response:
        """The values of one view: ?view=SB|NB|cached and ?descriptor=D or ?key-prefix=P; else the index."""
        query = request.query
        if not query:
            return json_response(self._scheduler.index())
        return json_response(
            await self._scheduler.dump(
                view=query.get("view", "SB"),
                prefix=query.get("key-prefix", ""),
                descriptor=query.get("descriptor", ""),
            )
        )

    async def transactions(self, request: web.Request) -> web.Response:
        """Recorded transactions, oldest first: ?seq-num=N, or ?since= and ?until= in nanoseconds; ?format=text."""
        history, query = self._scheduler.history, request.query
        if "seq-num" in query:
            try:
                found = [history[_number(query, "seq-num")]]
            except KeyError:
                message = f"seq-num={query['seq-num']}: no such transaction is recorded"
                return json_response({"Error": message}, status=404)
        else:
            since = _number(query, "since") / _NANOSECONDS
            until = _number(query, "until") / _NANOSECONDS if "until" in query else float("inf")
            found = [one for one in history if one.stop >= since and one.start <= until]
        match query.get("format", "json"):
            case "text":
                return web.Response(text=records.text(found))
            case "json" if "seq-num" in query:
                return json_response(records.transaction(found[0]))
            case "json":
                return json_response([records.transaction(one) for one in found])
            case other:
                raise ValueError(f"format={other}: there are only json and text")

    async def key_timeline(self, request: web.Request) -> web.Response:
        """How a value was over time: ?key=K, and ?time= in nanoseconds for one moment."""
        key = request.query.get("key", "")
        if not key:
            raise ValueError("key is missing: /scheduler/key-timeline?key=K")
        found = self._scheduler.key_timeline(key)
        if "time" in request.query:
            moment = _number(request.query, "time") / _NANOSECONDS
            found = [one for one in found if one.since <= moment and (not one.until or moment < one.until)]
        return json_response([records.revision(one) for one in found])

    async def graph_snapshot(self, request: web.Request) -> web.Response:
        """Every value as it is, or as it was at ?time= in nanoseconds."""
        return json_response([records.revision(one) for one in self._at(request)])

    async def flag_stats(self, request: web.Request) -> web.Response:
        """How often each value of a flag occurs: ?flag=F, and ?prefix=P, repeated for several."""
        flag = request.query.get("flag", "")
        if not flag:
            raise ValueError("flag is missing: /scheduler/flag-stats?flag=value-state")
        prefixes = tuple(request.query.getall("prefix", [""]))
        revisions = [records.revision(one) for one in self._scheduler.snapshot() if one.key.startswith(prefixes)]
        return json_response(records.flag_counts(revisions, flag))

    async def graph(self, request: web.Request) -> web.Response:
        """The values as a picture: SVG, or ?format=dot (or raw) for Graphviz's text; ?txn=N as that one left them."""
        query = request.query
        if "txn" in query:
            try:
                ended: Transaction = self._scheduler.history[_number(query, "txn")]
            except KeyError:
                return json_response({"Error": f"txn={query['txn']}: no such transaction is recorded"}, status=404)
            text = pictures.dot(self._scheduler.snapshot(ended.stop))
        else:
            text = pictures.dot(self._at(request))
        if query.get("format", "svg") in ("dot", "raw"):
            return web.Response(text=text)
        program = shutil.which("dot")
        if program is None:
            message = "drawing needs Graphviz on the node: apt-get install graphviz, or ask with ?format=dot"
            return json_response({"Error": message}, status=501)
        pipe = asyncio.subprocess.PIPE
        drawing = await asyncio.create_subprocess_exec(program, "-Tsvg", stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(_DRAWING_SECONDS):
                picture, complaint = await drawing.communicate(text.encode())
        except TimeoutError:
            drawing.kill()
            await drawing.wait()
            message = f"the graph is too large to draw in {_DRAWING_SECONDS} s: ask with ?format=dot"
            return json_response({"Error": message}, status=503)
        if drawing.returncode:
            return json_response({"Error": f"dot: {complaint.decode(errors='replace').strip()}"}, status=500)
        return web.Response(body=picture, content_type="image/svg+xml")

    async def stats(self, request: web.Request) -> web.Response:
        """What was counted since the start."""
        return json_response({**views.stats(), "States": self._scheduler.summary()})

    async def downstream_resync(self, request: web.Request) -> web.Response:
        """Compares what is wanted with the data plane and mends it; answers with the transaction."""
        try:
            async with asyncio.timeout(_RESYNC_SECONDS):
                number = await self._resync("a request over REST")
        except NotReadyError as error:
            return json_response({"Error": str(error)}, status=503)
        except TimeoutError:
            message = f"not done within {_RESYNC_SECONDS} s; it goes on: see /scheduler/txn-history"
            return json_response({"Error": message}, status=504)
        return json_response(records.transaction(self._scheduler.history[number]))

    def _at(self, request: web.Request) -> list[Revision]:
        if "time" not in request.query:
            return self._scheduler.snapshot()
        return self._scheduler.snapshot(_number(request.query, "time") / _NANOSECONDS)


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{name}={text} is not a number")
    return int(text)
