"""Lists in pages, each page of the same revision, and watches from a revision on."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from contivpp.playground.apiserver import errors
from contivpp.playground.apiserver.errors import ApiError
from contivpp.playground.apiserver.selectors import Predicate
from contivpp.playground.apiserver.storage import Change, ForgottenError, Key, Reader, Storage, in_order

Object = dict[str, Any]
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a list or a watch was asked for; `namespace` None means all, `limit` 0 no limit."""

    namespace: str | None = None
    predicate: Predicate | None = None
    limit: int = 0
    token: str = ""
    revision: str = ""
    exact: bool = False
    timeout: float = 1800.0
    bookmarks: bool = False
    initial_events: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `metadata` is that of the list."""

    items: list[Object]
    metadata: Object


def _token(revision: int, last: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode({"rv": revision, "start": last})).decode()


def _read_token(token: str) -> tuple[int, Key]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token))
        return int(found["rv"]), (str(found["start"][0]), str(found["start"][1]))
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error, msgspec.DecodeError) as error:
        raise errors.bad_request("continue key is not valid") from error


def _revision(text: str, newest: int) -> int:
    try:
        revision = int(text)
    except ValueError as error:
        raise errors.bad_request(f"invalid resource version: {text!r}") from error
    if revision > newest:
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        details = {"causes": [cause], "retryAfterSeconds": 1}
        message = f"Timeout: Too large resource version: {revision}, current: {newest}"
        raise ApiError(504, "Timeout", message, details)
    return revision


def page(storage: Storage, resource: str, options: ListOptions) -> Page:
    """Reads one page.

    Raises:
        ApiError: 410 when the revision of the page's list is forgotten.
    """
    after: Key | None = None
    revision = storage.revision
    if options.token:
        revision, after = _read_token(options.token)
    elif options.exact:
        revision = _revision(options.revision, storage.revision)
    elif options.revision:
        _revision(options.revision, storage.revision)
    try:
        objects = storage.all(resource) if revision == storage.revision else storage.at(resource, revision)
    except ForgottenError:
        raise errors.expired(
            "The provided continue parameter is too old to display a consistent list result. "
            "You can start a new list without the continue parameter."
        ) from None
    chosen = [
        (key, subject)
        for key, subject in in_order(objects, options.namespace, after)
        if options.predicate is None or options.predicate(subject)
    ]
    metadata: Object = {"resourceVersion": str(revision)}
    if options.limit and len(chosen) > options.limit:
        metadata["remainingItemCount"] = len(chosen) - options.limit
        chosen = chosen[: options.limit]
        metadata["continue"] = _token(revision, chosen[-1][0])
    return Page([subject for _, subject in chosen], metadata)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch; an error ends it."""

    type: str
    object: Object
    encoded: bytes = b""


class Watches:
    """All watches of a server; they end together when it stops."""

    def __init__(self, storage: Storage, *, bookmark_interval: float) -> None:
        self._storage = storage
        self._interval = bookmark_interval
        self._open: set[Reader] = set()
        self._closed = False

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        for reader in self._open:
            reader.wake()

    async def watch(self, resource: str, options: ListOptions) -> AsyncIterator[Event]:
        """Yields what happens to objects of a resource.

        A watch from no revision begins with what is there; one from a revision that is forgotten yields
        one error event with code 410 and ends.
        """
        revision = self._storage.revision
        with_state = options.initial_events or (options.initial_events is None and options.revision in ("", "0"))
        if options.revision not in ("", "0"):
            revision = _revision(options.revision, self._storage.revision)
        try:
            reader = self._storage.reader(resource, self._storage.revision if with_state else revision)
        except ForgottenError:
            yield _too_old(options.revision)
            return
        self._open.add(reader)
        try:
            if with_state:
                state = page(self._storage, resource, ListOptions(namespace=options.namespace))
                for subject in state.items:
                    if options.predicate is None or options.predicate(subject):
                        yield Event("ADDED", subject)
                if options.initial_events and options.bookmarks:
                    yield Event("BOOKMARK", _bookmark(state.metadata["resourceVersion"], initial=True))
            async for event in self._changes(reader, options):
                yield event
        finally:
            reader.close()
            self._open.discard(reader)

    async def _changes(self, reader: Reader, options: ListOptions) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        end = loop.time() + options.timeout
        bookmark_at = loop.time() + self._interval
        while not self._closed:
            try:
                changes = reader.read()
            except ForgottenError:
                yield _too_old(options.revision)
                return
            for change in changes:
                if (event := _seen(change, options)) is not None:
                    yield event
            if changes:
                continue
            now = loop.time()
            if now >= end:
                return
            if options.bookmarks and now >= bookmark_at:
                bookmark_at = now + self._interval
                yield Event("BOOKMARK", _bookmark(str(self._storage.revision)))
                continue
            until = min(end, bookmark_at) if options.bookmarks else end
            try:
                async with asyncio.timeout(until - now):
                    await reader.wait()
            except TimeoutError:
                continue


def _seen(change: Change, options: ListOptions) -> Event | None:
    """How a change looks through a selector: what comes to match is added, what ceases to is deleted."""
    if options.namespace is not None and change.object["metadata"].get("namespace", "") != options.namespace:
        return None
    if options.predicate is None:
        return Event(change.type, change.object, change.encode())
    before = change.previous is not None and options.predicate(change.previous)
    after = change.type != "DELETED" and options.predicate(change.object)
    if before and after:
        return Event("MODIFIED", change.object, change.encode())
    if after:
        return Event("ADDED", change.object, change.encode())
    return Event("DELETED", change.object, change.encode()) if before else None


def _bookmark(revision: str, *, initial: bool = False) -> Object:
    metadata: Object = {"resourceVersion": revision, "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"metadata": metadata}


def _too_old(revision: str) -> Event:
    return Event("ERROR", errors.expired(f"too old resource version: {revision}").status())
