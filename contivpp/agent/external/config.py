"""What all sources want of this node: state that the controller owns.

Every accepted item is kept in the local file before the change is applied, so that a restarted agent has all of them
at once, whether etcd answers or the program that sent them still runs or not. A refused item changes nothing: what
its source last had under that key stays, also across a restart.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from prometheus_client import Counter, Gauge

from contivpp.agent.changes import ExternalChange
from contivpp.agent.events import ExternalConfigChanged
from contivpp.agent.external.merge import Merged, merge
from contivpp.agent.external.values import Catalogue, Item, ItemError, decode
from contivpp.model.keys import external_prefix

log = logging.getLogger(__name__)

ETCD_SOURCE: Final = "db"
"""The name of etcd as a source, as in the original."""

REFUSED = Counter("contiv_agent_external_refused_items", "External items that were refused", ["source"])
ITEMS = Gauge("contiv_agent_external_items", "External items in effect or waiting", ["source"])

_SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class KeptItems(Protocol):
    """What is needed of the local file."""

    def load(self) -> Mapping[str, bytes]:
        """Everything that is kept."""
        ...

    def update(self, changes: Mapping[str, bytes | None]) -> None:
        """Keeps some, forgets others, at once."""
        ...


def check_source(name: str) -> None:
    """Whether a program may call itself so.

    Raises:
        ValueError: with the remedy.
    """
    if name == ETCD_SOURCE:
        message = f"source {name} is etcd itself: choose another name"
        raise ValueError(message)
    if not _SOURCE_NAME.fullmatch(name):
        message = f"source {name!r}: a name has 1 to 63 lower-case letters, digits, dots, dashes and underscores"
        raise ValueError(message)


class ExternalConfig:
    """The accepted items of all sources, and the refusals."""

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        kept: KeptItems | None = None,
        *,
        node_name: str = "",
    ) -> None:
        """Takes what there may be, and recalls what was kept.

        Args:
            catalogue: the data plane's types; without them every item is refused.
            kept: the local file; None keeps nothing.
            node_name: this node, for the keys of items in etcd.
        """
        self._catalogue = catalogue or Catalogue({}, lambda value: value)
        self._kept = kept
        self._prefix = external_prefix(node_name)
        self._items: dict[str, dict[str, Item]] = {}  # by key, then by source
        self._refused: dict[str, dict[str, str]] = {}  # by source, then by key
        self._known: dict[str, set[str]] = {}  # by source, the keys of its items
        self.departed: set[str] = set()
        """Keys that no source has any more; whoever knows that nothing is left of one takes it out."""
        self._load()

    # ---- reading

    def __contains__(self, key: object) -> bool:
        """Whether any source has an item with this key."""
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        """The keys of all items."""
        return iter(self._items)

    def sources(self) -> list[str]:
        """Everybody who has items or refusals, sorted."""
        return sorted({source for source in (*self._known, *self._refused) if self.keys_of(source)})

    def keys_of(self, source: str) -> list[str]:
        """The keys of a source's items and refusals, sorted."""
        return sorted({*self._known.get(source, ()), *self._refused.get(source, ())})

    def item(self, source: str, key: str) -> Item | None:
        """The item that counts; after a refusal the one before it."""
        return self._items.get(key, {}).get(source)

    def refusal(self, source: str, key: str) -> str:
        """Why the last item of a source under a key was refused; "" when it was not."""
        return self._refused.get(source, {}).get(key, "")

    def merged(self, key: str, base: Any | None) -> Merged:
        """What `key` should hold over the agent's own value `base`."""
        return merge(self._catalogue, key, base, self._items.get(key, {}).values())

    # ---- changing (the controller only)

    def take(self, event: ExternalConfigChanged) -> list[ExternalChange]:
        """Takes news of a source; returns what that changed."""
        source, wanted = event.source, dict(event.items)
        if event.whole:
            wanted = {**dict.fromkeys(self.keys_of(source)), **wanted}
        accepted: dict[str, Item | None] = {}
        for key, raw in sorted(wanted.items()):
            self._refused.get(source, {}).pop(key, None)
            if raw is None:
                accepted[key] = None
                continue
            known = self.item(source, key)
            if known is not None and known.raw == raw:
                continue
            try:
                accepted[key] = decode(self._catalogue, source, key, raw, where=self._where(source, key))
            except ItemError as error:
                self._refuse(source, key, str(error))
        changed = {key: item for key, item in accepted.items() if item != self.item(source, key)}
        withdrawn = {key: None for key, item in accepted.items() if item is None}  # some may be kept and not understood
        if self._kept is not None and (rows := {**changed, **withdrawn}):
            self._kept.update({f"{source}/{key}": None if item is None else item.raw for key, item in rows.items()})
        for key, item in changed.items():
            self._put(source, key, item)
        ITEMS.labels(source).set(len(self._known.get(source, ())))
        return [ExternalChange(tuple(changed))] if changed else []

    def _load(self) -> None:
        for place, raw in (self._kept.load() if self._kept is not None else {}).items():
            source, _, key = place.partition("/")
            try:
                self._put(source, key, decode(self._catalogue, source, key, raw, where=self._where(source, key)))
            except ItemError as error:  # another data plane, or another version, than the one that took it
                self._refuse(source, key, str(error))
        for source, keys in self._known.items():
            ITEMS.labels(source).set(len(keys))

    def _put(self, source: str, key: str, item: Item | None) -> None:
        if item is not None:
            self._items.setdefault(key, {})[source] = item
            self._known.setdefault(source, set()).add(key)
            self.departed.discard(key)
            return
        self._known[source].discard(key)
        del self._items[key][source]
        if not self._items[key]:
            del self._items[key]
            self.departed.add(key)

    def _where(self, source: str, key: str) -> str:
        return self._prefix + key if source == ETCD_SOURCE else f"{key} of source {source}"

    def _refuse(self, source: str, key: str, sentence: str) -> None:
        self._refused.setdefault(source, {})[key] = sentence
        REFUSED.labels(source).inc()
        log.warning("refused an external item: %s", sentence)
