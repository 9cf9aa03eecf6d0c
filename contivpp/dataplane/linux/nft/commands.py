"""Transactions of the packet filter, put together from the parts of many operations.

What a transaction does is ordered by what it is, whatever the order of the operations: elements leave, sets and
chains appear, rules are written, elements enter, and what goes is emptied before it goes. So no operation has to wait
for another.
A transaction that is refused is cut in halves until what is wrong stands alone; and what failed is tried again as long
as that helps, because it may only have missed what another part brought. So what is wrong hurts nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from contivpp.dataplane.linux.nft.library import Nftables, NftError
from contivpp.dataplane.linux.nft.values import TABLE


@dataclass(slots=True)
class Commands:
    """What one operation adds to a transaction; elements by set, "key" or "key : data"."""

    removed: dict[str, list[str]] = field(default_factory=dict)
    sets: list[str] = field(default_factory=list)
    chains: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)
    emptied: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def add_set(self, kind: str, name: str, definition: str, comment: str = "") -> None:
        """Makes a set or, with kind "map", a map; nothing when it is there."""
        remark = f' comment "{comment}";' if comment else ""
        self.sets.append(f"add {kind} {TABLE} {name} {{ {definition};{remark} }}")

    def add_chain(self, name: str, rules: Iterable[str], base: str = "") -> None:
        """Makes a chain, or gives one that is there other rules."""
        self.chains.append(f"add chain {TABLE} {name}" + (f" {{ {base}; }}" if base else ""))
        self.rules.append(f"flush chain {TABLE} {name}")
        self.rules += [f"add rule {TABLE} {name} {rule}" for rule in rules]

    def delete_set(self, kind: str, name: str) -> None:
        """Takes a set or map away."""
        self.gone.append(f"delete {kind} {TABLE} {name}")

    def delete_chain(self, name: str) -> None:
        """Takes a chain away."""
        self.emptied.append(f"flush chain {TABLE} {name}")
        self.gone.append(f"delete chain {TABLE} {name}")


def text_of(batch: Sequence[Commands]) -> str:
    """The commands of a transaction, one a line."""
    lines = [f"add table {TABLE}"]
    lines += _elements("delete", [one.removed for one in batch])
    lines += [line for one in batch for line in one.sets]
    lines += [line for one in batch for line in one.chains]
    lines += [line for one in batch for line in one.rules]
    lines += _elements("add", [one.added for one in batch])
    lines += [line for one in batch for line in one.emptied]
    for kind in ("delete chain", "delete map", "delete set"):
        lines += [line for one in batch for line in one.gone if line.startswith(kind)]
    return "\n".join(lines)


def carry_out(nftables: Nftables, batch: Sequence[Commands]) -> list[str]:
    """Carries out a batch, as one transaction when nothing in it is wrong.

    Returns:
        For each of the batch why it was refused, "" when it was not.
    """
    errors: dict[int, str] = {}
    left = list(range(len(batch)))
    while left:
        tried = dict(zip(left, _carry_out(nftables, [batch[number] for number in left]), strict=True))
        errors.update(tried)
        failed = [number for number in left if tried[number]]
        if len(failed) == len(left):
            break
        left = failed
    return [errors[number] for number in range(len(batch))]


def _carry_out(nftables: Nftables, batch: Sequence[Commands]) -> list[str]:
    try:
        nftables.run(text_of(batch))
    except NftError as error:
        if len(batch) == 1:
            return [str(error)]
        middle = len(batch) // 2
        return [*_carry_out(nftables, batch[:middle]), *_carry_out(nftables, batch[middle:])]
    return [""] * len(batch)


def _elements(verb: str, parts: Sequence[dict[str, list[str]]]) -> list[str]:
    by_set: dict[str, list[str]] = {}
    for part in parts:
        for name, elements in part.items():
            by_set.setdefault(name, []).extend(elements)
    return [f"{verb} element {TABLE} {name} {{ {', '.join(found)} }}" for name, found in by_set.items() if found]
