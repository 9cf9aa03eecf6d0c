"""Equal parts of records, kept once: what makes 150,000 pods fit into memory.

Pods of one workload differ in their name and address; their labels, containers, namespace and node are the same
again and again, and are most of what a decoded record takes. Records stay decoded, because features look at the
labels and addresses of pods everywhere, and at every change; they are immutable, so sharing has no effect but
its size. What is shared is only a cache: it is dropped as a whole when it has grown, for labels of workloads that are
long gone would fill it.
"""

from __future__ import annotations

import sys
from typing import Any, Final, TypeVar

import msgspec

from contivpp.model.pod import Pod

T = TypeVar("T")

LIMIT: Final = 1 << 16
"""Parts that are remembered, at most."""


class Sharing:
    """Remembers parts, and gives records that are made of them."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Remembers at most `limit` parts."""
        self._limit = limit
        self._parts: dict[Any, Any] = {}

    def record(self, record: Any) -> Any:
        """A record of the same kind that is equal to this one."""
        return self._pod(record) if isinstance(record, Pod) else record

    def _pod(self, pod: Pod) -> Pod:
        return msgspec.structs.replace(
            pod,
            namespace=sys.intern(pod.namespace),
            label=self._part(pod.label, pod.label),
            host_ip_address=sys.intern(pod.host_ip_address),
            container=self._part(pod.container, pod.container),
            annotations=self._mapping(pod.annotations),
            labels=self._mapping(pod.labels),
            node_name=sys.intern(pod.node_name),
        )

    def _mapping(self, mapping: dict[str, str]) -> dict[str, str]:
        return self._part((dict, *mapping.items()), mapping)

    def _part(self, key: Any, part: T) -> T:
        if len(self._parts) >= self._limit:
            self._parts.clear()
        return self._parts.setdefault(key, part)  # type: ignore[no-any-return]
