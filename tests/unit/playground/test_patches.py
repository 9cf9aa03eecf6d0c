"""The three patches that change an object by what is sent, and the one that knows who sent what."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.playground.apiserver.apply import apply
from contivpp.playground.apiserver.errors import ApiError
from contivpp.playground.apiserver.patches import json_patch, merge, strategic

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=1), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.text("abc", min_size=1, max_size=1), values)


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p", "labels": {"a": "1"}}, "spec": {"containers": list(containers)}}


def difference(old: Any, new: Any) -> Any:
    """A merge patch from one object to the other, for values without null."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    patch |= {k: difference(old.get(k), v) for k, v in new.items() if k not in old or old[k] != v}
    return patch


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_null(v) for k, v in value.items() if v is not None}
    return [without_null(v) for v in value] if isinstance(value, list) else value


@given(old=objects, new=objects)
def test_a_merge_patch_of_the_difference_gives_the_new_object(old: Any, new: Any) -> None:
    old, new = without_null(old), without_null(new)
    before = copy.deepcopy(old)
    assert merge(old, difference(old, new)) == new
    assert old == before


@given(subject=objects)
def test_a_strategic_patch_with_the_object_itself_changes_nothing(subject: Any) -> None:
    subject = without_null(subject)
    assert strategic(subject, subject) == subject


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2]}),
        ([{"op": "remove", "path": "/a/1"}], {"a": [1]}),
        ([{"op": "replace", "path": "/a", "value": "x"}], {"a": "x"}),
        ([{"op": "copy", "from": "/a/0", "path": "/b"}], {"a": [1, 2], "b": 1}),
        ([{"op": "move", "from": "/a", "path": "/x~1y"}], {"x/y": [1, 2]}),
        ([{"op": "test", "path": "/a/0", "value": 1}], {"a": [1, 2]}),
    ],
)
def test_json_patch(operations: list[Any], expected: Any) -> None:
    assert json_patch({"a": [1, 2]}, operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/c/d", "value": 1},
        {"op": "nonsense", "path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_as_a_whole(operation: Any) -> None:
    subject = {"a": 1}
    with pytest.raises(ApiError) as refused:
        json_patch(subject, [{"op": "add", "path": "/new", "value": 1}, operation])
    assert refused.value.code == 422
    assert subject == {"a": 1}


def test_elements_of_known_lists_are_merged_by_their_key() -> None:
    old = pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"})
    env = [{"name": "Y", "value": "2"}, {"name": "X", "$patch": "delete"}]
    new = strategic(old, {"spec": {"containers": [{"name": "a", "env": env}]}})
    assert new["spec"]["containers"] == [
        {"name": "a", "image": "1", "env": [{"name": "Y", "value": "2"}]},
        {"name": "b", "image": "1"},
    ]
    assert "$patch" not in str(new)


def test_the_order_of_elements_follows_the_patch() -> None:
    old = pod({"name": "a"}, {"name": "b"})
    order = [{"name": "b"}, {"name": "a"}, {"name": "c"}]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "c"}]}}
    assert [c["name"] for c in strategic(old, patch)["spec"]["containers"]] == ["b", "a", "c"]


def test_ports_have_another_key_in_a_service_than_in_a_container() -> None:
    service = {"spec": {"ports": [{"port": 80, "name": "a"}]}}
    assert strategic(service, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}) == {
        "spec": {"ports": [{"port": 80, "name": "a", "targetPort": 8080}]}
    }
    old = pod({"name": "a", "ports": [{"containerPort": 80, "name": "x"}]})
    patch = {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 81}]}]}}
    assert len(strategic(old, patch)["spec"]["containers"][0]["ports"]) == 2


def test_other_lists_are_replaced_and_directives_obeyed() -> None:
    old = {"args": [1, 2], "map": {"a": 1, "b": 2}, "metadata": {"finalizers": ["x", "y"]}}
    patch = {
        "args": [3],
        "map": {"$patch": "replace", "c": 3},
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]},
    }
    assert strategic(old, patch) == {"args": [3], "map": {"c": 3}, "metadata": {"finalizers": ["y", "z"]}}
    retained = strategic({"strategy": {"a": 1, "b": 2}}, {"strategy": {"$retainKeys": ["b"], "b": 3}})
    assert retained == {"strategy": {"b": 3}}


def test_an_element_without_its_key_is_refused() -> None:
    with pytest.raises(ApiError, match="merge key"):
        strategic(pod({"name": "a"}), {"spec": {"containers": [{"image": "x"}]}})


def applied(**data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def run(current: Any, wanted: Any, manager: str = "one", *, force: bool = False) -> dict[str, Any]:
    return apply(current, wanted, manager=manager, force=force, now="2024-01-01T00:00:00Z")


def test_what_a_manager_no_longer_applies_goes_and_what_others_set_stays() -> None:
    first = run(None, applied(a="1", b="2"))
    first["data"]["foreign"] = "x"
    second = run(first, applied(a="1"))
    assert second["data"] == {"a": "1", "foreign": "x"}


def test_a_field_of_another_manager_is_a_conflict_unless_forced_or_the_same() -> None:
    first = run(None, applied(a="1"))
    with pytest.raises(ApiError) as refused:
        run(first, applied(a="2"), "two")
    assert refused.value.code == 409
    assert refused.value.details["causes"][0]["field"] == ".data.a"
    forced = run(first, applied(a="2"), "two", force=True)
    assert forced["data"] == {"a": "2"}
    assert [e["manager"] for e in forced["metadata"]["managedFields"]] == ["two"]
    shared = run(first, applied(a="1"), "two")
    assert run(shared, applied(), "two")["data"] == {"a": "1"}


def test_elements_of_keyed_lists_are_owned_one_by_one() -> None:
    def wanted(*containers: Any) -> Any:
        return {"apiVersion": "v1", "kind": "Pod", **pod(*containers)}

    first = run(None, wanted({"name": "a", "image": "1"}, {"name": "b", "image": "1"}))
    second = run(first, wanted({"name": "c", "image": "1"}), "two")
    assert [c["name"] for c in second["spec"]["containers"]] == ["a", "b", "c"]
    third = run(second, wanted({"name": "b", "image": "2"}))
    assert third["spec"]["containers"] == [{"name": "b", "image": "2"}, {"name": "c", "image": "1"}]


@given(
    first=st.dictionaries(st.sampled_from("abc"), st.text(max_size=2)),
    second=st.dictionaries(st.sampled_from("abcd"), st.text(max_size=2)),
)
def test_one_manager_alone_gets_exactly_what_it_applies(first: Any, second: Any) -> None:
    assert run(run(None, applied(**first)), applied(**second)).get("data", {}) == second
