"""How fast a real VPP is programmed through the descriptors, against what it would take at least.

For routes, translations (Maglev, three backends each) and access lists (ten rules each): things per second through the
descriptor, and the ratio of the least possible time to it. The least possible is the bare packing of the same messages
in Python, and after that VPP's own time: packed frames that a thread writes to the socket while answers are counted and
not read. All in one run, on values of their own; median of some runs. Needs VPP_PREFIX.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.resources
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vpp_papi.vpp_papi_async import VPPApiJSONFiles

from bench._common import report
from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.plane import VppDataplane
from contivpp.dataplane.vpp.values.acl import Acl, AclRule
from contivpp.dataplane.vpp.values.interfaces import Loopback
from contivpp.dataplane.vpp.values.routing import VppRoute
from contivpp.dataplane.vpp.values.translation import Backend, Translation
from contivpp.scheduler.api import Descriptor, Operation, OperationKind
from tests.integration.dataplane.vpp import RealVpp

RUNS = 5
RULES = 10
FRAME = struct.Struct(">QII")
LINK = Loopback("bench", "02:fe:00:00:00:01")


def routes(count: int, block: int) -> Iterator[VppRoute]:
    """Routes over one next hop."""
    for number in range(count):
        yield VppRoute(f"{20 + block}.{number >> 8}.{number & 255}.0/24", via="10.9.0.2", interface=LINK.name)


def translations(count: int, block: int) -> Iterator[Translation]:
    """Ports of services with three backends."""
    for number in range(count):
        last = f"{number >> 8}.{number & 255}"
        backends = tuple(Backend(f"10.{one}.{last}", 8080) for one in range(1, 4))
        yield Translation("tcp", f"10.{96 + block}.{last}", 80, backends)


def lists(count: int, block: int) -> Iterator[Acl]:
    """Access lists of ten rules."""
    for number in range(count):
        rules = [
            AclRule("reflect", f"10.{one}.{number & 255}.0/24", "0.0.0.0/0", 6, destination_ports=(80, 80))
            for one in range(RULES)
        ]
        yield Acl(f"bench-{block}-{number}", tuple(rules))


KINDS: dict[str, tuple[Callable[[int, int], Iterator[Any]], int, int]] = {
    "routes": (routes, 5_000, 1),
    "translations": (translations, 1_000, 1),
    "acl_rules": (lists, 500, RULES),
}
"""By what is counted: the values, how many in a run, and how many things each is."""


class Raw:
    """A second socket to VPP, without asyncio and without looking at what comes back."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        text = importlib.resources.files("vpp_papi.data").joinpath("memclnt.api.json").read_text(encoding="utf-8")
        messages, _ = VPPApiJSONFiles.process_json_str(text)
        packed = messages["sockclnt_create"].pack({"_vl_msg_id": 15, "name": "raw", "context": 0})
        self._socket.sendall(FRAME.pack(0, len(packed), 0) + packed)
        reply, _ = messages["sockclnt_create_reply"].unpack(self._frame())
        self.client = reply.index

    def close(self) -> None:
        """Ends it."""
        self._socket.close()

    def run(self, frames: Sequence[bytes]) -> float:
        """Seconds until as many answers came as there are requests."""
        everything = b"".join(frames)
        start = time.perf_counter()
        writer = threading.Thread(target=self._socket.sendall, args=(everything,))
        writer.start()
        for _ in frames:
            self._frame()
        writer.join()
        return time.perf_counter() - start

    def _frame(self) -> bytes:
        _, length, _ = FRAME.unpack(self._exactly(FRAME.size))
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                sys.exit("VPP closed the socket")
            data += more
        return data


async def apply(plane: VppDataplane, kind: OperationKind, values: Sequence[Any]) -> float:
    """Seconds for a batch through its descriptor."""
    [descriptor] = _descriptors(plane, values[0])
    operations = [Operation(kind, value.key, value, value) for value in values]
    gc.collect()
    start = time.perf_counter()
    outcomes = await descriptor.apply(operations)
    took = time.perf_counter() - start
    if failed := [outcome.error for outcome in outcomes if not outcome.ok]:
        sys.exit(failed[0])
    return took


def _descriptors(plane: VppDataplane, value: Any) -> list[Descriptor]:
    return [one for one in plane.descriptors() if value.key.startswith(one.prefix)]


async def recorded(plane: VppDataplane, values: Sequence[Any]) -> list[tuple[str, Any]]:
    """The requests that a batch becomes, which is carried out and taken back."""
    requests: list[tuple[str, Any]] = []
    original = Connection.batch

    async def recording(self: Connection, batch: Any) -> Any:
        requests.extend(batch)
        return await original(self, batch)

    Connection.batch = recording  # type: ignore[method-assign]
    try:
        await apply(plane, OperationKind.CREATE, values)
    finally:
        Connection.batch = original  # type: ignore[method-assign]
    await apply(plane, OperationKind.DELETE, values)
    return requests


async def measure(plane: VppDataplane, raw: Raw, name: str) -> None:
    """Prints the figures of one kind."""
    make, count, weight = KINDS[name]
    connection = plane.client.connection
    ours, least, packing = [], [], []
    for _ in range(RUNS):
        values = list(make(count, 0))
        ours.append(await apply(plane, OperationKind.CREATE, values))
        await apply(plane, OperationKind.DELETE, values)
        values = list(make(count, 1))
        requests = await recorded(plane, values)
        start = time.perf_counter()
        packed = [
            message.pack({**fields, "_vl_msg_id": message.number, "client_index": raw.client, "context": 1})
            for message, fields in ((connection.definitions.by_name[one], fields) for one, fields in requests)
        ]
        packing.append(time.perf_counter() - start)
        frames = [FRAME.pack(0, len(one), 0) + one for one in packed]
        own = await asyncio.to_thread(raw.run, frames)
        least.append(packing[-1] + own)
        await apply_deletes_of_raw(plane, values)
    order = sorted(range(RUNS), key=lambda run: ours[run])
    middle = order[RUNS // 2]
    things = count * weight
    report(f"vpp_program.{name}", things / ours[middle], f"{name}/s", RUNS, requests=len(requests))
    report(f"vpp_program.{name}.requests", len(requests) / ours[middle], "requests/s", RUNS)
    report(f"vpp_program.{name}.packing", packing[middle] / ours[middle], "share", RUNS)
    ratios = sorted(a / b for a, b in zip(least, ours, strict=True))
    report(f"vpp_program.{name}.ratio", ratios[RUNS // 2], "least/ours", RUNS)


async def apply_deletes_of_raw(plane: VppDataplane, values: Sequence[Any]) -> None:
    """Takes away what the raw socket made; what it is must be read first, for VPP numbers some of it."""
    [descriptor] = _descriptors(plane, values[0])
    found = await descriptor.retrieve()
    await apply(plane, OperationKind.DELETE, [found[value.key].value for value in values])


async def run(folder: Path, netns: str) -> None:
    """Starts VPP and measures every kind."""
    vpp = RealVpp(folder / "vpp", netns=netns)
    vpp.start()
    try:
        plane = VppDataplane(vpp.socket, timeout=60)
        running = asyncio.create_task(plane.run())
        await plane.ready.wait()
        await apply(plane, OperationKind.CREATE, [LINK])
        raw = Raw(vpp.socket)
        for name in KINDS:
            await measure(plane, raw, name)
        raw.close()
        running.cancel()
        await asyncio.wait([running])
    finally:
        vpp.end()


def main() -> None:
    """Makes a namespace for it."""
    netns = f"bench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(Path(folder), netns))
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=True)


if __name__ == "__main__":
    main()
