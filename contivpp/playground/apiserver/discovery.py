"""What a client asks before it asks for anything: groups, versions, resources, and the OpenAPI documents.

The OpenAPI v3 document says of each resource that it is there and that PATCH checks fields on the server;
that is what kubectl looks for before it sends. It holds no schemas. There is no v2 document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contivpp.playground.apiserver.resources import Resource, Resources

Object = dict[str, Any]
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_KINDS = {"binding": ("", "v1", "Binding"), "eviction": ("policy", "v1", "Eviction")}


def versions() -> Object:
    """`/api`: versions of the core group."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    }


def _group(name: str, found: Iterable[Resource]) -> Object:
    names = sorted({resource.version for resource in found}, key=_rank)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in names]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _rank(version: str) -> tuple[int, str]:
    """Stable versions before beta and alpha."""
    return ("alpha" in version) * 2 + ("beta" in version), version


def groups(resources: Resources) -> Object:
    """`/apis`: every group but the core one."""
    names = sorted({resource.group for resource in resources} - {""})
    listed = [_group(name, (r for r in resources if r.group == name)) for name in names]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(resources: Resources, name: str) -> Object | None:
    """`/apis/GROUP`."""
    found = [resource for resource in resources if resource.group == name]
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, found)} if name and found else None


def resource_list(resources: Resources, group_name: str, version: str) -> Object | None:
    """`/api/v1` and `/apis/GROUP/VERSION`."""
    listed: list[Object] = []
    for resource in _of(resources, group_name, version):
        entry: Object = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": [v for v in _VERBS if v != "deletecollection" or resource.plural != "namespaces"],
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        listed.append(entry)
        listed += [_subresource(resource, name) for name in resource.subresources]
    if not listed:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": listed,
    }


def _of(resources: Resources, group_name: str, version: str) -> list[Resource]:
    return [r for r in resources if (r.group, r.version) == (group_name, version)]


def _subresource(resource: Resource, name: str) -> Object:
    entry: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get"] if name == "log" else ["get", "patch", "update"],
    }
    if name in _KINDS:
        group_name, version, kind = _KINDS[name]
        entry |= {"kind": kind, "verbs": ["create"], "group": group_name, "version": version}
    elif name == "finalize":
        entry["verbs"] = ["update"]
    return entry


def openapi_index(resources: Resources) -> Object:
    """`/openapi/v3`: one document per group and version."""
    names = sorted({("apis/" if r.group else "api/") + r.api_version for r in resources})
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in names}}


def openapi(resources: Resources, group_name: str, version: str) -> Object | None:
    """`/openapi/v3/api/v1` and its like."""
    found = _of(resources, group_name, version)
    if not found:
        return None
    paths: Object = {}
    for resource in found:
        prefix = f"/apis/{resource.api_version}" if resource.group else f"/api/{version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": resource.group, "version": version, "kind": resource.kind}
        parameters = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in ("dryRun", "fieldManager", "fieldValidation", "force")
        ]
        operation = {
            "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": kind,
        }
        at = f"{prefix}{scope}/{resource.plural}"
        paths[at] = {"post": {**operation, "x-kubernetes-action": "post"}}
        paths[f"{at}/{{name}}"] = {"patch": {**operation, "x-kubernetes-action": "patch"}}
    info = {"title": "Kubernetes", "version": "playground"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}
