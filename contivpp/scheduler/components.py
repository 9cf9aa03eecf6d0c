"""Which values wait for nothing but each other: closed groups in a graph of who waits for whom.

Both ends of a pair that need each other can only be made together, and be taken away together. Source: Tarjan's
strongly connected components; the groups that nothing leads out of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def closed_groups(waits_for: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The strongly connected components without an edge to another one, each sorted; in the order of their first keys.

    Args:
        waits_for: for every key the keys it waits for; all of them are keys of the mapping themselves.
    """
    return sorted(
        sorted(group)
        for group in _components(waits_for)
        if all(other in group for key in group for other in waits_for[key])
    )


def _components(edges: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Tarjan's algorithm without recursion: chains may be longer than Python's stack."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    found: list[set[str]] = []
    for root in sorted(edges):
        if root in number:
            continue
        work = [(root, iter(sorted(edges[root])))]
        number[root] = lowest[root] = len(number)
        path.append(root)
        on_path.add(root)
        while work:
            key, others = work[-1]
            for other in others:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    path.append(other)
                    on_path.add(other)
                    work.append((other, iter(sorted(edges[other]))))
                    break
                if other in on_path:
                    lowest[key] = min(lowest[key], number[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[key])
                if lowest[key] == number[key]:
                    group = {path.pop()}
                    while key not in group:
                        group.add(path.pop())
                    on_path -= group
                    found.append(group)
    return found
