"""What a cluster has from the start: its namespaces, the service of the API itself, and custom resources of networks.

Those are the policies of administrators, whose definitions somebody has to install in a real cluster.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from contivpp.playground.apiserver.objects import Objects, Target
from contivpp.playground.apiserver.resources import CRD_GROUP
from contivpp.playground.apiserver.rules import Rules

_POLICIES = (
    ("AdminNetworkPolicy", "adminnetworkpolicies", "anp"),
    ("BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", "banp"),
)
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def ensure(objects: Objects, rules: Rules, advertise_address: str, port: int) -> None:
    """Makes what is missing, and corrects the address of the API when it has moved."""
    for name in _NAMESPACES:
        labels = {"kubernetes.io/metadata.name": name}
        _ensure(objects, "", "namespaces", {"metadata": {"name": name, "labels": labels}})
    https = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": "kubernetes", "namespace": "default", "labels": labels}
    service: dict[str, Any] = {
        "metadata": metadata,
        "spec": {"type": "ClusterIP", "clusterIP": str(rules.service_network[1]), "ports": [https]},
    }
    _ensure(objects, "", "services", service)
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    subset = {"addresses": [{"ip": advertise_address}], "ports": ports}
    _ensure(objects, "", "endpoints", {"metadata": metadata, "subsets": [subset]}, replace=True)
    endpoints = {
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": f"IPv{ipaddress.ip_address(advertise_address).version}",
        "endpoints": [{"addresses": [advertise_address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    _ensure(objects, "discovery.k8s.io", "endpointslices", endpoints, replace=True)
    for kind, plural, short in _POLICIES:
        _ensure(objects, CRD_GROUP, "customresourcedefinitions", _definition(kind, plural, short))


def _definition(kind: str, plural: str, short: str) -> dict[str, Any]:
    group = "policy.networking.k8s.io"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "shortNames": [short]},
            "versions": [
                {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
            ],
        },
    }


def _ensure(objects: Objects, group: str, plural: str, subject: dict[str, Any], *, replace: bool = False) -> None:
    resource = objects.resources.find(group, "v1", plural)
    assert resource is not None
    metadata = subject["metadata"]
    target = Target(resource, metadata.get("namespace", ""), metadata["name"])
    if objects.storage.get(resource.key, target.key) is None:
        objects.create(target, subject)
    elif replace:
        objects.update(target, subject)
