"""Events, as `kubectl describe` shows them; one that cannot be written is dropped."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime
from typing import Any

from contivpp.playground.client import Client, ClientError

Object = dict[str, Any]
_LONGEST = 1000


def timestamp() -> str:
    """The present time, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def record(
    client: Client, subject: Object, kind: str, reason: str, message: str, *, component: str, warning: bool = False
) -> None:
    """Writes an event about a pod or another object; the same one again only counts up."""
    metadata = subject["metadata"]
    namespace = metadata.get("namespace") or "default"
    text = message[:_LONGEST]
    what = hashlib.sha256("\0".join((metadata.get("uid", ""), reason, text, component)).encode()).hexdigest()
    name = f"{metadata['name'][:200]}.{what[:16]}"
    stamp = timestamp()
    event = {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "kind": kind,
            "apiVersion": "v1",
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": text,
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    with contextlib.suppress(ClientError):
        try:
            old = await client.get("events", (namespace, name))
        except ClientError as error:
            if error.code == 404:
                await client.create("events", event)
            return
        again = {"lastTimestamp": stamp, "count": old.get("count", 1) + 1}
        await client.merge("events", (namespace, name), again)
