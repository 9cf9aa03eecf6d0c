"""The tables that `kubectl get` prints: columns and cells per kind, made by the server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from contivpp.playground.apiserver.resources import Resource

Object = dict[str, Any]
Cell = str | int
_NONE = "<none>"


def _age(stamp: str | None, now: datetime) -> str:
    """A time stamp as kubectl writes an age: the two largest units, fewer with years."""
    if not stamp:
        return "<unknown>"
    seconds = max(int((now - datetime.fromisoformat(stamp)).total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    # Below each limit: the larger unit, and what is left of the smaller one.
    for limit, larger, smaller, units in (
        (120, seconds, 0, "s"),
        (600, minutes, seconds % 60, "ms"),
        (3 * 3600, minutes, 0, "m"),
        (8 * 3600, hours, minutes % 60, "hm"),
        (48 * 3600, hours, 0, "h"),
        (8 * 86400, days, hours % 24, "dh"),
    ):
        if seconds < limit:
            return f"{larger}{units[0]}" + (f"{smaller}{units[1]}" if smaller else "")
    return f"{days}d"


def _joined(values: Iterable[object], empty: str = _NONE) -> str:
    return ",".join(str(value) for value in values) or empty


def _pairs(values: dict[str, str] | None) -> str:
    return _joined(f"{k}={v}" for k, v in sorted((values or {}).items()))


def _selector(selector: Object | None) -> str:
    selector = selector or {}
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for e in selector.get("matchExpressions") or ():
        values = f" ({','.join(e.get('values') or ())})" if e.get("values") else ""
        parts.append(f"{e['key']} {e['operator'].lower()}{values}")
    return _joined(parts)


def _condition(subject: Object, kind: str) -> str | None:
    conditions = (subject.get("status") or {}).get("conditions") or ()
    return next((c["status"] for c in conditions if c["type"] == kind), None)


def _pod(pod: Object, now: datetime) -> list[Cell]:
    status, spec = pod.get("status") or {}, pod["spec"]
    containers = status.get("containerStatuses") or []
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for container in containers:
        state = container.get("state") or {}
        if waiting := (state.get("waiting") or {}).get("reason"):
            reason = waiting
        elif ended := state.get("terminated"):
            reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
    if pod["metadata"].get("deletionTimestamp"):
        reason = "Terminating"
    ready = sum(bool(container.get("ready")) for container in containers)
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or ())}",
        reason,
        sum(container.get("restartCount", 0) for container in containers),
        _age(pod["metadata"].get("creationTimestamp"), now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _NONE,
    ]


def _node(node: Object, now: datetime) -> list[Cell]:
    status = {"True": "Ready", "False": "NotReady"}.get(_condition(node, "Ready") or "", "NotReady")
    if node.get("spec", {}).get("unschedulable"):
        status += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    found = node.get("status") or {}
    addresses = {a["type"]: a["address"] for a in reversed(found.get("addresses") or ())}
    info = found.get("nodeInfo") or {}
    return [
        node["metadata"]["name"],
        status,
        _joined(sorted(k.removeprefix(prefix) for k in labels if k.startswith(prefix))),
        _age(node["metadata"].get("creationTimestamp"), now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage", "<unknown>"),
        info.get("kernelVersion", "<unknown>"),
        info.get("containerRuntimeVersion", "<unknown>"),
    ]


def _service(service: Object, now: datetime) -> list[Cell]:
    spec = service["spec"]
    ports = [
        f"{p['port']}{':' + str(p['nodePort']) if p.get('nodePort') else ''}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    ]
    return [
        service["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or _NONE,
        _joined([*(spec.get("externalIPs") or ()), *filter(None, [spec.get("externalName")])]),
        _joined(ports),
        _age(service["metadata"].get("creationTimestamp"), now),
        _pairs(spec.get("selector")),
    ]


def _endpoints(endpoints: Object, now: datetime) -> list[Cell]:
    found = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    shown = _joined(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "")
    return [endpoints["metadata"]["name"], shown, _age(endpoints["metadata"].get("creationTimestamp"), now)]


def _slice(subject: Object, now: datetime) -> list[Cell]:
    addresses = [a for endpoint in subject.get("endpoints") or () for a in endpoint.get("addresses") or ()]
    shown = _joined(addresses[:3], "<unset>") + (f" + {len(addresses) - 3} more..." if len(addresses) > 3 else "")
    return [
        subject["metadata"]["name"],
        subject.get("addressType", ""),
        _joined((p.get("port", "*") for p in subject.get("ports") or ()), "<unset>"),
        shown,
        _age(subject["metadata"].get("creationTimestamp"), now),
    ]


def _event(event: Object, now: datetime) -> list[Cell]:
    involved = event.get("involvedObject") or {}
    seen = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return [
        _age(seen, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        (event.get("message") or "").strip(),
    ]


def _column(name: str, kind: str = "string", *, priority: int = 0) -> Object:
    form = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": name, "priority": priority}


def _columns(names: str, wide: str = "") -> list[Object]:
    shown = [_column(n, "integer" if n == "Restarts" else "string") for n in names.split(", ")]
    return shown + [_column(n, priority=1) for n in wide.split(", ") if n]


Row = Callable[[Object, datetime], list[Cell]]


def _with_age(*cells: Callable[[Object], Cell]) -> Row:
    return lambda subject, now: [
        subject["metadata"]["name"],
        *(cell(subject) for cell in cells),
        _age(subject["metadata"].get("creationTimestamp"), now),
    ]


_TABLES: dict[str, tuple[list[Object], Row]] = {
    "/pods": (
        _columns("Name, Ready, Status, Restarts, Age", "IP, Node, Nominated Node, Readiness Gates"),
        _pod,
    ),
    "/nodes": (
        _columns(
            "Name, Status, Roles, Age, Version",
            "Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime",
        ),
        _node,
    ),
    "/services": (_columns("Name, Type, Cluster-IP, External-IP, Port(s), Age", "Selector"), _service),
    "/endpoints": (_columns("Name, Endpoints, Age"), _endpoints),
    "/events": (_columns("Last Seen, Type, Reason, Object, Message"), _event),
    "/namespaces": (
        _columns("Name, Status, Age"),
        _with_age(lambda o: (o.get("status") or {}).get("phase", "")),
    ),
    "/configmaps": (_columns("Name, Data, Age"), _with_age(lambda o: len(o.get("data") or ()))),
    "/secrets": (
        _columns("Name, Type, Data, Age"),
        _with_age(lambda o: o.get("type", ""), lambda o: len(o.get("data") or ())),
    ),
    "discovery.k8s.io/endpointslices": (_columns("Name, AddressType, Ports, Endpoints, Age"), _slice),
    "networking.k8s.io/networkpolicies": (
        _columns("Name, Pod-Selector, Age"),
        _with_age(lambda o: _selector((o.get("spec") or {}).get("podSelector"))),
    ),
    "coordination.k8s.io/leases": (
        _columns("Name, Holder, Age"),
        _with_age(lambda o: (o.get("spec") or {}).get("holderIdentity", "")),
    ),
    "apiextensions.k8s.io/customresourcedefinitions": (
        _columns("Name, Created At"),
        lambda o, _: [o["metadata"]["name"], o["metadata"]["creationTimestamp"]],
    ),
}
_STEP = re.compile(r"\.([^.\[\]]+)|\[\?\(@\.(\w+)\s*==\s*[\"']([^\"']*)[\"']\)\]|\[(\d+|\*)\]")


def json_path(subject: Any, path: str) -> Any:
    """What a printer column's JSON path finds first: fields, indices, and filters by equality."""
    for name, key, value, index in _STEP.findall(path):
        if name:
            subject = subject.get(name) if isinstance(subject, dict) else None
        elif not isinstance(subject, list):
            return None
        elif key:
            subject = next((e for e in subject if str(e.get(key)) == value), None)
        else:
            at = 0 if index == "*" else int(index)
            subject = subject[at] if at < len(subject) else None
    return subject


def _custom(resource: Resource) -> tuple[list[Object], Row]:
    columns = [dict(column) for column in resource.columns]

    def row(subject: Object, now: datetime) -> list[Cell]:
        cells: list[Cell] = [subject["metadata"]["name"]]
        for column in columns:
            found = json_path(subject, column["jsonPath"])
            if column.get("type") == "date":
                cells.append(_age(found, now))
            else:
                cells.append("" if found is None else str(found))
        return cells if columns else [*cells, _age(subject["metadata"].get("creationTimestamp"), now)]

    headings = [_column(c["name"], priority=int(c.get("priority", 0))) for c in columns]
    return [_column("Name"), *(headings or [_column("Age")])], row


def table(resource: Resource, objects: Sequence[Object], metadata: Object, include: str = "Metadata") -> Object:
    """A `Table` of objects; `include` says what each row carries: "None", "Metadata" or "Object"."""
    columns, row = _TABLES.get(resource.key) or _custom(resource)
    now = datetime.now(UTC)
    rows = []
    for subject in objects:
        entry: Object = {"cells": row(subject, now)}
        if include == "Object":
            entry["object"] = subject
        elif include != "None":
            entry["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": subject["metadata"],
            }
        rows.append(entry)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }
