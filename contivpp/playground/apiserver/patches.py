"""JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch.

All take an object and return a new one; neither argument is changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from contivpp.playground.apiserver.errors import ApiError, bad_request

# Lists that are merged element by element, by the name of the field; all others are replaced as a whole.
# Source: the patchMergeKey tags of Kubernetes' types. "ports" has two keys, see `merge_key`.
MERGE_KEYS: Final[Mapping[str, str]] = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "hostIPs": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
# Lists of plain values that are merged as sets.
MERGED_SETS: Final = frozenset({"finalizers", "podCIDRs"})
_DELETE_SET = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def merge_key(path: Sequence[str]) -> str | None:
    """The field that tells the elements of the list at `path` apart; None for a list that is replaced.

    `path` holds the names of fields only; lists do not add to it.
    """
    name = path[-1]
    if name == "ports":
        if len(path) > 1 and path[-2] in _CONTAINERS:
            return "containerPort"
        return "port" if list(path) == ["spec", "ports"] else None
    if name == "addresses" and list(path) != ["status", "addresses"]:
        return None
    return MERGE_KEYS.get(name)


def merge(target: Any, patch: Any) -> Any:
    """Applies a merge patch: null removes, objects are merged, all else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def strategic(target: Mapping[str, Any], patch: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Applies a strategic merge patch, with the directives $patch, $retainKeys, $deleteFromPrimitiveList.

    $setElementOrder is honoured for lists that are merged.

    Raises:
        ApiError: a directive is unknown, or an element lacks its merge key.
    """
    directive = patch.get("$patch")
    if directive == "replace":
        return {k: copy.deepcopy(v) for k, v in patch.items() if k != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type: {directive}")
    result = _prepared(target, patch)
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        here = (*path, name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = strategic(old if isinstance(old, dict) else {}, value, here)
        elif isinstance(value, list):
            order = patch.get(_ORDER + name)
            result[name] = _list(result.get(name) or [], value, here, order)
        else:
            result[name] = value
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and field not in patch and isinstance(result.get(field), list):
            result[field] = _ordered(result[field], order, merge_key((*path, field)))
    return result


def _prepared(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The target without what directives take away, before anything is merged into it."""
    result = dict(target)
    if "$retainKeys" in patch:
        result = {k: v for k, v in result.items() if k in patch["$retainKeys"]}
    for name, value in patch.items():
        if name.startswith(_DELETE_SET):
            field = name.removeprefix(_DELETE_SET)
            result[field] = [v for v in result.get(field) or [] if v not in value]
    return result


def _list(target: list[Any], patch: list[Any], path: tuple[str, ...], order: list[Any] | None) -> list[Any]:
    if path[-1] in MERGED_SETS:
        merged = [*target, *(value for value in patch if value not in target)]
        return _ordered(merged, order, None)
    key = merge_key(path)
    if key is None or not all(isinstance(element, dict) for element in [*target, *patch]):
        return copy.deepcopy(patch)
    if any(element.get("$patch") == "replace" for element in patch):
        return [copy.deepcopy(e) for e in patch if e.get("$patch") != "replace"]
    result = list(target)
    for element in patch:
        if key not in element:
            raise bad_request(f"map: {element} does not contain declared merge key: {key}")
        at = next((i for i, old in enumerate(result) if old.get(key) == element[key]), None)
        if element.get("$patch") == "delete":
            result = [old for old in result if old.get(key) != element[key]]
        elif at is None:
            result.append(strategic({}, element, path))
        else:
            result[at] = strategic(result[at], element, path)
    return _ordered(result, order, key)


def _ordered(elements: list[Any], order: list[Any] | None, key: str | None) -> list[Any]:
    """Elements named in `order` first, in that order; the others keep theirs, after them."""
    if not order:
        return elements
    wanted = [entry.get(key) if key and isinstance(entry, dict) else entry for entry in order]

    def rank(element: Any) -> int:
        name = element.get(key) if key and isinstance(element, dict) else element
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(elements, key=rank)


def json_patch(target: Any, operations: Any) -> Any:
    """Applies a JSON patch.

    Raises:
        ApiError: it is malformed (400), or does not fit the object (422).
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch must be a list of operations")
    result = copy.deepcopy(target)
    for number, operation in enumerate(operations):
        try:
            result = _operate(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"the server rejected our request: operation {number} of the JSON patch failed: {error!r}"
            raise ApiError(422, "Invalid", message) from error
    return result


def _operate(target: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _add(target, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(target, path)
        case "replace":
            if path:
                _remove(target, path)
            return _add(target, path, copy.deepcopy(operation["value"]))
        case "copy":
            return _add(target, path, copy.deepcopy(_at(target, _pointer(operation["from"]))))
        case "move":
            return _add(target, path, _remove(target, _pointer(operation["from"])))
        case "test":
            if _at(target, path) != operation["value"]:
                raise ValueError(f"testing value {operation['path']} failed")
        case other:
            raise ValueError(f"unknown operation {other!r}")
    return target


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def _at(target: Any, path: Sequence[str]) -> Any:
    for step in path:
        target = target[int(step)] if isinstance(target, list) else target[step]
    return target


def _add(target: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _at(target, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if not 0 <= index <= len(parent):
            raise IndexError(f"there is no place {last} in a list of {len(parent)}")
        parent.insert(index, value)
    else:
        parent[last] = value
    return target


def _remove(target: Any, path: Sequence[str]) -> Any:
    parent = _at(target, path[:-1])
    return parent.pop(int(path[-1])) if isinstance(parent, list) else parent.pop(path[-1])
