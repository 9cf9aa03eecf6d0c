"""Where everything is in etcd: keys of records, and back. Source: spec/cluster.md 0.2, 11.1."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contivpp.model.adminpolicy import AdminPolicy
from contivpp.model.codec import Record, decode
from contivpp.model.endpoints import Endpoints
from contivpp.model.namespace import Namespace
from contivpp.model.node import Node
from contivpp.model.nodeconfig import NodeConfigRecord
from contivpp.model.pod import Pod
from contivpp.model.policy import Policy
from contivpp.model.service import Service
from contivpp.model.vppnode import VppNode

ROOT: Final = "/vnf-agent/"
KSR_PREFIX: Final = "/vnf-agent/contiv-ksr/"
GAUGES_KEY: Final = KSR_PREFIX + "status/gauges"

NAMESPACED: Final = ("pod", "policy", "service", "endpoints")
ADMIN_POLICIES: Final = ("adminnetworkpolicy", "baselineadminnetworkpolicy")
CLUSTER_SCOPED: Final = ("namespace", "node", *ADMIN_POLICIES)
CUSTOM: Final = ("nodeconfig",)

_TYPES: Final[dict[str, type[Record]]] = {
    "vppnode": VppNode,
    "node": Node,
    "pod": Pod,
    "namespace": Namespace,
    "policy": Policy,
    "service": Service,
    "endpoints": Endpoints,
    "nodeconfig": NodeConfigRecord,
    **dict.fromkeys(ADMIN_POLICIES, AdminPolicy),
}
_PREFIXES: Final = {
    "vppnode": KSR_PREFIX + "allocatedIDs/",
    **{kind: f"{KSR_PREFIX}k8s/{kind}/" for kind in (*NAMESPACED, *CLUSTER_SCOPED)},
    "nodeconfig": KSR_PREFIX + "k8s/nodeconfig/",
    "customnetwork": KSR_PREFIX + "k8s/customnetwork/",
    "external-interface": KSR_PREFIX + "k8s/external-interface/",
    "servicefunctionchain": KSR_PREFIX + "k8s/servicefunctionchain/",
    "custom-ipam": KSR_PREFIX + "custom-ipam/",
    "idalloc": KSR_PREFIX + "idalloc/",
}


class PodID(NamedTuple):
    """A pod, or anything else with a namespace; prints as "namespace/name"."""

    name: str
    namespace: str

    def __str__(self) -> str:
        """The form used everywhere people read it."""
        return f"{self.namespace}/{self.name}"


def external_prefix(node_name: str) -> str:
    """The prefix of what others want of a node; after it comes the scheduler key. Source: spec/agent.md 2.7."""
    return f"{ROOT}{node_name}/config/"


def prefix(kind: str) -> str:
    """The prefix of all records of a kind."""
    return _PREFIXES[kind]


def record_key(kind: str, record_id: str) -> str:
    """The key of a record by its ID ("namespace/name", or a name).

    Raises:
        ValueError: the ID has not the form that the kind needs.
    """
    if kind not in NAMESPACED:
        if not record_id or "/" in record_id:
            message = f"{record_id!r} is not the name of a {kind}"
            raise ValueError(message)
        return f"{_PREFIXES[kind]}{record_id}"
    namespace, slash, name = record_id.partition("/")
    if not (namespace and slash and name) or "/" in name:
        message = f"{record_id!r} is not the namespace/name of a {kind}"
        raise ValueError(message)
    return f"{_PREFIXES[kind]}{name}/namespace/{namespace}"


def parse_record_key(key: str) -> tuple[str, str] | None:
    """The kind and ID that a key belongs to; None for keys that hold no record known here."""
    if not key.startswith(KSR_PREFIX):
        return None
    match key[len(KSR_PREFIX) :].split("/"):
        case ["allocatedIDs", node_id] if node_id.isascii() and node_id.isdigit():
            return "vppnode", str(int(node_id))
        case ["k8s", kind, name] if kind in (*CLUSTER_SCOPED, *CUSTOM) and name:
            return kind, name
        case ["k8s", kind, name, "namespace", namespace] if kind in NAMESPACED and name and namespace:
            return kind, f"{namespace}/{name}"
        case _:
            return None


def decode_record(kind: str, value: bytes, *, key: str = "") -> Any:
    """The record of a kind.

    Raises:
        DecodeError: see `codec.decode`.
    """
    return decode(_TYPES[kind], value, key=key)
