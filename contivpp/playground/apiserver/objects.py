"""Creating, changing and deleting objects: the verbs of the API, without HTTP.

Every method is one step of the event loop, so requests are serial and need no locks.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contivpp.playground.apiserver import errors
from contivpp.playground.apiserver.apply import apply
from contivpp.playground.apiserver.resources import CRD_GROUP, Resource, Resources
from contivpp.playground.apiserver.rules import DEFAULT_GRACE, Rules
from contivpp.playground.apiserver.storage import Key, Storage

Object = dict[str, Any]
# What only the server writes; an update takes it from the old object.
_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_DEFINITIONS = f"{CRD_GROUP}/customresourcedefinitions"
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about; `name` is "" for a collection, `namespace` "" for all or none."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """Where the object is stored."""
        return self.namespace, self.name

    @property
    def names(self) -> tuple[str, str, str]:
        """Group, plural and name, as errors want them."""
        return self.resource.group, self.resource.plural, self.name


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete: None leaves it to the object. Preconditions are "" when not given."""

    grace: int | None = None
    uid: str = ""
    revision: str = ""
    dry_run: bool = False


def now() -> str:
    """The present time, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """The verbs on stored objects."""

    def __init__(self, storage: Storage, resources: Resources, rules: Rules) -> None:
        self.storage = storage
        self.resources = resources
        self._rules = rules
        for definition in storage.all(_DEFINITIONS).values():
            resources.add(definition)

    def get(self, target: Target) -> Object:
        """One object; not to be changed.

        Raises:
            ApiError: there is none.
        """
        found = self.storage.get(target.resource.key, target.key)
        if found is None:
            raise errors.not_found(*target.names)
        return self.present(target.resource, found)

    @staticmethod
    def present(resource: Resource, subject: Object) -> Object:
        """An object in the version that was asked for."""
        if subject["apiVersion"] == resource.api_version:
            return subject
        return {**subject, "apiVersion": resource.api_version}

    def create(self, target: Target, body: Any, *, dry_run: bool = False) -> Object:
        """Creates an object; returns it as it is stored.

        Raises:
            ApiError: it is there, it is invalid, or its namespace does not take it.
        """
        resource = target.resource
        subject = self._checked(target, body)
        metadata = subject["metadata"]
        if not metadata.get("name"):
            prefix = metadata.get("generateName")
            if not prefix:
                raise errors.invalid(
                    resource.group,
                    resource.kind,
                    "",
                    [("metadata.name", "Required value: name or generateName")],
                )
            metadata["name"] = prefix + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        target = Target(resource, target.namespace, metadata["name"])
        self._check_namespace(target)
        if self.storage.get(resource.key, target.key) is not None:
            raise errors.already_exists(*target.names)
        if metadata.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        for field in (*_OWN, "selfLink", "resourceVersion"):
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if resource.group:
            metadata["generation"] = 1
        if not resource.strategic and resource.subresources:
            subject.pop("status", None)
        if resource.key == "/pods":
            subject.pop("status", None)
        return self._store(target, subject, None, dry_run=dry_run)

    def _checked(self, target: Target, body: Any) -> Object:
        """A copy of a request's object, that is known to be of the right kind and in the right place."""
        resource = target.resource
        if not isinstance(body, dict):
            raise errors.bad_request("the body of the request must be an object")
        subject = copy.deepcopy(body)
        kind, api_version = (
            subject.get("kind", resource.kind),
            subject.get("apiVersion", resource.api_version),
        )
        if (kind, api_version) != (resource.kind, resource.api_version):
            raise errors.bad_request(
                f"{kind} in version {api_version!r} cannot be handled as {resource.kind} in {resource.api_version!r}"
            )
        subject = {"apiVersion": api_version, "kind": kind, **_without(subject, "apiVersion", "kind")}
        metadata = subject.setdefault("metadata", {})
        if not isinstance(metadata, dict):
            raise errors.bad_request("metadata must be an object")
        if resource.namespaced:
            if metadata.setdefault("namespace", target.namespace) != target.namespace:
                raise errors.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        if target.name and metadata.setdefault("name", target.name) != target.name:
            raise errors.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            )
        return subject

    def _check_namespace(self, target: Target) -> None:
        if not target.resource.namespaced:
            return
        namespace = self.storage.get("/namespaces", ("", target.namespace))
        if namespace is None:
            raise errors.not_found("", "namespaces", target.namespace)
        if namespace["metadata"].get("deletionTimestamp") and target.resource.key != "/events":
            why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
            raise errors.forbidden(*target.names, why, [cause])

    def update(self, target: Target, body: Any, *, dry_run: bool = False) -> Object:
        """Replaces an object, or one of its subresources.

        Raises:
            ApiError: it is not there, is invalid, or has changed since the client saw it.
        """
        self.get(target)
        return self._replace(target, self._checked(target, body), dry_run=dry_run)

    def patch(self, target: Target, change: Callable[[Object], Any], *, dry_run: bool = False) -> Object:
        """Changes an object by a function of it.

        Raises:
            ApiError: as for `update`, or the patch does not fit.
        """
        old = self.get(target)
        changed = self._checked(target, change(copy.deepcopy(old)))
        return self._replace(target, changed, dry_run=dry_run)

    def apply(self, target: Target, body: Any, *, manager: str, force: bool, dry_run: bool) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it is new.

        Raises:
            ApiError: another manager owns a field, or as for `create` and `update`.
        """
        if not manager:
            raise errors.bad_request("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        applied = self._checked(target, body)
        applied["metadata"].pop("managedFields", None)
        old = self.storage.get(target.resource.key, target.key)
        old = self.present(target.resource, old) if old is not None else None
        merged = apply(old, applied, manager=manager, force=force, now=now())
        if old is None:
            return self.create(target, merged, dry_run=dry_run), True
        return self._replace(target, self._checked(target, merged), dry_run=dry_run), False

    def _replace(self, target: Target, subject: Object, *, dry_run: bool) -> Object:
        resource = target.resource
        old = self.get(target)
        before, metadata = old["metadata"], subject["metadata"]
        seen = metadata.get("resourceVersion")
        if seen and seen != before["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise errors.conflict(*target.names, why)
        if metadata.get("uid", before["uid"]) != before["uid"]:
            why = f"the UID in the precondition ({metadata['uid']}) does not match that of the object"
            raise errors.conflict(*target.names, why)
        for field in _OWN:
            metadata.pop(field, None)
            if field in before:
                metadata[field] = before[field]
        metadata["resourceVersion"] = before["resourceVersion"]
        if "managedFields" not in metadata and "managedFields" in before:
            metadata["managedFields"] = before["managedFields"]
        subject = self._parts(target, subject, old)
        if resource.group and subject.get("spec") != old.get("spec"):
            subject["metadata"]["generation"] = before.get("generation", 0) + 1
        return self._store(target, subject, old, dry_run=dry_run)

    @staticmethod
    def _parts(target: Target, subject: Object, old: Object) -> Object:
        """Keeps what the request's path does not reach: status from outside, all but status from inside."""
        if target.subresource == "status":
            metadata = {**old["metadata"], "resourceVersion": subject["metadata"]["resourceVersion"]}
            if target.resource.key == "/nodes":  # a kubelet may set annotations along with the status
                metadata |= {k: v for k, v in subject["metadata"].items() if k in ("labels", "annotations")}
            return {**old, "metadata": metadata, "status": subject.get("status") or {}}
        if target.subresource == "finalize":
            return {**old, "spec": subject.get("spec") or {}}
        if "status" in target.resource.subresources:
            subject.pop("status", None)
            if "status" in old:
                subject["status"] = old["status"]
        return subject

    def _store(self, target: Target, subject: Object, old: Object | None, *, dry_run: bool) -> Object:
        resource = target.resource
        subject = copy.deepcopy(subject)
        self._rules.complete(resource, subject, old)
        if subject == old:
            return subject
        if dry_run:
            return subject
        if old is not None and _is_over(resource, subject):
            return self._remove(target)
        stored = self.storage.put(resource.key, target.key, subject)
        if resource.key == _DEFINITIONS:
            self.resources.add(stored)
        return stored

    def bind(self, target: Target, body: Any) -> None:
        """Puts a pod on a node, as the scheduler does.

        Raises:
            ApiError: the pod is on a node already, or there is no such pod.
        """
        pod = self.get(Target(target.resource, target.namespace, target.name))
        node = ((body or {}).get("target") or {}).get("name")
        if not node:
            raise errors.bad_request("a binding needs target.name")
        if pod["spec"].get("nodeName"):
            why = f'pod {target.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise errors.conflict("", "pods/binding", target.name, why)
        status = pod.get("status") or {}
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now(),
        }
        kept = [c for c in status.get("conditions") or () if c["type"] != "PodScheduled"]
        bound = {
            **pod,
            "metadata": dict(pod["metadata"]),
            "spec": {**pod["spec"], "nodeName": node},
            "status": {**status, "conditions": [*kept, scheduled]},
        }
        self.storage.put("/pods", target.key, bound)

    def delete(self, target: Target, options: DeleteOptions) -> tuple[Object, bool]:
        """Deletes an object, or begins to; returns what is left of it, and whether it is gone.

        Raises:
            ApiError: there is none, or a precondition does not hold.
        """
        subject = self.get(target)
        metadata = subject["metadata"]
        for name, wanted, found in (
            ("UID", options.uid, metadata["uid"]),
            ("ResourceVersion", options.revision, metadata["resourceVersion"]),
        ):
            if wanted and wanted != found:
                why = f"Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {found}"
                raise errors.conflict(*target.names, why)
        grace = self._grace(target.resource, subject, options.grace)
        if not grace and not metadata.get("finalizers") and not _has_content(target.resource, subject):
            return (subject if options.dry_run else self._remove(target)), True
        left = self._marked(target.resource, subject, grace)
        if left is subject or options.dry_run:
            return left, False
        return self.storage.put(target.resource.key, target.key, left), False

    @staticmethod
    def _grace(resource: Resource, subject: Object, wanted: int | None) -> int:
        """Seconds that a pod gets to end; a pod that runs nowhere gets none, and no other object does."""
        if resource.key != "/pods":
            return 0
        if not subject["spec"].get("nodeName") or (subject.get("status") or {}).get("phase") in _FINISHED:
            return 0
        grace = subject["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE) if wanted is None else wanted
        return max(int(grace), 0)

    @staticmethod
    def _marked(resource: Resource, subject: Object, grace: int) -> Object:
        """The object with its deletion under way; the same object when nothing changes."""
        metadata = subject["metadata"]
        already = metadata.get("deletionTimestamp")
        if already and grace >= metadata.get("deletionGracePeriodSeconds", 0):
            return subject
        due = datetime.now(UTC) + timedelta(seconds=grace)
        marks: Object = {
            "deletionTimestamp": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "deletionGracePeriodSeconds": grace,
        }
        left = {**subject, "metadata": {**metadata, **marks}}
        if resource.key == "/namespaces":
            left["status"] = {**(subject.get("status") or {}), "phase": "Terminating"}
        return left

    def _remove(self, target: Target) -> Object:
        last = self.storage.delete(target.resource.key, target.key)
        if target.resource.key == _DEFINITIONS:
            key = f"{last['spec']['group']}/{last['spec']['names']['plural']}"
            for instance in list(self.storage.all(key)):
                self.storage.delete(key, instance)
            self.resources.remove(last)
        return last


def _without(subject: Object, *names: str) -> Object:
    return {name: value for name, value in subject.items() if name not in names}


def _has_content(resource: Resource, subject: Object) -> bool:
    return resource.key == "/namespaces" and bool(subject["spec"].get("finalizers"))


def _is_over(resource: Resource, subject: Object) -> bool:
    """An object whose deletion only waited for its last finalizer."""
    metadata = subject["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or _has_content(resource, subject):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
