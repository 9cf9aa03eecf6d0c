"""How fast KSR reflects: 20,000 pods from the first list to the last record in etcd, per second.

As a ratio to bare batched puts of the same records by the same client. The API server is a process of its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import report
from contivpp.ksr.kubernetes import Api, Broken, Listed
from contivpp.ksr.reflector import Reflector, reflectors
from contivpp.ksr.writer import Writer
from contivpp.store.client import Store
from contivpp.store.types import split
from tests.integration.conftest import Etcd
from tests.integration.kubernetes_api import KubernetesApi, pod

PODS = 20_000
AT_ONCE = 4


def serve(api: KubernetesApi, ready: Any) -> None:
    """The API server's process."""

    async def run() -> None:
        await api.start()
        ready.set()
        await asyncio.Event().wait()

    for number in range(PODS):
        item = pod(f"pod-{number}", podIP=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        item["metadata"]["annotations"] = {"note": "x" * 200}
        api.objects["pods"][f"default/pod-{number}"] = item
    asyncio.run(run())


async def reflect(store: Store, kubeconfig: Path) -> tuple[float, dict[str, bytes]]:
    """Seconds from nothing to settled, and the records."""
    [pods] = [one for one in reflectors() if one.kind == "pod"]
    api = await Api.open(kubeconfig)
    writer = Writer(store, [pods], None)
    start = time.perf_counter()
    tasks = [asyncio.create_task(job) for job in (writer.follow(), writer.run(), follow(api, pods, writer))]
    while len(pods.desired) < PODS or not writer.settled:
        await asyncio.sleep(0.01)
    took = time.perf_counter() - start
    for task in tasks:
        task.cancel()
    await api.close()
    return took, pods.desired


async def follow(api: Api, pods: Reflector, writer: Writer) -> None:
    """As KSR does."""
    async for update in api.follow(pods.path):
        if isinstance(update, Broken):
            continue
        touched = pods.take(update)
        if isinstance(update, Listed):
            writer.resync("pod")
        writer.touch("pod", touched)


async def bare(store: Store, records: dict[str, bytes]) -> float:
    """Seconds for the same records, put in batches."""
    batches = list(split({f"/bare{key}": value for key, value in records.items()}))
    start = time.perf_counter()
    for first in range(0, len(batches), AT_ONCE):
        await asyncio.gather(*(store.commit(batch) for batch in batches[first : first + AT_ONCE]))
    return time.perf_counter() - start


async def measure(etcd: Etcd, kubeconfig: Path) -> None:
    """Prints the figures."""
    async with await Store.open(etcd.config) as store:
        took, records = await reflect(store, kubeconfig)
        await bare(store, records)
        alone = await bare(store, {f"/again{key}": value for key, value in records.items()})
    report("ksr_reflect.rate", PODS / took, "pods/s", PODS)
    report("ksr_reflect.bare_puts", PODS / alone, "puts/s", PODS)
    report("ksr_reflect.ratio", alone / took, "reflected/bare", PODS)


def main() -> None:
    """Starts what it takes."""
    with tempfile.TemporaryDirectory() as folder:
        etcd = Etcd(Path(folder) / "etcd")
        api = KubernetesApi()
        ready = multiprocessing.get_context("fork").Event()
        server = multiprocessing.get_context("fork").Process(target=serve, args=(api, ready), daemon=True)
        server.start()
        try:
            etcd.start()
            if not ready.wait(60):
                sys.exit("the API server did not start")
            asyncio.run(measure(etcd, api.kubeconfig(Path(folder))))
        finally:
            server.terminate()
            server.join()
            etcd.kill()


if __name__ == "__main__":
    main()
