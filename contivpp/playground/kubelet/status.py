"""A pod's status, from what runs: a pure function of the record, the pod's specification and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contivpp.playground.kubelet.records import Container, Record

Object = dict[str, Any]
IMAGE_ID = "playground://no-image"


def pod_status(
    record: Record, pod: Object, *, ready: Mapping[str, bool], host_address: str, now: str, problem: str = ""
) -> Object:
    """What belongs into `status`; `problem` is why the pod has no sandbox yet."""
    containers = pod["spec"]["containers"]
    statuses = [_container(c, record.containers.get(c["name"]), ready.get(c["name"], False)) for c in containers]
    phase = _phase(record, pod)
    all_ready = phase == "Running" and all(s["ready"] for s in statuses)
    over = phase in ("Succeeded", "Failed")
    why = "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else "ContainersNotReady"
    unready = [s["name"] for s in statuses if not s["ready"]]
    text = "" if all_ready or over else f"containers with unready status: [{' '.join(unready)}]"
    has_sandbox = record.sandbox is not None or (record.host_network and bool(record.containers))
    wanted = [
        ("PodReadyToStartContainers", has_sandbox and not over, "", problem),
        ("Initialized", True, "PodCompleted" if over else "", ""),
        ("Ready", all_ready, "" if all_ready else why, text),
        ("ContainersReady", all_ready, "" if all_ready else why, text),
    ]
    before = (pod.get("status") or {}).get("conditions") or ()
    addresses = [host_address] if record.host_network else record.addresses
    status: Object = {
        "phase": phase,
        "conditions": _conditions(wanted, before, now),
        "containerStatuses": statuses,
        "hostIP": host_address,
        "hostIPs": [{"ip": host_address}],
        "startTime": (pod.get("status") or {}).get("startTime") or now,
    }
    if addresses and (record.sandbox is not None or record.host_network or over):
        status |= {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
    else:
        status |= {"podIP": None, "podIPs": None}  # in a merge patch: take them away
    return status


def _phase(record: Record, pod: Object) -> str:
    names = [c["name"] for c in pod["spec"]["containers"]]
    found = [record.containers.get(name) for name in names]
    if any(container is None for container in found):
        return "Pending"
    ended = [c.exit_code for c in found if c is not None and c.exit_code is not None]
    if record.done and len(ended) == len(found):
        return "Failed" if any(ended) else "Succeeded"
    return "Running"


def _conditions(wanted: Sequence[tuple[str, bool, str, str]], before: Sequence[Object], now: str) -> list[Object]:
    old = {condition["type"]: condition for condition in before}
    made = []
    for kind, holds, reason, message in wanted:
        status = "True" if holds else "False"
        same = old.get(kind, {}).get("status") == status
        since = old[kind].get("lastTransitionTime", now) if same else now
        condition = {"type": kind, "status": status, "lastTransitionTime": since}
        condition |= {k: v for k, v in (("reason", reason), ("message", message)) if v}
        made.append(condition)
    kinds = {kind for kind, *_ in wanted}
    return [*made, *(condition for condition in before if condition["type"] not in kinds)]


def _container(container: Object, found: Container | None, ready: bool) -> Object:
    status: Object = {
        "name": container["name"],
        "image": container["image"],
        "imageID": IMAGE_ID,
        "ready": ready,
        "started": found is not None and found.exit_code is None,
        "restartCount": found.restarts if found else 0,
        "lastState": {},
    }
    if found is None:
        return {**status, "state": {"waiting": {"reason": "ContainerCreating"}}}
    status["containerID"] = f"playground://{found.id}"
    if found.exit_code is None:
        return {**status, "state": {"running": {"startedAt": found.started}}}
    ended = {
        "exitCode": found.exit_code,
        "reason": "Error" if found.exit_code else "Completed",
        "startedAt": found.started,
        "finishedAt": found.finished,
        "containerID": status["containerID"],
    }
    return {**status, "state": {"terminated": ended}}
