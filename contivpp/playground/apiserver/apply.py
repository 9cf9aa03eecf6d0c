"""Server-side apply: an object is the union of what its managers applied, and what nobody owns.

Ownership is kept in `metadata.managedFields`, as Kubernetes writes it (FieldsV1), for managers that apply;
changes by other requests own nothing here, so only two appliers can conflict. Source: the merge rules of
structured-merge-diff, with the list keys of strategic merge patch, and of EndpointSlices' and policies'
atomic lists.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec

from contivpp.playground.apiserver.errors import ApiError
from contivpp.playground.apiserver.patches import MERGED_SETS, merge_key

Object = dict[str, Any]
Path = tuple[str, ...]
# Nobody owns what says which object it is.
_IDENTITY = (
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    ("f:metadata", "f:name"),
    ("f:metadata", "f:namespace"),
)


def apply(current: Object | None, applied: Object, *, manager: str, force: bool, now: str) -> Object:
    """Returns the object after `manager` applied `applied`.

    Raises:
        ApiError: 409, when another manager owns a field with another value and `force` is not set.
    """
    base = current or {"apiVersion": applied["apiVersion"], "kind": applied["kind"], "metadata": {}}
    entries = [dict(entry) for entry in base["metadata"].get("managedFields") or ()]
    own = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), None)
    others = [e for e in entries if e is not own]
    wanted = {path: value for path, value in _paths(applied, (), ()) if path not in _IDENTITY}
    for entry in others:
        theirs = _set(entry["fieldsV1"])
        clashes = sorted(path for path, value in wanted.items() if path in theirs and _differs(base, path, value))
        if clashes and not force:
            raise _conflict(entry["manager"], clashes)
        entry["fieldsV1"] = _tree(theirs - set(clashes))
    result: Object = _merge(base, applied, ())
    kept = {path for entry in others for path in _set(entry["fieldsV1"])} | set(wanted)
    for path in sorted(_set(own["fieldsV1"]) if own else (), key=len):  # an element goes before what is in it
        if not any(other[: len(path)] == path for other in kept):
            _drop(result, path)
    entry = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": applied["apiVersion"],
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": _tree(set(wanted)),
    }
    if own and own["fieldsV1"] == entry["fieldsV1"]:
        entry["time"] = own["time"]
    result["metadata"] = {
        **result["metadata"],
        "managedFields": [e for e in others if e["fieldsV1"]] + [entry],
    }
    return result


def _element(value: Any, key: str | None) -> str:
    if key is not None:
        return "k:" + msgspec.json.encode({key: value[key]}).decode()
    return "v:" + msgspec.json.encode(value).decode()


def _is_keyed(value: Any, names: Path) -> str | None:
    key = merge_key(names)
    return key if key and all(isinstance(e, dict) and key in e for e in value) else None


def _paths(value: Any, path: Path, names: Path) -> Iterator[tuple[Path, Any]]:
    """Every field that an applied object sets: leaves, elements of keyed lists, elements of sets."""
    if isinstance(value, dict) and (value or not path):
        for name, inner in value.items():
            yield from _paths(inner, (*path, f"f:{name}"), (*names, name))
    elif isinstance(value, list) and names[-1] in MERGED_SETS:
        yield from (((*path, _element(element, None)), element) for element in value)
    elif isinstance(value, list) and (key := _is_keyed(value, names)):
        for element in value:
            here = (*path, _element(element, key))
            yield here, ...  # owning an element is to want it there, whatever else is in it
            for name, inner in element.items():
                yield from _paths(inner, (*here, f"f:{name}"), (*names, name))
    else:
        yield path, value


def _find(base: Any, path: Path) -> Any:
    for step in path:
        if step.startswith("f:"):
            base = base.get(step[2:]) if isinstance(base, dict) else None
        elif isinstance(base, list):
            wanted = msgspec.json.decode(step[2:])
            base = next((e for e in base if e == wanted or _has(e, step, wanted)), None)
        if base is None:
            return None
    return base


def _has(element: Any, step: str, wanted: Any) -> bool:
    return step.startswith("k:") and isinstance(element, dict) and wanted.items() <= element.items()


def _differs(base: Object, path: Path, value: Any) -> bool:
    found = _find(base, path)
    return found is not None and value is not ... and found != value


def _merge(base: Any, applied: Any, names: Path) -> Any:
    if isinstance(applied, dict):
        result = dict(base) if isinstance(base, dict) else {}
        for name, value in applied.items():
            result[name] = _merge(result.get(name), value, (*names, name))
        return result
    if isinstance(applied, list) and isinstance(base, list):
        if names[-1] in MERGED_SETS:
            return [*base, *(value for value in applied if value not in base)]
        key = _is_keyed(applied, names)
        if key and _is_keyed(base, names):
            result_list = [copy.copy(element) for element in base]
            for element in applied:
                at = next((i for i, old in enumerate(result_list) if old[key] == element[key]), None)
                merged = _merge(result_list[at] if at is not None else None, element, names)
                if at is None:
                    result_list.append(merged)
                else:
                    result_list[at] = merged
            return result_list
    return copy.deepcopy(applied)


def _drop(subject: Any, path: Path) -> None:
    """Removes a field that its only manager no longer applies; the copies made by `_merge` are changed."""
    *parents, last = path
    steps: list[Any] = [subject]
    for step in parents:
        inner = _find(steps[-1], (step,))
        if inner is None:
            return
        inner = copy.copy(inner)
        _replace(steps[-1], step, inner)
        steps.append(inner)
    parent = steps[-1]
    if last.startswith("f:") and isinstance(parent, dict):
        parent.pop(last[2:], None)
    elif isinstance(parent, list):
        found = _find(parent, (last,))
        parent[:] = [element for element in parent if element is not found]


def _replace(parent: Any, step: str, value: Any) -> None:
    if isinstance(parent, dict):
        parent[step[2:]] = value
    else:
        old = _find(parent, (step,))
        parent[:] = [value if element is old else element for element in parent]


def _tree(paths: set[Path]) -> Object:
    tree: Object = {}
    for path in sorted(paths):
        here = tree
        for step in path:
            here = here.setdefault(step, {})
        if path[-1].startswith("k:"):
            here.setdefault(".", {})
    return tree


def _set(tree: Object, path: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for step, inner in tree.items():
        if step == ".":
            found.add(path)
        elif inner:
            found |= _set(inner, (*path, step))
        else:
            found.add((*path, step))
    return found


def _conflict(manager: str, paths: list[Path]) -> ApiError:
    def written(path: Path) -> str:
        return "".join(f".{s[2:]}" if s.startswith("f:") else f"[{s[2:]}]" for s in path)

    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": written(path)}
        for path in paths
    ]
    fields = ", ".join(written(path) for path in paths)
    plural = "conflict" if len(paths) == 1 else "conflicts"
    message = f'Apply failed with {len(paths)} {plural}: {plural} with "{manager}": {fields}'
    return ApiError(409, "Conflict", message, {"causes": causes})
