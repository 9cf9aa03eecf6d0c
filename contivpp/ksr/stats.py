"""The counters in etcd, as the original publishes them for its tools. Source: spec/cluster.md 1.4, 1.7."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec
from prometheus_client import Counter

from contivpp.ksr import metrics
from contivpp.model import keys
from contivpp.store.client import Store
from contivpp.store.errors import StoreError

log = logging.getLogger(__name__)

PERIOD = 10.0
_FIELDS = (
    ("Adds", metrics.ADDS),
    ("Updates", metrics.UPDATES),
    ("Deletes", metrics.DELETES),
    ("Resyncs", metrics.RESYNCS),
    ("ArgErrors", metrics.UNDECODABLE),
    ("ResErrors", metrics.ERRORS),
)


def gauges(kinds: Iterable[str]) -> bytes:
    """The counters of all kinds; numbers are text, as protobuf's JSON has them, and zeros are left out."""
    wanted = set(kinds)
    stats: dict[str, dict[str, str]] = {f"{kind}Stats": {} for kind in sorted(wanted)}
    for name, counter in _FIELDS:
        for kind, value in _samples(counter):
            if kind in wanted and value:
                stats[f"{kind}Stats"][name] = str(int(value))
    return msgspec.json.encode(stats, order="deterministic")


async def publish(store: Store, kinds: Iterable[str], *, period: float = PERIOD) -> None:
    """The task that writes the counters whenever they changed; `period` is in seconds."""
    names = list(kinds)
    written = b""
    while True:
        await asyncio.sleep(period)
        now = gauges(names)
        if now == written:
            continue
        try:
            await store.put(keys.GAUGES_KEY, now)
            written = now
        except StoreError as error:
            log.debug("cannot publish counters: %s", error)


def _samples(counter: Counter) -> Iterable[tuple[str, float]]:
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                yield sample.labels["kind"], sample.value
