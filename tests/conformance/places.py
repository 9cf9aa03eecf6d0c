"""The kinds of pairs that packets go between, each with the two who stand for it."""

from __future__ import annotations

from tests.conformance.world import Endpoint, World

PODS = {"a1": 0, "a2": 0, "b1": 1, "b2": 1, "c1": 2, "c2": 2}
"""The pods that are always there, two on every node, by the node's place in `World.nodes`."""

PAIRINGS = (
    "a1 -> a2",
    "a1 -> b1",
    "a1 -> node1",
    "a1 -> node2",
    "node1 -> a1",
    "node1 -> b1",
    "a1 -> outside",
    "b1 -> outside",
    "outside -> a1",
    "outside -> b1",
)
"""Pods of one node and of two, pods and hosts in both directions, pods and the outside: the first node has the way
from the outside to all pods, the second one has not."""


def is_masqueraded(world: World, source: Endpoint, target: Endpoint) -> bool:
    """Whether the target sees a node in place of the source, and a port that the node chose."""
    return world.masquerades and source.kind == "pod" and target is world.outside


def ends(world: World, pairing: str) -> tuple[Endpoint, Endpoint]:
    """Source and target of a pairing."""
    found = {
        **{pod.name: pod for pod in world.pods},
        **{f"node{number}": world.hosts[node] for number, node in enumerate(world.nodes, 1) if node in world.hosts},
        "outside": world.outside,
    }
    source, _, target = pairing.partition(" -> ")
    return found[source], found[target]
