"""Results of probes as a table: sources are rows, targets are columns, and only what failed is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.conformance.world import Endpoint, Probe, Result, World


def all_pairs(world: World, version: int, protocols: Sequence[str]) -> list[tuple[Probe, Endpoint]]:
    """Everybody asks everybody else, by every protocol; each probe comes with the one who should answer."""
    everybody = world.everybody()
    return [
        (Probe(source, target.address(version), protocol=protocol), target)
        for protocol in protocols
        for source in everybody
        for target in everybody
        if source is not target
    ]


def wrong(result: Result, target: Endpoint) -> str:
    """What is wrong with a result that should have been an answer from `target`; "" for nothing."""
    if not result.reached:
        return result.error
    if result.answered_by not in ("", target.name):
        return f"answered by {result.answered_by}"
    return ""


def failures(results: Sequence[Result], targets: Sequence[Endpoint]) -> str:
    """The table of the cells in which something is wrong; "" when nothing is."""
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    failed = 0
    for result, target in zip(results, targets, strict=True):
        if said := wrong(result, target):
            cell = cells.setdefault((str(result.probe.source), str(target)), {})
            cell.setdefault(said, []).append(result.probe.protocol)
            failed += 1
    if not cells:
        return ""
    rows = list(dict.fromkeys(str(one.probe.source) for one in results))
    columns = [
        name for name in dict.fromkeys([*rows, *map(str, targets)]) if any(column == name for _, column in cells)
    ]
    shown = [[row, *(_cell(cells.get((row, column), {})) for column in columns)] for row in rows]
    shown = [row for row in shown if any(cell != "." for cell in row[1:])]
    lines = [["from \\ to", *columns], *shown]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns) + 1)]
    body = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return f"{failed} of {len(results)} probes failed\n{body}"


def _cell(said: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{'/'.join(protocols)} {what}" for what, protocols in said.items()) or "."


def check_all_pairs(world: World, version: int, protocols: Sequence[str]) -> list[Result]:
    """Probes all pairs, and returns the results.

    Raises:
        AssertionError: some cell failed; the table is in it.
    """
    asked = all_pairs(world, version, protocols)
    results = world.probe([probe for probe, _ in asked])
    table = failures(results, [target for _, target in asked])
    assert not table, f"IPv{version}: {table}"
    return results
