"""Label selectors and field selectors, as they stand in a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from contivpp.playground.apiserver.errors import bad_request

Object = dict[str, Any]
Predicate = Callable[[Object], bool]
_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTS = re.compile(r"^(?P<not>!?)\s*(?P<key>[^\s!=,()]+)$")


def _split(text: str) -> list[str]:
    """Splits at the commas that stand outside of parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in (*parts, text[start:])]


def _requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _SET.match(text):
        key, wanted = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["op"] == "in":
            return lambda labels: labels.get(key) in wanted
        return lambda labels: key not in labels or labels[key] not in wanted
    if match := _EQUAL.match(text):
        key, value = match["key"], match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.match(text):
        key = match["key"]
        return (lambda labels: key not in labels) if match["not"] else (lambda labels: key in labels)
    raise bad_request(f"unable to parse requirement: {text!r} in the label selector")


def labels(text: str) -> Predicate | None:
    """Reads a label selector; None for an empty one, which matches everything.

    Raises:
        ApiError: it cannot be parsed.
    """
    if not text.strip():
        return None
    requirements = [_requirement(part) for part in _split(text)]

    def matches(subject: Object) -> bool:
        found = subject["metadata"].get("labels") or {}
        return all(requirement(found) for requirement in requirements)

    return matches


def fields(text: str, allowed: Collection[str]) -> Predicate | None:
    """Reads a field selector; None for an empty one.

    Raises:
        ApiError: it cannot be parsed, or asks for a field that is not in `allowed`.
    """
    if not text.strip():
        return None
    wanted: list[tuple[tuple[str, ...], bool, str]] = []
    for part in _split(text):
        match = re.match(r"^([^!=]+)(==|=|!=)(.*)$", part)
        if match is None:
            raise bad_request(f"invalid selector: {part!r}; can't understand it")
        name, operator, value = match.groups()
        if name not in ("metadata.name", "metadata.namespace", *allowed):
            raise bad_request(f'field label not supported: "{name}"')
        wanted.append((tuple(name.split(".")), operator != "!=", value))

    def matches(subject: Object) -> bool:
        return all((value_at(subject, path) == value) is equal for path, equal, value in wanted)

    return matches


def value_at(subject: Object, path: tuple[str, ...]) -> str:
    """The value at a path, as a field selector sees it: "" when there is none."""
    value: Any = subject
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def both(*predicates: Predicate | None) -> Predicate | None:
    """Joins predicates with "and"."""
    given = [predicate for predicate in predicates if predicate is not None]
    if len(given) < 2:
        return given[0] if given else None
    return lambda subject: all(predicate(subject) for predicate in given)
