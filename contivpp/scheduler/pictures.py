"""The graph as a picture for Graphviz: values by descriptor, coloured by state, with who needs whom."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

from contivpp.scheduler.state import ValueState
from contivpp.scheduler.timeline import Revision

_COLOURS = {
    ValueState.CONFIGURED: "palegreen",
    ValueState.OBTAINED: "lightcyan",
    ValueState.DISCOVERED: "lightskyblue",
    ValueState.PENDING: "khaki",
    ValueState.FAILED: "salmon",
    ValueState.RETRYING: "orange",
    ValueState.INVALID: "violet",
    ValueState.UNIMPLEMENTED: "lightgrey",
}


def dot(revisions: Iterable[Revision]) -> str:
    """The picture in Graphviz's language; dependencies are solid, derived values dashed, what is missing is red."""
    known = {one.key: one for one in revisions}
    lines = ["digraph values {", "  rankdir=LR;", '  node [shape=box, style=filled, fontname="sans"];']
    by_descriptor = sorted(known.values(), key=lambda one: (one.descriptor, one.key))
    for number, (descriptor, group) in enumerate(itertools.groupby(by_descriptor, key=lambda one: one.descriptor)):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(descriptor or 'properties')};"]
        lines += [f"    {_node(one)};" for one in group]
        lines.append("  }")
    for one in by_descriptor:
        if one.base in known:
            lines.append(f"  {_quoted(one.base)} -> {_quoted(one.key)} [style=dashed];")
        for need in one.needs:
            if need.label == "base":
                continue
            for target in _targets(need.key, need.any_of, known):
                missing = target not in known or not known[target].available
                colour = ", color=red" if missing else ""
                lines.append(f"  {_quoted(one.key)} -> {_quoted(target)} [label={_quoted(need.label)}{colour}];")
    lines.append("}")
    return "".join(f"{line}\n" for line in lines)


def _targets(key: str, prefixes: Iterable[str], known: Iterable[str]) -> list[str]:
    if key:
        return [key]
    found = [other for other in known for prefix in prefixes if other.startswith(prefix)]
    return sorted(found) or [f"{prefix}*" for prefix in prefixes]


def _node(one: Revision) -> str:
    tooltip = f"{one.state}: {one.error}" if one.error else str(one.state)
    colour = _COLOURS.get(one.state, "white")
    return f"{_quoted(one.key)} [fillcolor={colour}, tooltip={_quoted(tooltip)}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
