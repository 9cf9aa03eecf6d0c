"""A stand-in for VPP: speaks its API, keeps state, and goes wrong on demand; `python -m tests.standin.vpp SOCKET`.

In a test it runs in a thread, so that it can be started, frozen and ended from outside like a process; what it holds
is `state`, what goes wrong `faults`. Every start is a new life that knows nothing of the one before.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from contivpp.dataplane.vpp.contract.model import Contract, joined, load, parse
from tests.standin.faults import Faults
from tests.standin.handlers import learn
from tests.standin.server import OWN, Language, Server
from tests.standin.state import State

MORE = Path(__file__).with_name("more.toml")
"""What tests want of a VPP beside what the driver needs."""


@functools.cache
def language(lacks: tuple[str, ...] = (), other: tuple[tuple[str, str], ...] = ()) -> Language:
    """The messages of a stand-in: all of the contract that its families handle, as of a VPP without other plugins.

    Args:
        lacks: messages, and fields as "message.field", that it does not have.
        other: fields as "message.field", each with the type that it has instead.
    """
    whole = joined([load(), parse(MORE.read_text(encoding="utf-8"), MORE.name)])
    handled = {*learn(), *OWN}
    exchanges = {name: one for name, one in whole.exchanges.items() if name in handled}
    types = dict(whole.types)
    for name in lacks:
        message, _, field = name.partition(".")
        if not field:
            del exchanges[message]
        else:
            _change(exchanges, types, message, lambda fields, field=field: fields.pop(field))
    for name, kind in other:
        message, _, field = name.partition(".")
        _change(exchanges, types, message, lambda fields, field=field, kind=kind: fields.update({field: kind}))
    return Language(Contract(exchanges, whole.events, types))


def _change(exchanges: dict[str, Any], types: dict[str, Any], owner: str, change: Callable[[Any], Any]) -> None:
    """Changes the fields of a request, of the details of a dump, or of a type."""
    if owner in types:
        fields = dict(types[owner].fields)
        change(fields)
        types[owner] = dataclasses.replace(types[owner], fields=fields)
        return
    for name, exchange in exchanges.items():
        for part, whose in (("request", name), ("reply", exchange.reply_name), ("details", exchange.details_name)):
            if whose == owner:
                fields = dict(getattr(exchange, part))
                change(fields)
                exchanges[name] = dataclasses.replace(exchange, **{part: fields})
                return
    raise KeyError(owner)


class StandIn:
    """A VPP that stands in for a real one, in a thread of its own.

    Attributes:
        respawn: whether it starts again by itself when a fault ends it, as a service does.
        lives: how often it started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lacks: Iterable[str] = (),
        other: dict[str, str] | None = None,
        page: int = 0,
        respawn: bool = False,
        first_interface: Callable[[], int] = lambda: 1,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / "api.sock"
        self.faults = Faults()
        self.lacks = tuple(lacks)
        self.other = tuple((other or {}).items())
        self.page = page
        self.respawn = respawn
        self.lives = 0
        self._first_interface = first_interface
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def server(self) -> Server:
        """The life that it has now, or had last."""
        assert self._server is not None
        return self._server

    @property
    def state(self) -> State:
        """What it holds."""
        return self.server.state

    def start(self) -> None:
        """Starts a new life; it listens when this returns."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in", daemon=True)
            self._thread.start()
        spoken = language(self.lacks, self.other)  # made in this thread: vpp_papi's types belong to the process
        self._call(self._begin(spoken))

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends this life; what it held is gone."""
        if self._server is not None and self._loop is not None:
            self._do(self._server.stop)

    def close(self) -> None:
        """Ends it for good."""
        self.end()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
            self._loop = None

    def freeze(self) -> None:
        """Stops it from answering."""
        self._do(functools.partial(self.server.freeze, True))

    def dead_ends(self) -> int:
        """How many paths of routes lead nowhere."""
        return sum(path.lost for paths in self.state.things("route").values() for path in paths)

    def thaw(self) -> None:
        """Lets it answer again."""
        self._do(functools.partial(self.server.freeze, False))

    def emit(self, name: str, **fields: Any) -> None:
        """Sends an event to who asked for it."""
        self._do(functools.partial(self.server.emit, name, **fields))

    async def _begin(self, spoken: Language) -> None:
        self.socket.unlink(missing_ok=True)
        state = State(first_interface=self._first_interface())
        self._server = Server(spoken, state, self.faults, page=self.page, died=self._died)
        await self._server.start(self.socket)
        self.lives += 1

    def _died(self) -> None:
        if self.respawn and self._loop is not None:
            self._respawning = self._loop.create_task(self._begin(self.server.language))

    def _do(self, function: Callable[[], Any]) -> None:
        async def call() -> None:
            function()

        self._call(call())

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


def main() -> None:
    """Runs a stand-in as a process, until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--lacks", action="append", default=[], metavar="MESSAGE[.FIELD]")
    options = parser.parse_args()

    async def serve() -> None:
        server = Server(language(tuple(options.lacks)), State(), Faults())
        await server.start(options.socket)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
