"""The kinds of object that the server knows: the built-in ones, and those that custom resources add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
CRD_GROUP = "apiextensions.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource in one version.

    Attributes:
        strategic: whether it takes strategic merge patches (the built-in ones do).
        fields: what a field selector may ask for, beside name and namespace.
        columns: of the table, for custom resources (additionalPrinterColumns).
    """

    group: str = ""
    version: str = "v1"
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    strategic: bool = True
    fields: tuple[str, ...] = ()
    columns: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def key(self) -> str:
        """The name under which objects of all its versions are stored."""
        return f"{self.group}/{self.plural}"

    @property
    def api_version(self) -> str:
        """What objects carry as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version


_EVENT_FIELDS = tuple(
    f"involvedObject.{field}"
    for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
)

BUILT_IN = (
    Resource(
        plural="namespaces",
        singular="namespace",
        kind="Namespace",
        namespaced=False,
        short_names=("ns",),
        subresources=("status", "finalize"),
        fields=("status.phase",),
    ),
    Resource(
        plural="nodes",
        singular="node",
        kind="Node",
        namespaced=False,
        short_names=("no",),
        subresources=("status",),
        fields=("spec.unschedulable",),
    ),
    Resource(
        plural="pods",
        singular="pod",
        kind="Pod",
        short_names=("po",),
        categories=("all",),
        subresources=("status", "binding", "eviction", "log"),
        fields=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    ),
    Resource(
        plural="services",
        singular="service",
        kind="Service",
        short_names=("svc",),
        categories=("all",),
        subresources=("status",),
        fields=("spec.clusterIP", "spec.type"),
    ),
    Resource(plural="endpoints", singular="endpoints", kind="Endpoints", short_names=("ep",)),
    Resource(
        plural="events",
        singular="event",
        kind="Event",
        short_names=("ev",),
        fields=(*_EVENT_FIELDS, "reason", "reportingComponent", "source", "type"),
    ),
    Resource(plural="configmaps", singular="configmap", kind="ConfigMap", short_names=("cm",)),
    Resource(plural="secrets", singular="secret", kind="Secret", fields=("type",)),
    Resource(plural="serviceaccounts", singular="serviceaccount", kind="ServiceAccount", short_names=("sa",)),
    Resource(group="discovery.k8s.io", plural="endpointslices", singular="endpointslice", kind="EndpointSlice"),
    Resource(
        group="networking.k8s.io",
        plural="networkpolicies",
        singular="networkpolicy",
        kind="NetworkPolicy",
        short_names=("netpol",),
    ),
    Resource(group="coordination.k8s.io", plural="leases", singular="lease", kind="Lease"),
    Resource(
        group=CRD_GROUP,
        plural="customresourcedefinitions",
        singular="customresourcedefinition",
        kind="CustomResourceDefinition",
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=("status",),
    ),
)


class Resources:
    """Every resource that is served, by group, version and plural."""

    def __init__(self) -> None:
        self._known = {(r.group, r.version, r.plural): r for r in BUILT_IN}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._known.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource behind a path, if there is one."""
        return self._known.get((group, version, plural))

    def add(self, definition: Object) -> list[Resource]:
        """Serves what a CustomResourceDefinition defines, instead of what it defined before."""
        self.remove(definition)
        added = custom(definition)
        self._known.update({(r.group, r.version, r.plural): r for r in added})
        return added

    def remove(self, definition: Object) -> None:
        """Serves a CustomResourceDefinition no longer."""
        spec = definition["spec"]
        gone = [k for k in self._known if k[0] == spec["group"] and k[2] == spec["names"]["plural"]]
        for key in gone:
            del self._known[key]


def custom(definition: Object) -> list[Resource]:
    """The resources that a CustomResourceDefinition defines: one per served version."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names.get("singular") or names["kind"].lower(),
            kind=names["kind"],
            namespaced=spec.get("scope") != "Cluster",
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            subresources=("status",) if "status" in (version.get("subresources") or {}) else (),
            strategic=False,
            fields=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
            columns=tuple(
                tuple(sorted((k, str(v)) for k, v in column.items()))
                for column in version.get("additionalPrinterColumns") or ()
            ),
        )
        for version in spec["versions"]
        if version.get("served", True)
    ]
