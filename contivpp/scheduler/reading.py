"""Taking over into the graph what is really in the data plane."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from contivpp.scheduler import metrics
from contivpp.scheduler.api import Descriptor, Observed
from contivpp.scheduler.graph import Graph
from contivpp.scheduler.state import ValueState

log = logging.getLogger(__name__)


async def read_all(graph: Graph) -> tuple[dict[str, str], list[str]]:
    """Reads everything.

    Returns:
        The descriptors that could not say, by prefix with the reason: what they own stays as it was known. And
        the keys that may need something because of what was found.
    """
    answers = await asyncio.gather(*(_retrieve(one) for one in graph.descriptors))
    problems = {
        one.prefix: f"{one.name}: cannot read the data plane: {answer}"
        for one, answer in zip(graph.descriptors, answers, strict=True)
        if isinstance(answer, str)
    }
    found = {
        one.name: answer for one, answer in zip(graph.descriptors, answers, strict=True) if not isinstance(answer, str)
    }
    touched: list[str] = []
    for node in list(graph.nodes.values()):
        if node.actual is None or node.descriptor is None or node.descriptor.name not in found:
            continue
        if node.key not in found[node.descriptor.name]:
            graph.touch(node.key).state = ValueState.MISSING
            touched += [node.key, *graph.observe(node.key, None)]
    for observed in found.values():
        for key, item in observed.items():
            touched += graph.observe(key, item)
    touched += _drop_groundless_properties(graph, touched)
    return problems, touched


async def read(graph: Graph, keys: Iterable[str]) -> list[str]:
    """Reads some values, and returns the keys that may need something because of what was found."""
    owners: dict[str, tuple[Descriptor, list[str]]] = {}
    for key in keys:
        node = graph.nodes.get(key)
        if node is not None and node.descriptor is not None:
            owners.setdefault(node.descriptor.name, (node.descriptor, []))[1].append(key)
    answers = await asyncio.gather(*(_retrieve(owner) for owner, _ in owners.values()))
    touched: list[str] = []
    for (owner, wanted), answer in zip(owners.values(), answers, strict=True):
        if isinstance(answer, str):
            log.warning("%s: cannot look up what failed: %s", owner.name, answer)
            continue
        for key in wanted:
            touched += graph.observe(key, answer.get(key))
    return touched + _drop_groundless_properties(graph, touched)


async def _retrieve(descriptor: Descriptor) -> Mapping[str, Observed] | str:
    """What a descriptor finds, or why it finds nothing."""
    start = time.perf_counter()
    try:
        found = await descriptor.retrieve()
    except Exception as error:
        log.error("%s: cannot read the data plane: %s", descriptor.name, error)
        metrics.READ_ERRORS.labels(descriptor.name).inc()
        return str(error) or type(error).__name__
    metrics.READ_SECONDS.labels(descriptor.name).observe(time.perf_counter() - start)
    return found


def _drop_groundless_properties(graph: Graph, touched: Iterable[str]) -> list[str]:
    """Properties go with their base by themselves; returns who waits for them."""
    result: list[str] = []
    for key in touched:
        node = graph.nodes.get(key)
        if node is not None and node.is_property and node.actual is not None and not graph.available(node.base):
            result += [key, *graph.observe(key, None)]
    return result
