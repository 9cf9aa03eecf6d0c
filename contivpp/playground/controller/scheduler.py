"""Which node a pod goes to: a pure function. Fewest pods first, and by name where that does not decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]


def waits(pod: Object) -> bool:
    """Tells whether a pod is to be put on a node."""
    metadata, spec = pod["metadata"], pod["spec"]
    ours = spec.get("schedulerName", "default-scheduler") == "default-scheduler"
    return ours and not spec.get("nodeName") and not metadata.get("deletionTimestamp")


def is_ready(node: Object) -> bool:
    """Tells whether a node says that it is Ready."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _tolerates(pod: Object, taint: Object) -> bool:
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if toleration.get("key") in (None, "") and toleration.get("operator") == "Exists":
            return True
        if toleration.get("key") == taint["key"] and (
            toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
        ):
            return True
    return False


def refusal(pod: Object, node: Object) -> str:
    """Why a node does not take a pod; "" when it does."""
    spec = node.get("spec") or {}
    if not is_ready(node):
        return "not ready"
    if spec.get("unschedulable"):
        return "unschedulable"
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod["spec"].get("nodeSelector") or {}).items()):
        return "does not match the pod's node selector"
    for taint in spec.get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerates(pod, taint):
            return f"has the taint {taint['key']} that the pod does not tolerate"
    return ""


def choose(pod: Object, nodes: Iterable[Object], load: Mapping[str, int]) -> tuple[str, str]:
    """Returns the name of the node, or "" and why there is none."""
    reasons: dict[str, int] = {}
    fitting = []
    total = 0
    for node in nodes:
        total += 1
        if why := refusal(pod, node):
            reasons[why] = reasons.get(why, 0) + 1
        else:
            name = node["metadata"]["name"]
            fitting.append((load.get(name, 0), name))
    if fitting:
        return min(fitting)[1], ""
    said = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
    return "", f"0/{total} nodes are available: {said or 'there is no node'}."
