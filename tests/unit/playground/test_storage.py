"""Revisions, history, pages of one revision, and what outlives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contivpp.playground.apiserver.errors import ApiError
from contivpp.playground.apiserver.lists import ListOptions, Watches, page
from contivpp.playground.apiserver.selectors import labels
from contivpp.playground.apiserver.storage import ForgottenError, Storage

PODS = "/pods"


def put(storage: Storage, name: str, resource: str = PODS, **found: str) -> None:
    subject = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "d", "labels": found}}
    storage.put(resource, ("d", name), subject)


def names(objects: Any) -> list[str]:
    return [subject["metadata"]["name"] for subject in objects]


def test_a_restart_keeps_objects_and_revision_and_forgets_the_history(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "state.db")
    for name in "abc":
        put(storage, name)
    storage.delete(PODS, ("d", "b"))
    storage.close()
    again = Storage(tmp_path / "state.db")
    assert again.revision == 4
    assert names(again.all(PODS).values()) == ["a", "c"]
    assert again.get(PODS, ("d", "a"))["metadata"]["resourceVersion"] == "1"  # type: ignore[index]
    with pytest.raises(ForgottenError):
        again.reader(PODS, 3)
    put(again, "d")
    assert again.revision == 5
    again.close()


def test_the_past_can_be_read_as_far_as_the_history_reaches() -> None:
    storage = Storage(history=3)
    for name in "abc":
        put(storage, name)
    storage.delete(PODS, ("d", "a"))
    put(storage, "b", changed="yes")
    then = storage.at(PODS, 3)
    assert sorted(key[1] for key in then) == ["a", "b", "c"]
    assert then["d", "b"]["metadata"]["labels"] == {}
    with pytest.raises(ForgottenError):
        storage.at(PODS, 1)


def test_heartbeats_of_one_resource_do_not_push_out_the_history_of_another() -> None:
    storage = Storage(history=2)
    put(storage, "a")
    for number in range(10):
        put(storage, "node", "/nodes", number=str(number))
    assert len(storage.reader(PODS, 0).read()) == 1
    with pytest.raises(ForgottenError):
        storage.reader("/nodes", 1)


def test_all_pages_of_a_list_are_of_one_revision() -> None:
    storage = Storage()
    for name in "abcde":
        put(storage, name)
    first = page(storage, PODS, ListOptions(limit=2))
    assert names(first.items) == ["a", "b"] and first.metadata["remainingItemCount"] == 3
    storage.delete(PODS, ("d", "c"))
    put(storage, "z")
    second = page(storage, PODS, ListOptions(limit=2, token=first.metadata["continue"]))
    third = page(storage, PODS, ListOptions(limit=2, token=second.metadata["continue"]))
    assert names(second.items + third.items) == ["c", "d", "e"]
    assert third.metadata == {"resourceVersion": "5"}


def test_a_page_of_a_forgotten_revision_is_gone() -> None:
    storage = Storage()
    for name in "abc":
        put(storage, name)
    token = page(storage, PODS, ListOptions(limit=1)).metadata["continue"]
    put(storage, "d")
    storage.compact()
    with pytest.raises(ApiError) as refused:
        page(storage, PODS, ListOptions(limit=1, token=token))
    assert (refused.value.code, refused.value.reason) == (410, "Expired")


@pytest.mark.parametrize("token", ["", "rubbish", "e30=", "W10="])
def test_a_token_that_makes_no_sense_is_refused(token: str) -> None:
    storage = Storage()
    put(storage, "a")
    if not token:
        assert names(page(storage, PODS, ListOptions(token=token)).items) == ["a"]
        return
    with pytest.raises(ApiError) as refused:
        page(storage, PODS, ListOptions(token=token))
    assert refused.value.code == 400


async def collect(storage: Storage, count: int, **options: Any) -> list[tuple[str, str]]:
    watches = Watches(storage, bookmark_interval=0.01)
    found: list[tuple[str, str]] = []
    async for event in watches.watch(PODS, ListOptions(**options)):
        metadata = event.object.get("metadata", {})
        found.append((event.type, metadata.get("name", "")))
        if len(found) == count:
            break
    return found


async def test_a_watch_from_nothing_begins_with_what_is_there() -> None:
    storage = Storage()
    put(storage, "a")
    asyncio.get_running_loop().call_later(0.01, put, storage, "b")
    assert await collect(storage, 2) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_from_a_revision_tells_what_came_after_it() -> None:
    storage = Storage()
    for name in "ab":
        put(storage, name)
    put(storage, "a", more="1")
    storage.delete(PODS, ("d", "b"))
    events = await collect(storage, 3, revision="1")
    assert events == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


async def test_what_comes_to_match_a_selector_is_added_and_what_ceases_to_is_deleted() -> None:
    storage = Storage()
    put(storage, "a", app="x")
    put(storage, "b", app="y")
    put(storage, "b", app="x")
    put(storage, "a", app="y")
    storage.delete(PODS, ("d", "a"))
    put(storage, "b", app="x", other="1")
    events = await collect(storage, 3, revision="1", predicate=labels("app=x"))
    assert events == [("ADDED", "b"), ("DELETED", "a"), ("MODIFIED", "b")]


async def test_bookmarks_come_when_nothing_else_does() -> None:
    storage = Storage()
    put(storage, "a")
    assert await collect(storage, 2, revision="1", bookmarks=True) == [("BOOKMARK", ""), ("BOOKMARK", "")]


async def test_a_watch_list_ends_its_beginning_with_a_bookmark() -> None:
    storage = Storage()
    put(storage, "a")
    watch = Watches(storage, bookmark_interval=60).watch(PODS, ListOptions(initial_events=True, bookmarks=True))
    first, second = await anext(watch), await anext(watch)  # type: ignore[arg-type]
    assert (first.type, second.type) == ("ADDED", "BOOKMARK")
    assert second.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_from_a_forgotten_revision_ends_with_410() -> None:
    storage = Storage(history=2)
    for name in "abcd":
        put(storage, name)
    watch = Watches(storage, bookmark_interval=60).watch(PODS, ListOptions(revision="1"))
    events = [event async for event in watch]
    assert [(e.type, e.object["code"], e.object["reason"]) for e in events] == [("ERROR", 410, "Expired")]


async def test_a_watch_ends_at_its_time_and_with_its_server() -> None:
    storage = Storage()
    watches = Watches(storage, bookmark_interval=60)
    assert [e async for e in watches.watch(PODS, ListOptions(revision="0", initial_events=False, timeout=0.01))] == []
    asyncio.get_running_loop().call_later(0.01, watches.close)
    assert [e async for e in watches.watch(PODS, ListOptions(timeout=60))] == []
