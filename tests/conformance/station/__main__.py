"""The station: one process in a network namespace that serves, and that asks others when it is told to.

It runs from an archive under the standard library alone: `station NAME PORT`. Commands come as JSON lines on the
standard input, `{"id": 1, "do": "probes", ...}`, and are answered in the order in which they end: `{"id": 1, "answer":
...}`, or `"problem"` in place of the answer for one that could not be carried out. `{"id": 1, "stop": true}` asks a
command that goes on to end, and `{"id": 1, "begun": true}` says that one has what it goes on with. The first line out says that the servers listen; the end of the input ends everything.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import links
import load
import probes
import streams
from servers import Servers

COMMANDS: dict[str, Callable[..., Any]] = {
    "probes": probes.probes,
    "ping": probes.ping,
    "mtu": links.mtu,
    "owns": links.owns,
    "watch": links.watch,
    "datagrams": load.datagrams,
    "connections": load.connections,
    "many-ports": load.many_ports,
    "pulse": load.pulse,
    "stream": streams.stream,
    "send": streams.send,
    "half-close": streams.half_close,
    "abort": streams.abort,
    "be-reset": streams.be_reset,
    "hold": streams.hold,
}
LASTING = ("stream", "hold")


class Station:
    """Carries out commands, each in a task of its own."""

    def __init__(self, name: str) -> None:
        self.servers = Servers(name)
        self._stops: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, port: int) -> None:
        """Serves until the input ends."""
        await self.servers.serve([[port, "TCP"], [port, "UDP"], [port, "SCTP"]])
        reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        say({"id": 0, "answer": "listening"})
        while line := await reader.readline():
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        number = message.pop("id")
        if message.get("stop"):
            if number in self._stops:
                self._stops[number].set()
            return
        stop = self._stops[number] = asyncio.Event()
        task = asyncio.create_task(self._carry_out(number, stop, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, number: int, stop: asyncio.Event, message: dict[str, Any]) -> None:
        what = message.pop("do")
        try:
            if what == "serve":
                answer = await self.servers.serve(message["ports"])
            elif what == "endings":
                answer = self.servers.endings()
            else:
                if what in LASTING:
                    message["begun"] = lambda: say({"id": number, "begun": True})
                answer = await COMMANDS[what](stop=stop, **message)
            say({"id": number, "answer": answer})
        except Exception:  # the one who asked shall know, whatever it is
            say({"id": number, "problem": traceback.format_exc()})
        finally:
            del self._stops[number]


def say(message: dict[str, Any]) -> None:
    """One line out."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Runs until the input ends."""
    name, port = sys.argv[1:]
    asyncio.run(Station(name).run(int(port)))


if __name__ == "__main__":
    main()
