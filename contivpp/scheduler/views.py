"""What the scheduler knows, as data for REST. Shapes: spec/agent.md 14.2 and 14.6."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from contivpp.scheduler import metrics
from contivpp.scheduler.api import Descriptor
from contivpp.scheduler.graph import Graph, Node
from contivpp.scheduler.state import ValueState

VIEWS = ("SB", "NB", "cached")


def status(graph: Graph, prefix: str, *, key: str = "", descriptor: str = "") -> list[dict[str, Any]]:
    """Base values below `prefix`, sorted by key, with their derived values; or only of a key, or a descriptor.

    Raises:
        ValueError: there is no such descriptor.
    """
    if descriptor:
        _owners(graph, descriptor)
    result: list[dict[str, Any]] = []
    for node in graph.below(prefix) if not key else filter(None, [graph.nodes.get(key)]):
        if node.base or (descriptor and (node.descriptor is None or node.descriptor.name != descriptor)):
            continue
        entry: dict[str, Any] = {"value": _status_of(graph, node)}
        derived = [graph.nodes[key] for key in node.derived if key in graph.nodes]
        if derived:
            entry["derived_values"] = [_status_of(graph, one) for one in derived]
        result.append(entry)
    return result


def index(graph: Graph) -> dict[str, Any]:
    """Names of descriptors, their prefixes, and the views."""
    return {
        "Descriptors": sorted(one.name for one in graph.descriptors),
        "KeyPrefixes": sorted(one.prefix for one in graph.descriptors),
        "Views": list(VIEWS),
    }


async def dump(graph: Graph, view: str, prefix: str, descriptor: str) -> list[dict[str, Any]]:
    """Values of one view below `prefix` and of `descriptor`, each when given.

    Raises:
        ValueError: there is no such view or descriptor.
    """
    if view not in VIEWS:
        message = f"view={view}: there are only {', '.join(VIEWS)}"
        raise ValueError(message)
    owners = _owners(graph, descriptor)
    if view == "SB":
        found = await asyncio.gather(*(owner.retrieve() for owner in owners))
        return [
            {
                "Key": key,
                "Value": observed.value,
                "Metadata": dict(observed.metadata),
                "Origin": "SB" if observed.foreign else "NB",
            }
            for key, observed in sorted(item for answer in found for item in answer.items())
            if key.startswith(prefix)
        ]
    result = []
    for node in graph.below(prefix):
        value = node.desired if view == "NB" else node.actual
        if value is None or (descriptor and node.descriptor not in owners):
            continue
        result.append(
            {
                "Key": node.key,
                "Value": value,
                "Metadata": dict(node.metadata),
                "Origin": "SB" if node.foreign else "NB",
            }
        )
    return result


def stats() -> dict[str, Any]:
    """What was counted since the start of the process."""
    return {
        "Transactions": _samples(metrics.TRANSACTIONS),
        "Operations": _samples(metrics.OPERATIONS),
        "Retries": sum(_samples(metrics.RETRIES).values()),
        "CommitSeconds": _samples(metrics.COMMIT_SECONDS, "_sum"),
        "Values": _samples(metrics.VALUES, ""),
    }


def _samples(metric: Counter | Gauge | Histogram, ending: str = "_total") -> dict[str, float]:
    return {
        " ".join(sample.labels.values()): sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(ending)
    }


def _owners(graph: Graph, descriptor: str) -> list[Descriptor]:
    owners = [one for one in graph.descriptors if descriptor in ("", one.name)]
    if not owners:
        message = f"descriptor={descriptor}: there are only {', '.join(index(graph)['Descriptors'])}"
        raise ValueError(message)
    return owners


def _status_of(graph: Graph, node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {"key": node.key, "state": str(node.state)}
    if node.error:
        entry["error"] = node.error
    if node.last_operation:
        entry["last_operation"] = node.last_operation
    if node.state is ValueState.PENDING:
        entry["details"] = graph.missing(node)
    return entry
