"""`contiv-playground kubelet`: the stand-in for the kubelet and its container runtime."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from contivpp.playground.client import Client, Deleted, KubeconfigError, Put, Replaced
from contivpp.playground.kubelet.cni import CniError, NoConfigurationError, Plugins, load
from contivpp.playground.kubelet.node import NodeReporter
from contivpp.playground.kubelet.records import Record, Records
from contivpp.playground.kubelet.sandbox import INTERFACE, Sandboxes
from contivpp.playground.kubelet.worker import Node, PodWorker
from contivpp.playground.service import notify

Object = dict[str, Any]
log = logging.getLogger("kubelet")
DEFAULT_STATE: Final = Path("/var/lib/contiv-playground-kubelet")
_GC_AGAIN: Final = 5.0


class Kubelet:
    """All pods of one node."""

    def __init__(self, node: Node, reporter: NodeReporter) -> None:
        self._node = node
        self._reporter = reporter
        self._sandboxes = node.sandboxes
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Runs until it is cancelled, or something happens that it does not know."""
        kept = {record.uid: record for record in self._sandboxes.records.load()}
        log.info("node %s: %d pods kept from before", self._node.name, len(kept))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reporter.run())
                group.create_task(self._follow(kept))
                group.create_task(self._collect_garbage(kept))
                group.create_task(self._watch_workers())
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _watch_workers(self) -> None:
        await self._failed

    async def _follow(self, kept: dict[str, Record]) -> None:
        selector = f"spec.nodeName={self._node.name}"
        async for change in self._node.client.follow("pods", fieldSelector=selector):
            match change:
                case Replaced(objects):
                    wanted = {pod["metadata"]["uid"]: pod for pod in objects.values()}
                    for uid, record in kept.items():
                        if uid not in self._workers:
                            self._begin(record, wanted.get(uid), adopted=True)
                    kept.clear()
                    for uid, pod in wanted.items():
                        self._put(uid, pod)
                    for uid, worker in list(self._workers.items()):
                        if uid not in wanted:
                            worker.update(None)
                    notify("READY=1")
                case Put(object=pod):
                    self._put(pod["metadata"]["uid"], pod)
                case Deleted(object=pod):
                    worker_of = self._workers.get(pod["metadata"]["uid"])
                    if worker_of is not None:
                        worker_of.update(None)

    def _put(self, uid: str, pod: Object) -> None:
        if uid in self._workers:
            self._workers[uid].update(pod)
            return
        metadata = pod["metadata"]
        over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if over and not metadata.get("deletionTimestamp"):
            return
        record = Record(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=uid,
            host_network=bool(pod["spec"].get("hostNetwork")),
        )
        self._begin(record, pod, adopted=False)

    def _begin(self, record: Record, pod: Object | None, *, adopted: bool) -> None:
        worker = PodWorker(self._node, record, pod, adopted=adopted)
        self._workers[record.uid] = worker
        task = asyncio.create_task(worker.run(), name=f"{record.namespace}/{record.name}")
        self._tasks[record.uid] = task
        task.add_done_callback(lambda done: self._ended(record.uid, done))

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _collect_garbage(self, kept: dict[str, Record]) -> None:
        """Tells the plugins once what is still in use: what a lost state folder left behind goes."""
        while True:
            if await self._collected(kept):
                return
            await asyncio.sleep(_GC_AGAIN)

    async def _collected(self, kept: dict[str, Record]) -> bool:
        async with self._sandboxes.gate:
            records = [*kept.values(), *(worker.record for worker in self._workers.values())]
            valid = {(r.sandbox.container_id, INTERFACE) for r in records if r.sandbox is not None}
            try:
                network = load(self._sandboxes.configuration)
                await self._sandboxes.plugins.collect_garbage(network, valid)
            except (NoConfigurationError, CniError) as error:
                log.info("garbage is not collected yet: %s", error)
                return False
            return True


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="contiv-playground kubelet", description=__doc__)
    parser.add_argument("--node-name", required=True)
    parser.add_argument("--node-ip", required=True, help="the node's InternalIP")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="of the node")
    parser.add_argument("--state-dir", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--cni-conf-dir", type=Path, default=Path("/etc/cni/net.d"))
    parser.add_argument("--cni-bin-dir", type=Path, action="append", help="may be repeated")
    return parser.parse_args(arguments)


async def _run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    plugins = Plugins(options.cni_bin_dir or [Path("/opt/cni/bin")])
    async with Client.load(options.kubeconfig) as client:
        sandboxes = Sandboxes(Records(options.state_dir), plugins, options.cni_conf_dir)
        labels = dict(label.partition("=")[::2] for label in options.label)
        reporter = NodeReporter(options.node_name, options.node_ip, client, plugins, options.cni_conf_dir, labels)
        node = Node(options.node_name, options.node_ip, client, sandboxes)
        task = asyncio.create_task(Kubelet(node, reporter).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            notify("STOPPING=1")  # the pods stay as they are


def main(arguments: Sequence[str]) -> int:
    """Runs until it is told to stop; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_run(options))
    except KubeconfigError as error:
        print(f"contiv-playground kubelet: {error}", file=sys.stderr)
        return 1
    return 0
