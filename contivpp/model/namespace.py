"""A Kubernetes namespace. Source: spec/cluster.md 1.4."""

from __future__ import annotations

from contivpp.model.codec import Record
from contivpp.model.labels import Label


class Namespace(Record, frozen=True):
    """A namespace and its labels, sorted by key."""

    name: str = ""
    label: tuple[Label, ...] = ()
