"""Labels and selectors, as namespaces, pods and policies carry them."""

from __future__ import annotations

from enum import StrEnum

from contivpp.model.codec import Record


class Label(Record, frozen=True):
    """One label; the lists of records are sorted by key."""

    key: str = ""
    value: str = ""


class Operator(StrEnum):
    """How an expression of a selector compares."""

    IN = "IN"
    NOT_IN = "NOT_IN"
    EXISTS = "EXISTS"
    DOES_NOT_EXIST = "DOES_NOT_EXIST"


class LabelExpression(Record, frozen=True):
    """One matchExpressions entry; an `operator` that is none of `Operator` is for the reader to refuse."""

    key: str = ""
    operator: str = Operator.IN
    value: tuple[str, ...] = ()


class LabelSelector(Record, frozen=True):
    """All must match; an empty selector matches everything."""

    match_label: tuple[Label, ...] = ()
    match_expression: tuple[LabelExpression, ...] = ()


def sorted_labels(labels: dict[str, str]) -> tuple[Label, ...]:
    """Labels of a Kubernetes object as records, sorted by key."""
    return tuple(Label(key=key, value=value) for key, value in sorted(labels.items()))
