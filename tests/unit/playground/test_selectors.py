"""Selectors as they stand in a query."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.playground.apiserver import selectors
from contivpp.playground.apiserver.errors import ApiError

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "d", "labels": {"app": "web", "tier": "front", "empty": ""}},
    "spec": {"nodeName": "n1", "hostNetwork": True},
    "status": {},
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=db", True),
        ("app in (web, db)", True),
        ("app in (db),tier=front", False),
        ("app notin (db,x)", True),
        ("missing notin (a)", True),
        ("app notin (web)", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("empty=", True),
        ("kubernetes.io/x!=1,app in (web)", True),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    predicate = selectors.labels(text)
    assert predicate is not None and predicate(POD) is matches


@pytest.mark.parametrize("text", ["a in b", "a=b=c", "in (x)", "a in (b", "=", "a,,b"])
def test_labels_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        selectors.labels(text)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("metadata.name=p", True),
        ("metadata.name=p,metadata.namespace!=d", False),
        ("spec.nodeName==n1", True),
        ("spec.hostNetwork=true", True),
        ("status.phase=", True),
        ("status.phase!=Running", True),
    ],
)
def test_fields(text: str, matches: bool) -> None:
    predicate = selectors.fields(text, ("spec.nodeName", "spec.hostNetwork", "status.phase"))
    assert predicate is not None and predicate(POD) is matches


@pytest.mark.parametrize("text", ["spec.other=1", "metadata.name"])
def test_fields_that_are_not_served(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        selectors.fields(text, ("spec.nodeName",))
    assert refused.value.code == 400


def test_nothing_selects_everything() -> None:
    assert selectors.labels(" ") is None
    assert selectors.both(selectors.labels(""), selectors.fields("", ())) is None
