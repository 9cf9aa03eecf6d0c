"""Label selectors: what they match, what of them cannot be read, and finding what matches without asking everybody."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from contivpp.model.labels import Label, LabelExpression, LabelSelector, Operator

Labels = Mapping[str, str]
Pair = tuple[str, str]
T = TypeVar("T", bound=Hashable)

EVERYTHING: Final = LabelSelector()
_WITH_VALUES: Final = (Operator.IN, Operator.NOT_IN)
_WITHOUT_VALUES: Final = (Operator.EXISTS, Operator.DOES_NOT_EXIST)


def labels_of(labels: Iterable[Label]) -> dict[str, str]:
    """Labels of a record as a mapping."""
    return {one.key: one.value for one in labels}


def matches(selector: LabelSelector, labels: Labels) -> bool:
    """Whether labels match a selector that `problem_of` has no complaint about."""
    for one in selector.match_label:
        if labels.get(one.key) != one.value:
            return False
    return all(_holds(one, labels) for one in selector.match_expression)


def _holds(expression: LabelExpression, labels: Labels) -> bool:
    match expression.operator:
        case Operator.IN:
            return expression.key in labels and labels[expression.key] in expression.value
        case Operator.NOT_IN:
            return expression.key not in labels or labels[expression.key] not in expression.value
        case Operator.EXISTS:
            return expression.key in labels
        case _:
            return expression.key not in labels


def readable(selector: LabelSelector | None) -> tuple[LabelSelector, str]:
    """A selector without what cannot be read, in a form in which equal ones are the same, and what was left out.

    Returns:
        A selector that matches at least what the given one does, and one sentence; "" when all of it could be read.
    """
    if selector is None:
        return EVERYTHING, ""
    if not selector.match_expression and len(selector.match_label) <= 1:
        return selector, ""
    problems = [problem_of(one) for one in selector.match_expression]
    kept = [one for one, problem in zip(selector.match_expression, problems, strict=True) if not problem]
    found = LabelSelector(
        match_label=tuple(sorted(selector.match_label, key=lambda one: (one.key, one.value))),
        match_expression=tuple(sorted(kept, key=lambda one: (one.key, one.operator, one.value))),
    )
    return found, next(filter(None, problems), "")


def problem_of(expression: LabelExpression) -> str:
    """Why Kubernetes would not take an expression; "" when it would."""
    where = f"matchExpressions, key {expression.key!r}"
    if not expression.key:
        return "matchExpressions: an expression has no key"
    if expression.operator in _WITH_VALUES:
        return "" if expression.value else f"{where}: operator {expression.operator} needs values"
    if expression.operator in _WITHOUT_VALUES:
        return f"{where}: operator {expression.operator} takes no values" if expression.value else ""
    return f"{where}: operator {expression.operator!r} is unknown"


def in_words(selector: LabelSelector) -> str:
    """A selector as kubectl writes it; "all" for the empty one."""
    parts = [f"{one.key}={one.value}" for one in selector.match_label]
    for one in selector.match_expression:
        values = f"({','.join(one.value)})"
        match one.operator:
            case Operator.IN:
                parts.append(f"{one.key} in {values}")
            case Operator.NOT_IN:
                parts.append(f"{one.key} notin {values}")
            case Operator.EXISTS:
                parts.append(one.key)
            case _:
                parts.append(f"!{one.key}")
    return ",".join(parts) or "all"


def anchor(selector: LabelSelector) -> Pair | None:
    """A label that everything that matches has; None when there is none to name."""
    if selector.match_label:
        return selector.match_label[0].key, selector.match_label[0].value
    return None


class Anchored(Generic[T]):
    """Owners of selectors, found by the labels that they need: one with other labels is not asked at all."""

    def __init__(self) -> None:
        """Empty."""
        self._by_anchor: dict[Pair | None, dict[T, None]] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._by_anchor)

    def __iter__(self) -> Iterator[T]:
        """Every owner, in no order that means anything."""
        for owners in self._by_anchor.values():
            yield from owners

    def add(self, selector: LabelSelector, owner: T) -> None:
        """Adds an owner under its selector."""
        self._by_anchor.setdefault(anchor(selector), {})[owner] = None

    def remove(self, selector: LabelSelector, owner: T) -> None:
        """Takes an owner out again."""
        where = anchor(selector)
        owners = self._by_anchor[where]
        del owners[owner]
        if not owners:
            del self._by_anchor[where]

    def candidates(self, labels: Labels) -> Iterator[T]:
        """Everyone whose selector may match these labels; each once."""
        yield from self._by_anchor.get(None, ())
        for pair in labels.items():
            yield from self._by_anchor.get(pair, ())


class LabelIndex:
    """Who has which label, by ID: to find the matches of a selector that names a label, nobody else is asked."""

    def __init__(self) -> None:
        """Empty."""
        self.labels: dict[str, Labels] = {}
        self._having: dict[Pair, set[str]] = {}

    def put(self, who: str, labels: Labels | None) -> None:
        """Takes somebody's labels; None when they are gone."""
        for pair in self.labels.pop(who, {}).items():
            having = self._having[pair]
            having.discard(who)
            if not having:
                del self._having[pair]
        if labels is not None:
            self.labels[who] = labels
            for pair in labels.items():
                having = self._having.get(pair)  # type: ignore[assignment]
                if having is None:
                    self._having[pair] = {who}
                else:
                    having.add(who)

    def narrowed(self, selector: LabelSelector) -> set[str] | None:
        """The fewest that can be named among whom all matches are; None when the selector names no label."""
        found: set[str] | None = None
        for one in selector.match_label:
            having = self._having.get((one.key, one.value), set())
            if found is None or len(having) < len(found):
                found = having
        for expression in selector.match_expression:
            if found is None and expression.operator == Operator.IN:
                found = set().union(*(self._having.get((expression.key, value), ()) for value in expression.value))
        return found

    def matching(self, selector: LabelSelector) -> set[str]:
        """Everybody who matches."""
        narrowed = self.narrowed(selector)
        return {who for who in (self.labels if narrowed is None else narrowed) if matches(selector, self.labels[who])}
